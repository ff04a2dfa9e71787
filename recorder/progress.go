package recorder

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
)

var errStopped = errors.New("recorder: stopped")

// progress is a position that one goroutine publishes and others wait for. It
// costs the publisher one load more when nobody waits.
//
// No wake-up is lost: a waiter counts itself in before it looks at the
// position, the publisher moves the position before it looks at the count, and
// all four are sequentially consistent, so one of them sees the other.
type progress struct {
	pos     atomic.Uint64
	waiters atomic.Int32
	mu      sync.Mutex
	moved   chan struct{} // closed when pos has moved; nil when nobody asked
}

func (g *progress) publish(pos uint64) {
	g.pos.Store(pos)
	if g.waiters.Load() == 0 {
		return
	}
	g.mu.Lock()
	if g.moved != nil {
		close(g.moved)
		g.moved = nil
	}
	g.mu.Unlock()
}

func (g *progress) passed(pos uint64) bool { return int64(g.pos.Load()-pos) >= 0 }

// wait returns nil when the position has passed pos, the context's error, or
// errStopped when done is closed and pos was not passed before.
func (g *progress) wait(ctx context.Context, pos uint64, done <-chan struct{}) error {
	if g.passed(pos) {
		return nil
	}
	g.waiters.Add(1)
	defer g.waiters.Add(-1)
	for {
		moved := g.next()
		if g.passed(pos) {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		case <-done:
			if g.passed(pos) {
				return nil
			}
			return errStopped
		}
	}
}

func (g *progress) next() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.moved == nil {
		g.moved = make(chan struct{})
	}
	return g.moved
}
