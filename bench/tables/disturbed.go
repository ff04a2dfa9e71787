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

// disturbance is what else a program does while a producer writes. It runs until
// the context is done; rec is the recorder, or nil.
type disturbance struct {
	name  string
	procs int // GOMAXPROCS; 0: as it is
	run   func(ctx context.Context, rec *recorder.Recorder)
}

// disturbances are the columns, each GOMAXPROCS with the producer alone first.
func disturbances() []disturbance {
	return []disturbance{
		{"alone", 0, rest},
		{"the garbage collector, all the time", 0, collectGarbage},
		{"another producer of 100 MB/s", 0, produceBusily},
		{"as many busy goroutines as processors", 0, burn},
		{"GOMAXPROCS 1, alone", 1, rest},
		{"GOMAXPROCS 1, the garbage collector", 1, collectGarbage},
		{"GOMAXPROCS 1, a busy goroutine", 1, burn},
	}
}

func rest(ctx context.Context, _ *recorder.Recorder) { <-ctx.Done() }

func collectGarbage(ctx context.Context, _ *recorder.Recorder) {
	var keep [1 << 12]*[256]byte
	for i := 0; ctx.Err() == nil; i++ {
		keep[i%len(keep)] = new([256]byte)
		if i%10000 == 0 {
			runtime.GC()
		}
	}
	runtime.KeepAlive(&keep)
}

func burn(ctx context.Context, _ *recorder.Recorder) {
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
}

// produceBusily gives the archiver 100 records of 1 KiB each millisecond.
func produceBusily(ctx context.Context, rec *recorder.Recorder) {
	p, err := rec.Producer("busy", &recorder.ProducerOptions{LaneSize: ringSize})
	if err != nil {
		panic(err)
	}
	defer p.Close()
	buf := make([]byte, 1<<10)
	for next := now(); ctx.Err() == nil; time.Sleep(time.Duration(next - now())) {
		for range 100 {
			_, _ = p.Write(buf) // what is dropped is counted
		}
		next += int64(time.Millisecond)
	}
}

// disturbed is the producer's call of a recorder while other things go on.
func disturbed(o *options) *question {
	all := disturbances()
	q := &question{
		name: "disturbed", title: "The producer's call of a recorder, 64 B, a record every 10 µs", unit: "ns", quantiles: true, plotted: 99.9, longer: 2,
		note: "Lane of 2 MiB, the archive in the page cache or synced. Between records the producer polls the clock, and with GOMAXPROCS 1 yields. The timer's\n" +
			"own time is part of each line.",
	}
	for _, d := range all {
		q.cols = append(q.cols, d.name)
	}
	for _, r := range []struct {
		name   string
		sync   journal.Sync
		linger time.Duration
	}{
		{"recorder, nothing synced", journal.SyncNone, 0},
		{"recorder, nothing synced, no Linger", journal.SyncNone, -1},
		{"recorder, synced every 10 ms", journal.SyncInterval, 0},
		{"recorder, synced all the time", journal.SyncBatch, 0},
	} {
		q.rows = append(q.rows, row{name: r.name, run: func(col, n int) (result, error) {
			return all[col].disturb(o.dir, recorder.Options{Linger: r.linger, Journal: journal.Options{Sync: r.sync}}, n)
		}})
	}
	q.rows = append(q.rows, row{name: "the timer alone", only: []int{0, 1, 3, 4, 5, 6}, run: func(col, n int) (result, error) {
		return all[col].during(nil, n, func() {}), nil
	}})
	return q
}

// disturb is n calls of a recorder's producer.
func (d disturbance) disturb(parent string, opts recorder.Options, n int) (result, error) {
	dir, err := os.MkdirTemp(parent, "logbuf-bench-")
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(dir)
	rec, err := recorder.Open(dir, &opts)
	if err != nil {
		return result{}, err
	}
	p, err := rec.Producer("bench", &recorder.ProducerOptions{LaneSize: ringSize})
	if err != nil {
		return result{}, err
	}
	buf := make([]byte, 64)
	res := d.during(rec, n, func() { _, _ = p.Write(buf) }) // what is dropped is counted
	res.lost = int(p.Stats().Lost)
	return res, rec.Close(context.Background())
}

// during times n calls, one every 10 µs, while something else goes on.
func (d disturbance) during(rec *recorder.Recorder, n int, call func()) result {
	nanoseconds(0) // measures how long a tick is
	if d.procs > 0 {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(d.procs))
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { d.run(ctx, rec) })
	h := newHist()
	res := timed(n, func() {
		for next := now(); n > 0; n-- {
			for next += int64(10 * time.Microsecond); now() < next; {
				if d.procs == 1 {
					runtime.Gosched()
				}
			}
			start := ticks()
			call()
			_ = h.RecordValue(nanoseconds(ticks() - start)) // out of range: more than 10 s
		}
	})
	cancel()
	wg.Wait()
	res.hist = h
	return res
}
