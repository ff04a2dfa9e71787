package channel

import (
	"github.com/nexus-logbuf/logbuf/internal/step"
	"github.com/nexus-logbuf/logbuf/queue"
)

// SharedSender is a handle on the sending side of an MPSC channel. Any
// goroutine may use it at any time. Each handle is closed once, by its owner;
// the receiver comes to its end when all are.
type SharedSender struct {
	waker
	ring    *queue.SharedProducer
	handles *step.Int64 // open ones on this ring; once zero, for ever
	closed  step.Bool
}

func newShared(ring *queue.SharedProducer, c *core) *SharedSender {
	s := &SharedSender{ring: ring, waker: waker{core: c}, handles: new(step.Int64)}
	s.handles.Store(1)
	return s
}

// Clone gives another handle, with a Close and with Stats of its own. The clone
// of a closed handle is closed.
func (s *SharedSender) Clone() *SharedSender {
	clone := &SharedSender{ring: s.ring.Clone(), waker: waker{core: s.core}, handles: s.handles}
	if s.closed.Load() || !addUnlessZero(s.handles) {
		clone.closed.Store(true)
	}
	return clone
}

// addUnlessZero counts one more, unless the last one is gone.
func addUnlessZero(count *step.Int64) bool {
	for {
		n := count.Load()
		if n == 0 {
			return false
		}
		if count.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// TrySend sends a copy of rec, or returns at once: queue.ErrFull if it does
// not fit now, queue.ErrTooLarge if it never will, ErrClosed if this handle or
// the receiver is closed. A nil error means that the record is committed.
func (s *SharedSender) TrySend(rec []byte) error {
	if s.done() {
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
func (s *SharedSender) Send(rec []byte) error {
	err := s.TrySend(rec)
	if err == queue.ErrFull {
		err = persist(func() error { return s.TrySend(rec) })
	}
	return err
}

// TryClaim reserves n bytes for a record of type 1, or returns at once; the
// errors are TrySend's. Records claimed later, by anyone, are not received
// until this claim is settled.
func (s *SharedSender) TryClaim(n int) (Claim, error) { return s.TryClaimTyped(1, n) }

// TryClaimTyped reserves n bytes for a record of type typ, at least 1, which
// the receiver learns from Type and Drain.
func (s *SharedSender) TryClaimTyped(typ int32, n int) (Claim, error) {
	if s.done() {
		return Claim{}, ErrClosed
	}
	c, err := s.ring.TryClaimTyped(typ, n)
	if err != nil {
		return Claim{}, s.failed(err)
	}
	// A receiver that has woken up for the Close of the last handle may have
	// looked before the claim had its mark. With other levels open nobody else
	// would wake it, should this claim leak.
	if s.core.levels && s.handles.Load() == 0 {
		s.wake()
	}
	return Claim{claim: c, waker: &s.waker}, nil
}

// Claim is TryClaim that tries again for a few microseconds while the ring is
// full, and then returns queue.ErrFull.
func (s *SharedSender) Claim(n int) (c Claim, err error) {
	err = persist(func() error { c, err = s.TryClaim(n); return err })
	return c, err
}

// Notify wakes the receiver after claims that were settled with CommitQuiet.
func (s *SharedSender) Notify() { s.wake() }

// Stats is a snapshot of the handle's counters: of a clone what it has sent, of
// the handle that NewMPSC or NewPriority returned those of the ring, clones
// included; see queue.SharedProducer.Stats. Any goroutine may call it.
func (s *SharedSender) Stats() queue.Stats { return s.ring.Stats() }

// Close ends this handle. With the last one the sending side ends: the
// receiver gets what was committed, and then io.EOF; claims that are still
// open are abandoned. A second Close returns ErrClosed.
func (s *SharedSender) Close() error {
	if !s.closed.CompareAndSwap(false, true) {
		return ErrClosed
	}
	if s.handles.Add(-1) == 0 {
		s.core.senders.Add(-1)
		s.ring.Close()
		s.wake()
	}
	return nil
}

func (s *SharedSender) done() bool { return s.closed.Load() || s.core.finished.Load() }
