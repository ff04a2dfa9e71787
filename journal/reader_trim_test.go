package journal

import (
	"bytes"
	"context"
	"errors"
	"github.com/nexus-logbuf/logbuf/internal/vfs"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A reader that still wants what retention removes gets a *GapError that says so, not a missing file, and may go on behind it.
func TestReaderMeetsTrim(t *testing.T) {
	mem := vfs.NewMem()
	segmented(t, mem, 5, 10)
	r, err := OpenReader(memDir, &ReaderOptions{FS: mem})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for seq := range uint64(5) { // inside the first segment
		rec, err := r.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		checkRecord(t, rec, seq)
	}
	trimBefore(t, mem, 30)
	want := uint64(5)
	for {
		rec, err := r.Next(context.Background())
		var g *GapError
		if errors.As(err, &g) {
			if !g.Trimmed || g.FirstSeq != want || g.LastSeq != 29 || want >= 30 {
				t.Fatalf("at %d: %+v", want, g.Gap)
			}
			want = 30
			continue
		}
		if err != nil {
			if want != 50 {
				t.Fatalf("at %d: %v", want, err)
			}
			return
		}
		checkRecord(t, rec, want)
		want++
	}
}

// Readers, followers and Verify while a writer trims and compresses as fast as it writes: every record once and in order, or a gap that says that
// it was trimmed; never a missing file, never a verdict that is not clean.
func TestReadersWhileTrimmed(t *testing.T) {
	dir := t.TempDir()
	w := mustOpen(t, dir, &Options{SegmentSize: minSegmentSize, MaxBlock: minMaxBlock, Retention: Retention{MaxSegments: 2}, Compress: true})
	fill(t, w, 1000, 20)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var gaps atomic.Int64
	read := func(opts *ReaderOptions) {
		r, err := OpenReader(dir, opts)
		if err != nil {
			t.Errorf("open: %v", err)
			return
		}
		defer r.Close()
		next := r.FirstSeq()
		for {
			rec, err := r.Next(ctx)
			var g *GapError
			switch {
			case errors.As(err, &g):
				if !g.Trimmed || g.FirstSeq != next || g.LastSeq < next {
					t.Errorf("at %d: %v", next, err)
					return
				}
				gaps.Add(1)
				next = g.LastSeq + 1
				continue
			case errors.Is(err, io.EOF), ctx.Err() != nil:
				return
			case err != nil:
				t.Errorf("at %d: %v", next, err)
				return
			}
			if want := testRecord(next); rec.Seq != next || !bytes.Equal(rec.Payload, want.Payload) {
				t.Errorf("at %d: %+v", next, rec)
				return
			}
			if next++; next%200 == 0 {
				time.Sleep(time.Millisecond) // falls behind
			}
		}
	}
	wg.Go(func() { read(&ReaderOptions{Follow: true}) })
	wg.Go(func() { read(&ReaderOptions{Follow: true, Durable: true}) })
	wg.Go(func() {
		for ctx.Err() == nil {
			read(nil)
		}
	})
	wg.Go(func() {
		for ctx.Err() == nil {
			rep, err := Verify(dir, nil)
			if err != nil || rep.Verdict != Clean {
				t.Errorf("%v, %+v", err, rep)
				return
			}
		}
	})
	for w.NextSeq() < 60_000 && !t.Failed() {
		fill(t, w, 100, 20)
	}
	cancel()
	wg.Wait()
	if st := w.Stats(); st.Trimmed == 0 || st.KeepErr != nil {
		t.Errorf("%+v", st)
	}
	mustClose(t, w)
	t.Logf("%d gaps", gaps.Load())
}
