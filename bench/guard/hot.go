package main

import (
	"context"
	"encoding/binary"

	"github.com/nexus-logbuf/logbuf/channel"
	"github.com/nexus-logbuf/logbuf/queue"
)

// call is a hot call. make prepares it, for n runs; run is what is counted.
type call struct {
	name string
	make func(n int) (run func(), err error)
}

const ringSize = 1 << 20

// Calls are counted with the work of their other side: a write with the reading
// of what was written, in batches of half a ring.
var calls = []call{
	{"queue SPSC Write 8 B, Drain", spscWrite(8)},
	{"queue SPSC Write 64 B, Drain", spscWrite(64)},
	{"queue SPSC Write 1024 B, Drain", spscWrite(1024)},
	{"queue SPSC claim and commit 64 B, Drain", spscClaim},
	{"queue SPSC Write 64 B, Next", spscNext},
	{"queue SPSC Write 64 B, Peek and ReleaseTo", spscPeek},
	{"queue MPSC Write 64 B, Drain", mpscWrite},
	{"queue MPSC claim and commit 64 B, Drain", mpscClaim},
	{"queue FanIn Write 64 B, Drain", fanIn(writing)},
	{"queue FanIn claim and commit 64 B, Drain", fanIn(claiming)},
	{"channel SPSC TrySend 64 B, TryRecv", channelSend},
	{"channel MPSC TrySend 64 B, TryRecv", channelSharedSend},
	{"channel SPSC Send 64 B, Recv", channelBlocking},
	{"recorder Write 64 B, to the file", recorderWrite},
	{"recorder WriteAt 64 B, to the file", recorderWriteAt},
	{"recorder claim and commit 64 B, to the file", recorderClaim},
	{"tracebuf Emit 32 B, to the file", tracebufEmit},
	{"journal AppendFrames of 256, 64 B", journalAppendFrames},
	{"journal read 256 B", journalRead},
	{"journal verify 256 B", journalVerify},
}

var sink uint64

func touch(_ int32, rec []byte) { sink += binary.LittleEndian.Uint64(rec) }

type drainer interface {
	Drain(limit int, fn func(typ int32, rec []byte)) int
}

type writer interface {
	Write(rec []byte) (int, error)
	TryClaim(n int) (queue.Claim, error)
}

// writing writes and, when the ring is full, drains it. It is not inlined, and nor
// are the others: the compiler would inline nothing in the copy of what they return.
//
//go:noinline
func writing(w writer, r drainer, size int) func() {
	rec := make([]byte, size)
	return func() {
		for {
			if _, err := w.Write(rec); err == nil {
				return
			}
			r.Drain(ringSize, touch)
		}
	}
}

//go:noinline
func claiming(w writer, r drainer, size int) func() {
	rec := make([]byte, size)
	return func() {
		for {
			c, err := w.TryClaim(len(rec))
			if err == nil {
				copy(c.Bytes(), rec)
				c.Commit()
				return
			}
			r.Drain(ringSize, touch)
		}
	}
}

func spscWrite(size int) func(int) (func(), error) {
	return func(int) (func(), error) {
		p, c, err := queue.NewSPSC(ringSize)
		return writing(p, c, size), err
	}
}

func spscClaim(int) (func(), error) {
	p, c, err := queue.NewSPSC(ringSize)
	return claiming(p, c, 64), err
}

func spscNext(int) (func(), error) {
	p, c, err := queue.NewSPSC(ringSize)
	rec := make([]byte, 64)
	return func() {
		_, _ = p.Write(rec) // read at once, so there is room
		got, _ := c.Next()
		touch(0, got)
	}, err
}

func mpscWrite(int) (func(), error) {
	p, c, err := queue.NewMPSC(ringSize)
	return writing(p, c, 64), err
}

func mpscClaim(int) (func(), error) {
	p, c, err := queue.NewMPSC(ringSize)
	return claiming(p, c, 64), err
}

func fanIn(with func(writer, drainer, int) func()) func(int) (func(), error) {
	return func(int) (func(), error) {
		f, err := queue.NewFanIn(ringSize)
		if err != nil {
			return nil, err
		}
		p, err := f.NewProducer()
		return with(p, f, 64), err
	}
}

// spscPeek gives back spans of whatever is there, when the ring is full.
func spscPeek(int) (func(), error) {
	p, c, err := queue.NewSPSC(ringSize)
	rec := make([]byte, 64)
	return func() {
		for {
			if _, err := p.Write(rec); err == nil {
				return
			}
			for s := c.Peek(64 << 10); s.Records() > 0; s = c.Peek(64 << 10) {
				touch(0, s.Frames())
				c.ReleaseTo(s.End())
			}
		}
	}, err
}

func channelSend(int) (func(), error) {
	tx, rx, err := channel.NewSPSC(ringSize, nil)
	return sending(tx.TrySend, rx), err
}

func channelSharedSend(int) (func(), error) {
	tx, rx, err := channel.NewMPSC(ringSize, nil)
	return sending(tx.TrySend, rx), err
}

func channelBlocking(int) (func(), error) {
	tx, rx, err := channel.NewSPSC(ringSize, nil)
	rec, ctx := make([]byte, 64), context.Background()
	return func() {
		_ = tx.Send(rec) // received at once, so there is room
		got, _ := rx.Recv(ctx)
		touch(0, got)
	}, err
}

//go:noinline
func sending(send func([]byte) error, rx *channel.Receiver) func() {
	rec := make([]byte, 64)
	return func() {
		_ = send(rec) // received at once, so there is room
		got, _ := rx.TryRecv()
		touch(0, got)
	}
}
