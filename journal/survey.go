package journal

import (
	"fmt"
	"time"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// survey is what is known of an archive before its segments are read one by one: which there are, and how far a live writer is. It does not
// change after begin, so that several goroutines may use it.
type survey struct {
	a       archive
	segs    []segmentFile
	foreign []string // names that are no part of an archive
	size    int64    // bytes of all segment files

	head   head
	headOK bool
	live   bool // a writer has the archive open, and head says how far it is
}

func newSurvey(fs vfs.FS, dir string) *survey {
	if fs == nil {
		fs = vfs.OS
	}
	return &survey{a: archive{fs: fs, dir: dir}}
}

// begin lists the segments. With a live writer, HEAD is read first: then the list has the segment that it names.
func (s *survey) begin() error {
	segs, foreign, err := s.a.listForReading()
	if err != nil {
		return err
	}
	s.segs, s.foreign = segs, foreign
	if uuid, known := s.a.anyUUID(s.segs); known {
		if err := s.readHead(uuid); err != nil {
			return err
		}
	}
	for _, f := range s.segs {
		fi, err := s.a.fs.Stat(s.a.path(f.name))
		switch {
		case err == nil:
			s.size += fi.Size()
		case !s.a.trimmedAway(f, err): // whoever reads it will find the same
			return fmt.Errorf("journal: %w", err)
		}
	}
	return nil
}

// anyUUID returns the archive's UUID from the first segment whose header can be read.
func (a archive) anyUUID(segs []segmentFile) ([16]byte, bool) {
	for _, s := range segs {
		if f, hdr, err := a.openSegment(s); err == nil {
			return hdr.uuid, closing(f, nil) == nil
		}
	}
	return [16]byte{}, false
}

// readHead reads HEAD and then the list of segments again. A writer that has just begun may not have written its HEAD yet: that is waited
// for, a little.
func (s *survey) readHead(uuid [16]byte) error {
	for range 20 {
		s.head, s.headOK = s.a.readHead(uuid)
		s.live = s.a.writing() && s.headOK
		segs, _, err := s.a.listForReading()
		if err != nil {
			return err
		}
		s.segs = segs
		if !s.live || segs[len(segs)-1].epoch <= s.head.epoch {
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	s.live = false
	return nil
}

// lostSegment says what it means that the header of segment i cannot be read, c being what is wrong with it. prev is at the end of the segment
// before, nil when that is not known, and expect is the sequence after it. The last segment may be what a crash during rotation leaves: then
// torn is not nil; or what a live writer is making: then unborn is true.
func (s *survey) lostSegment(i int, c *CorruptionError, prev *walker, expect uint64) (g Gap, torn *TornError, unborn bool, err error) {
	f := s.segs[i]
	last := i == len(s.segs)-1
	if last && s.live && prev != nil && prev.hdr.number == s.head.segment {
		return g, nil, true, nil
	}
	fi, err := s.a.fs.Stat(s.a.path(f.name))
	if err != nil {
		return g, nil, false, fmt.Errorf("journal: %w", err)
	}
	if last && i > 0 && prev != nil && s.segs[i-1].epoch == f.epoch && !(s.headOK && s.head.durablePos > prev.pos()) {
		promised, err := s.a.headlessPromise(f, prev.pos())
		if err != nil {
			return g, nil, false, err
		}
		if !promised {
			return g, &TornError{File: f.name, Bytes: fi.Size(), NextSeq: expect, Reason: c.Reason}, false, nil
		}
	}
	g = Gap{File: f.name, FirstSeq: expect, LastSeq: ^uint64(0), Bytes: fi.Size(), Reason: c.Reason}
	switch {
	case !last:
		g.FirstSeq, g.LastSeq = min(f.baseSeq, expect), s.segs[i+1].baseSeq-1
	case s.headOK && s.head.nextSeq > expect:
		g.LastSeq = s.head.nextSeq - 1
	}
	return g, nil, false, nil
}

// missingAtEnd says what HEAD knows to be missing behind prev, the end of segment i, which is the last one that could be read.
func (s *survey) missingAtEnd(prev *walker, i int, expect uint64) (g Gap, missing bool) {
	if prev == nil || !s.headOK || s.head.durablePos <= prev.pos() {
		return g, false
	}
	return Gap{
		File: s.segs[i].name, Offset: prev.off, FirstSeq: expect, LastSeq: max(s.head.nextSeq, expect) - 1,
		Reason: fmt.Sprintf("HEAD says that data behind this was durable, in segment %d: it is missing", s.head.segment),
	}, true
}
