package channel

import (
	"errors"
	"runtime"
	"time"

	"github.com/nexus-logbuf/logbuf/internal/step"
	"github.com/nexus-logbuf/logbuf/queue"
)

// Sender is the sending side of an SPSC channel, or one of the senders of a
// FanIn. It is for one goroutine at a time, claims included, and must be closed
// by it: only then does the receiver come to an end.
type Sender struct {
	waker
	ring   *queue.Producer
	closed bool
}

func newSender(p *queue.Producer, c *core) *Sender { return &Sender{waker: waker{c, p}, ring: p} }

// TrySend sends a copy of rec, or returns at once: queue.ErrFull if it does
// not fit now, queue.ErrTooLarge if it never will, ErrClosed if either side is
// closed. rec must not lie in a claim of the sender, see queue.Producer.WriteTyped.
func (s *Sender) TrySend(rec []byte) error {
	if s.core.finished.Load() {
		return ErrClosed
	}
	if _, err := s.ring.Write(rec); err != nil {
		return s.failed(err)
	}
	s.wake()
	return nil
}

// Send is TrySend that tries again for a few microseconds while the ring is
// full, and then returns queue.ErrFull.
func (s *Sender) Send(rec []byte) error {
	err := s.TrySend(rec)
	if err == queue.ErrFull {
		err = persist(func() error { return s.TrySend(rec) })
	}
	return err
}

// TryClaim reserves n bytes for a record of type 1, or returns at once; the
// errors are TrySend's.
func (s *Sender) TryClaim(n int) (Claim, error) { return s.TryClaimTyped(1, n) }

// TryClaimTyped reserves n bytes for a record of type typ, at least 1, which
// the receiver learns from Type and Drain.
func (s *Sender) TryClaimTyped(typ int32, n int) (Claim, error) {
	if s.core.finished.Load() {
		return Claim{}, ErrClosed
	}
	c, err := s.ring.TryClaimTyped(typ, n)
	if err != nil {
		return Claim{}, s.failed(err)
	}
	return Claim{claim: c, waker: &s.waker}, nil
}

// Claim is TryClaim that tries again for a few microseconds while the ring is
// full, and then returns queue.ErrFull.
func (s *Sender) Claim(n int) (c Claim, err error) {
	err = persist(func() error { c, err = s.TryClaim(n); return err })
	return c, err
}

// Notify wakes the receiver after claims that were settled with CommitQuiet.
func (s *Sender) Notify() { s.wake() }

// Stats is a snapshot of the counters of the sender's ring, or lane. Any
// goroutine may call it.
func (s *Sender) Stats() queue.Stats { return s.ring.Stats() }

// Close ends the sending side. The receiver gets what was committed, and then
// io.EOF; a claim that is still open is abandoned. A second Close returns
// ErrClosed.
func (s *Sender) Close() error {
	if s.closed {
		return ErrClosed
	}
	s.closed = true
	s.core.senders.Add(-1)
	s.ring.Close()
	s.wake()
	return nil
}

// failed gives a ring's error this package's name where it has one. A full
// ring may have got padding, which a sleeping receiver has to step over before
// there is room at the front.
func (w *waker) failed(err error) error {
	switch {
	case errors.Is(err, queue.ErrFull):
		w.wake()
	case errors.Is(err, queue.ErrClosed):
		return ErrClosed
	}
	return err
}

const (
	sendSpins  = 32
	sendYields = 4
)

// persist calls try until it succeeds, fails otherwise than with ErrFull, or
// has had its share of attempts.
func persist(try func() error) error {
	err := try()
	if err != queue.ErrFull {
		return err
	}
	if !step.Exploring && runtime.GOMAXPROCS(0) > 1 {
		for i := 0; err == queue.ErrFull && i < sendSpins; i++ {
			pause()
			err = try()
		}
	}
	for i := 0; err == queue.ErrFull && i < sendYields; i++ {
		step.Yield()
		err = try()
	}
	return err
}

// pauseTime is about what a pause takes.
const pauseTime = 5 * time.Nanosecond

// pause passes some five to ten nanoseconds without touching shared memory.
//
//go:noinline
func pause() {
	for range 16 {
	}
}
