package main

import "fmt"

// alone is what the producer's call costs, with a consumer that drains in
// between on the same goroutine.
func alone() *question {
	q := &question{
		name: "alone", title: "What the producer's call takes", unit: tickName, quantiles: true, trimmed: true, cols: payloadNames(shortPayloads), ordered: len(shortPayloads),
		note: "Each call is timed; «nothing» is the timer alone, and part of every other line. One goroutine: the ring of 2 MiB, or the queue of as much\n" +
			"payload, is drained when it is full, untimed.",
	}
	if tickName != "ns" {
		q.note += fmt.Sprintf(" %.2f cycles are 1 ns; the counter moves in steps of %d.", 1/tick(), tickStep())
	}
	q.rows = append(q.rows, row{name: "nothing", only: []int{0}, run: func(_, n int) (result, error) {
		return timeCalls(n, 8, func([]byte) bool { return true }, func() {}), nil
	}})
	for _, w := range ways {
		q.rows = append(q.rows, row{name: w.name, only: w.only, run: func(col, n int) (result, error) {
			p, err := w.open(shortPayloads[col])
			if err != nil {
				return result{}, err
			}
			size := shortPayloads[col].top
			p.warm(size)
			send := p.send
			if w.lossy { // it is never full
				send = upTo(shortPayloads[col].items(), send)
			}
			var sum uint64
			visit := func(_ int32, rec []byte) { sum += read(rec) }
			res := timeCalls(n, size, send, func() {
				for p.recv(visit) > 0 {
				}
			})
			sink.Add(sum)
			return res, nil
		}})
	}
	return q
}

// upTo refuses each call after so many.
//
//go:noinline
func upTo(most int, send func([]byte) bool) func([]byte) bool {
	sent := 0
	return func(rec []byte) bool {
		if sent == most {
			sent = 0
			return false
		}
		sent++
		return send(rec)
	}
}

// timeCalls times n calls of send, one by one.
func timeCalls(n, size int, send func([]byte) bool, makeRoom func()) result {
	h, rec := newHist(), make([]byte, size)
	res := timed(n, func() {
		for i := 0; i < n; {
			fill(rec, uint64(i))
			start := ticks()
			ok := send(rec)
			took := ticks() - start
			if !ok {
				makeRoom()
				continue
			}
			_ = h.RecordValue(took) // out of range: seconds
			i++
		}
	})
	res.hist = h
	return res
}
