package main

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

func oneToOne() []*question {
	const ring = "Rings of 2 MiB; queues and channels of as many items as make 2 MiB of payload. Runs in which the system had both goroutines on one\n" +
		"processor, less than 1.5 processors busy, are made again, up to three times. "
	saturated := &question{
		name: "one-saturated", title: "From one goroutine to another, saturated", unit: "ns per record", cols: payloadNames(payloads), ordered: len(fixedPayloads),
		note: ring + "The consumer, whenever it finds nothing, waits until half a ring has come.",
	}
	heels := &question{
		name: "one-heels", title: "From one goroutine to another, the consumer at the heels", unit: "ns per record", cols: payloadNames(payloads), ordered: len(fixedPayloads),
		note: ring + "The consumer polls for each record; that of a channel waits as\nits strategy says, and after several records in a row steps back for a while.",
	}
	for _, w := range append(slices.Clone(ways), bareWay) {
		for _, q := range []*question{saturated, heels} {
			q.rows = append(q.rows, row{name: w.name, only: w.only, run: func(col, n int) (result, error) {
				return w.oneWay(payloads[col], n, q == saturated)
			}})
		}
	}
	return []*question{saturated, heels}
}

// counter is a count that one goroutine writes, in a line of its own.
type counter struct {
	_ [64]byte
	n atomic.Int64
	_ [64]byte
}

// oneWay sends n records from one goroutine to another.
func (w way) oneWay(p payload, n int, saturated bool) (result, error) {
	pipe, err := w.open(p)
	if err != nil {
		return result{}, err
	}
	pipe.warm(p.top)
	var sent counter
	var used time.Duration
	got, sizes := 0, p.sizes()
	res := timed(n, func() {
		start := processorTime()
		defer func() { used = processorTime() - start }()
		var wg sync.WaitGroup
		wg.Go(func() { pipe.produce(sizes, n, &sent.n) })
		if saturated {
			got = consumeLate(pipe.recv, n, ringSize/2/((p.low+p.top)/2+8), &sent.n)
		} else {
			got = consume(pipe.await(), n, &sent.n)
		}
		wg.Wait()
	})
	if res.lost = n - got; res.lost > 0 && !w.lossy {
		panic(w.name + " has lost records")
	}
	res.alone = runtime.GOMAXPROCS(0) > 1 && used < res.took*3/2
	return res, nil
}

// produce sends n records.
func (p pipe) produce(sizes []int, n int, sent *atomic.Int64) {
	t := &told{sent: sent, every: min(64, max(1, 32<<10/slices.Max(sizes)))}
	p.sequence(slices.Max(sizes))(sizes, n, t)
	sent.Store(int64(n))
}

// await is how a consumer at the heels receives.
func (p pipe) await() func(visitor) int {
	if p.wait != nil {
		return p.wait
	}
	return p.recv
}

// sequence is all, or fills and sends record by record.
//
//go:noinline
func (p pipe) sequence(largest int) sequence {
	if p.all != nil {
		return p.all
	}
	buf := make([]byte, largest)
	return func(sizes []int, n int, t *told) {
		turn := 0
		for i := range n {
			rec := buf[:sizes[turn]]
			fill(rec, uint64(i))
			for !p.send(rec) {
				t.full(i)
			}
			turn = t.next(i, turn, len(sizes))
		}
	}
}

// told is how a producer says how far it is: every so many records, and when there
// is no room.
type told struct {
	sent           *atomic.Int64
	every, pending int
}

func (t *told) full(i int) {
	t.sent.Store(int64(i))
	runtime.Gosched()
}

// next is called behind record i, and returns the turn of the next size. A division
// for each of the two would cost as much as a short record.
func (t *told) next(i, turn, sizes int) int {
	if t.pending++; t.pending == t.every {
		t.pending = 0
		t.sent.Store(int64(i))
	}
	if turn++; turn == sizes {
		return 0
	}
	return turn
}

// consume polls until it has n records, or n were sent and nothing is left.
func consume(recv func(visitor) int, n int, sent *atomic.Int64) (got int) {
	var sum uint64
	visit := func(_ int32, rec []byte) { sum += read(rec) }
	for idle := 0; got < n; {
		k := recv(visit)
		got += k
		if k > 0 {
			idle = 0
			continue
		}
		if idle++; idle%64 > 0 {
			continue
		}
		runtime.Gosched() // there may be more goroutines than processors
		if sent.Load() == int64(n) {
			if k = recv(visit); k == 0 {
				break
			}
			got += k
		}
	}
	sink.Add(sum)
	return got
}

// consumeLate is consume that, when there is nothing, waits until enough was
// sent, or there will be no more.
func consumeLate(recv func(visitor) int, n, enough int, sent *atomic.Int64) (got int) {
	var sum uint64
	visit := func(_ int32, rec []byte) { sum += read(rec) }
	for all := false; got < n; {
		k := recv(visit)
		got += k
		if k > 0 {
			continue
		}
		if all {
			break
		}
		awaitMore(sent, int64(got)+int64(enough), int64(n))
		all = sent.Load() == int64(n)
	}
	sink.Add(sum)
	return got
}

// awaitMore returns when so many were sent, or all, or when the producer has got
// no further for some 50 µs: it has met the end of its ring.
func awaitMore(sent *atomic.Int64, enough, all int64) {
	for stuck := int64(-1); ; {
		at := sent.Load()
		if at >= enough || at == all || at == stuck {
			return
		}
		for range 100_000 {
			if sent.Load() != at {
				break
			}
		}
		if sent.Load() == at {
			stuck = at
			runtime.Gosched() // it may need this processor
		}
	}
}
