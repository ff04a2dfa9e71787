package journal

import (
	"context"
	"testing"
	"time"
)

func TestWriteRotateReopenRead(t *testing.T) {
	dir := t.TempDir()
	opts := &Options{SegmentSize: minSegmentSize, MaxBlock: minMaxBlock}
	next := uint64(0)
	for open := range 4 {
		w := mustOpen(t, dir, opts)
		if got := w.NextSeq(); got != next {
			t.Fatalf("open %d: next sequence %d, want %d", open, got, next)
		}
		fill(t, w, 2000, 50)
		next += 2000
		if err := w.WaitDurable(context.Background(), next-1); err != nil {
			t.Fatal(err)
		}
		if got := w.DurableSeq(); got != next {
			t.Fatalf("durable sequence %d, want %d", got, next)
		}
		mustClose(t, w)
		readAll(t, dir, nil, 0, next)
	}
	if n := len(segmentFiles(t, dir)); n < 8 {
		t.Fatalf("%d segments: did not rotate", n)
	}
}

func TestFollow(t *testing.T) {
	dir := t.TempDir()
	opts := &Options{SegmentSize: minSegmentSize, MaxBlock: minMaxBlock}
	w := mustOpen(t, dir, opts)
	const total = 9000
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	type result struct {
		n   uint64
		err error
	}
	results := make(chan result, 2)
	for _, durable := range []bool{false, true} {
		r, err := OpenReader(dir, &ReaderOptions{Follow: true, Durable: durable})
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			defer r.Close()
			for seq := range uint64(total) {
				rec, err := r.Next(ctx)
				if err != nil || rec.Seq != seq || rec.Time != timeOf(seq) {
					results <- result{seq, err}
					return
				}
			}
			results <- result{total, nil}
		}()
	}
	for i := range 3 {
		fill(t, w, total/3, 7)
		mustClose(t, w)
		if i < 2 {
			w = mustOpen(t, dir, opts)
		}
	}
	for range 2 {
		if r := <-results; r.n != total || r.err != nil {
			t.Errorf("a follower stopped at sequence %d: %v", r.n, r.err)
		}
	}
}
