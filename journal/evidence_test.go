package journal

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// The table of verdicts, docs/JOURNAL.md §7, one case per row and more: what is on the disk, and what Verify, a reader and Open make of it.

// scene is an archive that a crash has left, and its damages.
type scene struct {
	t     *testing.T
	mem   *vfs.Mem
	w     *Writer
	names []string
}

// newScene makes a stepped writer.
func newScene(t *testing.T) *scene {
	s := &scene{t: t, mem: vfs.NewMem()}
	w, err := openStepped(memDir, &Options{FS: s.mem, Sync: SyncNone, MaxBlock: minMaxBlock})
	if err != nil {
		t.Fatal(err)
	}
	s.w = w
	return s
}

// write appends n records in blocks of two.
func (s *scene) write(n int) *scene { fill(s.t, s.w, n, 2); return s }

func (s *scene) sync() *scene   { s.w.stepSync(); return s }
func (s *scene) rotate() *scene { s.w.forceRotate(s.t); return s }

// die ends the writer as a crash of the process does, with all that it has written.
func (s *scene) die() *scene {
	if err := s.w.unlock(); err != nil {
		s.t.Fatal(err)
	}
	s.names = segmentNames(s.t, s.mem)
	return s
}

// close ends the writer by Close.
func (s *scene) close() *scene {
	mustClose(s.t, s.w)
	s.names = segmentNames(s.t, s.mem)
	return s
}

func (s *scene) edit(seg int, f func(b []byte) []byte) *scene {
	path := filepath.Join(memDir, s.names[seg])
	mustWrite(s.t, s.mem, path, f(mustRead(s.t, s.mem, path)))
	return s
}

// at returns the offset of the block that holds a sequence, in the segment's bytes.
func (s *scene) at(b []byte, seq uint64) int {
	for off := segmentHeaderLen; off+blockHeaderLen <= len(b); {
		base, n := le.Uint64(b[off+24:]), uint64(le.Uint32(b[off+20:]))
		if n > 0 && seq < base+n {
			return off
		}
		off += blockHeaderLen + int(le.Uint32(b[off+8:]))
	}
	s.t.Fatalf("no block with sequence %d", seq)
	return 0
}

// damage flips a bit in the frames of the block that holds a sequence.
func (s *scene) damage(seg int, seq uint64) *scene {
	return s.edit(seg, func(b []byte) []byte { b[s.at(b, seq)+blockHeaderLen+20] ^= 4; return b })
}

// cut ends a segment before the block that holds a sequence, and extra bytes later.
func (s *scene) cut(seg int, seq uint64, extra int) *scene {
	return s.edit(seg, func(b []byte) []byte { return b[:s.at(b, seq)+extra] })
}

// zero makes the bytes from the block that holds a sequence to the end of the segment zero.
func (s *scene) zero(seg int, seq uint64) *scene {
	return s.edit(seg, func(b []byte) []byte { clear(b[s.at(b, seq):]); return b })
}

// unsealed takes the footer off a segment.
func (s *scene) unsealed(seg int) *scene {
	return s.edit(seg, func(b []byte) []byte { return b[:le.Uint64(b[len(b)-trailerLen+48:])] })
}

// header changes the header of a segment and makes all checksums right again.
func (s *scene) header(seg int, f func(h *segmentHeader)) *scene {
	return s.edit(seg, func(b []byte) []byte {
		h, err := decodeSegmentHeader(b[:segmentHeaderLen])
		if err != nil {
			s.t.Fatal(err)
		}
		f(&h)
		clear(b[:segmentHeaderLen])
		h.encode(b)
		fixChecksums(b)
		return b
	})
}

func (s *scene) remove(name string) *scene { mustRemove(s.t, s.mem, name); return s }

// head changes what HEAD says.
func (s *scene) head(f func(h *head)) *scene {
	hd, ok := archive{fs: s.mem, dir: memDir}.readHead(s.w.uuid)
	if !ok {
		s.t.Fatal("no HEAD")
	}
	f(&hd)
	b := make([]byte, headLen)
	hd.encode(b, crcOf(s.w.uuid[:]))
	mustWrite(s.t, s.mem, filepath.Join(memDir, headName), b)
	return s
}

// rotated is an archive of 8 records, 6 of them synced, a rotation, and 4 more records, none of them synced.
func rotated(t *testing.T) *scene {
	return newScene(t).write(6).sync().write(2).rotate().write(4).die()
}

// finding is what is to be said of an archive.
type finding struct {
	verdict     Verdict
	first, last uint64 // Lossy, Corrupt: sequences lost; last is first−1 for none
	next        uint64 // sequence after the last that can be read; not looked at when Corrupt
	torn        int64  // bytes of the torn tail
	openCorrupt bool   // Open says Corrupt; otherwise, with Corrupt, it does not look there
	loose       bool   // not all say the same of what is lost
}

// lost reports whether first and last are the sequences lost.
func (o *finding) lost(first, last uint64) bool { return o.loose || first == o.first && last == o.last }

const none = ^uint64(0)

var scenes = []struct {
	name  string
	scene func(t *testing.T) *scene
	want  finding
}{
	// The last segment.
	{"a valid footer, all blocks fine", func(t *testing.T) *scene {
		return newScene(t).write(6).close()
	}, finding{verdict: Clean, next: 6}},
	{"a valid footer, a block before it is not", func(t *testing.T) *scene {
		return newScene(t).write(6).close().damage(0, 2)
	}, finding{verdict: Corrupt, first: 2, last: 3, openCorrupt: true}},
	{"a valid footer, of more blocks than there are", func(t *testing.T) *scene {
		return newScene(t).write(6).close().edit(0, func(b []byte) []byte {
			at := 0
			for at+4 <= len(b) && string(b[at:at+8]) != "LBJFOOT1" {
				at += 8
			}
			return append(b[:segmentHeaderLen+blockHeaderLen], b[at-indexEntryLen:]...)
		})
	}, finding{verdict: Corrupt, first: 0, last: 5, openCorrupt: true}},
	{"no footer, the file ends with a block", func(t *testing.T) *scene {
		return newScene(t).write(6).sync().write(2).die()
	}, finding{verdict: Clean, next: 8}},
	{"no footer, the file ends within a block that nobody promised", func(t *testing.T) *scene {
		return newScene(t).write(6).sync().write(4).die().cut(0, 8, 100)
	}, finding{verdict: Torn, next: 8, torn: 100}},
	{"no footer, the end is zeros", func(t *testing.T) *scene {
		return newScene(t).write(6).sync().write(2).die().zero(0, 6)
	}, finding{verdict: Torn, next: 6, torn: 328}},
	{"a bad block that nobody promised, a good one behind it", func(t *testing.T) *scene {
		return newScene(t).write(6).sync().write(4).die().damage(0, 6)
	}, finding{verdict: Torn, next: 6, torn: 576}},
	{"a bad block that a later block promises", func(t *testing.T) *scene {
		return newScene(t).write(6).sync().write(4).die().remove(headName).damage(0, 4)
	}, finding{verdict: Corrupt, first: 4, last: 5, openCorrupt: true}},
	{"a bad block that only HEAD promises", func(t *testing.T) *scene {
		return newScene(t).write(6).sync().die().damage(0, 4)
	}, finding{verdict: Corrupt, first: 4, last: 5, openCorrupt: true}},
	{"a bad block that was promised, and nothing that says so is left", func(t *testing.T) *scene {
		return newScene(t).write(6).sync().die().remove(headName).damage(0, 4)
	}, finding{verdict: Torn, next: 4, torn: 440}},
	{"blocks missing that HEAD promises", func(t *testing.T) *scene {
		return newScene(t).write(6).sync().die().cut(0, 4, 0)
	}, finding{verdict: Corrupt, first: 4, last: 5, openCorrupt: true}},
	{"blocks missing that HEAD has seen written", func(t *testing.T) *scene {
		return newScene(t).write(2).sync().write(2).die().cut(0, 2, 0)
	}, finding{verdict: Torn, next: 2, torn: 0}},
	{"the last block says that a footer follows, and none does", func(t *testing.T) *scene {
		return newScene(t).write(6).close().unsealed(0)
	}, finding{verdict: Torn, next: 6}},
	{"a footer of which the index is damaged", func(t *testing.T) *scene {
		return newScene(t).write(6).close().edit(0, func(b []byte) []byte { b[len(b)-trailerLen-1] ^= 1; return b })
	}, finding{verdict: Torn, next: 6, torn: 160}},
	{"HEAD promises more segments than there are", func(t *testing.T) *scene {
		s := newScene(t).write(6).rotate().write(4).sync().die()
		return s.remove(s.names[1])
	}, finding{verdict: Corrupt, first: 6, last: 9, openCorrupt: true}},
	{"HEAD of another archive promises more", func(t *testing.T) *scene {
		s := newScene(t).write(6).close()
		s.w.uuid[3]++
		hd := head{epoch: 1, segment: 1, writtenPos: 1 << 20, durablePos: 1 << 20, nextSeq: 99}
		b := make([]byte, headLen)
		hd.encode(b, crcOf(s.w.uuid[:]))
		mustWrite(t, s.mem, filepath.Join(memDir, headName), b)
		return s
	}, finding{verdict: Clean, next: 6}},

	// The segment before the last one.
	{"not synced and whole, not sealed yet", func(t *testing.T) *scene { return rotated(t) }, finding{verdict: Clean, next: 12}},
	{"not synced and torn, the successor whole", func(t *testing.T) *scene {
		return rotated(t).cut(0, 6, 70)
	}, finding{verdict: Lossy, first: 6, last: 7, next: 12, torn: 70}},
	{"not synced and a block bad, the successor whole", func(t *testing.T) *scene {
		return rotated(t).damage(0, 6)
	}, finding{verdict: Lossy, first: 6, last: 7, next: 12, torn: 552}},
	{"not synced and only the last control block missing", func(t *testing.T) *scene {
		return rotated(t).edit(0, func(b []byte) []byte { return b[:len(b)-blockHeaderLen-indexEntryLen-trailerLen] })
	}, finding{verdict: Lossy, first: 8, last: 7, next: 12}},
	{"not synced and torn, the successor torn as well", func(t *testing.T) *scene {
		return rotated(t).cut(0, 6, 70).cut(1, 10, 30)
	}, finding{verdict: Lossy, first: 6, last: 7, next: 10, torn: 100}},
	{"not synced and torn, the successor without a record", func(t *testing.T) *scene {
		return rotated(t).cut(0, 6, 70).cut(1, 8, 30)
	}, finding{verdict: Torn, next: 6, torn: 70 + segmentHeaderLen + blockHeaderLen + 30}},
	{"not synced and torn, the successor's header cut", func(t *testing.T) *scene {
		return rotated(t).cut(0, 6, 70).edit(1, func(b []byte) []byte { return b[:1000] })
	}, finding{verdict: Torn, next: 6, torn: 1070}},
	{"not synced and torn, the successor's header zeros, its blocks there", func(t *testing.T) *scene {
		return rotated(t).cut(0, 6, 70).edit(1, func(b []byte) []byte { clear(b[:segmentHeaderLen]); return b })
	}, finding{verdict: Torn, next: 6, torn: 70 + 4784}},
	{"not synced and torn where the synced part was, HEAD promises it", func(t *testing.T) *scene {
		return rotated(t).cut(0, 4, 70)
	}, finding{verdict: Corrupt, first: 4, last: 7, openCorrupt: true}},
	{"not synced and torn where a block in the successor promises", func(t *testing.T) *scene {
		return newScene(t).write(8).rotate().write(2).sync().write(2).die().remove(headName).unsealed(0).cut(0, 6, 70)
	}, finding{verdict: Corrupt, first: 6, last: 7, openCorrupt: true}},
	{"not synced and torn, the successor sealed", func(t *testing.T) *scene {
		return newScene(t).write(8).rotate().write(4).close().remove(headName).unsealed(0).cut(0, 6, 70)
	}, finding{verdict: Corrupt, first: 6, last: 7, openCorrupt: true}},
	{"whole, sealed, the successor's header cut", func(t *testing.T) *scene {
		return newScene(t).write(8).rotate().write(2).die().edit(1, func(b []byte) []byte { return b[:100] })
	}, finding{verdict: Torn, next: 8, torn: 100 + indexEntryLen + trailerLen}},
	{"sealed before its successor was begun, torn", func(t *testing.T) *scene {
		s := newScene(t).write(6).close()
		w := mustOpen(t, memDir, &Options{FS: s.mem})
		fill(t, w, 4, 2)
		mustClose(t, w)
		s.names = segmentNames(t, s.mem)
		return s.cut(0, 4, 70)
	}, finding{verdict: Corrupt, first: 4, last: 5}},
	{"not synced, longer than its successor says", func(t *testing.T) *scene {
		return rotated(t).edit(0, func(b []byte) []byte { return append(b, make([]byte, 700)...) })
	}, finding{verdict: Clean, next: 12}},
	{"not synced and whole for its successor, with a footer of more blocks", func(t *testing.T) *scene {
		s := newScene(t).write(6).sync().write(2).rotate().write(4).sync().die()
		return s.header(1, func(h *segmentHeader) {
			b := mustRead(t, s.mem, filepath.Join(memDir, s.names[0]))
			h.predPos = uint64(s.at(b, 6))
			h.basePos = h.predPos
		})
	}, finding{verdict: Corrupt, loose: true, openCorrupt: true}},

	// More than one successor, and holes.
	{"torn, with two successors", func(t *testing.T) *scene {
		return newScene(t).write(8).rotate().write(2).rotate().write(2).die().remove(headName).unsealed(0).cut(0, 6, 70)
	}, finding{verdict: Corrupt, first: 6, last: 7}},
	{"a segment missing in the middle", func(t *testing.T) *scene {
		s := newScene(t).write(8).rotate().write(2).rotate().write(2).close()
		return s.remove(s.names[1])
	}, finding{verdict: Corrupt, first: 8, last: 9, openCorrupt: true}},
	{"a header bad in the middle", func(t *testing.T) *scene {
		return newScene(t).write(8).rotate().write(2).rotate().write(2).close().edit(1, func(b []byte) []byte { b[50] ^= 1; return b })
	}, finding{verdict: Corrupt, first: 8, last: 9, openCorrupt: true}},
	{"the only segment's header is bad", func(t *testing.T) *scene {
		return newScene(t).write(8).close().edit(0, func(b []byte) []byte { b[50] ^= 1; return b })
	}, finding{verdict: Corrupt, first: 0, last: none, openCorrupt: true}},
	{"the last header bad, in a segment that was synced", func(t *testing.T) *scene {
		return newScene(t).write(8).rotate().write(2).close().remove(headName).edit(1, func(b []byte) []byte { b[50] ^= 1; return b })
	}, finding{verdict: Corrupt, first: 8, last: none, openCorrupt: true}},
	{"the last header bad, of a segment begun at an open", func(t *testing.T) *scene {
		s := newScene(t).write(8).close()
		w := mustOpen(t, memDir, &Options{FS: s.mem})
		mustClose(t, w)
		s.names = segmentNames(t, s.mem)
		return s.remove(headName).edit(1, func(b []byte) []byte { return b[:50] })
	}, finding{verdict: Corrupt, first: 8, last: none, openCorrupt: true}},
	{"a successor that does not continue the chain", func(t *testing.T) *scene {
		return newScene(t).write(8).rotate().write(2).close().header(1, func(h *segmentHeader) { h.predHcrc++ })
	}, finding{verdict: Corrupt, first: 8, last: 7, openCorrupt: true}},
	{"a successor of another archive", func(t *testing.T) *scene {
		return newScene(t).write(8).rotate().write(2).close().header(1, func(h *segmentHeader) { h.uuid[0]++ })
	}, finding{verdict: Corrupt, loose: true, openCorrupt: true}},
	{"all segments missing, HEAD is there", func(t *testing.T) *scene {
		s := newScene(t).write(8).close()
		return s.remove(s.names[0])
	}, finding{verdict: Corrupt, first: 0, last: 7, openCorrupt: true}},
}

func TestVerdicts(t *testing.T) {
	for _, c := range scenes {
		t.Run(c.name, func(t *testing.T) {
			s := c.scene(t)
			if len(segmentNames(t, s.mem)) > 0 {
				c.want.verify(t, s.mem)
				c.want.read(t, s.mem)
			}
			c.want.open(t, s.mem)
		})
	}
}

func (o *finding) verify(t *testing.T, mem *vfs.Mem) {
	t.Helper()
	rep, err := Verify(memDir, &VerifyOptions{FS: mem})
	if err != nil || rep.Verdict != o.verdict {
		t.Fatalf("verify: %+v, %v; want %v", rep, err, o.verdict)
	}
	switch o.verdict {
	case Corrupt:
		if g := rep.Problems[0]; !o.lost(g.FirstSeq, g.LastSeq) {
			t.Errorf("verify: %+v", rep.Problems)
		}
		return
	case Lossy:
		if g := rep.Gaps[0]; g.FirstSeq != o.first || g.LastSeq != o.last || rep.GapCount != 1 {
			t.Errorf("verify: %+v", rep.Gaps)
		}
	case Torn:
		if rep.Torn == nil || rep.Torn.NextSeq != o.next {
			t.Errorf("verify: %+v", rep.Torn)
		}
	}
	if rep.NextSeq != o.next {
		t.Errorf("verify: next sequence %d, want %d", rep.NextSeq, o.next)
	}
}

func (o *finding) read(t *testing.T, mem *vfs.Mem) {
	t.Helper()
	r, err := OpenReader(memDir, &ReaderOptions{FS: mem})
	var next uint64
	var gaps []Gap
	for err == nil {
		var rec Record
		rec, err = r.Next(t.Context())
		var g *GapError
		if errors.As(err, &g) {
			gaps, next, err = append(gaps, g.Gap), g.LastSeq+1, nil
		} else if err == nil {
			checkRecord(t, rec, next)
			next++
		}
	}
	var c *CorruptionError
	switch {
	case o.verdict == Corrupt:
		if !errors.As(err, &c) || !o.lost(c.FirstSeq, c.LastSeq) {
			t.Errorf("reader: next sequence %d, %v", next, err)
		}
	case next != o.next:
		t.Errorf("reader: next sequence %d, want %d; %v", next, o.next, err)
	case o.verdict == Lossy && o.last+1 != o.first && (len(gaps) != 1 || gaps[0].FirstSeq != o.first || gaps[0].LastSeq != o.last):
		t.Errorf("reader: %+v", gaps)
	case o.verdict != Lossy && len(gaps) > 0:
		t.Errorf("reader: %+v", gaps)
	}
	if r != nil {
		mustClose(t, r)
	}
}

// open opens the archive, twice.
func (o *finding) open(t *testing.T, mem *vfs.Mem) {
	t.Helper()
	before := filesOf(t, mem)
	w, err := Open(memDir, &Options{FS: mem})
	var c *CorruptionError
	if o.openCorrupt {
		if !errors.As(err, &c) || !o.lost(c.FirstSeq, c.LastSeq) {
			t.Errorf("open: %v", err)
		}
		if after := filesOf(t, mem); after != before {
			t.Errorf("open has changed what it refused:\n%s\nnow:\n%s", before, after)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	rec := w.Recovered()
	mustClose(t, w)
	if o.verdict != Corrupt {
		switch {
		case rec.Verdict != o.verdict || rec.NextSeq != o.next || rec.TornBytes != o.torn:
			t.Errorf("open: %+v", rec)
		case o.verdict == Lossy && (rec.LossFirst != o.first || rec.LossLast != o.last):
			t.Errorf("open: %+v", rec)
		}
	}
	w = mustOpen(t, memDir, &Options{FS: mem})
	if again := w.Recovered(); again.Verdict != Clean || again.Unclean || again.NextSeq != rec.NextSeq {
		t.Errorf("second open: %+v", again)
	}
	mustClose(t, w)
	if rep, err := Verify(memDir, &VerifyOptions{FS: mem}); err != nil || o.verdict == Lossy && o.last+1 != o.first && rep.Verdict != Lossy ||
		o.verdict <= Torn && rep.Verdict != Clean {
		t.Errorf("verify after recovery: %+v, %v", rep, err)
	}
}

// filesOf describes the files of an archive, but LOCK.
func filesOf(t *testing.T, mem *vfs.Mem) (s string) {
	t.Helper()
	entries, err := mem.ReadDir(memDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != lockName {
			s += fmt.Sprintf("%s %x\n", e.Name(), crcOf(mustRead(t, mem, filepath.Join(memDir, e.Name()))))
		}
	}
	return s
}
