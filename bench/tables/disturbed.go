package main

import (
	"context"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
)

var epoch = time.Now()

// now is nanoseconds since the program began, by the monotonic clock.
func now() int64 { return int64(time.Since(epoch)) }

// disturbances are what else a program does while a producer writes. Each runs
// until the context is done.
var disturbances = []struct {
	name string
	run  func(ctx context.Context)
}{
	{"nothing else", func(ctx context.Context) { <-ctx.Done() }},
	{"the garbage collector, all the time", func(ctx context.Context) {
		var keep [1 << 12]*[256]byte
		for i := 0; ctx.Err() == nil; i++ {
			keep[i%len(keep)] = new([256]byte)
			if i%10000 == 0 {
				runtime.GC()
			}
		}
		runtime.KeepAlive(&keep)
	}},
	{"as many busy goroutines as processors", func(ctx context.Context) {
		var wg sync.WaitGroup
		for range runtime.GOMAXPROCS(0) {
			wg.Go(func() {
				for x := uint64(1); ctx.Err() == nil; {
					for range 1000 {
						x = x*6364136223846793005 + 1
					}
					sink.Add(x)
				}
			})
		}
		wg.Wait()
	}},
}

// disturbed is the producer's call of a recorder while other things go on.
func disturbed(o *options) *question {
	q := &question{
		name: "disturbed", title: "The producer's call of a recorder, 64 B, a record every 10 µs", unit: "ns", quantiles: true,
		note: "What holds up a producer is what takes its processor away; the clock's own time is part of each line.",
	}
	for _, d := range disturbances {
		q.cols = append(q.cols, d.name)
	}
	for _, r := range []struct {
		name string
		sync journal.Sync
	}{
		{"recorder, nothing synced", journal.SyncNone},
		{"recorder, synced every 10 ms", journal.SyncInterval},
		{"recorder, synced all the time", journal.SyncBatch},
	} {
		q.rows = append(q.rows, row{name: r.name, run: func(col, n int) (result, error) {
			return disturb(o.dir, r.sync, disturbances[col].run, n)
		}})
	}
	q.rows = append(q.rows, row{name: "the clock alone", run: func(col, n int) (result, error) {
		return whileOther(disturbances[col].run, n, func() {}), nil
	}})
	return q
}

func disturb(parent string, sync journal.Sync, other func(context.Context), n int) (result, error) {
	dir, err := os.MkdirTemp(parent, "logbuf-bench-")
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(dir)
	rec, err := recorder.Open(dir, &recorder.Options{Journal: journal.Options{Sync: sync}})
	if err != nil {
		return result{}, err
	}
	p, err := rec.Producer("bench", &recorder.ProducerOptions{LaneSize: ringSize})
	if err != nil {
		return result{}, err
	}
	buf := make([]byte, 64)
	res := whileOther(other, n, func() { _, _ = p.Write(buf) }) // what is dropped is counted
	res.lost = int(p.Stats().Lost)
	return res, rec.Close(context.Background())
}

// whileOther times n calls, one every 10 µs, while something else goes on.
func whileOther(other func(context.Context), n int, call func()) result {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { other(ctx) })
	h := newHist()
	res := timed(n, func() {
		for next := now(); n > 0; n-- {
			for next += int64(10 * time.Microsecond); now() < next; {
			}
			start := now()
			call()
			_ = h.RecordValue(now() - start) // out of range: more than 10 s
		}
	})
	cancel()
	wg.Wait()
	res.hist = h
	return res
}
