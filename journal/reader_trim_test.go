package journal

import (
	"context"
	"errors"
	"testing"

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

// When the first record of a time was trimmed, reading from that time begins with the first record there is, however early that is.
func TestSeekTimeThatWasTrimmed(t *testing.T) {
	at := func(seq uint64) int64 { return 1000 + int64(seq) - int64(seq/100)*500 } // 1099 is reached before the clock is set back, and never again
	mem := stampedArchive(t, 10, 40, 40, at)
	w := mustOpen(t, memDir, &Options{FS: mem})
	mustClose(t, w)
	if got := firstOf(t, ReaderOptions{FS: mem, FromTime: 1090}, 400); got != 90 {
		t.Errorf("before: record %d", got)
	}
	trimBefore(t, mem, 200)
	for _, ask := range []int64{1090, at(200)} {
		if got := firstOf(t, ReaderOptions{FS: mem, FromTime: ask}, 400); got != 200 {
			t.Errorf("from %d: record %d, want 200", ask, got)
		}
	}
}
