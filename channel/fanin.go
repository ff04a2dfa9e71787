package channel

import (
	"time"

	"github.com/nexus-logbuf/logbuf/internal/step"
	"github.com/nexus-logbuf/logbuf/queue"
)

// FanIn is a channel with a lane for each sender: senders never contend, and
// one that stalls holds up only itself. See queue.FanIn. Any goroutine may use
// it at any time.
type FanIn struct {
	waker
	ring   *queue.FanIn
	closed step.Bool
}

// NewFanIn makes a channel without senders whose receiver goes round their
// lanes. laneCapacity is as for queue.NewFanIn, which says how fair the round
// is.
func NewFanIn(laneCapacity int, opts *Options) (*FanIn, *Receiver, error) {
	ring, err := queue.NewFanIn(laneCapacity)
	return newFanIn(ring, err, opts)
}

// NewFanInByTime makes a channel without senders whose receiver takes the
// records in the order of the timestamps that their payloads begin with,
// waiting up to grace for one that belongs before those it has. See
// queue.NewFanInByTime. With Backoff it may be 1 ms more.
func NewFanInByTime(laneCapacity int, grace time.Duration, opts *Options) (*FanIn, *Receiver, error) {
	ring, err := queue.NewFanInByTime(laneCapacity, grace)
	return newFanIn(ring, err, opts)
}

func newFanIn(ring *queue.FanIn, err error, opts *Options) (*FanIn, *Receiver, error) {
	if err != nil {
		return nil, nil, err
	}
	c, err := newCore(ring, opts)
	if err != nil {
		return nil, nil, err
	}
	return &FanIn{waker: waker{core: c}, ring: ring}, newReceiver(c), nil
}

// NewSender adds a lane and returns its sender, or ErrClosed.
func (f *FanIn) NewSender() (*Sender, error) {
	if f.core.finished.Load() || !addUnlessZero(&f.core.senders) {
		return nil, ErrClosed
	}
	p, err := f.ring.NewProducer()
	if err != nil {
		f.core.senders.Add(-1)
		f.wake()
		return nil, f.failed(err)
	}
	return newSender(p, f.core), nil
}

// Close ends the adding of senders. The receiver comes to its end when all of
// them are closed, too. A second Close returns ErrClosed.
func (f *FanIn) Close() error {
	if !f.closed.CompareAndSwap(false, true) {
		return ErrClosed
	}
	f.core.senders.Add(-1)
	f.ring.Close()
	f.wake()
	return nil
}

// Late reports whether the record received last came behind one with a greater
// timestamp; see queue.FanIn.Late. It is false with channels that do not merge
// by timestamp.
func (r *Receiver) Late() bool {
	f, ok := r.core.ring.(*queue.FanIn)
	return ok && f.Late()
}
