package soak

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/nexus-logbuf/logbuf/channel"
	"github.com/nexus-logbuf/logbuf/queue"
)

// reader takes in what one goroutine reads.
type reader struct {
	*rig
	name      string
	choose    *rand.Rand
	delivered []id
	err       error
	want      []byte
}

func (r *rig) newReader(name string) *reader {
	d := &reader{rig: r, name: name, choose: r.random(), want: make([]byte, r.capacity)}
	r.readers = append(r.readers, d)
	return d
}

type ringReader interface {
	Next() (rec []byte, ok bool)
	Ready() bool
	Drained() bool
	Drain(limit int, fn func(typ int32, rec []byte)) int
	Peek(maxBytes int) queue.Span
	ReleaseTo(pos uint64)
	Release()
}

// passing is a reader that stalled claims can hold up.
type passing interface {
	PassStalled(limit time.Duration) bool
}

// readRing reads in every way there is until the ring is drained.
func (r *reader) readRing(c ringReader) {
	rng := r.choose
	limit := time.Duration(rng.IntN(500)) * time.Microsecond
	stalling, _ := c.(passing)
	for r.err == nil && !c.Drained() {
		n := len(r.delivered)
		switch rng.IntN(8) {
		case 0, 1:
			for range 1 + rng.IntN(20) {
				rec, ok := c.Next()
				if !ok {
					break
				}
				r.got(rec)
			}
		case 2, 3, 4:
			r.drain(rng, c.Drain)
		case 5, 6:
			r.peek(rng, c.Peek, c.ReleaseTo)
		case 7:
			c.Release()
			c.Ready()
			if rng.IntN(50) == 0 {
				time.Sleep(time.Duration(rng.IntN(500)) * time.Microsecond)
			}
		}
		if len(r.delivered) == n {
			if stalling != nil {
				stalling.PassStalled(limit)
			}
			runtime.Gosched()
		}
	}
	c.Release() // shows what was read to Stats
}

// drain reads by callback, which now and then panics or ends its goroutine.
func (r *reader) drain(rng *rand.Rand, drain func(int, func(int32, []byte)) int) {
	leave := -1
	if rng.IntN(20) == 0 {
		leave = rng.IntN(10)
	}
	n := 0
	fn := func(_ int32, rec []byte) {
		r.got(rec)
		n++
		if n-1 != leave {
			return
		}
		if leave%2 == 0 {
			runtime.Goexit()
		}
		panic(errLeft)
	}
	if leave < 0 {
		drain(1+rng.IntN(100), fn)
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		defer func() {
			if v := recover(); v != nil && v != errLeft {
				r.err = fmt.Errorf("reader: panic: %v", v)
			}
		}()
		drain(1+rng.IntN(100), fn)
	})
	wg.Wait()
}

// peek reads spans, holds some of them for a while, and gives them back, whole
// or in two parts.
func (r *reader) peek(rng *rand.Rand, peek func(int) queue.Span, release func(uint64)) {
	var spans []queue.Span
	for range 1 + rng.IntN(3) {
		s := peek(rng.IntN(2 * r.capacity))
		if s.Records() == 0 {
			break
		}
		spans = append(spans, s)
	}
	for _, s := range spans {
		r.frames(s)
		if n := len(s.Frames()); n > 8 && rng.IntN(4) == 0 {
			release(s.End() - uint64(n/16*8))
		}
		release(s.End())
	}
}

// frames takes in the records of a span.
func (r *reader) frames(s queue.Span) {
	records := 0
	for b := s.Frames(); len(b) > 0 && r.err == nil; {
		length := int(int32(binary.LittleEndian.Uint32(b)))
		stride := (length + 7) &^ 7
		if length < 8 || stride > len(b) {
			r.err = fmt.Errorf("a frame of %d bytes with %d left", length, len(b))
			return
		}
		if int32(binary.LittleEndian.Uint32(b[4:])) > 0 {
			r.got(b[8:length])
			records++
		}
		b = b[stride:]
	}
	if r.err == nil && records != s.Records() {
		r.err = fmt.Errorf("a span of %d records has %d", s.Records(), records)
	}
}

// receive reads a channel to its end, or closes it before.
func (r *reader) receive(rx *channel.Receiver) {
	defer rx.Close()
	defer rx.Release() // shows what was read to Stats
	rng := r.choose
	turns := -1
	if rng.IntN(8) == 0 {
		turns = rng.IntN(500)
		r.closedEarly = true
	}
	for ; r.err == nil && turns != 0; turns-- {
		var rec []byte
		var err error
		ctx, cancel := context.Background(), context.CancelFunc(func() {})
		if rng.IntN(10) == 0 {
			ctx, cancel = context.WithTimeout(ctx, time.Duration(rng.IntN(300))*time.Microsecond)
		}
		switch rng.IntN(8) {
		case 0, 1, 2:
			if rec, err = rx.Recv(ctx); err == nil {
				r.got(rec)
			}
		case 3:
			if rec, err = rx.RecvTimeout(time.Duration(rng.IntN(300)) * time.Microsecond); err == nil {
				r.got(rec)
			}
		case 4:
			if rec, ok := rx.TryRecv(); ok {
				r.got(rec)
			}
		case 5, 6:
			rx.Release()
			if err = rx.Wait(ctx); err == nil {
				r.drain(rng, rx.Drain)
			}
		case 7:
			r.peek(rng, rx.Peek, rx.ReleaseTo)
		}
		cancel()
		switch {
		case err == io.EOF:
			r.closedEarly = false
			return
		case err == nil, errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		default:
			r.err = err
		}
	}
}

// got takes one record in.
func (r *reader) got(rec []byte) {
	if r.err != nil {
		return
	}
	if len(rec) < headLen {
		r.err = fmt.Errorf("a record of %d bytes", len(rec))
		return
	}
	head := binary.LittleEndian.Uint32(rec)
	at := id{int(head >> 24), int(head & 0xffffff)}
	if at.producer >= len(r.producers) || at.seq >= r.producers[at.producer].count {
		r.err = fmt.Errorf("record %d of producer %d, which nobody wrote", at.seq, at.producer)
		return
	}
	want := r.want[:size(at.producer, at.seq, r.capacity-16)]
	fill(want, at.producer, at.seq)
	if string(want) != string(rec) {
		r.err = fmt.Errorf("record %d of producer %d: % x, want % x", at.seq, at.producer, rec, want)
		return
	}
	r.delivered = append(r.delivered, at)
}
