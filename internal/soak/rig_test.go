package soak

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nexus-logbuf/logbuf/channel"
	"github.com/nexus-logbuf/logbuf/queue"
)

// rig is one round: a ring or a channel, its producers and its reader.
type rig struct {
	rng  *rand.Rand
	seed uint64
	what string

	capacity  int
	shared    bool // claims of all producers have one order
	producers []*producer
	zombies   chan func()
	clock     atomic.Int64

	delivered   []id
	passed      int
	closedEarly bool // by the reader: what it did not read is gone
	err         error
	want        []byte
}

type id struct{ producer, seq int }

func (r *rig) run() error {
	r.capacity = 64 << r.rng.IntN(9)
	r.want = make([]byte, r.capacity)
	kinds := []func() (read, stop func(), err error){r.spsc, r.mpsc, r.fanIn, r.channelSPSC, r.channelMPSC}
	read, stop, err := kinds[r.rng.IntN(len(kinds))]()
	if err != nil {
		return err
	}
	r.what = fmt.Sprintf("%s, capacity %d, %d producers of %d records", r.what, r.capacity, len(r.producers), r.producers[0].count)

	var undertaker, working sync.WaitGroup
	if r.zombies != nil {
		rng := r.random()
		undertaker.Go(func() {
			for settle := range r.zombies {
				time.Sleep(time.Duration(rng.IntN(1500)) * time.Microsecond)
				settle()
			}
		})
	}
	for _, p := range r.producers {
		working.Go(p.run)
	}
	if r.shared && r.rng.IntN(4) == 0 { // while the producers are at work
		after := time.Duration(r.rng.IntN(3000)) * time.Microsecond
		working.Go(func() { time.Sleep(after); stop() })
	}
	finished := make(chan struct{})
	go func() {
		working.Wait()
		stop()
		if r.zombies != nil {
			close(r.zombies)
		}
		undertaker.Wait()
		close(finished)
	}()
	read()
	<-finished
	return r.check()
}

func (r *rig) random() *rand.Rand { return rand.New(rand.NewPCG(r.rng.Uint64(), 1)) }

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

func (r *rig) spsc() (read, stop func(), err error) {
	p, c, err := queue.NewSPSC(r.capacity)
	if err != nil {
		return nil, nil, err
	}
	r.what = "SPSC"
	r.produce(1<<30, false, ringEnd{p}) // a forgotten claim costs nothing
	// Close is for the producer's goroutine, which is done when stop is called.
	return func() { r.readRing(c) }, func() { p.Close() }, nil
}

func (r *rig) mpsc() (read, stop func(), err error) {
	p, c, err := queue.NewMPSC(r.capacity)
	if err != nil {
		return nil, nil, err
	}
	r.what, r.shared = "MPSC", true
	r.produce(1+r.rng.IntN(6), true, many(r, ringEnd{p})...)
	return func() { r.readRing(c) }, func() { p.Close() }, nil
}

func many(r *rig, e end) (list []end) {
	for range 1 + r.rng.IntN(4) {
		list = append(list, e)
	}
	return list
}

func (r *rig) fanIn() (read, stop func(), err error) {
	var f *queue.FanIn
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
	return func() { r.readRing(f) }, func() {
		for _, e := range ends {
			e.Close()
		}
		f.Close()
	}, nil
}

func (r *rig) options() *channel.Options {
	o := &channel.Options{
		Wait:       []channel.Strategy{channel.Park, channel.Backoff, channel.Spin}[r.rng.IntN(3)],
		StallLimit: time.Duration(1+r.rng.IntN(3000)) * time.Microsecond,
	}
	r.what = fmt.Sprintf("channel, strategy %d, stall limit %v", o.Wait, o.StallLimit)
	return o
}

func (r *rig) channelSPSC() (read, stop func(), err error) {
	tx, rx, err := channel.NewSPSC(r.capacity, r.options())
	if err != nil {
		return nil, nil, err
	}
	r.what = "SPSC " + r.what
	r.produce(1<<30, false, channelEnd{tx})
	return func() { r.receive(rx) }, func() { tx.Close() }, nil
}

func (r *rig) channelMPSC() (read, stop func(), err error) {
	tx, rx, err := channel.NewMPSC(r.capacity, r.options())
	if err != nil {
		return nil, nil, err
	}
	r.what, r.shared = "MPSC "+r.what, true
	ends := []end{channelEnd{tx}}
	for range r.rng.IntN(4) {
		ends = append(ends, channelEnd{tx.Clone()})
	}
	r.produce(1+r.rng.IntN(3), true, ends...)
	return func() { r.receive(rx) }, func() {
		for _, e := range ends {
			e.Close()
		}
	}, nil
}

// got takes one record in.
func (r *rig) got(rec []byte) {
	if r.err != nil {
		return
	}
	if len(rec) < headLen {
		r.err = fmt.Errorf("a record of %d bytes", len(rec))
		return
	}
	head := binary.LittleEndian.Uint32(rec)
	at := id{int(head >> 24), int(head & 0xffffff)}
	if at.producer >= len(r.producers) || at.seq >= r.producers[at.producer].count {
		r.err = fmt.Errorf("record %d of producer %d, which nobody wrote", at.seq, at.producer)
		return
	}
	want := r.want[:size(at.producer, at.seq, r.capacity-16)]
	fill(want, at.producer, at.seq)
	if string(want) != string(rec) {
		r.err = fmt.Errorf("record %d of producer %d: % x, want % x", at.seq, at.producer, rec, want)
		return
	}
	r.delivered = append(r.delivered, at)
}

// check compares what was delivered with what the producers were told.
func (r *rig) check() error {
	if r.err != nil {
		return r.err
	}
	arrived := make([][]bool, len(r.producers))
	last := make([]int, len(r.producers))
	for i, p := range r.producers {
		if p.err != nil {
			return p.err
		}
		arrived[i], last[i] = make([]bool, p.count), -1
	}
	newest := int64(0) // the latest beginning of a claim delivered so far
	for _, at := range r.delivered {
		if at.seq <= last[at.producer] {
			return fmt.Errorf("record %d of producer %d came behind %d", at.seq, at.producer, last[at.producer])
		}
		last[at.producer] = at.seq
		arrived[at.producer][at.seq] = true
		o := r.producers[at.producer].outcomes[at.seq]
		if r.shared && o.claimed < newest {
			return fmt.Errorf("record %d of producer %d was claimed before one that was delivered before it was begun", at.seq, at.producer)
		}
		newest = max(newest, o.began)
	}
	for i, p := range r.producers {
		for seq, o := range p.outcomes {
			if o.committed != arrived[i][seq] && !(o.committed && r.closedEarly) {
				return fmt.Errorf("record %d of producer %d: committed %v, delivered %v", seq, i, o.committed, arrived[i][seq])
			}
		}
	}
	return nil
}
