package journal

import (
	"bytes"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// syncedArchive has 12 blocks of two records each, all of one length, and each block promises all that is before it.
func syncedArchive(t testing.TB) (*vfs.Mem, []place) {
	t.Helper()
	mem := vfs.NewMem()
	w := mustOpen(t, memDir, &Options{FS: mem, Sync: SyncNone})
	for seq := range uint64(12) {
		var frames []byte
		for i := range uint64(2) {
			r := testRecord(2*seq + i)
			frames = AppendFrame(frames, r)
		}
		frames = appendSkip(frames, 600-len(frames)-FrameHeaderLen)
		if _, err := w.AppendFrames(frames, 2); err != nil {
			t.Fatal(err)
		}
		if err := w.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, w)
	list := places(t, mem, memDir)
	return mem, list[1:13] // without the table and the close record
}

// change edits the only segment.
func change(t testing.TB, mem *vfs.Mem, name string, f func(b []byte) []byte) {
	t.Helper()
	path := filepath.Join(memDir, name)
	mustWrite(t, mem, path, f(mustRead(t, mem, path)))
}

// What stands somewhere else than it was written: behind bytes that were cut out it is found, and a piece of a block that was written to the wrong
// place costs what it has overwritten, and nothing else.
func TestSalvageMisplaced(t *testing.T) {
	src, list := syncedArchive(t)
	block := func(b []byte, i int) []byte { return bytes.Clone(b[list[i].off:list[i].end]) }
	for _, test := range []struct {
		name string
		do   func(b []byte) []byte
		lost [][2]uint64
	}{
		{"8 bytes cut out", func(b []byte) []byte { return append(b[:list[3].off+200], b[list[3].off+208:]...) }, [][2]uint64{{6, 8}}},
		{"8 bytes put in", func(b []byte) []byte {
			return append(append(bytes.Clone(b[:list[3].off+200]), "8 bytes."...), b[list[3].off+200:]...)
		}, [][2]uint64{{6, 8}}},
		{"a block cut out", func(b []byte) []byte { return append(b[:list[3].off], b[list[3].end:]...) }, [][2]uint64{{6, 8}}},
		{"a later block in an earlier one's place", func(b []byte) []byte { copy(b[list[3].off:], block(b, 7)); return b }, [][2]uint64{{6, 8}}},
		{"a later block's header in an earlier one's place", func(b []byte) []byte { copy(b[list[3].off:], block(b, 7)[:blockHeaderLen]); return b }, [][2]uint64{{6, 8}}},
		{"an earlier block in a later one's place", func(b []byte) []byte { copy(b[list[7].off:], block(b, 3)); return b }, [][2]uint64{{14, 16}}},
		{"two later blocks in earlier ones' place", func(b []byte) []byte {
			copy(b[list[3].off:], b[list[7].off:list[8].end])
			return b
		}, [][2]uint64{{6, 10}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			mem := src.Clone()
			change(t, mem, list[0].name, test.do)
			checkSalvage(t, mem, 24, upTo(24, test.lost...))
		})
	}
}

// The header of a later block, with nothing that speaks against it but its frames, costs no more than what it has overwritten.
func TestSalvageMisplacedHeader(t *testing.T) {
	mem := vfs.NewMem()
	w := mustOpen(t, memDir, &Options{FS: mem, Sync: SyncNone})
	fill(t, w, 40, 2)
	mustClose(t, w)
	list := places(t, mem, memDir)
	change(t, mem, list[5].name, func(b []byte) []byte {
		copy(b[list[5].off:], bytes.Clone(b[list[15].off:list[15].off+blockHeaderLen]))
		return b
	})
	checkSalvage(t, mem, 40, upTo(40, [2]uint64{list[5].seq, list[5].seq + list[5].count}))
}

// A block header that is whole and says what no writer does is gone past, and ends nothing and nobody.
func TestWalkForgedCodec(t *testing.T) {
	src, list := syncedArchive(t)
	for _, beyond := range []bool{false, true} {
		mem := src.Clone()
		change(t, mem, list[0].name, func(b []byte) []byte {
			seed := crcSeed(le.Uint64(b[80:]))
			h, bad := decodeBlockHeader(b[list[4].off:], seed, maxMaxBlock)
			if bad != "" {
				t.Fatal(bad)
			}
			h.codec = codecZstd
			h.encode(b[list[4].off:], seed)
			return b
		})
		if beyond {
			checkSalvage(t, mem, 24, upTo(24, [2]uint64{8, 10}))
			continue
		}
		rep, err := Verify(memDir, &VerifyOptions{FS: mem})
		if err != nil || rep.Verdict != Corrupt || rep.Records != 22 {
			t.Errorf("%+v, %v", rep, err)
		}
	}
}

// A segment without a header is not read under a name that is not its own: its records would be given other numbers' place.
func TestSalvageHeadlessRenamed(t *testing.T) {
	for _, footer := range []bool{true, false} {
		mem := longArchive(t)
		names := segmentNames(t, mem)
		b := mustRead(t, mem, filepath.Join(memDir, names[2]))
		b[40] ^= 1
		if !footer {
			b = b[:le.Uint64(b[len(b)-trailerLen+48:])]
		}
		mustRemove(t, mem, names[2])
		s := segmentFile{name: segmentName(777, 2), baseSeq: 777, epoch: 2}
		mustWrite(t, mem, filepath.Join(memDir, s.name), b)
		f, _, _, err := archive{fs: mem, dir: memDir}.openHeadless(s)
		if f != nil || err != nil {
			t.Errorf("footer %v: opened under the name of another segment, %v", footer, err)
		}
	}
}

// After a takeover two segments have the same records. The second one's count, unless its header is lost; each record is there once.
func TestSalvageTakenOver(t *testing.T) {
	src := vfs.NewMem()
	fault := vfs.NewFault(src)
	w := openStep(t, &Options{FS: fault, Sync: SyncNone, MaxBlock: minMaxBlock, Retain: 1 << 20})
	fill(t, w, 10, 2)
	w.stepSync()
	fill(t, w, 10, 2)
	failed := false
	fault.SetHook(func(_ int, op vfs.Op) (v vfs.Verdict) {
		if !failed && op.Kind == vfs.OpSync {
			failed, v.Err = true, syscall.EIO
		}
		return v
	})
	w.stepSync()
	fill(t, w, 10, 2)
	mustClose(t, w)
	names := segmentNames(t, src)
	if len(names) != 2 {
		t.Fatalf("segments %q", names)
	}
	headless := func(i int) func(t *testing.T, mem *vfs.Mem) {
		return func(t *testing.T, mem *vfs.Mem) { clearHeader(t, mem, names[i]) }
	}
	list := places(t, src, memDir)
	block := func(name string, seq uint64) func(t *testing.T, mem *vfs.Mem) {
		return func(t *testing.T, mem *vfs.Mem) {
			for _, p := range list {
				if p.name == name && p.seq == seq && p.count > 0 {
					change(t, mem, name, func(b []byte) []byte { b[p.end-1] ^= 1; return b })
					return
				}
			}
			t.Fatalf("%s has no block with %d", name, seq)
		}
	}
	type edit = func(t *testing.T, mem *vfs.Mem)
	for _, test := range []struct {
		name string
		do   []edit
		lost [][2]uint64
	}{
		{"undamaged", nil, nil},
		{"a block that was written again", []edit{block(names[0], 14)}, nil},
		{"a block, written again", []edit{block(names[1], 14)}, [][2]uint64{{14, 16}}},
		{"the first header", []edit{headless(0)}, nil},
		{"the first header and a block that was written again", []edit{headless(0), block(names[0], 14)}, nil},
		{"the first header and a block", []edit{headless(0), block(names[0], 4)}, [][2]uint64{{4, 6}}},
		{"the second header", []edit{headless(1)}, nil},
		{"the second header and a block, written again", []edit{headless(1), block(names[1], 14)}, nil},
		{"the second header and a block behind it", []edit{headless(1), block(names[1], 24)}, [][2]uint64{{24, 26}}},
		{"both headers", []edit{headless(0), headless(1)}, nil},
		{"both headers and the last block that was written again", []edit{headless(0), headless(1), block(names[0], 18)}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			mem := src.Clone()
			for _, do := range test.do {
				do(t, mem)
			}
			checkSalvage(t, mem, 30, upTo(30, test.lost...))
		})
	}
}

func openStep(t testing.TB, o *Options) *Writer {
	t.Helper()
	w, err := openStepped(memDir, o)
	if err != nil {
		t.Fatal(err)
	}
	return w
}
