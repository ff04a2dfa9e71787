package main

import (
	"sync"

	"code.cloudfoundry.org/go-diodes"
	"github.com/nexus-logbuf/logbuf/channel"
	"github.com/nexus-logbuf/logbuf/queue"
	"github.com/puzpuzpuz/xsync/v4"
	"github.com/rs/zerolog/diode"
	"github.com/smallnest/ringbuffer"
)

// funnel brings records of 64 B from several goroutines to one: a send for each.
// Where recv is nil, start has another goroutine show what comes to visit, and
// stop returns when all that is left was shown.
type funnel struct {
	sends []func(rec []byte) bool
	alls  []sequence // see pipe.all
	recv  func(visit visitor) int
	wait  func(visit visitor) int // see pipe.wait
	start func(visit visitor) (stop func() error)
}

// manySize is the payload.
const (
	manySize  = 64
	manyItems = ringSize / manySize
)

// manyWay is one way to do that.
type manyWay struct {
	name  string
	lossy bool
	open  func(producers int) (funnel, error)
}

// shared is a funnel whose producers use one send.
func shared(n int, p pipe) (f funnel) {
	for range n {
		f.sends, f.alls = append(f.sends, p.send), append(f.alls, p.all)
	}
	f.recv, f.wait = p.recv, p.wait
	return f
}

var manyWays = []manyWay{
	{name: "FanIn, Write, Drain", open: func(n int) (funnel, error) {
		f, producers, err := lanes(n)
		return laneEach(f, producers, false), err
	}},
	{name: "FanIn, claim, Drain", open: func(n int) (funnel, error) {
		f, producers, err := lanes(n)
		return laneEach(f, producers, true), err
	}},
	{name: "MPSC, Write, Drain", open: func(n int) (funnel, error) {
		p, c, err := queue.NewMPSC(ringSize)
		return shared(n, pipe{send: writeToShared(p), recv: drainFrom(c), all: sharedWrites(p)}), err
	}},
	{name: "MPSC, claim, Drain", open: func(n int) (funnel, error) {
		p, c, err := queue.NewMPSC(ringSize)
		return shared(n, pipe{send: claimFromShared(p), recv: drainFrom(c), all: sharedClaims(p)}), err
	}},
	{name: "channel FanIn, Park", open: laneSenders},
	{name: "channel MPSC, Park", open: func(n int) (funnel, error) {
		tx, rx, err := channel.NewMPSC(ringSize, nil)
		return shared(n, pipe{send: trySendShared(tx), recv: drainFrom(rx), wait: waitAndDrain(rx), all: sharedSends(tx)}), err
	}},
	{name: "Go channel of copies", open: func(n int) (funnel, error) {
		ch := make(chan []byte, manyItems)
		return shared(n, pipe{send: sendTo(ch), recv: receiveFrom(ch)}), nil
	}},
	{name: "Go channel of arrays", open: func(n int) (funnel, error) { return shared(n, channelOf[[manySize]byte](manyItems)), nil }},
	{name: "xsync.MPMCQueue of copies", open: func(n int) (funnel, error) {
		q := xsync.NewMPMCQueue[[]byte](manyItems)
		return shared(n, pipe{
			send: func(rec []byte) bool { return q.TryEnqueue(clone(rec)) },
			recv: func(visit visitor) int {
				rec, ok := q.TryDequeue()
				if !ok {
					return 0
				}
				visit(0, rec)
				return 1
			},
		}), nil
	}},
	{name: "smallnest/ringbuffer and a mutex", open: func(n int) (funnel, error) {
		p := byteStream(ringbuffer.New(ringSize), manySize)
		send, mu := p.send, new(sync.Mutex) // or a record might find less room than Free has said
		p.send = func(rec []byte) bool {
			mu.Lock()
			defer mu.Unlock()
			return send(rec)
		}
		return shared(n, p), nil
	}},
	{name: "go-diodes, of copies", lossy: true, open: func(n int) (funnel, error) {
		return shared(n, diodePipe(diodes.NewManyToOne(manyItems, diodes.AlertFunc(func(int) {})))), nil
	}},
	{name: "zerolog's diode", lossy: true, open: func(n int) (funnel, error) { return zerologDiode(n), nil }},
}

func laneEach(f *queue.FanIn, producers []*queue.Producer, inPlace bool) funnel {
	all := funnel{recv: drainFrom(f)}
	for _, p := range producers {
		all.sends = append(all.sends, writeTo(p))
		if inPlace {
			all.alls = append(all.alls, claims(p))
		} else {
			all.alls = append(all.alls, writes(p))
		}
	}
	return all
}

// laneSenders is a channel with a lane for each sender.
func laneSenders(n int) (f funnel, err error) {
	ch, rx, err := channel.NewFanIn(ringSize/n, nil)
	if err != nil {
		return f, err
	}
	f.recv, f.wait = drainFrom(rx), waitAndDrain(rx)
	for range n {
		tx, err := ch.NewSender()
		if err != nil {
			return f, err
		}
		f.sends, f.alls = append(f.sends, trySend(tx)), append(f.alls, sends(tx))
	}
	return f, nil
}

// producer is the way of one producer.
func (f funnel) producer(i int) pipe {
	p := pipe{send: f.sends[i], recv: f.recv, wait: f.wait}
	if i < len(f.alls) {
		p.all = f.alls[i]
	}
	return p
}

// zerologDiode shows records from a goroutine of its own, which sleeps between
// them.
func zerologDiode(n int) (f funnel) {
	var visit visitor
	w := diode.NewWriter(writerFunc(func(b []byte) { visit(0, b) }), manyItems, 0, nil)
	for range n {
		f.sends = append(f.sends, func(rec []byte) bool { _, err := w.Write(rec); return err == nil })
	}
	f.start = func(v visitor) func() error {
		visit = v // before the first record
		return w.Close
	}
	return f
}

type writerFunc func([]byte)

func (f writerFunc) Write(b []byte) (int, error) {
	f(b)
	return len(b), nil
}

// warm fills the rings and empties them; see pipe.
func (f funnel) warm() {
	if f.recv == nil {
		return // it has no ring, but pointers to pooled copies
	}
	for i := range f.sends {
		f.producer(i).warm(manySize)
	}
}
