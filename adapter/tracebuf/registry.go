package tracebuf

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nexus-logbuf/logbuf/queue"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// registry writes definitions, all of them again and again. Any goroutine may
// call it.
//
// Definitions are offered and never waited for: what a full lane does not take
// stays pending until a later call finds room.
type registry struct {
	p    *recorder.Producer // OverloadFail
	wake chan struct{}      // something is pending

	mu   sync.Mutex
	defs [][]byte
	ids  map[uint32]string // the definition that has a hash
	next int               // the first of defs that was not yet taken in this round
	err  error             // why nothing is taken any more
}

// retryAfter is how long a definition that found the lane full waits.
const retryAfter = 5 * time.Millisecond

func newRegistry(p *recorder.Producer) *registry {
	return &registry{p: p, wake: make(chan struct{}, 1), ids: make(map[uint32]string)}
}

// add defines something and offers the definition. A hash of 0 is not looked at.
// The same definition may be added again.
func (r *registry) add(def []byte, hash uint32, name string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if hash != 0 {
		known, ok := r.ids[hash]
		switch {
		case ok && known == string(def):
			return nil
		case ok:
			return fmt.Errorf("the definition has the same 32-bit hash as another one: give it another name")
		}
		r.ids[hash] = string(def)
	}
	if len(def) > r.p.MaxRecord() {
		return fmt.Errorf("definition of %q has %d bytes, the archive takes records of %d", name, len(def), r.p.MaxRecord())
	}
	r.defs = append(r.defs, def)
	r.flush()
	return r.err
}

// flush offers what has not been taken in this round. The caller holds mu.
func (r *registry) flush() {
	for r.next < len(r.defs) && r.err == nil {
		err := r.p.WriteAt(time.Now().UnixNano(), KindDefine, 0, r.defs[r.next])
		switch {
		case err == nil:
			r.next++
		case errors.Is(err, queue.ErrFull):
			select {
			case r.wake <- struct{}{}:
			default:
			}
			return
		default:
			r.err = err
		}
	}
}

// again begins a new round, in which every definition is offered once more,
// unless one goes on. It reports whether it did.
func (r *registry) again() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next < len(r.defs) {
		return false
	}
	r.next = 0
	r.flush()
	return true
}

// retry goes on with a round. It reports whether more is to do.
func (r *registry) retry() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flush()
	return r.next < len(r.defs) && r.err == nil
}

// rounds is how many rounds follow what was written: the archiver may come to
// the first one before it comes to what was written just before.
const rounds = 2

// run writes definitions until stop is closed: those that wait, and in every
// interval all of them if something else was written. used says so. look is
// called in every interval, too.
func (r *registry) run(stop <-chan struct{}, interval time.Duration, used *atomic.Bool, look func()) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	retry := time.NewTimer(time.Hour)
	defer retry.Stop()
	due := 0
	for {
		select {
		case <-stop:
			return
		case <-r.wake:
			retry.Reset(retryAfter)
		case <-retry.C:
			if r.retry() {
				retry.Reset(retryAfter)
			}
		case <-tick.C:
			look()
			if used.Swap(false) {
				due = rounds
			}
			if due > 0 && r.again() {
				due--
			}
		}
	}
}

// finish waits until the round that goes on is taken.
func (r *registry) finish(ctx context.Context) error {
	for r.retry() {
		select {
		case <-ctx.Done():
			r.mu.Lock()
			defer r.mu.Unlock()
			return fmt.Errorf("tracebuf: %d of %d definitions are not in the archive: %w", len(r.defs)-r.next, len(r.defs), ctx.Err())
		case <-time.After(time.Millisecond):
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}
