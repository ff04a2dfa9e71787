package journal

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// SalvageOptions are the options of Salvage. Nil is the default.
type SalvageOptions struct {
	FS       vfs.FS                  // default: the operating system's
	Progress func(done, total int64) // called about every MiB with bytes done and bytes to do, on the caller's goroutine; default none
	Stop     <-chan struct{}         // when it is closed, Salvage ends soon with context.Canceled and leaves nothing behind
}

// SalvageReport is what Salvage found, and what it made of it.
type SalvageReport struct {
	Segments int    // segment files found
	Records  uint64 // data records that can be read
	Control  uint64 // control records that can be read, without the stream tables
	Bytes    uint64 // payload bytes of those data records
	FirstSeq uint64 // first sequence that the archive should have
	NextSeq  uint64 // sequence after the last one that can be read or is known to be missing

	Gaps     []Gap      // the damage, in order, the first 10000
	GapCount int        // how many there are
	Lost     uint64     // records in them, those that are known
	Known    []Gap      // what was known to be missing before: trimmed, or declared by an earlier salvage; the first 10000
	Torn     *TornError // the torn tail, nil when there is none: nobody was promised those records

	OutSegments int   // segment files written to out
	OutSize     int64 // bytes of them
}

// Salvage reads the archive in dir past every damage and reports what is missing, exactly: of each gap the first and the last sequence, as
// far as anything that is left speaks of them. It delivers no byte whose checksum is wrong: a damaged block is lost as a whole. A segment
// whose header page is destroyed is read all the same if its footer or its first two blocks are whole, see docs/JOURNAL.md. Nothing in dir is
// changed, no lock is taken, and the directory need not be writable. A writer may be active: then Salvage goes up to what was written when
// it began.
//
// When out is not empty, what can be read is written there as a new archive: the same sequences, epochs, streams, times, kinds and flags,
// with a UUID of its own. Where records are missing a segment begins that declares it, and in it stands a loss record with LossDamage. So
// Verify(out) is clean, and lists what is missing as gaps. Compressed blocks are written uncompressed. Cursors are not copied. out must not
// exist, or be an empty directory outside of dir; the work is done in a directory beside it, out + ".partial", which is synced, verified by
// reading it back, and renamed at the end. What an interrupted salvage leaves has that name, and the next one removes it.
//
// The error wraps ErrNotArchive or ErrVersion, wraps fs.ErrExist when out is in use, or is one of the system's; damage is no error. Salvage
// holds one block at a time, and where there is damage two, of at most 64 MiB, the index of a segment, at most 96 MiB, and the names of the
// streams.
func Salvage(dir, out string, opts *SalvageOptions) (*SalvageReport, error) {
	var o SalvageOptions
	if opts != nil {
		o = *opts
	}
	s := &salvager{survey: newSurvey(o.FS, dir), rep: &SalvageReport{}, progress: o.Progress, stop: o.Stop, limit: math.MaxUint64}
	if err := s.begin(); err != nil {
		return nil, err
	}
	if err := s.amend(); err != nil {
		return nil, err
	}
	s.total = s.size
	if out == "" {
		return s.rep, s.run()
	}
	s.total = 2 * s.size // what is written is read back
	if err := s.runInto(out); err != nil {
		return nil, err
	}
	return s.rep, nil
}

// salvager goes through an archive, past every damage.
type salvager struct {
	*survey
	rep *SalvageReport
	out *salvageOut // nil when nothing is written

	uuid  [16]byte // the archive's
	known bool     // uuid is
	next  uint64   // sequence after the last one delivered or known to be missing
	limit uint64   // sequence that the segment being read ends before, as far as that is known and does not show; MaxUint64 for none
	gaps  []unsettled
	file  string  // name of the segment being read
	begun bool    // a segment has been met
	prev  *walker // at the end of the segment before; nil when that is not known
	prevI int     // which one that is

	stop     <-chan struct{}
	progress func(done, total int64)
	done     int64 // bytes read
	shown    int64 // at the last call of progress
	total    int64
}

// run goes through all segments.
func (s *salvager) run() error {
	s.rep.Segments = len(s.segs)
	w := &walker{abort: s.stopped}
	for i := range s.segs {
		if err := s.segment(i, w); err != nil {
			return err
		}
	}
	if g, missing := s.missingAtEnd(s.prev, s.prevI, s.reach()); missing && s.rep.Torn == nil {
		s.gap(g, true)
	} else if h := s.head; s.prev == nil && s.headOK && h.durablePos == h.writtenPos && h.nextSeq > s.reach() { // its position says nothing
		g.File, g.Reason = s.segs[len(s.segs)-1].name, "HEAD says that more was durable"
		g.FirstSeq, g.LastSeq = s.reach(), h.nextSeq-1
		s.gap(g, true)
	}
	s.settle(math.MaxUint64)
	s.rep.NextSeq = s.next
	if s.out != nil {
		return s.out.end(s.next)
	}
	return nil
}

// amend finds the archive's UUID, the one that most segments have, and puts segments whose files were renamed where their headers say.
func (s *salvager) amend() error {
	votes := make(map[[16]byte]int)
	for i, file := range s.segs {
		f, err := s.a.fs.OpenFile(s.a.path(file.name), 0, 0)
		if err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		hdr, err := readHeader(f)
		if closing(f, err) != nil {
			continue // segment meets it
		}
		s.segs[i].baseSeq, s.segs[i].epoch = hdr.baseSeq, hdr.epoch
		if votes[hdr.uuid]++; !s.known || votes[hdr.uuid] > votes[s.uuid] {
			s.uuid, s.known = hdr.uuid, true
		}
	}
	sortSegments(s.segs)
	if s.known {
		s.head, s.headOK = s.a.readHead(s.uuid)
		s.live = s.live && s.headOK
	}
	return nil
}

// segment goes through segment i.
func (s *salvager) segment(i int, w *walker) error {
	file := s.segs[i]
	s.file = file.name
	f, hdr, err := s.a.openSegment(file)
	var c *CorruptionError
	headless := errors.As(err, &c)
	if err != nil && !headless {
		return err
	}
	if !headless {
		w.reset(f, hdr)
	} else {
		var seed uint32
		if f, hdr, seed, err = s.a.openHeadless(file); err != nil {
			return err
		}
		if f == nil {
			return s.hopeless(i, c)
		}
		w.reset(f, hdr)
		w.seed, w.chained = seed, false
	}
	defer f.Close() // opened for reading: nothing to lose
	switch {
	case headless:
		s.beginHeadless(i, c)
	case hdr.uuid != s.uuid:
		return s.foreigner(i, f, hdr)
	case s.live && hdr.number > s.head.segment:
		return nil // begun after Salvage
	default:
		s.beginSegment(i, hdr)
	}
	if s.out != nil {
		s.out.plan(hdr)
	}
	if headless {
		s.limit = s.limitOf(i)
	}
	p := &pass{
		s: s.survey, i: i, w: w, seg: newSegment(f, file.name, w.hdr), rep: newReport(), headless: headless, beyond: true,
		onBlock: s.block, onGap: s.gap, onRead: s.read,
	}
	if err := p.run(); err != nil {
		return err
	}
	s.rep.Torn = p.rep.Torn
	s.leave(p)
	return nil
}

// limitOf returns the sequence that segment i, whose header is lost, ends before. What it has from there on is no part of the archive when its
// writer has failed: another one has written those records again.
func (s *salvager) limitOf(i int) uint64 {
	if i+1 < len(s.segs) {
		if hdr, ok := s.a.headerOf(s.segs[i+1]); ok && hdr.uuid == s.uuid && hdr.predFlags&predPoisoned != 0 {
			return hdr.predSeq
		}
	}
	return math.MaxUint64
}

// leave ends a segment.
func (s *salvager) leave(p *pass) {
	end := *p.w
	end.buf, end.raw, end.scan, end.file, end.abort = nil, nil, nil, nil, nil
	s.prev, s.prevI = &end, p.i
	if s.limit < math.MaxUint64 { // gaps behind it are none
		s.settle(s.limit)
		s.limit = math.MaxUint64
	}
	if p.headless {
		s.prev = nil
	}
}

// foreigner notes a segment of another archive.
func (s *salvager) foreigner(i int, f vfs.File, hdr segmentHeader) error {
	size, err := f.Size()
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	s.gap(Gap{
		File: s.segs[i].name, FirstSeq: s.reach(), LastSeq: s.reach() - 1, Bytes: size,
		Reason: fmt.Sprintf("segment belongs to another archive (%x, not %x)", hdr.uuid, s.uuid),
	}, false)
	return s.read(size)
}

// block takes in a whole block.
func (s *salvager) block(b *block) error {
	if b.flags&blockTable != 0 {
		if s.out != nil {
			s.out.table(b.frames)
		}
		return nil
	}
	if b.baseSeq > s.limit || b.count > 0 && b.baseSeq == s.limit || b.nextSeq() < s.next || b.count > 0 && b.nextSeq() == s.next {
		return nil // no part of the archive, or delivered by the segment before
	}
	if next := s.reach(); b.baseSeq > next {
		s.gap(Gap{File: s.file, Offset: b.off, FirstSeq: next, LastSeq: b.baseSeq - 1, Reason: "records before this block are missing"}, true)
	}
	s.settle(max(b.baseSeq, s.next))
	frames, info := b.frames, &b.info
	if b.baseSeq < s.next {
		frames = framesFrom(frames, s.next-b.baseSeq)
		left := newFrameInfo()
		walkFrames(frames, 0, len(frames), &left)
		info = &left
	}
	s.next = b.nextSeq()
	s.rep.Records += uint64(info.count)
	s.rep.Control += uint64(info.frames - info.count)
	s.rep.Bytes += info.bytes
	if s.out != nil && len(frames) > 0 {
		return s.out.write(frames, info, s.next-uint64(info.count))
	}
	return nil
}

// framesFrom returns checked frames without the first n data records and what stands before the last of those.
func framesFrom(frames []byte, n uint64) []byte {
	off := 0
	for n > 0 && off < len(frames) {
		size, typ, _ := frameAt(frames, off)
		if kind, _, _ := SplitType(typ); typ != skipType && kind < firstControl {
			n--
		}
		off += size
	}
	return frames[off:]
}

// read takes in that n bytes were read.
func (s *salvager) read(n int64) error {
	s.done += n
	s.show(s.done)
	return s.stopped()
}

// stopped is context.Canceled when the caller wants no more.
func (s *salvager) stopped() error {
	select {
	case <-s.stop:
		return context.Canceled
	default:
		return nil
	}
}

// show calls progress when there is something new to say.
func (s *salvager) show(done int64) {
	if done = min(done, s.total); s.progress != nil && done > s.shown {
		s.shown = done
		s.progress(done, s.total)
	}
}
