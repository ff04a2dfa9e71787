package journal

import (
	"math/rand/v2"
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// fitFrames is at most limit bytes of frames, and one at least, with payloads of size() bytes.
func fitFrames(limit int, size func() int) (frames []byte, n int) {
	for {
		p := size()
		if n > 0 && len(frames)+FrameLen(p) > limit {
			return frames, n
		}
		frames = AppendFrame(frames, Record{Time: int64(n), Stream: 1, Payload: make([]byte, p)})
		n++
	}
}

// Who asks Fit gets blocks that end where pieces of the file do, with few bytes between, and an archive that holds what was appended.
func TestFit(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, tc := range []struct {
		name  string
		most  int
		size  func() int
		piece int64 // that each block but the first ones ends at a multiple of; 0: none
	}{
		{"64 B", 256 << 10, func() int { return 64 }, 256 << 10},
		{"48 B, nothing to fill up", 64 << 10, func() int { return 48 }, 64 << 10},
		{"random", 256 << 10, func() int { return r.IntN(2000) }, 256 << 10},
		{"64 KiB batches", 64 << 10, func() int { return r.IntN(900) }, 64 << 10},
		{"not a power of two", 200 << 10, func() int { return 100 }, 128 << 10},
		{"most is more than a piece", 1 << 20, func() int { return 100 }, 256 << 10},
		{"frames too large to fill up", 64 << 10, func() int { return 2500 }, 0},
		{"too small a batch", 8 << 10, func() int { return 64 }, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			mem := vfs.NewMem()
			w, err := openStepped(memDir, &Options{FS: mem, Sync: SyncNone})
			if err != nil {
				t.Fatal(err)
			}
			records, before := 0, w.seg.off
			pads := int64(0)
			for i := range 40 {
				start := w.seg.off
				limit := w.Fit(tc.most)
				if limit <= 0 || limit > tc.most {
					t.Fatalf("Fit(%d) at %d is %d", tc.most, start, limit)
				}
				frames, n := fitFrames(limit, tc.size)
				if _, err := w.AppendFrames(frames, n); err != nil {
					t.Fatal(err)
				}
				records += n
				pad := w.seg.off - start - blockHeaderLen - int64(len(frames))
				pads += pad
				if pad > int64(len(frames))/padShare || pad < 0 {
					t.Fatalf("block %d: %d bytes behind %d", i, pad, len(frames))
				}
				if tc.piece > 0 && i > 1 && w.seg.off%tc.piece != 0 {
					t.Fatalf("block %d ends at %d, %d behind a multiple of %d", i, w.seg.off, w.seg.off%tc.piece, tc.piece)
				}
			}
			if tc.piece == 0 && pads > (w.seg.off-before)/padShare || tc.most < minFit && pads > 0 {
				t.Errorf("%d of %d bytes are between the blocks", pads, w.seg.off-before)
			}
			mustClose(t, w)
			checkFitted(t, mem, records)
		})
	}
}

// checkFitted verifies the archive and reads it.
func checkFitted(t *testing.T, fsys vfs.FS, records int) {
	t.Helper()
	if rep, err := Verify(memDir, &VerifyOptions{FS: fsys}); err != nil || rep.Verdict != Clean || rep.Records != uint64(records) {
		t.Errorf("%+v, %v; want %d records", rep, err, records)
	}
	rd, err := OpenReader(memDir, &ReaderOptions{FS: fsys})
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, rd)
	for i := range records {
		if rec, err := rd.Next(t.Context()); err != nil || rec.Seq != uint64(i) {
			t.Fatalf("record %d: %v, %v", i, rec.Seq, err)
		}
	}
}

// What Fit has said holds for the next block only, of the segment that it was said of, and not for the last one of a segment or one that
// would be larger than blocks may be.
func TestFitHoldsForTheNextBlock(t *testing.T) {
	for name, between := range map[string]func(*Writer) error{
		"another block":   func(w *Writer) error { _, err := w.Append(Record{Payload: make([]byte, 100)}); return err },
		"another segment": func(w *Writer) error { w.forceRotate(t); return nil },
		"a larger batch":  func(w *Writer) error { w.Fit(minFit - 8); return nil },
	} {
		w, err := openStepped(memDir, &Options{FS: vfs.NewMem(), Sync: SyncNone})
		if err != nil {
			t.Fatal(err)
		}
		fill(t, w, 10, 4)
		limit := w.Fit(64 << 10)
		if err := between(w); err != nil {
			t.Fatal(err)
		}
		frames, n := fitFrames(limit, func() int { return 100 })
		start := w.seg.off
		if _, err := w.AppendFrames(frames, n); err != nil {
			t.Fatal(err)
		}
		if got := w.seg.off - start; got != int64(blockHeaderLen+len(frames)) {
			t.Errorf("behind %s: a block of %d bytes for %d bytes of frames", name, got, len(frames))
		}
		mustClose(t, w)
	}
	w, err := openStepped(memDir, &Options{FS: vfs.NewMem(), Sync: SyncNone, MaxBlock: minFit})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		limit := w.Fit(minFit)
		frames, n := fitFrames(limit, func() int { return 100 })
		start := w.seg.off
		if _, err := w.AppendFrames(frames, n); err != nil {
			t.Fatal(err)
		}
		if size := w.seg.off - start - blockHeaderLen; size > minFit {
			t.Errorf("block %d has %d bytes of frames, at most %d may be", i, size, minFit)
		}
	}
	mustClose(t, w)
}
