package fixindex

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nexus-logbuf/logbuf/journal"
)

// Dir is the subdirectory of an archive that the files are in.
const Dir = "index"

const (
	filePrefix = "fix-"
	fileSuffix = ".json"
	version    = 1
	maxFile    = 256 << 20 // a file that is larger is not read, bytes
)

// cache is the files of an archive. A file is one line with a checksum, and JSON:
//
//	logbuf fix index 1 crc32c=1a2b3c4d
//	{"segment":{…},"start":{…},"end":{…},"runs":[…],"gaps":[…]}
type cache struct {
	dir string
	off bool
}

// file is what is in a file.
type file struct {
	Segment identity `json:"segment"`
	*segment
}

// identity is what must be the same of a segment for its index to be that of it.
// Compression changes none of it.
type identity struct {
	First, Number, Epoch, FirstSeq, NextSeq, Records uint64
	Created, MinTime, MaxTime                        int64
}

func identityOf(u unit) identity {
	return identity{u.first, u.Number, u.Epoch, u.FirstSeq, u.NextSeq, u.Records, u.Created, u.MinTime, u.MaxTime}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (c cache) path(segment string) string {
	return filepath.Join(c.dir, Dir, filePrefix+segment+fileSuffix)
}

func head(body []byte) string {
	return fmt.Sprintf("logbuf fix index %d crc32c=%08x\n", version, crc32.Checksum(body, castagnoli))
}

// load gets the index of a segment from its file. start is what the segments
// before it say; nil: there are none before it, and the file knows better.
func (c cache) load(seg unit, start state) (*segment, bool) {
	if c.off || !seg.Sealed {
		return nil, false
	}
	if fi, err := os.Lstat(c.path(seg.File)); err != nil || !fi.Mode().IsRegular() || fi.Size() > maxFile {
		return nil, false
	}
	b, err := os.ReadFile(c.path(seg.File))
	if err != nil {
		return nil, false
	}
	line, body, ok := bytes.Cut(b, []byte("\n"))
	if !ok || string(line)+"\n" != head(body) {
		return nil, false
	}
	f := file{segment: &segment{}}
	if json.Unmarshal(body, &f) != nil || f.Segment != identityOf(seg) || !f.inside(seg) {
		return nil, false
	}
	if start != nil && !same(start, f.Start) {
		return nil, false
	}
	return f.segment, true
}

// inside checks that what is said is about the segment's records, and about
// sessions that it knows.
func (s *segment) inside(seg unit) bool {
	known := func(session string, side int) bool {
		_, ok := s.End[session]
		return ok && (side == 0 || side == 1)
	}
	return !slices.ContainsFunc(s.Runs, func(r Run) bool {
		return !known(r.Session, r.Side) || r.First < seg.FirstSeq || r.Last >= seg.NextSeq || r.First > r.Last || r.From > r.To
	}) && !slices.ContainsFunc(s.Gaps, func(g Gap) bool {
		return !known(g.Session, g.Side) || g.Before < seg.FirstSeq || g.Before >= seg.NextSeq || g.Missing.From > g.Missing.To
	})
}

func same(a, b state) bool {
	if len(a) != len(b) {
		return false
	}
	for name, s := range a {
		if t, ok := b[name]; !ok || s != t {
			return false
		}
	}
	return true
}

// store writes the index of a segment that will not change. That it cannot be
// written is no error: then it is made anew each time.
func (c cache) store(seg unit, s *segment) {
	if c.off || !s.whole {
		return
	}
	body, err := json.Marshal(file{identityOf(seg), s})
	if err != nil {
		return
	}
	if os.Mkdir(filepath.Join(c.dir, Dir), 0o700) != nil {
		if fi, err := os.Stat(filepath.Join(c.dir, Dir)); err != nil || !fi.IsDir() {
			return
		}
	}
	tmp, err := os.CreateTemp(filepath.Join(c.dir, Dir), filePrefix+"*.tmp") // mode 0600
	if err != nil {
		return
	}
	_, err = tmp.Write(append([]byte(head(body)), body...))
	if closeErr := tmp.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), c.path(seg.File))
	}
	if err != nil {
		os.Remove(tmp.Name())
	}
}

// clean removes files of segments that are gone.
func (c cache) clean(segments []journal.SegmentInfo) {
	entries, err := os.ReadDir(filepath.Join(c.dir, Dir))
	if c.off || err != nil {
		return
	}
	for _, e := range entries {
		name, ok := strings.CutPrefix(e.Name(), filePrefix)
		name, isIndex := strings.CutSuffix(name, fileSuffix)
		if ok && isIndex && !slices.ContainsFunc(segments, func(s journal.SegmentInfo) bool { return s.File == name }) {
			os.Remove(filepath.Join(c.dir, Dir, e.Name()))
		}
	}
}
