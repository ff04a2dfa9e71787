package main

import (
	"runtime"
	"sync"
	"sync/atomic"
)

func oneToOne() []*question {
	saturated := &question{
		name: "one-saturated", title: "From one goroutine to another, saturated", unit: "ns per record", cols: payloadNames(),
		note: "The consumer, whenever it finds nothing, waits until half a ring has come.",
	}
	heels := &question{
		name: "one-heels", title: "From one goroutine to another, the consumer at the heels", unit: "ns per record", cols: payloadNames(),
		note: "The consumer polls for each record.",
	}
	for _, w := range ways {
		for _, q := range []*question{saturated, heels} {
			q.rows = append(q.rows, row{name: w.name, run: func(col, n int) (result, error) {
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
	pipe, err := w.open(p.top)
	if err != nil {
		return result{}, err
	}
	var sent counter
	got, sizes := 0, p.sizes()
	res := timed(n, func() {
		var wg sync.WaitGroup
		wg.Go(func() { produce(pipe.send, sizes, n, &sent.n) })
		enough := 0 // records in half a ring
		if saturated {
			enough = ringSize / 2 / (p.top + 8)
		}
		got = consume(pipe.recv, n, enough, &sent.n)
		wg.Wait()
	})
	if res.lost = n - got; res.lost > 0 && !w.lossy {
		panic(w.name + " has lost records")
	}
	return res, nil
}

// told is how often, in records, the producer says how far it is.
const told = 64

func produce(send func([]byte) bool, sizes []int, n int, sent *atomic.Int64) {
	buf := make([]byte, 16<<10)
	for i := range n {
		rec := buf[:sizes[i%len(sizes)]]
		fill(rec, uint64(i))
		for !send(rec) {
			sent.Store(int64(i))
			runtime.Gosched()
		}
		if i%told == 0 {
			sent.Store(int64(i))
		}
	}
	sent.Store(int64(n))
}

// consume receives until n records were sent and nothing is left. Where enough
// is not 0, it waits, when there is nothing, until there is that much, or there
// will be no more.
func consume(recv func(func([]byte)) int, n, enough int, sent *atomic.Int64) (got int) {
	var sum uint64
	visit := func(rec []byte) { sum += read(rec) }
	for idle := 0; ; {
		all := sent.Load() == int64(n)
		k := recv(visit)
		got += k
		if k > 0 {
			idle = 0
			continue
		}
		if all || got == n {
			break
		}
		if idle++; idle%64 == 0 {
			runtime.Gosched() // there may be more goroutines than processors
		}
		stuck := int64(-1) // a producer that gets no further has met the end of its ring
		for enough > 0 {
			at := sent.Load()
			if at-int64(got) >= int64(enough) || at == int64(n) || at == stuck {
				break
			}
			for range 2000 {
				if sent.Load() != at {
					break
				}
			}
			if sent.Load() == at {
				stuck = at
			}
		}
	}
	sink.Add(sum)
	return got
}
