package main

import (
	"runtime"
	"time"
)

// alone is what the producer's call costs, with a consumer that drains in
// between on the same goroutine.
func alone() *question {
	q := &question{
		name: "alone", title: "What the producer's call takes", unit: "ns", quantiles: true, cols: []string{"8 B", "64 B", "256 B", "1 KiB"},
		note: "Each call is timed; «nothing» is the clock alone, and part of every other line. One goroutine: the ring is drained when it is full, untimed.",
	}
	q.rows = append(q.rows, row{name: "nothing", only: []int{0}, run: func(_, n int) (result, error) {
		return timeCalls(n, 8, func([]byte) bool { return true }, func() {}), nil
	}})
	for _, w := range ways {
		if w.lossy {
			continue
		}
		q.rows = append(q.rows, row{name: w.name, run: func(col, n int) (result, error) {
			p, err := w.open(payloads[col].top)
			if err != nil {
				return result{}, err
			}
			var sum uint64
			visit := func(rec []byte) { sum += read(rec) }
			res := timeCalls(n, payloads[col].top, p.send, func() {
				for p.recv(visit) > 0 {
				}
			})
			sink.Add(sum)
			return res, nil
		}})
	}
	return q
}

// timeCalls times n calls of send, one by one.
func timeCalls(n, size int, send func([]byte) bool, makeRoom func()) result {
	h, rec := newHist(), make([]byte, size)
	res := timed(n, func() {
		for i := 0; i < n; {
			fill(rec, uint64(i))
			start := time.Now()
			ok := send(rec)
			took := time.Since(start)
			if !ok {
				makeRoom()
				continue
			}
			_ = h.RecordValue(int64(took)) // out of range: more than 10 s
			i++
		}
	})
	res.hist = h
	return res
}

// latency is the time one record takes to the other goroutine: half of there
// and back.
func latency() *question {
	q := &question{
		name: "latency", title: "One way, a lone record", unit: "ns", quantiles: true, cols: []string{"8 B", "64 B", "256 B", "1 KiB"},
		note: "Half the time of a record that goes to another goroutine and is sent back; both poll.",
	}
	for _, w := range ways {
		if w.lossy {
			continue
		}
		q.rows = append(q.rows, row{name: w.name, run: func(col, n int) (result, error) {
			there, err := w.open(payloads[col].top)
			if err != nil {
				return result{}, err
			}
			back, err := w.open(payloads[col].top)
			return pingPong(there, back, payloads[col].top, n), err
		}})
	}
	return q
}

func pingPong(there, back pipe, size, n int) result {
	h := newHist()
	done := make(chan struct{})
	res := timed(n, func() {
		go func() {
			defer close(done)
			rec := make([]byte, size)
			for range n {
				poll(there.recv, rec)
				back.send(rec)
			}
		}()
		rec := make([]byte, size)
		for i := range n {
			fill(rec, uint64(i))
			start := time.Now()
			there.send(rec)
			poll(back.recv, rec)
			_ = h.RecordValue(int64(time.Since(start)) / 2) // out of range: more than 20 s
		}
		<-done
	})
	res.hist = h
	return res
}

// poll waits for a record and copies it.
func poll(recv func(func([]byte)) int, rec []byte) {
	visit := func(got []byte) { copy(rec, got) }
	for i := 1; recv(visit) == 0; i++ {
		if i%4096 == 0 {
			runtime.Gosched() // with one processor, the other side needs it
		}
	}
}
