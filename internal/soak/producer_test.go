package soak

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/nexus-logbuf/logbuf/channel"
	"github.com/nexus-logbuf/logbuf/queue"
)

// claim is what rings' and channels' claims have in common.
type claim interface {
	Bytes() []byte
	Commit() bool
	CommitN(n int) bool
	Abort()
}

// writer is what both packages' ends have in common.
type writer interface {
	Stats() queue.Stats
	Close() error
}

// end is the writing end of anything under test.
type end interface {
	write(rec []byte) error
	claim(n int) (claim, error)
	stats() queue.Stats
	Close() error
}

type ringEnd struct {
	producer interface {
		Write(rec []byte) (int, error)
		TryClaim(n int) (queue.Claim, error)
		Append(max int, encode func(dst []byte) ([]byte, error)) error
		writer
	}
}

func (e ringEnd) write(rec []byte) error     { _, err := e.producer.Write(rec); return err }
func (e ringEnd) claim(n int) (claim, error) { return e.producer.TryClaim(n) }
func (e ringEnd) stats() queue.Stats         { return e.producer.Stats() }
func (e ringEnd) Close() error               { return e.producer.Close() }

type channelEnd struct {
	sender interface {
		Send(rec []byte) error
		TryClaim(n int) (channel.Claim, error)
		writer
	}
}

func (e channelEnd) write(rec []byte) error     { return e.sender.Send(rec) }
func (e channelEnd) claim(n int) (claim, error) { return e.sender.TryClaim(n) }
func (e channelEnd) stats() queue.Stats         { return e.sender.Stats() }
func (e channelEnd) Close() error               { return e.sender.Close() }

// outcome is what became of one record, as far as its producer knows. began
// and claimed are moments of the round's clock around the claim.
type outcome struct {
	committed      bool
	began, claimed int64
}

// headLen is the part of a record that says which it is; the rest follows from
// that.
const headLen = 4

func fill(b []byte, id, seq int) {
	binary.LittleEndian.PutUint32(b, uint32(id)<<24|uint32(seq))
	x := uint32(seq)*2654435761 + uint32(id)
	for i := headLen; i < len(b); i++ {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
}

// size is the length of a record: mostly short, now and then as long as fits.
func size(id, seq, largest int) int {
	h := uint32(seq*31+id+7) * 2654435761 >> 5
	limit := min(largest, 64)
	if h%8 == 0 {
		limit = largest
	}
	return headLen + int(h>>3)%(limit-headLen+1)
}

// producer writes records in each way there is and misbehaves.
type producer struct {
	id, count int
	end       end
	rng       *rand.Rand
	largest   int
	leaks     int           // how many more claims it may leak
	clock     *atomic.Int64 // see outcome
	zombies   chan func()   // claims that somebody else settles, later; nil: not allowed

	outcomes []outcome
	told     told // by its own calls
	fate     told // of the claims it gave to zombies, of their goroutine
	late     int  // such claims
	left     int
	buf      []byte
	err      error
}

// all is told and fate, once both goroutines are through.
func (p *producer) all() told {
	t := p.told
	t.add(p.fate)
	return t
}

// exact reports whether the end tells of each refusal. Send of a channel tries
// again.
func (p *producer) exact() bool { _, ok := p.end.(ringEnd); return ok }

// shared reports whether the end is a handle of a shared ring. What a lane's
// Append has claimed it aborts; a shared one's has claimed nothing.
func (p *producer) shared() bool {
	ring, ok := p.end.(ringEnd)
	if !ok {
		return false
	}
	_, ok = ring.producer.(*queue.SharedProducer)
	return ok
}

// run writes all records, in as many goroutines as it takes: some leave.
func (p *producer) run() {
	p.outcomes = make([]outcome, p.count)
	p.buf = make([]byte, p.largest)
	for seq, closed := 0, false; seq < p.count && !closed && p.err == nil; {
		done := make(chan bool)
		go func() {
			defer close(done)
			defer func() {
				if v := recover(); v != nil && v != errLeft {
					p.err = fmt.Errorf("producer %d: panic: %v", p.id, v)
				}
			}()
			for seq < p.count && !closed {
				now := seq
				seq++ // here, because one may not come back
				if err := p.record(now); errors.Is(err, queue.ErrFull) {
					p.told.offered++
					p.told.refused++
					seq = now
					p.rest()
				} else if err == errAgain {
					seq = now
				} else if errors.Is(err, queue.ErrClosed) || errors.Is(err, os.ErrClosed) {
					closed = true
				} else if err != nil && err != errLeft {
					p.err = fmt.Errorf("producer %d: %w", p.id, err)
					return
				}
			}
		}()
		<-done
	}
}

var (
	errLeft  = errors.New("left on purpose")
	errAgain = errors.New("given back on purpose")
)

// leave ends the goroutine, or unwinds it.
func (p *producer) leave() {
	p.left++
	if p.rng.IntN(2) == 0 {
		runtime.Goexit()
	}
	panic(errLeft)
}

// rest stops for a moment.
func (p *producer) rest() {
	if n := p.rng.IntN(40); n == 0 {
		time.Sleep(time.Duration(p.rng.IntN(300)) * time.Microsecond)
		return
	}
	runtime.Gosched()
}

func (p *producer) record(seq int) error {
	n := size(p.id, seq, p.largest)
	o := &p.outcomes[seq]
	o.began = p.clock.Add(1)
	how := p.rng.IntN(1000)
	switch ring, ok := p.end.(ringEnd); {
	case how < 300:
		fill(p.buf[:n], p.id, seq)
		if err := p.end.write(p.buf[:n]); err != nil {
			return err
		}
		o.claimed = p.clock.Add(1)
		o.committed = true
		p.told.offered++
		p.told.settled(true, n)
		return nil
	case how < 400 && ok:
		return p.append(ring, o, seq, n, how)
	}
	extra := 0
	if how%3 == 0 {
		extra = p.rng.IntN(min(p.largest-n, 50) + 1)
	}
	c, err := p.end.claim(n + extra)
	if err != nil {
		return err
	}
	o.claimed = p.clock.Add(1)
	p.told.offered++
	commit := func(t *told) {
		if extra > 0 {
			o.committed = c.CommitN(n)
		} else {
			o.committed = c.Commit()
		}
		t.settled(o.committed, n)
	}
	abort := func() {
		c.Abort()
		p.told.aborted++
	}
	switch {
	case how < 970:
		if how%2 == 0 {
			defer c.Abort() // the idiom; it does nothing behind a commit
		}
		if how%50 == 0 {
			p.rest()
		}
		fill(c.Bytes(), p.id, seq)
		commit(&p.told)
	case how < 980:
		fill(c.Bytes(), 99, 0)
		abort()
		return errAgain // as another claim
	case how < 988:
		defer abort()
		p.leave()
	case p.leaks == 0:
		abort()
	case how < 994:
		p.leaks--
		p.told.leaked++
		if how%2 == 0 {
			p.leave()
		}
	case p.zombies != nil:
		p.leaks--
		select {
		case p.zombies <- func() { fill(c.Bytes(), p.id, seq); commit(&p.fate) }:
			p.late++
		default:
			abort()
		}
	default:
		abort()
	}
	return nil
}

// append uses Append, whose encoder may fail, panic or leave.
func (p *producer) append(e ringEnd, o *outcome, seq, n, how int) error {
	left := func() { // the encoder, without a record
		if !p.shared() {
			p.told.offered++
			p.told.aborted++
		}
	}
	err := e.producer.Append(p.largest, func(dst []byte) ([]byte, error) {
		if how < 310 {
			left()
		}
		switch {
		case how < 305:
			p.leave()
		case how < 310:
			return nil, errLeft
		}
		dst = dst[:n]
		fill(dst, p.id, seq)
		return dst, nil
	})
	if err == nil {
		o.claimed = p.clock.Add(1)
		o.committed = true
		p.told.offered++
		p.told.settled(true, n)
	}
	return err
}
