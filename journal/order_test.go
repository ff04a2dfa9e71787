package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// modelRecord is a record of the model.
type modelRecord struct {
	seq uint64
	at  int64
}

// modelOrder is what a reader with a window delivers, worked out slowly: before each record is read, all that are earlier than the latest one
// by the window are taken out in order.
func modelOrder(times []int64, window int64) (out []modelRecord, late uint64) {
	var held []modelRecord
	byTime := func(x, y modelRecord) int {
		if x.at != y.at {
			return int(min(max(x.at-y.at, -1), 1))
		}
		return int(x.seq) - int(y.seq)
	}
	newest, last := int64(noMaxTime), int64(noMaxTime)
	give := func(r modelRecord) {
		if r.at < last {
			late++
		}
		last = max(last, r.at)
		out = append(out, r)
	}
	for seq, at := range times {
		held = append(held, modelRecord{uint64(seq), at})
		newest = max(newest, at)
		slices.SortFunc(held, byTime)
		for len(held) > 0 && newest-held[0].at >= window {
			give(held[0])
			held = held[1:]
		}
	}
	for _, r := range held {
		give(r)
	}
	return out, late
}

func TestWindowAgainstModel(t *testing.T) {
	const n = 2000
	rnd := testRand(11)
	for name, at := range map[string]func(uint64) int64{
		"in order":      func(seq uint64) int64 { return 1000 + int64(seq)*10 },
		"within window": func(seq uint64) int64 { return 1000 + int64(seq)*10 - rnd.Int64N(400) },
		"often late":    func(seq uint64) int64 { return 1000 + int64(seq)*10 - rnd.Int64N(2000) },
		"all the same":  func(uint64) int64 { return 1000 },
		"falling":       func(seq uint64) int64 { return 1e6 - int64(seq) },
		"three lanes":   func(seq uint64) int64 { return 1000 + int64(seq)*10 - int64(seq/20%3)*200 },
	} {
		times := make([]int64, n)
		mem := stampedArchive(t, 3, n/3/4*4+4, 40, func(seq uint64) int64 {
			if seq < n {
				times[seq] = at(seq)
				return times[seq]
			}
			times = append(times, at(seq))
			return times[seq]
		})
		for _, window := range []int64{1, 50, 500, 1e7} {
			want, late := modelOrder(times, window)
			for _, follow := range []bool{false, true} {
				what := fmt.Sprintf("%s, window %d, follow %v", name, window, follow)
				r, err := OpenReader(memDir, &ReaderOptions{FS: mem, Window: time.Duration(window), Follow: follow})
				if err != nil {
					t.Fatal(err)
				}
				if follow { // the clock on the wall would give records away: stop it
					r.order.wall = false
				}
				checkWindow(t, r, want, what, follow)
				if r.Late() != late && !follow {
					t.Errorf("%s: %d late, want %d", what, r.Late(), late)
				}
				if name == "in order" && late != 0 || window == 1e7 && late != 0 || name == "often late" && window == 50 && late == 0 {
					t.Errorf("%s: the model itself has %d late", what, late)
				}
				mustClose(t, r)
			}
		}
	}
}

// checkWindow reads to the end, or as far as a follower comes.
func checkWindow(t *testing.T, r *Reader, want []modelRecord, what string, follow bool) {
	t.Helper()
	given := make(map[uint64]bool)
	lowest := uint64(0)
	for i := 0; ; i++ {
		if follow && len(r.order.heap) > 0 && r.w.nextSeq == uint64(len(want)) && r.at == len(r.b.frames) {
			return // it would wait for more
		}
		rec, err := r.Next(t.Context())
		if errors.Is(err, io.EOF) && i == len(want) {
			return
		}
		if err != nil || i == len(want) || rec.Seq != want[i].seq || rec.Time != want[i].at || rec.Payload[0] != byte(rec.Seq) || rec.Payload[1] != byte(rec.Seq>>8) {
			t.Fatalf("%s: record %d is %d at %d, %v; want %+v", what, i, rec.Seq, rec.Time, err, want[i])
		}
		for given[rec.Seq] = true; given[lowest]; lowest++ {
		}
		if next := r.NextSeq(); next > lowest {
			t.Fatalf("%s: NextSeq %d, but %d was not given yet", what, next, lowest)
		}
	}
}

// With Follow a record does not wait for a later one for ever, and what comes too late is given and counted.
func TestWindowFollowing(t *testing.T) {
	mem := vfs.NewMem()
	w := mustOpen(t, memDir, &Options{FS: mem})
	defer w.Close()
	r, err := OpenReader(memDir, &ReaderOptions{FS: mem, Follow: true, Window: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	write := func(times ...int64) {
		for _, at := range times {
			if _, err := w.Append(Record{Time: at, Payload: []byte(fmt.Sprint(at))}); err != nil {
				t.Fatal(err)
			}
		}
	}
	read := func(times ...int64) {
		t.Helper()
		for _, at := range times {
			if rec, err := r.Next(ctx); err != nil || rec.Time != at || string(rec.Payload) != fmt.Sprint(at) {
				t.Fatalf("%+v, %v; want time %d", rec, err, at)
			}
		}
	}
	write(1000, 900, 1100)
	read(900, 1000, 1100) // nothing newer comes
	if r.Late() != 0 || r.NextSeq() != 3 {
		t.Errorf("%d late, next %d", r.Late(), r.NextSeq())
	}
	write(500)
	read(500)
	if r.Late() != 1 {
		t.Errorf("%d late, want 1", r.Late())
	}
	const ms = int64(time.Millisecond)
	write(100*ms, 90*ms, 150*ms)
	start := time.Now()
	read(90*ms, 100*ms) // 150 ms is more than the window later: at once
	if r.NextSeq() != 6 {
		t.Errorf("next %d, want 6: it is held", r.NextSeq())
	}
	read(150 * ms)
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("held for %v", took)
	}
	short, stop := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer stop()
	write(151 * ms)
	if rec, err := r.Next(short); !errors.Is(err, context.DeadlineExceeded) && err != nil || err == nil && rec.Time != 151*ms {
		t.Fatalf("%+v, %v", rec, err)
	} else if err != nil {
		read(151 * ms) // what was held is not lost with the context
	}
}

// What is held is bounded, in records and in bytes, whatever the window is; and given before an error.
func TestWindowIsBounded(t *testing.T) {
	mem := vfs.NewMem()
	w := mustOpen(t, memDir, &Options{FS: mem})
	big := make([]byte, 1<<20-16)
	for i := range 80 {
		if _, err := w.Append(Record{Time: int64(1000 - i), Payload: big}); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, w)
	r, err := OpenReader(memDir, &ReaderOptions{FS: mem, Window: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	n, most := 0, 0
	for rec, err := range r.All() {
		if err != nil || len(rec.Payload) != len(big) {
			t.Fatal(err)
		}
		n, most = n+1, max(most, r.order.bytes)
	}
	if n != 80 || most > maxHeldBytes+len(big) || r.Late() == 0 {
		t.Errorf("%d records, %d bytes held at most, %d late", n, most, r.Late())
	}
	if _, err := OpenReader(memDir, &ReaderOptions{FS: mem, Window: -1}); err == nil {
		t.Error("a negative window is accepted")
	}
}

func TestWindowDoesNotAllocate(t *testing.T) {
	mem := vfs.NewMem()
	w := mustOpen(t, memDir, &Options{FS: mem})
	fill(t, w, 30000, 50)
	mustClose(t, w)
	r, err := OpenReader(memDir, &ReaderOptions{FS: mem, Window: 2000})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx := context.Background()
	read := func() {
		if _, err := r.Next(ctx); err != nil {
			t.Fatal(err)
		}
	}
	for range 2000 {
		read()
	}
	if n := testing.AllocsPerRun(20000, read); n != 0 {
		t.Errorf("%v allocations per Next", n)
	}
}
