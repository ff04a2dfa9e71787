package main

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/nexus-logbuf/logbuf/channel"
)

// waits are ways to wait for a record.
var waits = []struct {
	name string
	open func() (send func([]byte) bool, recv func() []byte, end func())
}{
	{"channel, Park", strategy(channel.Park)},
	{"channel, Backoff", strategy(channel.Backoff)},
	{"channel, Spin", strategy(channel.Spin)},
	{"Go channel of copies", func() (func([]byte) bool, func() []byte, func()) {
		ch := make(chan []byte, ringSize/64)
		return sendTo(ch), func() []byte { return <-ch }, func() { close(ch) }
	}},
}

func strategy(s channel.Strategy) func() (func([]byte) bool, func() []byte, func()) {
	return func() (func([]byte) bool, func() []byte, func()) {
		tx, rx, err := channel.NewSPSC(ringSize, &channel.Options{Wait: s})
		if err != nil {
			panic(err)
		}
		ctx := context.Background()
		return func(rec []byte) bool { return tx.TrySend(rec) == nil },
			func() []byte {
				rec, err := rx.Recv(ctx)
				if err != nil {
					return nil
				}
				return rec
			},
			func() { _ = tx.Close() }
	}
}

// channels is blocking receivers: how fast they are while there is always
// something, and how soon they notice when there was nothing for a while.
func channels() []*question {
	flow := &question{name: "channel-flow", title: "To a blocking receiver, 64 B, records without a pause", unit: "ns per record", cols: []string{"64 B"}}
	wake := &question{
		name: "channel-wake", title: "To a blocking receiver, 64 B, a lone record", unit: "ns", quantiles: true, cols: []string{"after 1 µs", "after 1 ms"},
		note: "From before the send to after the receive, on another goroutine. After 1 ms a parked receiver is asleep.",
	}
	for _, w := range waits {
		flow.rows = append(flow.rows, row{name: w.name, run: func(_, n int) (result, error) {
			send, recv, end := w.open()
			return timed(n, func() { flowTo(send, recv, end, n) }), nil
		}})
		wake.rows = append(wake.rows, row{name: w.name, run: func(col, n int) (result, error) {
			send, recv, end := w.open()
			return wakeUp(send, recv, end, n, []time.Duration{time.Microsecond, time.Millisecond}[col]), nil
		}})
	}
	return []*question{flow, wake}
}

func flowTo(send func([]byte) bool, recv func() []byte, end func(), n int) {
	var wg sync.WaitGroup
	wg.Go(func() {
		defer end()
		rec := make([]byte, 64)
		for i := range n {
			fill(rec, uint64(i))
			for !send(rec) {
				runtime.Gosched()
			}
		}
	})
	var sum uint64
	for range n {
		sum += read(recv())
	}
	sink.Add(sum)
	wg.Wait()
}

func wakeUp(send func([]byte) bool, recv func() []byte, end func(), n int, rest time.Duration) result {
	h, got := newHist(), make(chan time.Time)
	base := time.Now()
	res := timed(n, func() {
		go func() {
			for recv() != nil {
				got <- time.Now()
			}
			close(got)
		}()
		rec := make([]byte, 64)
		for range n {
			if rest >= time.Millisecond {
				time.Sleep(rest)
			} else {
				for start := time.Now(); time.Since(start) < rest; {
				}
			}
			start := time.Since(base)
			send(rec)
			_ = h.RecordValue(int64((<-got).Sub(base) - start)) // out of range: more than 10 s
		}
		end()
		<-got
	})
	res.hist = h
	return res
}
