package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"

	"github.com/nexus-logbuf/logbuf/channel"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/queue"
	"github.com/nexus-logbuf/logbuf/recorder"
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
	{"queue MPSC Write 64 B, Drain", mpscWrite},
	{"queue MPSC claim and commit 64 B, Drain", mpscClaim},
	{"queue FanIn Write 64 B, Drain", fanIn},
	{"channel SPSC TrySend 64 B, TryRecv", channelSend},
	{"channel MPSC TrySend 64 B, TryRecv", channelSharedSend},
	{"recorder Write 64 B, to the file", recorderWrite},
	{"recorder WriteAt 64 B, to the file", recorderWriteAt},
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

// writing writes and, when the ring is full, drains it.
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

func fanIn(int) (func(), error) {
	f, err := queue.NewFanIn(ringSize)
	if err != nil {
		return nil, err
	}
	p, err := f.NewProducer()
	return writing(p, f, 64), err
}

func channelSend(int) (func(), error) {
	tx, rx, err := channel.NewSPSC(ringSize, nil)
	return sending(tx.TrySend, rx), err
}

func channelSharedSend(int) (func(), error) {
	tx, rx, err := channel.NewMPSC(ringSize, nil)
	return sending(tx.TrySend, rx), err
}

func sending(send func([]byte) error, rx *channel.Receiver) func() {
	rec := make([]byte, 64)
	return func() {
		_ = send(rec) // received at once, so there is room
		got, _ := rx.TryRecv()
		touch(0, got)
	}
}

// producer is a producer of a recorder whose archive goes when the program ends.
func producer() (*recorder.Producer, error) {
	dir, err := tempDir()
	if err != nil {
		return nil, err
	}
	rec, err := recorder.Open(dir, &recorder.Options{Journal: journal.Options{Sync: journal.SyncNone, SegmentSize: 1 << 30}})
	if err != nil {
		return nil, err
	}
	atEnd(func() { _ = rec.Close(context.Background()) }) // the counts are made
	return rec.Producer("guard", &recorder.ProducerOptions{LaneSize: ringSize, Overload: recorder.OverloadWait})
}

func recorderWrite(int) (func(), error) {
	p, err := producer()
	rec := make([]byte, 64)
	return func() { must(p.Write(rec)) }, err
}

func recorderWriteAt(int) (func(), error) {
	p, err := producer()
	rec := make([]byte, 64)
	return func() { must(0, p.WriteAt(1, journal.KindData, 0, rec)) }, err
}

func must(_ int, err error) {
	if err != nil {
		panic(err)
	}
}

// archive makes an archive of n records of 256 bytes.
func archive(n int) (dir string, err error) {
	if dir, err = tempDir(); err != nil {
		return "", err
	}
	w, err := journal.Open(dir, &journal.Options{Sync: journal.SyncNone, SegmentSize: 1 << 30})
	if err != nil {
		return "", err
	}
	const batch = 256
	var frames []byte
	for range batch {
		frames = journal.AppendFrame(frames, journal.Record{Time: 1, Stream: 1, Payload: make([]byte, 256)})
	}
	if _, err := w.DefineStream("guard"); err != nil {
		return "", err
	}
	for ; n > 0; n -= batch {
		if _, err := w.AppendFrames(frames, batch); err != nil {
			return "", err
		}
	}
	return dir, w.Close()
}

func journalRead(n int) (func(), error) {
	dir, err := archive(n)
	if err != nil {
		return nil, err
	}
	r, err := journal.OpenReader(dir, nil)
	ctx := context.Background()
	return func() {
		rec, err := r.Next(ctx)
		if err != nil {
			panic(err)
		}
		touch(0, rec.Payload)
	}, err
}

func journalVerify(n int) (func(), error) {
	dir, err := archive(n)
	verified := false
	return func() { // the first call verifies for all n
		if !verified {
			verified = true
			if rep, err := journal.Verify(dir, nil); err != nil || rep.Verdict != journal.Clean {
				panic(fmt.Sprint(rep, err))
			}
		}
	}, err
}

var atEnds []func()

func atEnd(f func()) { atEnds = append(atEnds, f) }

func tempDir() (string, error) {
	dir, err := os.MkdirTemp("", "logbuf-guard-")
	atEnd(func() { _ = os.RemoveAll(dir) })
	return dir, err
}
