package main

import (
	"fmt"
	"io"
	"log"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// manyToOne is several producers: how fast records arrive, and what a claim or
// write costs while others do the same and nobody reads.
func manyToOne() []*question {
	log.SetOutput(io.Discard) // go-diodes logs each collision
	arrive := &question{
		name: "many", title: "From several goroutines to one, 64 B", unit: "ns per record", ordered: 3,
		note: "Rings, or lanes together, of 2 MiB; queues and channels of as many items as make 2 MiB of payload. The consumer polls; a channel's waits, and\n" +
			"steps back for a while after several records in a row; that of zerolog's diode is its own goroutine, which sleeps.\n" +
			"xsync's UMPSCQueue has no bound and no receive that returns without a record, so it is not here.",
	}
	contend := &question{
		name: "contention", title: "Several goroutines write 64 B at once, nobody reads", unit: "ns per record", ordered: 3,
		note: "From the first call to the last, by the number of records: what the producers' side allows. They begin together, and fill nine tenths of 2 MiB;\n" +
			"in between the rings are drained, untimed.",
	}
	producers := []int{1, 2, 4}
	for _, n := range producers {
		arrive.cols = append(arrive.cols, fmt.Sprintf("%d producers", n))
	}
	arrive.cols[0] = "1 producer"
	contend.cols = arrive.cols
	for _, w := range manyWays {
		arrive.rows = append(arrive.rows, row{name: w.name, run: func(col, n int) (result, error) { return w.run(producers[col], n) }})
		if w.name != "zerolog's diode" { // its reader cannot be stopped
			contend.rows = append(contend.rows, row{name: w.name, run: func(col, n int) (result, error) { return w.contend(producers[col], n) }})
		}
	}
	return []*question{arrive, contend}
}

func (w manyWay) run(producers, n int) (result, error) {
	f, err := w.open(producers)
	if err != nil {
		return result{}, err
	}
	f.warm()
	sent := make([]counter, producers)
	each, got := n/producers+1, 0
	n = each * producers
	res := timed(n, func() {
		var wg sync.WaitGroup
		if f.recv == nil {
			got, err = f.arrive(func() { f.produce(&wg, each, sent) }, &wg)
			return
		}
		f.produce(&wg, each, sent)
		var all counter // what consume looks at
		go func() {
			wg.Wait()
			all.n.Store(int64(n))
		}()
		got = consume(f.producer(0).await(), n, &all.n)
		wg.Wait()
	})
	if res.lost = n - got; res.lost > 0 && !w.lossy {
		panic(w.name + " has lost records")
	}
	return res, err
}

// produce starts the producers.
func (f funnel) produce(wg *sync.WaitGroup, each int, sent []counter) {
	for i := range f.sends {
		wg.Go(func() { f.producer(i).produce([]int{manySize}, each, &sent[i].n) })
	}
}

// arrive counts what a funnel with a goroutine of its own shows.
func (f funnel) arrive(produce func(), wg *sync.WaitGroup) (got int, err error) {
	var sum uint64
	stop := f.start(func(_ int32, rec []byte) {
		sum += read(rec)
		got++
	})
	produce()
	wg.Wait()
	err = stop()
	sink.Add(sum)
	return got, err
}

// contend has the producers fill the rings, again and again, until there are n.
func (w manyWay) contend(producers, n int) (result, error) {
	const lap = ringSize / 10 * 9 / (manySize + 16)
	f, err := w.open(producers)
	if err != nil {
		return result{}, err
	}
	f.warm()
	var total result
	for each := lap / producers; total.n < n; {
		var first, last int64
		res := timed(each*producers, func() { first, last = f.together(each) })
		pipe{recv: f.recv}.empty()
		total.n, total.took, total.allocs = total.n+res.n, total.took+time.Duration(last-first), max(total.allocs, res.allocs)
	}
	return total, nil
}

// together has the producers begin at the same time, and returns when the first
// of them began and the last was done.
func (f funnel) together(each int) (first, last int64) {
	var wg sync.WaitGroup
	var ready atomic.Int64
	began, done := make([]int64, len(f.sends)), make([]int64, len(f.sends))
	for p := range f.sends {
		wg.Go(func() {
			fillAll, sent := f.producer(p).sequence(manySize), &told{sent: new(atomic.Int64)}
			ready.Add(1)
			for i := 1; ready.Load() < int64(len(f.sends)); i++ {
				if i%1000 == 0 {
					runtime.Gosched() // there may be more producers than processors
				}
			}
			began[p] = now()
			fillAll([]int{manySize}, each, sent) // full it is not, but busy it may be
			done[p] = now()
		})
	}
	wg.Wait()
	first, last = began[0], done[0]
	for p := range began {
		first, last = min(first, began[p]), max(last, done[p])
	}
	return first, last
}
