package replay

import (
	"context"
	"time"
)

// waiter waits for points of time after its start.
type waiter struct {
	start time.Time
	timer *time.Timer
	fake  bool // time does not pass in a nap: a test's clock, such as that of testing/synctest
}

// late says how long ago due was; negative before it.
func (w *waiter) late(due time.Duration) time.Duration { return time.Since(w.start) - due }

// until waits until due: on a timer up to fine before it, then in naps.
func (w *waiter) until(ctx context.Context, due time.Duration) error {
	for {
		left := -w.late(due)
		switch {
		case left <= 0:
			return nil
		case left <= fine && !w.fake:
			nap(left)
			w.fake = -w.late(due) >= left
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			continue
		case !w.fake:
			left -= fine
		}
		if err := w.sleep(ctx, left); err != nil {
			return err
		}
	}
}

func (w *waiter) sleep(ctx context.Context, d time.Duration) error {
	if w.timer == nil {
		w.timer = time.NewTimer(d)
	} else {
		w.timer.Reset(d)
	}
	select {
	case <-w.timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (w *waiter) stop() {
	if w.timer != nil {
		w.timer.Stop()
	}
}
