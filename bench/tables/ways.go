package main

import (
	"context"
	"encoding/binary"

	"code.cloudfoundry.org/go-diodes"
	"github.com/nexus-logbuf/logbuf/channel"
	"github.com/nexus-logbuf/logbuf/queue"
	"github.com/puzpuzpuz/xsync/v4"
	"github.com/smallnest/ringbuffer"
)

// ringSize is the size of every ring, and what queues of items hold in payload.
const ringSize = 2 << 20

// pipe brings records from one goroutine to another. send returns false when
// there is no room. recv shows what has come to visit, and returns how many
// records that were; a record is valid until visit returns.
type pipe struct {
	send func(rec []byte) bool
	recv func(visit visitor) int
	wait func(visit visitor) int // recv that first waits until something has come, where a consumer would; nil: it polls
	all  sequence                // where the loop around it is written out, or records are filled in place; nil: send is called for each
}

// sequence fills and sends n records of the sizes, in turn.
type sequence = func(sizes []int, n int, t *told)

// visitor looks at one record. It is what Drain takes, so that nothing is in between.
type visitor = func(typ int32, rec []byte)

// way is one way to do that.
type way struct {
	name  string
	lossy bool  // send never fails, and overwrites what was not received in time
	only  []int // the payloads it is for; nil: all
	open  func(p payload) (pipe, error)
}

const batch = 256 // records that a consumer takes at once, where it can

// ways are those of one producer and one consumer.
var ways = []way{
	{name: "SPSC, Write, Drain", open: func(payload) (pipe, error) {
		p, c, err := queue.NewSPSC(ringSize)
		return pipe{send: writeTo(p), recv: drainFrom(c), all: writes(p)}, err
	}},
	{name: "SPSC, claim, Drain", open: func(payload) (pipe, error) {
		p, c, err := queue.NewSPSC(ringSize)
		return pipe{send: claimFrom(p), recv: drainFrom(c), all: claims(p)}, err
	}},
	{name: "SPSC, Write, Next", open: func(payload) (pipe, error) {
		p, c, err := queue.NewSPSC(ringSize)
		return pipe{send: writeTo(p), recv: nextFrom(c), all: writes(p)}, err
	}},
	{name: "SPSC, Write, Peek", open: func(payload) (pipe, error) {
		p, c, err := queue.NewSPSC(ringSize)
		return pipe{send: writeTo(p), recv: peekFrom(c), all: writes(p)}, err
	}},
	{name: "MPSC, Write, Drain", open: func(payload) (pipe, error) {
		p, c, err := queue.NewMPSC(ringSize)
		return pipe{send: writeToShared(p), recv: drainFrom(c), all: sharedWrites(p)}, err
	}},
	{name: "MPSC, claim, Drain", open: func(payload) (pipe, error) {
		p, c, err := queue.NewMPSC(ringSize)
		return pipe{send: claimFromShared(p), recv: drainFrom(c), all: sharedClaims(p)}, err
	}},
	{name: "FanIn, Write, Drain", open: func(payload) (pipe, error) {
		f, p, err := lanes(1)
		return pipe{send: writeTo(p[0]), recv: drainFrom(f), all: writes(p[0])}, err
	}},
	{name: "FanIn, claim, Drain", open: func(payload) (pipe, error) {
		f, p, err := lanes(1)
		return pipe{send: claimFrom(p[0]), recv: drainFrom(f), all: claims(p[0])}, err
	}},
	{name: "channel, Spin", open: func(payload) (pipe, error) {
		tx, rx, err := channel.NewSPSC(ringSize, &channel.Options{Wait: channel.Spin})
		return pipe{send: trySend(tx), recv: drainFrom(rx), wait: waitAndDrain(rx), all: sends(tx)}, err
	}},
	{name: "channel, Park", open: func(payload) (pipe, error) {
		tx, rx, err := channel.NewSPSC(ringSize, nil)
		return pipe{send: trySend(tx), recv: drainFrom(rx), wait: waitAndDrain(rx), all: sends(tx)}, err
	}},
	{name: "channel MPSC, Park", open: func(payload) (pipe, error) {
		tx, rx, err := channel.NewMPSC(ringSize, nil)
		return pipe{send: trySendShared(tx), recv: drainFrom(rx), wait: waitAndDrain(rx), all: sharedSends(tx)}, err
	}},
	{name: "Go channel of copies", open: func(p payload) (pipe, error) {
		ch := make(chan []byte, p.items())
		return pipe{send: sendTo(ch), recv: receiveFrom(ch)}, nil
	}},
	{name: "Go channel of arrays", only: fixedPayloads, open: func(p payload) (pipe, error) { return arrays(p, false), nil }},
	{name: "xsync.SPSCQueue of copies", open: func(p payload) (pipe, error) {
		q := xsync.NewSPSCQueue[[]byte](p.items())
		return pipe{
			send: func(rec []byte) bool { return q.TryEnqueue(clone(rec)) },
			recv: func(visit visitor) int {
				rec, ok := q.TryDequeue()
				if !ok {
					return 0
				}
				visit(0, rec)
				return 1
			},
		}, nil
	}},
	{name: "xsync.SPSCQueue of arrays", only: fixedPayloads, open: func(p payload) (pipe, error) { return arrays(p, true), nil }},
	{name: "smallnest/ringbuffer", open: func(p payload) (pipe, error) {
		return byteStream(ringbuffer.New(ringSize), p.top), nil
	}},
	{name: "go-diodes, of copies", lossy: true, open: func(p payload) (pipe, error) {
		return diodePipe(diodes.NewOneToOne(p.items(), diodes.AlertFunc(func(int) {}))), nil
	}},
}

func clone(rec []byte) []byte { return append([]byte(nil), rec...) }

// diodePipe overwrites what is not taken in time.
//
//go:noinline
func diodePipe(d interface {
	Set(diodes.GenericDataType)
	TryNext() (diodes.GenericDataType, bool)
}) pipe {
	return pipe{
		send: func(rec []byte) bool {
			b := clone(rec)
			d.Set(diodes.GenericDataType(&b))
			return true
		},
		recv: func(visit visitor) int {
			p, ok := d.TryNext()
			if !ok {
				return 0
			}
			visit(0, *(*[]byte)(p))
			return 1
		},
	}
}

//go:noinline
func writeTo(p *queue.Producer) func([]byte) bool {
	return func(rec []byte) bool { _, err := p.Write(rec); return err == nil }
}

//go:noinline
func writeToShared(p *queue.SharedProducer) func([]byte) bool {
	return func(rec []byte) bool { _, err := p.Write(rec); return err == nil }
}

// claimFrom copies a record that is there already.
//
//go:noinline
func claimFrom(p *queue.Producer) func([]byte) bool {
	return func(rec []byte) bool {
		c, err := p.TryClaim(len(rec))
		if err != nil {
			return false
		}
		copy(c.Bytes(), rec)
		return c.Commit()
	}
}

//go:noinline
func claimFromShared(p *queue.SharedProducer) func([]byte) bool {
	return func(rec []byte) bool {
		c, err := p.TryClaim(len(rec))
		if err != nil {
			return false
		}
		copy(c.Bytes(), rec)
		return c.Commit()
	}
}

//go:noinline
func drainFrom(c interface {
	Drain(limit int, fn func(typ int32, rec []byte)) int
}) func(visitor) int {
	return func(visit visitor) int { return c.Drain(batch, visit) }
}

// waitAndDrain waits as the channel's options say, and takes what has come.
//
//go:noinline
func waitAndDrain(rx *channel.Receiver) func(visitor) int {
	ctx := context.Background()
	return func(visit visitor) int {
		if err := rx.Wait(ctx); err != nil {
			panic(err) // nobody closes it
		}
		return rx.Drain(batch, visit)
	}
}

//go:noinline
func nextFrom(c *queue.Consumer) func(visitor) int {
	return func(visit visitor) int {
		rec, ok := c.Next()
		if !ok {
			return 0
		}
		visit(0, rec)
		return 1
	}
}

// peekFrom takes spans as they lie in the ring, and gives back each when all of
// it is read.
//
//go:noinline
func peekFrom(c *queue.Consumer) func(visitor) int {
	return func(visit visitor) int {
		span := c.Peek(64 << 10)
		if span.Records() == 0 {
			return 0
		}
		for frames := span.Frames(); len(frames) > 0; {
			n := binary.LittleEndian.Uint32(frames)
			if int32(binary.LittleEndian.Uint32(frames[4:])) > 0 { // a skip is -1
				visit(0, frames[8:n])
			}
			frames = frames[(n+7)&^7:]
		}
		c.ReleaseTo(span.End())
		return span.Records()
	}
}

// lanes is a FanIn whose lanes share ringSize.
func lanes(n int) (*queue.FanIn, []*queue.Producer, error) {
	f, err := queue.NewFanIn(ringSize / n)
	if err != nil {
		return nil, nil, err
	}
	all := make([]*queue.Producer, n)
	for i := range all {
		if all[i], err = f.NewProducer(); err != nil {
			return nil, nil, err
		}
	}
	return f, all, nil
}

//go:noinline
func sendTo(ch chan []byte) func([]byte) bool {
	return func(rec []byte) bool {
		select {
		case ch <- clone(rec):
			return true
		default:
			return false
		}
	}
}

//go:noinline
func receiveFrom(ch chan []byte) func(visitor) int {
	return func(visit visitor) int {
		select {
		case rec := <-ch:
			visit(0, rec)
			return 1
		default:
			return 0
		}
	}
}

// byteStream frames records with their length in a ring of bytes.
//
//go:noinline
func byteStream(r *ringbuffer.RingBuffer, largest int) pipe {
	const header = 4
	out, in := make([]byte, header+largest), make([]byte, header+largest)
	return pipe{
		send: func(rec []byte) bool {
			if r.Free() < header+len(rec) {
				return false
			}
			binary.LittleEndian.PutUint32(out, uint32(len(rec)))
			n := copy(out[header:], rec)
			must(r.Write(out[:header+n]))
			return true
		},
		recv: func(visit visitor) int {
			if r.Length() < header { // whole records are written at once
				return 0
			}
			must(r.Read(in[:header]))
			rec := in[:binary.LittleEndian.Uint32(in)]
			if len(rec) > 0 {
				must(r.Read(rec))
			}
			visit(0, rec)
			return 1
		},
	}
}

func must(_ int, err error) {
	if err != nil {
		panic(err)
	}
}
