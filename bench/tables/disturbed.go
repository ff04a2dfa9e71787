package main

import (
	"context"
	"math"
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
	name   string
	procs  int  // GOMAXPROCS; 0: as it is
	yields bool // the producer, after each call
	joins  bool // it needs the recorder
	run    func(ctx context.Context, rec *recorder.Recorder)
}

// disturbances are the columns, each GOMAXPROCS with the producer alone first.
func disturbances() []disturbance {
	return []disturbance{
		{name: "alone", run: rest},
		{name: "a goroutine that makes garbage", run: litter},
		{name: "the garbage collector, all the time", run: collectGarbage},
		{name: "another producer of 100 MB/s", joins: true, run: produceBusily},
		{name: "as many busy goroutines as processors", run: burn},
		{name: "GOMAXPROCS 1, alone", procs: 1, yields: true, run: rest},
		{name: "GOMAXPROCS 1, the garbage collector", procs: 1, yields: true, run: collectGarbage},
		{name: "GOMAXPROCS 1, a busy goroutine", procs: 1, run: burn},
	}
}

func rest(ctx context.Context, _ *recorder.Recorder) { <-ctx.Done() }

// litter keeps 16 MiB and makes as much garbage as it can.
func litter(ctx context.Context, _ *recorder.Recorder) {
	keep := make([]*[256]byte, 1<<16)
	for i := 0; ctx.Err() == nil; i++ {
		keep[i%len(keep)] = new([256]byte)
	}
	runtime.KeepAlive(keep)
}

// collectGarbage collects 2.5 MB of garbage, again and again.
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
			for ctx.Err() == nil {
				compute(1000)
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
		name: "disturbed", title: "The producer's call of a recorder, 64 B, between 10 µs of other work", unit: "ns", quantiles: true, plotted: 99.9, longer: 2,
		note: "Lane of 2 MiB, the archive in the page cache or synced. With GOMAXPROCS 1 the producer yields after each call, but beside a busy\n" +
			"goroutine takes its 10 ms in turns with it. As long a call: it polls the processor's counter, and has nothing to do with a recorder. The timer's\n" +
			"own time is part of each line.",
	}
	var own []int // columns for which no recorder is needed
	for col, d := range all {
		q.cols = append(q.cols, d.name)
		if !d.joins {
			own = append(own, col)
		}
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
	for _, r := range []struct {
		name string
		call func()
	}{
		{"no recorder, as long a call", func() { spin(50) }},
		{"the timer alone", nothing},
	} {
		q.rows = append(q.rows, row{name: r.name, only: own, run: func(col, n int) (result, error) {
			return all[col].during(nil, n, r.call), nil
		}})
	}
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

// during times n calls with other work between them, while something else goes on.
func (d disturbance) during(rec *recorder.Recorder, n int, call func()) result {
	nanoseconds(0) // measures how long a tick is
	compute(ownWork())
	if d.procs > 0 {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(d.procs))
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { d.run(ctx, rec) })
	h := newHist()
	res := timed(n, func() {
		call() // wakes the archiver, if it sleeps by now
		for range n {
			if d.yields {
				runtime.Gosched()
			}
			compute(ownWork())
			stoppable(nothing)
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

// ownWork is how many turns of compute take 10 µs, the time between two calls.
//
// It is work and not a wait by the clock, for the sake of those who stop the
// producer, the collector above all. A wait is over when the clock says so, also
// if the producer was stopped for all of it: then each stop is followed by a
// call at once, when the next stop is near, and if the calls have fixed times,
// by many in a row. And a signal to stop that comes while the clock is read, as
// most would, is not obeyed there; the goroutine stops at the next check of the
// stack that it comes to, which is in the call, and the call is charged for it.
var ownWork = sync.OnceValue(func() int {
	const turns = 10_000
	best := int64(math.MaxInt64)
	for range 100 {
		start := ticks()
		compute(turns)
		best = min(best, nanoseconds(ticks()-start))
	}
	return int(turns * int64(10*time.Microsecond) / best)
})

// compute is work that can be stopped anywhere.
func compute(turns int) {
	x := uint64(1)
	for range turns {
		x = x*6364136223846793005 + 1
	}
	sink.Add(x)
}

// stoppable has a check of the stack, as most functions do: there the runtime
// stops a goroutine, if it has asked for that. In front of a timed call it keeps
// away from it what was asked for before, while the signal is on its way.
//
//go:noinline
func stoppable(f func()) { f() }

func nothing() {}

// spin takes so many nanoseconds, can be stopped at any time, as a recorder's
// call can, and touches nothing that another goroutine knows.
func spin(length int64) {
	for end := ticks() + int64(float64(length)/tick()); ticks() < end; {
		stoppable(nothing)
	}
}
