package channel

import (
	"context"
	"io"
	"iter"
	"os"
	"runtime"
	"time"

	"github.com/nexus-logbuf/logbuf/internal/step"
	"github.com/nexus-logbuf/logbuf/queue"
)

// Receiver is the receiving side of a channel. It is for one goroutine at a
// time; only Stats may be called from anywhere. A record, or a span, is valid
// until the next call of a method that receives or gives back.
//
// A context that is done ends a receiving call before it looks for a record,
// so that a busy channel does not keep a cancelled loop alive; the record
// stays in the ring.
type Receiver struct {
	core   *core
	timer  *time.Timer
	procs  int // GOMAXPROCS, which takes a lock to ask, as of the last sleep
	closed bool
	calls  uint // that received from several levels, see overlooked

	run      time.Duration // records received since the last stepBack
	caughtUp bool          // the call that received last has found the end of what was there

	beforeArm func() // for tests: runs where a wake-up is lost if nobody looks again
}

// Recv returns the next record, waiting for it if need be. When the senders
// are closed and everything is received, the error is io.EOF; it is ctx's
// error when ctx is done, and ErrClosed on a closed receiver.
func (r *Receiver) Recv(ctx context.Context) ([]byte, error) {
	if err := r.check(ctx); err != nil {
		return nil, err
	}
	r.overlooked()
	if rec, ok := r.core.ring.Next(); ok {
		r.run++
		return rec, nil
	}
	return r.recv(ctx, time.Time{})
}

// RecvTimeout is Recv with a limit of d on the wait; then the error is
// os.ErrDeadlineExceeded. With d ≤ 0 it does not wait.
func (r *Receiver) RecvTimeout(d time.Duration) ([]byte, error) {
	if rec, ok := r.tryRecv(); ok {
		return rec, nil
	}
	if d <= 0 {
		switch {
		case r.closed:
			return nil, ErrClosed
		case r.core.ring.Drained():
			return nil, io.EOF
		}
		return nil, os.ErrDeadlineExceeded
	}
	if r.closed {
		return nil, ErrClosed
	}
	return r.recv(context.Background(), time.Now().Add(d))
}

// recv waits for a record and returns it.
func (r *Receiver) recv(ctx context.Context, deadline time.Time) ([]byte, error) {
	r.caughtUp = true
	for {
		if err := r.await(ctx, deadline); err != nil {
			return nil, err
		}
		if rec, ok := r.core.ring.Next(); ok {
			r.run++
			return rec, nil
		}
	}
}

// TryRecv returns the next record if there is one.
func (r *Receiver) TryRecv() (rec []byte, ok bool) {
	if rec, ok = r.tryRecv(); !ok {
		r.took(0)
	}
	return rec, ok
}

func (r *Receiver) tryRecv() (rec []byte, ok bool) {
	if r.closed {
		return nil, false
	}
	r.overlooked()
	if rec, ok = r.core.ring.Next(); !ok && r.core.pass() {
		rec, ok = r.core.ring.Next()
	}
	if ok {
		r.run++
	}
	return rec, ok
}

// overlooked passes a stalled claim of one level while there is always something
// in another. It asks now and then.
func (r *Receiver) overlooked() {
	if !r.core.levels {
		return
	}
	if r.calls++; r.calls%queue.UrgentRun == 0 {
		r.core.pass()
	}
}

// Wait returns nil as soon as there is something to receive or drain. Its
// errors are Recv's. What was received before stays valid, and so its space
// stays taken: before a Wait for a record that may not fit beside the last one,
// call Release (Drain does).
func (r *Receiver) Wait(ctx context.Context) error {
	if err := r.check(ctx); err != nil {
		return err
	}
	return r.await(ctx, time.Time{})
}

// Drain calls fn for each of the records that are there, at most limit, and
// returns how many there were. It does not wait. See queue.Consumer.Drain.
func (r *Receiver) Drain(limit int, fn func(typ int32, rec []byte)) int {
	if r.closed {
		return 0
	}
	r.overlooked()
	n := r.core.ring.Drain(limit, fn)
	if n == 0 && r.core.pass() {
		n = r.core.ring.Drain(limit, fn)
	}
	r.took(n)
	r.caughtUp = n < limit
	return n
}

// Peek returns the records that are there as they lie in the ring, without
// copying and without waiting. See queue.Consumer.Peek.
func (r *Receiver) Peek(maxBytes int) queue.Span {
	if r.closed {
		return queue.Span{}
	}
	r.overlooked()
	s := r.core.ring.Peek(maxBytes)
	if s.Records() == 0 && r.core.pass() {
		s = r.core.ring.Peek(maxBytes)
	}
	r.took(s.Records())
	r.caughtUp = len(s.Frames()) < maxBytes/2 // or another record would have fitted, or the end of the buffer has come
	return s
}

// ReleaseTo gives the space before pos, the End of a span, back to the
// senders. See queue.Consumer.ReleaseTo.
func (r *Receiver) ReleaseTo(pos uint64) { r.core.ring.ReleaseTo(pos) }

// Type is the type of the record received last.
func (r *Receiver) Type() int32 { return r.core.ring.Type() }

// Release gives everything received so far back to the senders at once.
func (r *Receiver) Release() { r.core.ring.Release() }

// Records is the records to come, for a range loop. It ends when the senders
// are closed and everything is received, when ctx is done, or when the
// receiver is closed. Each record is valid for its turn of the loop.
func (r *Receiver) Records(ctx context.Context) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for {
			rec, err := r.Recv(ctx)
			if err != nil || !yield(rec) {
				return
			}
		}
	}
}

// Close ends the receiving side: senders get ErrClosed from now on. Records
// that were not received are gone. A second Close returns ErrClosed.
func (r *Receiver) Close() error {
	if r.closed {
		return ErrClosed
	}
	r.closed = true
	r.core.finished.Store(true)
	return nil
}

// Stats is a snapshot of the ring's counters. Any goroutine may call it.
func (r *Receiver) Stats() queue.Stats { return r.core.ring.Stats() }

// check is what every receiving call asks first.
func (r *Receiver) check(ctx context.Context) error {
	if r.closed {
		return ErrClosed
	}
	return ctx.Err() // cheaper than a look into Done
}

const (
	waitSpins  = 64 // looks before the receiver only yields, then sleeps
	waitYields = 16
	turn       = 24 // every so many of the looks it yields; a sender may have to run on the same processor
	minSleep   = time.Microsecond
	maxSleep   = time.Millisecond

	defaultLinger   = 10 * time.Microsecond
	maxLinger       = time.Millisecond
	lingerPerRecord = 20 * time.Nanosecond
	minDoze         = 50 * time.Microsecond // a shorter sleep takes about that long, too
)

// await returns nil when a record is ready, io.EOF at the end, and otherwise
// what ended the wait: ctx's error, or os.ErrDeadlineExceeded for a deadline
// that is not zero.
func (r *Receiver) await(ctx context.Context, deadline time.Time) error {
	spins, yields := int64(waitSpins), int64(waitYields)
	if step.Exploring {
		spins, yields = 0, 0
	}
	if r.procs == 1 {
		spins = 0 // a spinner would keep the senders from running
	}
	if r.caughtUp && !r.core.ring.Drained() {
		r.stepBack(deadline) // without a look: there may be one more record already, which is not worth it
	}
	for i := int64(0); ; i++ { // an int overflows on 32 bits within a minute of Spin, and below spins nobody asks done
		if over, err := r.look(); over {
			return err
		}
		if i == 0 {
			r.core.pass() // the wait may be too short for park
			r.stepBack(deadline)
		}
		switch {
		case i < spins && (i+1)%turn != 0:
			pause()
			continue
		case i < spins+yields:
			step.Yield()
		case r.core.strategy == Spin:
			pause()
			if i%waitSpins == 0 || spins == 0 {
				r.core.again()
				step.Yield()
			}
		case r.core.strategy == Park && r.core.senders.Load() > 0:
			r.procs = runtime.GOMAXPROCS(0)
			if over, err := r.park(ctx.Done(), deadline); over {
				return err
			}
		default:
			// Backoff; or the last sender is gone while a claim of its is
			// between two steps, and nobody will wake us.
			r.core.again()
			nap := min(maxSleep, minSleep<<min(i-spins-yields, 10))
			if !deadline.IsZero() {
				nap = min(nap, time.Until(deadline))
			}
			step.Sleep(nap)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if !deadline.IsZero() && !time.Now().Before(deadline) {
			// A record that came in the meantime is still taken.
			if over, err := r.look(); over {
				return err
			}
			return os.ErrDeadlineExceeded
		}
	}
}

// took counts n records of the run. A caller who polls and finds nothing ends it.
func (r *Receiver) took(n int) {
	if r.run += time.Duration(n); n == 0 {
		r.run = 0
	}
}

// stepBack leaves the ring alone for a while after several records in a row; see
// Options.Linger. The sender has time for more records than in the last run, and
// so the pauses grow to their bound within a few runs. After a lone record there
// is none.
func (r *Receiver) stepBack(deadline time.Time) {
	d := min((r.run-1)*lingerPerRecord, r.core.linger)
	r.run, r.caughtUp = 0, false
	if d > 0 && !deadline.IsZero() {
		d = min(d, time.Until(deadline))
	}
	switch {
	case d >= minDoze:
		step.Sleep(d)
	case r.procs > 1:
		for n := d / pauseTime; n > 0; n-- {
			pause()
		}
	}
}

// park sleeps until a sender wakes it, done is closed, the deadline has passed,
// or it is time to look again by itself. It reports whether the wait was over
// before it slept.
func (r *Receiver) park(done <-chan struct{}, deadline time.Time) (over bool, err error) {
	if r.beforeArm != nil {
		r.beforeArm()
	}
	r.core.parker.Arm()
	over, err = r.look()
	nap, now := r.core.again()
	if over || now || r.core.senders.Load() == 0 { // each may have come true since it was asked last
		r.core.parker.Disarm()
		return over, err
	}
	if !deadline.IsZero() {
		if left := max(time.Until(deadline), 1); nap == 0 || left < nap {
			nap = left
		}
	}
	var alarm <-chan time.Time
	if nap > 0 {
		r.timer.Reset(nap)
		defer r.timer.Stop()
		alarm = r.timer.C
	}
	r.core.parker.Park(done, alarm)
	return false, nil
}

// look reports whether the wait is over: a record is ready, or none will come.
func (r *Receiver) look() (over bool, err error) {
	switch {
	case r.core.ring.Ready():
		return true, nil
	case r.core.ring.Drained():
		return true, io.EOF
	}
	return false, nil
}
