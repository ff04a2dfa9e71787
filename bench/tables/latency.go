package main

import "runtime"

// latency is the time one record takes to the other goroutine: half of there
// and back.
func latency() *question {
	q := &question{
		name: "latency", title: "One way, a lone record", unit: "ns", quantiles: true, plotted: 50, cols: payloadNames(shortPayloads), ordered: len(shortPayloads),
		note: "Half the time of a record that goes to another goroutine and is sent back; both poll, or wait as a channel does. Each record is filled before, and read and copied on arrival.",
	}
	for _, w := range ways {
		q.rows = append(q.rows, row{name: w.name, only: w.only, run: func(col, n int) (result, error) {
			there, err := w.open(shortPayloads[col])
			if err != nil {
				return result{}, err
			}
			back, err := w.open(shortPayloads[col])
			if err != nil {
				return result{}, err
			}
			there.warm(shortPayloads[col].top)
			back.warm(shortPayloads[col].top)
			return pingPong(there, back, shortPayloads[col].top, n), nil
		}})
	}
	return q
}

func pingPong(there, back pipe, size, n int) result {
	h := newHist()
	done := make(chan struct{})
	nanoseconds(0) // measures how long a tick is
	res := timed(n, func() {
		go func() {
			defer close(done)
			rec := make([]byte, size)
			visit := func(_ int32, got []byte) { copy(rec, got) }
			for range n {
				poll(there.await(), visit)
				back.send(rec)
			}
		}()
		rec := make([]byte, size)
		visit := func(_ int32, got []byte) { copy(rec, got) }
		for i := range n {
			fill(rec, uint64(i))
			start := ticks()
			there.send(rec)
			poll(back.await(), visit)
			_ = h.RecordValue(nanoseconds(ticks()-start) / 2) // out of range: more than 20 s
		}
		<-done
	})
	res.hist = h
	return res
}

// poll waits for a record.
func poll(recv func(visitor) int, visit visitor) {
	for i := 1; recv(visit) == 0; i++ {
		if i%4096 == 0 {
			runtime.Gosched() // with one processor, the other side needs it
		}
	}
}
