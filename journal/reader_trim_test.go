package journal

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
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

// peeped calls before, before a file is opened or described.
type peeped struct {
	vfs.FS
	before func(op, name string)
}

func (p *peeped) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	p.before("open", filepath.Base(name))
	return p.FS.OpenFile(name, flag, perm)
}

func (p *peeped) Stat(name string) (fs.FileInfo, error) {
	p.before("stat", filepath.Base(name))
	return p.FS.Stat(name)
}

// All segments that Verify has listed are trimmed while it reads them, the last one included, at the k-th time that it touches one: it never says
// that they are missing.
func TestVerifyOfSegmentsThatGo(t *testing.T) {
	for _, workers := range []int{1, 4} {
		for k := 1; ; k++ {
			mem := vfs.NewMem()
			segmented(t, mem, 3, 10)
			listed := segmentNames(t, mem)
			var mu sync.Mutex
			n, gone := 0, false
			peep := &peeped{FS: mem, before: func(_, name string) {
				mu.Lock()
				defer mu.Unlock()
				if name != listed[0] && name != listed[1] && name != listed[2] {
					return
				}
				if n++; n == k {
					gone = true
					segmented(t, mem, 2, 10)
					trimBefore(t, mem, 30)
				}
			}}
			rep, err := Verify(memDir, &VerifyOptions{FS: peep, Workers: workers})
			if err != nil || rep.Verdict != Clean {
				t.Fatalf("trimmed at touch %d, %d workers: %+v, %v", k, workers, rep, err)
			}
			if !gone {
				if k < 5 {
					t.Errorf("segments were touched %d times; the test proves little", n)
				}
				break
			}
		}
	}
}

// The first segment that trimming has left is trimmed, too, at the k-th time that the reader touches it on its way over the gap: that is one more
// gap, or a larger one, and never a missing file.
func TestReaderMeetsTrimAgain(t *testing.T) {
	for k := 1; ; k++ {
		mem := vfs.NewMem()
		segmented(t, mem, 5, 10)
		peep := &peeped{FS: mem, before: func(string, string) {}}
		r, err := OpenReader(memDir, &ReaderOptions{FS: peep})
		if err != nil {
			t.Fatal(err)
		}
		next := uint64(0)
		for ; next < 5; next++ { // inside the first segment
			rec, err := r.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			checkRecord(t, rec, next)
		}
		trimBefore(t, mem, 20)
		first, n := segmentNames(t, mem)[0], 0
		peep.before = func(_, name string) {
			if name != first {
				return
			}
			if n++; n == k {
				segmented(t, mem, 2, 10)
				trimBefore(t, mem, 40)
			}
		}
		for {
			rec, err := r.Next(t.Context())
			var g *GapError
			if errors.As(err, &g) {
				if !g.Trimmed || g.FirstSeq != next || g.LastSeq < next {
					t.Fatalf("trimmed at touch %d: at %d: %+v", k, next, g.Gap)
				}
				next = g.LastSeq + 1
				continue
			}
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("trimmed at touch %d: at %d: %v", k, next, err)
			}
			checkRecord(t, rec, next)
			next++
		}
		if next < 50 {
			t.Errorf("trimmed at touch %d: the end is at %d", k, next)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if n < k {
			if k < 4 {
				t.Errorf("the segment was touched %d times; the test proves little", n)
			}
			return
		}
	}
}
