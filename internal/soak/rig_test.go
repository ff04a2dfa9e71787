package soak

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nexus-logbuf/logbuf/queue"
)

// rig is one round: a ring or a channel, its producers and its reader.
type rig struct {
	rng  *rand.Rand
	seed uint64
	what string

	capacity  int
	inOrder   bool // claims of all producers have one order
	anyTime   bool // stop may be called while producers are at work
	producers []*producer
	readers   []*reader
	zombies   chan func()
	clock     atomic.Int64

	closedEarly bool               // by the reader: what it did not read is gone
	total       func() queue.Stats // of all that the readers read
	counts      func() error       // compares counters, see counts_test.go
}

type id struct{ producer, seq int }

func (r *rig) run() error {
	r.capacity = 64 << r.rng.IntN(9)
	kinds := []func() (read, stop func(), err error){
		r.spsc, r.mpsc, r.fanIn, r.priority, r.forward,
		r.channelSPSC, r.channelMPSC, r.channelFanIn, r.channelPriority,
	}
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
	if r.anyTime && r.rng.IntN(4) == 0 { // while the producers are at work
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

// check compares what was delivered with what the producers were told, and
// both with what was counted.
func (r *rig) check() error {
	arrived := make([][]bool, len(r.producers))
	for i, p := range r.producers {
		if p.err != nil {
			return p.err
		}
		arrived[i] = make([]bool, p.count)
	}
	for _, d := range r.readers {
		if d.err != nil {
			return fmt.Errorf("%s: %w", d.name, d.err)
		}
		if err := d.check(arrived); err != nil {
			return fmt.Errorf("%s: %w", d.name, err)
		}
	}
	for i, p := range r.producers {
		for seq, o := range p.outcomes {
			if o.committed != arrived[i][seq] && !(o.committed && r.closedEarly) {
				return fmt.Errorf("record %d of producer %d: committed %v, delivered %v", seq, i, o.committed, arrived[i][seq])
			}
		}
	}
	return r.checkCounts()
}

// check notes what has arrived, and that it came in order and once.
func (d *reader) check(arrived [][]bool) error {
	last := make([]int, len(d.producers))
	for i := range last {
		last[i] = -1
	}
	newest := int64(0) // the latest beginning of a claim delivered so far
	for _, at := range d.delivered {
		if at.seq <= last[at.producer] {
			return fmt.Errorf("record %d of producer %d came behind %d", at.seq, at.producer, last[at.producer])
		}
		last[at.producer] = at.seq
		if arrived[at.producer][at.seq] {
			return fmt.Errorf("record %d of producer %d came to another reader, too", at.seq, at.producer)
		}
		arrived[at.producer][at.seq] = true
		o := d.producers[at.producer].outcomes[at.seq]
		if d.inOrder && o.claimed < newest {
			return fmt.Errorf("record %d of producer %d was claimed before one that was delivered before it was begun", at.seq, at.producer)
		}
		newest = max(newest, o.began)
	}
	return nil
}
