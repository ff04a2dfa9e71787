package main

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nexus-logbuf/logbuf/channel"
)

// line is a channel with a receiver that blocks. send returns false when there
// is no room; recv returns nil after end.
type line struct {
	send func([]byte) bool
	recv func() []byte
	end  func()
}

// waits are ways to wait for a record.
var waits = []struct {
	name string
	open func() line
}{
	{"channel, Park", strategy(channel.Park, trySend)},
	{"channel, Park, no Linger", func() line { return spsc(&channel.Options{Linger: -1}, trySend) }},
	{"channel, Backoff", strategy(channel.Backoff, trySend)},
	{"channel, Spin", strategy(channel.Spin, trySend)},
	{"channel MPSC, Park", func() line {
		tx, rx, err := channel.NewMPSC(ringSize, nil)
		if err != nil {
			panic(err)
		}
		return line{trySendShared(tx), receive(rx), func() { _ = tx.Close() }}
	}},
	{"Go channel of copies", func() line {
		ch := make(chan []byte, ringSize/64)
		return line{sendTo(ch), func() []byte { return <-ch }, func() { close(ch) }}
	}},
}

// quiet is for how many records commitQuietly wakes the receiver once.
const quiet = 64

func strategy(s channel.Strategy, sender func(*channel.Sender) func([]byte) bool) func() line {
	return func() line { return spsc(&channel.Options{Wait: s}, sender) }
}

func spsc(opts *channel.Options, sender func(*channel.Sender) func([]byte) bool) line {
	tx, rx, err := channel.NewSPSC(ringSize, opts)
	if err != nil {
		panic(err)
	}
	return line{sender(tx), receive(rx), func() { _ = tx.Close() }}
}

//go:noinline
func trySend(tx *channel.Sender) func([]byte) bool {
	return func(rec []byte) bool { return tx.TrySend(rec) == nil }
}

//go:noinline
func trySendShared(tx *channel.SharedSender) func([]byte) bool {
	return func(rec []byte) bool { return tx.TrySend(rec) == nil }
}

//go:noinline
func claimAndCommit(tx *channel.Sender) func([]byte) bool {
	return func(rec []byte) bool {
		c, err := tx.TryClaim(len(rec))
		if err != nil {
			return false
		}
		copy(c.Bytes(), rec)
		return c.Commit()
	}
}

//go:noinline
func commitQuietly(tx *channel.Sender) func([]byte) bool {
	n := 0
	return func(rec []byte) bool {
		c, err := tx.TryClaim(len(rec))
		if err != nil {
			tx.Notify()
			return false
		}
		copy(c.Bytes(), rec)
		if n++; n%quiet > 0 {
			return c.CommitQuiet()
		}
		return c.Commit()
	}
}

//go:noinline
func receive(rx *channel.Receiver) func() []byte {
	ctx := context.Background()
	return func() []byte {
		rec, err := rx.Recv(ctx)
		if err != nil {
			return nil
		}
		return rec
	}
}

// channels is blocking receivers: how fast they are while there is always
// something, and how soon they notice when there was nothing for a while.
func channels() []*question {
	flow := &question{
		name: "channel-flow", title: "To a blocking receiver, 64 B, records without a pause", unit: "ns per record", cols: []string{"64 B"},
		note: "Rings of 2 MiB. A lasting flow keeps the receiver awake; «quiet» wakes it once for 64 records.",
	}
	wake := &question{
		name: "channel-wake", title: "To a blocking receiver, 64 B, a lone record", unit: "ns", quantiles: true, plotted: 50, longer: 4,
		cols: []string{"after 1 µs", "after 1 ms"},
		note: "Rings of 2 MiB. One way: from before the send to after the receive, on another goroutine. After 1 µs the receiver is still awake; after 1 ms one\n" +
			"that parks is asleep; the sender comes out of a sleep, too, with cold caches.",
	}
	rests := []time.Duration{time.Microsecond, time.Millisecond}
	add := func(q *question, name string, run func(col, n int) result) {
		q.rows = append(q.rows, row{name: name, run: func(col, n int) (result, error) { return run(col, n), nil }})
	}
	for _, w := range waits {
		add(flow, w.name, func(_, n int) result { return w.open().flow(n) })
		add(wake, w.name, func(col, n int) result { return w.open().wakeUp(n, rests[col]) })
	}
	add(flow, "channel, Park, claim", func(_, n int) result { return strategy(channel.Park, claimAndCommit)().flow(n) })
	add(flow, "channel, Park, claim, quiet", func(_, n int) result { return strategy(channel.Park, commitQuietly)().flow(n) })
	return []*question{flow, wake}
}

func (l line) flow(n int) result {
	l.warm()
	return timed(n, func() {
		var wg sync.WaitGroup
		wg.Go(func() {
			defer l.end()
			rec := make([]byte, 64)
			for i := range n {
				fill(rec, uint64(i))
				for !l.send(rec) {
					runtime.Gosched()
				}
			}
		})
		var sum uint64
		got := 0
		for rec := l.recv(); rec != nil; rec = l.recv() {
			sum += read(rec)
			got++
		}
		sink.Add(sum)
		wg.Wait()
		if got != n {
			panic("a channel has lost records")
		}
	})
}

// warm fills the ring and empties it.
func (l line) warm() {
	rec, n := make([]byte, 64), 0
	for n < ringSize/len(rec) && l.send(rec) {
		n++
	}
	for range n {
		l.recv()
	}
}

// wakeUp sends records with a pause before each. The sender looks for the
// receiver's clock in a word of memory, and so leaves the scheduler alone.
func (l line) wakeUp(n int, rest time.Duration) result {
	l.warm()
	h := newHist()
	var got atomic.Int64
	nanoseconds(0) // measures how long a tick is
	res := timed(n, func() {
		var wg sync.WaitGroup
		wg.Go(func() {
			for l.recv() != nil {
				got.Store(ticks())
			}
		})
		rec := make([]byte, 64)
		for range n {
			if rest >= time.Millisecond {
				time.Sleep(rest)
			} else {
				for start := now(); now()-start < int64(rest); {
				}
			}
			got.Store(0)
			start := ticks()
			l.send(rec)
			_ = h.RecordValue(nanoseconds(await(&got) - start)) // out of range: more than 10 s
		}
		l.end()
		wg.Wait()
	})
	res.hist = h
	return res
}

// await polls until there is something.
func await(word *atomic.Int64) int64 {
	for i := 1; ; i++ {
		if v := word.Load(); v != 0 {
			return v
		}
		if i%4096 == 0 {
			runtime.Gosched() // with one processor, the receiver needs it
		}
	}
}
