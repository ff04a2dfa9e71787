package journal

import (
	"context"
	"fmt"
	"io/fs"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// forgetful is a file system whose listings lack a segment now and then, as those of a directory in which files are renamed may.
type forgetful struct {
	vfs.FS
	calls int        // of ReadDir so far
	from  int        // first call that lacks one
	n     int        // so many calls lack it
	which int        // place of the segment it lacks, from 0
	names [][]string // what was listed
}

func (f *forgetful) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := f.FS.ReadDir(name)
	call := f.calls
	f.calls++
	var kept []fs.DirEntry
	segs, missed := 0, ""
	for _, e := range entries {
		_, _, ok := parseSegmentName(e.Name())
		if ok {
			segs++
		}
		if ok && segs-1 == f.which && call >= f.from && call < f.from+f.n {
			missed = e.Name()
			continue
		}
		kept = append(kept, e)
	}
	f.names = append(f.names, []string{fmt.Sprint(segs), missed})
	return kept, err
}

// A listing that lacks a segment once, or twice in a row, is no damage: for every segment and every call.
func TestListingThatLacksASegment(t *testing.T) {
	for _, times := range []int{1, 2} {
		for which := range 6 {
			for from := 0; ; from++ {
				if from < 2 && times == 2 && which == 0 {
					continue // an archive whose first segment cannot be seen looks as if it had been trimmed
				}
				f := &forgetful{from: from, n: times, which: which}
				followRotations(t, f)
				if t.Failed() {
					t.Fatalf("segment %d lacking %d times from listing %d on; listings: %v", which, times, from, f.names)
				}
				if f.calls < from {
					break
				}
			}
		}
	}
}

// followRotations reads an archive through f while it is written, segment by segment.
func followRotations(t *testing.T, f *forgetful) {
	t.Helper()
	mem := vfs.NewMem()
	f.FS = mem
	w := mustOpen(t, memDir, &Options{FS: mem})
	defer w.Close()
	for range 2 {
		fill(t, w, 3, 1)
		w.forceRotate(t)
	}
	r, err := OpenReader(memDir, &ReaderOptions{FS: f, Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	next := func(upTo uint64) {
		for r.NextSeq() < upTo && !t.Failed() {
			seq := r.NextSeq()
			rec, err := r.Next(ctx)
			if err != nil {
				t.Errorf("at %d: %v", seq, err)
				return
			}
			checkRecord(t, rec, seq)
		}
	}
	next(4)
	for range 2 { // the reader is a segment behind, then two
		fill(t, w, 3, 1)
		w.forceRotate(t)
	}
	fill(t, w, 3, 1)
	next(w.NextSeq())
	fill(t, w, 1, 1)
	w.forceRotate(t)
	fill(t, w, 1, 1)
	next(w.NextSeq())
	if f.n > 1 {
		return // Verify lists once, and believes two listings in a row that agree
	}
	rep, err := Verify(memDir, &VerifyOptions{FS: f})
	if err != nil || rep.Verdict != Clean || rep.NextSeq != w.NextSeq() {
		t.Errorf("verify: %+v, %v", rep, err)
	}
}
