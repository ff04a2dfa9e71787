package main

import (
	"fmt"
	"io"
	"log"
	"runtime"
	"sync"

	"code.cloudfoundry.org/go-diodes"
	"github.com/nexus-logbuf/logbuf/queue"
	"github.com/puzpuzpuz/xsync/v4"
	"unsafe"
)

// fanIn is a way from several goroutines to one: a send for each.
type fanIn struct {
	name  string
	lossy bool
	open  func(producers, size int) (send []func([]byte) bool, recv func(func([]byte)) int, err error)
}

func same(n int, send func([]byte) bool) (all []func([]byte) bool) {
	for range n {
		all = append(all, send)
	}
	return all
}

var fanIns = []fanIn{
	{name: "FanIn, a lane each, Drain", open: func(producers, _ int) (sends []func([]byte) bool, recv func(func([]byte)) int, err error) {
		f, err := queue.NewFanIn(ringSize / producers)
		if err != nil {
			return nil, nil, err
		}
		for range producers {
			p, err := f.NewProducer()
			if err != nil {
				return nil, nil, err
			}
			sends = append(sends, writeTo(p))
		}
		return sends, drainFrom(f), nil
	}},
	{name: "MPSC, Write, Drain", open: func(producers, _ int) ([]func([]byte) bool, func(func([]byte)) int, error) {
		p, c, err := queue.NewMPSC(ringSize)
		return same(producers, writeTo(p)), drainFrom(c), err
	}},
	{name: "MPSC, claim, Drain", open: func(producers, _ int) ([]func([]byte) bool, func(func([]byte)) int, error) {
		p, c, err := queue.NewMPSC(ringSize)
		return same(producers, claimFrom(p)), drainFrom(c), err
	}},
	{name: "Go channel of copies", open: func(producers, size int) ([]func([]byte) bool, func(func([]byte)) int, error) {
		ch := make(chan []byte, ringSize/size)
		return same(producers, sendTo(ch)), receiveFrom(ch), nil
	}},
	{name: "xsync.MPMCQueue of copies", open: func(producers, size int) ([]func([]byte) bool, func(func([]byte)) int, error) {
		q := xsync.NewMPMCQueue[[]byte](ringSize / size)
		return same(producers, func(rec []byte) bool { return q.TryEnqueue(clone(rec)) }), oneBy(q.TryDequeue), nil
	}},
	{name: "go-diodes, of copies", lossy: true, open: func(producers, size int) ([]func([]byte) bool, func(func([]byte)) int, error) {
		d := diodes.NewManyToOne(ringSize/size, diodes.AlertFunc(func(int) {}))
		send := func(rec []byte) bool {
			b := clone(rec)
			d.Set(diodes.GenericDataType(&b))
			return true
		}
		return same(producers, send), oneBy(func() ([]byte, bool) {
			p, ok := d.TryNext()
			if !ok {
				return nil, false
			}
			return *(*[]byte)(unsafe.Pointer(p)), true
		}), nil
	}},
}

// manyToOne is several producers: how fast records arrive, and what a claim or
// write costs while others do the same and nobody reads.
func manyToOne() []*question {
	log.SetOutput(io.Discard) // go-diodes logs each collision
	producers := []int{1, 2, 4}
	arrive := &question{
		name: "many", title: "From several goroutines to one, 64 B", unit: "ns per record",
		note: "Rings and queues hold 2 MiB of payload together. The consumer polls.",
	}
	contend := &question{
		name: "contention", title: "Several goroutines write 64 B at once, nobody reads", unit: "ns per record",
		note: "Time until all have written, by the number of records: what the producers' side allows.",
	}
	for _, n := range producers {
		arrive.cols = append(arrive.cols, fmt.Sprintf("%d producers", n))
	}
	contend.cols = arrive.cols
	for _, f := range fanIns {
		arrive.rows = append(arrive.rows, row{name: f.name, run: func(col, n int) (result, error) { return f.run(producers[col], n) }})
		if !f.lossy {
			contend.rows = append(contend.rows, row{name: f.name, run: func(col, n int) (result, error) { return f.contend(producers[col], n) }})
		}
	}
	return []*question{arrive, contend}
}

const manySize = 64

func (f fanIn) run(producers, n int) (result, error) {
	sends, recv, err := f.open(producers, manySize)
	if err != nil {
		return result{}, err
	}
	sent := make([]counter, producers)
	each, got := n/producers+1, 0
	n = each * producers
	res := timed(n, func() {
		var wg sync.WaitGroup
		for i, send := range sends {
			wg.Go(func() { produce(send, []int{manySize}, each, &sent[i].n) })
		}
		var all counter // what consume looks at
		go func() {
			wg.Wait()
			all.n.Store(int64(n))
		}()
		got = consume(recv, n, 0, &all.n)
		wg.Wait()
	})
	if res.lost = n - got; res.lost > 0 && !f.lossy {
		panic(f.name + " has lost records")
	}
	return res, nil
}

// contend has the producers write until half the ring is full, again and again
// with fresh rings, until there are n.
func (f fanIn) contend(producers, n int) (result, error) {
	const round = ringSize / 2 / (manySize + 16)
	var total result
	for total.n < n {
		sends, recv, err := f.open(producers, manySize)
		if err != nil {
			return result{}, err
		}
		var ready, wg sync.WaitGroup
		ready.Add(producers)
		begin := make(chan struct{})
		for _, send := range sends {
			wg.Go(func() {
				rec := make([]byte, manySize)
				ready.Done()
				<-begin
				for i := range round / producers {
					fill(rec, uint64(i))
					for !send(rec) { // full it is not, but busy it may be
						runtime.Gosched()
					}
				}
			})
		}
		ready.Wait()
		res := timed(round/producers*producers, func() {
			close(begin)
			wg.Wait()
		})
		for recv(func([]byte) {}) > 0 {
		}
		total.n, total.took, total.allocs = total.n+res.n, total.took+res.took, max(total.allocs, res.allocs)
	}
	return total, nil
}
