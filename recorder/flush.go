package recorder

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// WaitDurable is Producer.WaitDurable for all producers of the recorder at
// once, closed ones included: it waits until everything that was committed
// before the call is durable. Any goroutine may call it, also after Close.
//
// The error wraps the context's error when the records may still become
// durable, and is a *NotWrittenError, or the journal's error, when they will
// not. Losses that no record has followed yet are not waited for: they are in
// the archive 100 ms after they happened, or after Close.
func (r *Recorder) WaitDurable(ctx context.Context) error {
	lanes := slices.Collect(r.lanes.Load().all())
	targets := make([]uint64, len(lanes))
	for i, l := range lanes {
		targets[i] = l.position()
		l.drained.waiters.Add(1) // all of them, so that stalled claims take their time together
		defer l.drained.waiters.Add(-1)
	}
	r.parker.Rouse()
	for i, l := range lanes {
		switch err := l.drained.wait(ctx, targets[i], r.done); err {
		case nil:
		case errStopped:
			return &NotWrittenError{Streams: r.givenUp(), Err: r.stopped()}
		default:
			return fmt.Errorf("recorder: stream %q: waiting until durable: %w", l.stream.name, err)
		}
	}
	if lost := r.givenUp(); len(lost) > 0 {
		return &NotWrittenError{Streams: lost, Err: r.stopped()}
	}
	end := r.journal.NextSeq()
	if end == 0 {
		return nil
	}
	if err := r.journal.WaitDurable(ctx, end-1); err != nil {
		return fmt.Errorf("recorder: waiting until durable: %w", err)
	}
	return nil
}

// stopped is why records that were committed are not written: the failure, why
// Close had no time, or that the recorder is closed.
func (r *Recorder) stopped() error {
	if cause := r.abort.Load(); cause != nil && r.failure.Load() == nil {
		return *cause
	}
	return r.refusal()
}

// givenUp is the records that were committed and will never be written, by
// stream.
func (r *Recorder) givenUp() (losses []StreamLoss) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, st := range r.streams {
		if n := st.count.unwritten.Load(); n > 0 {
			losses = append(losses, StreamLoss{Name: st.name, Records: n, Bytes: st.count.unwrittenBytes.Load()})
		}
	}
	return losses
}

// CloseOnPanic closes the recorder when the goroutine panics, within timeout
// and the second more that Close may take, and lets the panic go on, with its
// value and the stack where it began. It is to be deferred directly, first
// thing in a goroutine whose panics nobody recovers:
//
//	go func() {
//		defer rec.CloseOnPanic(time.Second)
//		...
//	}()
//
// Such a panic ends the program without running what other goroutines, main
// included, have deferred; what is in the lanes would go with it. Without a
// panic CloseOnPanic does nothing. A goroutine whose panics are recovered
// further up does not need it: the program, and the recorder, go on.
//
// What Close returns is not told: a library does not log, and the panic's value
// is the program's. Recorder.Stats has it until then, and the archive after.
func (r *Recorder) CloseOnPanic(timeout time.Duration) {
	v := recover()
	if v == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	_ = r.Close(ctx)
	panic(v)
}
