package main

import (
	"context"
	"fmt"
	"os"

	"github.com/nexus-logbuf/logbuf/adapter/tracebuf"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// producer is a producer of a recorder whose archive goes when the program ends.
func producer() (*recorder.Producer, error) {
	rec, err := open()
	if err != nil {
		return nil, err
	}
	return rec.Producer("guard", &lane)
}

var lane = recorder.ProducerOptions{LaneSize: ringSize, Overload: recorder.OverloadWait}

func open() (*recorder.Recorder, error) {
	dir, err := tempDir()
	if err != nil {
		return nil, err
	}
	rec, err := recorder.Open(dir, &recorder.Options{Journal: journal.Options{Sync: journal.SyncNone, SegmentSize: 1 << 30}})
	if err == nil {
		atEnd(func() { _ = rec.Close(context.Background()) }) // the counts are made
	}
	return rec, err
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

func recorderClaim(int) (func(), error) {
	p, err := producer()
	rec, ctx := make([]byte, 64), context.Background()
	return func() {
		c, err := p.Claim(ctx, journal.KindData, 0, len(rec))
		if err != nil {
			panic(err)
		}
		copy(c.Bytes(), rec)
		c.Commit()
	}, err
}

// order is a telemetry event of 32 B.
type order struct{ ID, Price, Size, Venue uint64 }

func tracebufEmit(int) (func(), error) {
	rec, err := open()
	if err != nil {
		return nil, err
	}
	tracer, err := tracebuf.New(rec, nil)
	if err != nil {
		return nil, err
	}
	atEnd(func() { _ = tracer.Close(context.Background()) }) // the counts are made
	event, err := tracebuf.Register[order](tracer, "order")
	if err != nil {
		return nil, err
	}
	track, err := tracer.Track("guard", &lane)
	return func() { must(0, event.Emit(track, order{ID: 1})) }, err
}

func must[T any](_ T, err error) {
	if err != nil {
		panic(err)
	}
}

// journalAppendFrames is counted by record.
func journalAppendFrames(int) (func(), error) {
	dir, err := tempDir()
	if err != nil {
		return nil, err
	}
	w, err := journal.Open(dir, &journal.Options{Sync: journal.SyncNone, SegmentSize: 1 << 30})
	if err != nil {
		return nil, err
	}
	atEnd(func() { _ = w.Close() }) // the counts are made
	id, err := w.DefineStream("guard")
	var frames []byte
	for range 256 {
		frames = journal.AppendFrame(frames, journal.Record{Time: 1, Stream: id, Payload: make([]byte, 64)})
	}
	n := 0
	return func() {
		if n++; n%256 == 0 {
			must(w.AppendFrames(frames, 256))
		}
	}, err
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
