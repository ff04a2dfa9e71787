package soak

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"

	"github.com/nexus-logbuf/logbuf/channel"
	"github.com/nexus-logbuf/logbuf/queue"
)

// The kinds of rounds: each makes what is under test with its producers, and
// returns what reads it to the end and what closes the sending side.

// produce adds a producer for each end. A leak costs a shared ring a buffer.
func (r *rig) produce(leaks int, zombies bool, ends ...end) {
	if zombies {
		r.zombies = make(chan func(), 4)
	}
	count := 50 + r.rng.IntN(1500)
	for i, e := range ends {
		r.producers = append(r.producers, &producer{
			id: i, count: count, end: e, rng: r.random(), largest: r.capacity - 16,
			leaks: leaks, clock: &r.clock, zombies: r.zombies,
		})
	}
}

// ringSource is a ring, or several, as Forward takes them, too.
type ringSource interface {
	ringReader
	queue.Source
	Stats() queue.Stats
}

func (r *rig) spsc() (read, stop func(), err error) {
	c, stop, err := r.spscSource()
	return r.reading(c, err), stop, err
}

func (r *rig) mpsc() (read, stop func(), err error) {
	c, stop, err := r.mpscSource()
	r.inOrder = true
	return r.reading(c, err), stop, err
}

func (r *rig) fanIn() (read, stop func(), err error) {
	c, stop, err := r.fanInSource()
	return r.reading(c, err), stop, err
}

func (r *rig) priority() (read, stop func(), err error) {
	c, stop, err := r.prioritySource()
	return r.reading(c, err), stop, err
}

func (r *rig) reading(c ringSource, err error) func() {
	if err != nil {
		return nil
	}
	r.total = c.Stats
	d := r.newReader("reader")
	return func() { d.readRing(c) }
}

func (r *rig) spscSource() (ringSource, func(), error) {
	p, c, err := queue.NewSPSC(r.capacity)
	if err != nil {
		return nil, nil, err
	}
	r.what = "SPSC"
	r.produce(1<<30, false, ringEnd{p}) // a forgotten claim costs nothing
	r.counts = r.countsOfLanes
	// Close is for the producer's goroutine, which is done when stop is called.
	return c, func() { p.Close() }, nil
}

func (r *rig) mpscSource() (ringSource, func(), error) {
	p, c, err := queue.NewMPSC(r.capacity)
	if err != nil {
		return nil, nil, err
	}
	r.what, r.anyTime = "MPSC", true
	r.produce(1+r.rng.IntN(6), true, clones(r, p)...)
	r.counts = func() error { return r.countsOfClones(p) }
	return c, func() { p.Close() }, nil
}

// clones is some handles on the ring of p.
func clones(r *rig, p *queue.SharedProducer) (list []end) {
	for range 1 + r.rng.IntN(4) {
		list = append(list, ringEnd{p.Clone()})
	}
	return list
}

func (r *rig) fanInSource() (ringSource, func(), error) {
	var f *queue.FanIn
	var err error
	r.what = "FanIn"
	if r.rng.IntN(2) == 0 {
		f, err = queue.NewFanIn(r.capacity)
	} else {
		// What the records begin with is no time; they must all arrive, and
		// each producer's in order.
		r.what = "FanIn by time"
		f, err = queue.NewFanInByTime(r.capacity, time.Duration(r.rng.IntN(300))*time.Microsecond)
	}
	if err != nil {
		return nil, nil, err
	}
	var ends []end
	for range 1 + r.rng.IntN(4) {
		p, err := f.NewProducer()
		if err != nil {
			return nil, nil, err
		}
		ends = append(ends, ringEnd{p})
	}
	r.produce(1<<30, false, ends...)
	r.counts = r.countsOfLanes
	return f, func() {
		for _, e := range ends {
			e.Close()
		}
		f.Close()
	}, nil
}

func (r *rig) prioritySource() (ringSource, func(), error) {
	ps, p, err := queue.NewPriority(1+r.rng.IntN(4), r.capacity)
	if err != nil {
		return nil, nil, err
	}
	r.what, r.anyTime = fmt.Sprintf("%d levels", len(ps)), true
	var ends []end
	for _, level := range ps {
		ends = append(ends, clones(r, level)...)
	}
	r.produce(1+r.rng.IntN(6), true, ends...)
	r.counts = func() error { return r.countsOfClones(p) }
	return p, func() {
		for _, level := range ps {
			level.Close()
		}
	}, nil
}

// forward sends the records of a ring, or of several, on to workers.
func (r *rig) forward() (read, stop func(), err error) {
	sources := []func() (ringSource, func(), error){r.spscSource, r.mpscSource, r.fanInSource, r.prioritySource}
	from, stop, err := sources[r.rng.IntN(len(sources))]()
	if err != nil {
		return nil, nil, err
	}
	f, cs, err := queue.NewFanOut(1+r.rng.IntN(3), r.capacity)
	if err != nil {
		return nil, nil, err
	}
	r.what = fmt.Sprintf("%s, forwarded to %d workers", r.what, len(cs))
	r.total = from.Stats
	rng := r.random()
	var workers sync.WaitGroup
	return func() {
		for w, c := range cs {
			d := r.newReader(fmt.Sprintf("worker %d", w))
			workers.Go(func() { d.readRing(c) })
		}
		forwardAll(rng, f, from)
		f.Close()
		workers.Wait()
	}, stop, nil
}

// forwardAll forwards by key, the producer, or in turn. A panic in key leaves
// its record where it is.
func forwardAll(rng *rand.Rand, f *queue.FanOut, from ringSource) {
	limit := time.Duration(rng.IntN(500)) * time.Microsecond
	var key func(int32, []byte) uint64
	if rng.IntN(2) == 0 {
		key = func(_ int32, rec []byte) uint64 {
			if rng.IntN(200) == 0 {
				panic(errLeft)
			}
			return uint64(rec[3])
		}
	}
	once := func() (n int) {
		defer func() {
			if v := recover(); v != nil && v != errLeft {
				panic(v)
			}
		}()
		n, _ = f.Forward(from, 1+rng.IntN(50), key)
		return n
	}
	for !from.Drained() {
		if once() > 0 {
			continue
		}
		if p, ok := from.(passing); ok {
			p.PassStalled(limit)
		}
		runtime.Gosched()
	}
	from.Release()
}

func (r *rig) options() *channel.Options {
	o := &channel.Options{
		Wait:       []channel.Strategy{channel.Park, channel.Backoff, channel.Spin}[r.rng.IntN(3)],
		StallLimit: time.Duration(1+r.rng.IntN(3000)) * time.Microsecond,
	}
	r.what = fmt.Sprintf("channel, strategy %d, stall limit %v", o.Wait, o.StallLimit)
	return o
}

// receiving is reading for a channel, whose senders are closed by stop.
func (r *rig) receiving(rx *channel.Receiver, ends []end, more ...func() error) (read, stop func(), err error) {
	r.total = rx.Stats
	d := r.newReader("receiver")
	return func() { d.receive(rx) }, func() {
		for _, e := range ends {
			e.Close()
		}
		for _, f := range more {
			f()
		}
	}, nil
}

func (r *rig) channelSPSC() (read, stop func(), err error) {
	tx, rx, err := channel.NewSPSC(r.capacity, r.options())
	if err != nil {
		return nil, nil, err
	}
	r.what = "SPSC " + r.what
	r.produce(1<<30, false, channelEnd{tx})
	r.counts = r.countsOfLanes
	return r.receiving(rx, []end{channelEnd{tx}})
}

// senders is clones of tx, which is closed.
func senders(r *rig, tx *channel.SharedSender) (ends []end) {
	for range 1 + r.rng.IntN(4) {
		ends = append(ends, channelEnd{tx.Clone()})
	}
	tx.Close()
	return ends
}

func (r *rig) channelMPSC() (read, stop func(), err error) {
	tx, rx, err := channel.NewMPSC(r.capacity, r.options())
	if err != nil {
		return nil, nil, err
	}
	r.what, r.inOrder, r.anyTime = "MPSC "+r.what, true, true
	ends := senders(r, tx)
	r.produce(1+r.rng.IntN(3), true, ends...)
	r.counts = func() error { return r.countsOfClones(rx) }
	return r.receiving(rx, ends)
}

func (r *rig) channelFanIn() (read, stop func(), err error) {
	var f *channel.FanIn
	var rx *channel.Receiver
	byTime := r.rng.IntN(2) == 0
	if byTime {
		f, rx, err = channel.NewFanInByTime(r.capacity, time.Duration(r.rng.IntN(300))*time.Microsecond, r.options())
	} else {
		f, rx, err = channel.NewFanIn(r.capacity, r.options())
	}
	if err != nil {
		return nil, nil, err
	}
	r.what = fmt.Sprintf("FanIn (by time: %v) %s", byTime, r.what)
	var ends []end
	for range 1 + r.rng.IntN(4) {
		tx, err := f.NewSender()
		if err != nil {
			return nil, nil, err
		}
		ends = append(ends, channelEnd{tx})
	}
	r.produce(1<<30, false, ends...)
	r.counts = r.countsOfLanes
	return r.receiving(rx, ends, f.Close)
}

func (r *rig) channelPriority() (read, stop func(), err error) {
	txs, rx, err := channel.NewPriority(1+r.rng.IntN(4), r.capacity, r.options())
	if err != nil {
		return nil, nil, err
	}
	r.what, r.anyTime = fmt.Sprintf("%d levels, %s", len(txs), r.what), true
	var ends []end
	for _, tx := range txs {
		ends = append(ends, senders(r, tx)...)
	}
	r.produce(1+r.rng.IntN(3), true, ends...)
	r.counts = func() error { return r.countsOfClones(rx) }
	return r.receiving(rx, ends)
}
