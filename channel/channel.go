package channel

import (
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/nexus-logbuf/logbuf/internal/park"
	"github.com/nexus-logbuf/logbuf/internal/step"
	"github.com/nexus-logbuf/logbuf/queue"
)

// ErrClosed says that the handle, or the other side, is closed. It wraps
// os.ErrClosed. queue.ErrFull and queue.ErrTooLarge are returned as they are.
var ErrClosed error = closedError{}

type closedError struct{}

func (closedError) Error() string { return "channel: closed" }
func (closedError) Unwrap() error { return os.ErrClosed }

// Strategy is what a receiver does while there is nothing to receive.
type Strategy uint8

const (
	// Park spins and yields for a few microseconds, then sleeps until a
	// sender wakes it. An idle receiver costs no CPU; the record that ends
	// the sleep costs its sender a wake-up.
	Park Strategy = iota

	// Backoff spins and yields, then sleeps by itself, from 1 µs doubling to
	// 1 ms. Senders never touch the receiver; a record may wait for up to
	// 1 ms, plus what the operating system adds.
	Backoff

	// Spin keeps polling. It takes a core of its own for the shortest
	// latency, and yields to other goroutines on the way.
	Spin
)

// Options is what may be chosen about a channel. nil and the zero value mean
// the defaults.
type Options struct {
	// Wait is how the receiver waits; the default is Park.
	Wait Strategy

	// StallLimit is how long a claim of an MPSC channel may hold up the
	// records behind it, from when the receiver first has nothing else to
	// receive. The receiver then goes on without it, and its Commit returns
	// false. The default is 10 s; negative means for ever.
	StallLimit time.Duration

	// Linger bounds for how long a receiver that has taken everything leaves
	// the ring alone before it looks again, so as to find several records at
	// once: who polls the cache line that a sender writes next takes it away
	// from it each time, and what lies in that core's first cache is slow to
	// come. It does so only after several records in a row, and for some 20 ns
	// for each of them: a record behind many may be received by so much later
	// than it could be, a lone one is not. The default is 10 µs, some 1000
	// records of a busy sender, which hides nearly all that it costs to meet it;
	// negative means not at all; at most 1 ms. Below 50 µs the receiver spins
	// meanwhile, from there on it sleeps.
	Linger time.Duration
}

const defaultStallLimit = 10 * time.Second

// source is what a receiver reads: a ring, or several.
type source interface {
	Next() (rec []byte, ok bool)
	Ready() bool
	Drained() bool
	Drain(limit int, fn func(typ int32, rec []byte)) int
	Peek(maxBytes int) queue.Span
	ReleaseTo(pos uint64)
	Release()
	Type() int32
	Stats() queue.Stats
}

// core is what the two sides share.
type core struct {
	// Nobody writes these after construction.
	ring     source
	parker   *park.Parker
	strategy Strategy
	linger   time.Duration
	levels   bool // several, of which one may be held up while another is not

	// again is asked when nothing is ready. It says after what time to look
	// again though no sender calls, 0 for never, or to look now.
	again func() (after time.Duration, now bool)

	// pass is for those who poll: it passes a claim that has held up others for
	// too long, and reports whether there may be something now.
	pass func() bool

	// senders counts the rings, or lanes, that somebody may still send to. It
	// falls to zero once, before the last of them is closed, and never rises
	// again. finished is set by the receiver's Close.
	senders  step.Int64
	finished step.Bool
}

func newCore(ring source, opts *Options) (*core, error) {
	c := &core{ring: ring, parker: park.New(), linger: defaultLinger, again: never, pass: func() bool { return false }}
	limit := time.Duration(defaultStallLimit)
	if opts != nil {
		c.strategy = opts.Wait
		if opts.Linger != 0 {
			c.linger = opts.Linger
		}
		if opts.StallLimit != 0 {
			limit = opts.StallLimit
		}
	}
	switch ring := ring.(type) {
	case stalling:
		if limit > 0 {
			c.again = func() (time.Duration, bool) { return passStalled(ring, limit) }
			c.pass = func() bool { return ring.PassStalled(limit) }
		}
	case *queue.FanIn:
		c.again = func() (time.Duration, bool) { return held(ring) }
	}
	if c.strategy > Spin {
		return nil, fmt.Errorf("channel: unknown wait strategy %d", c.strategy)
	}
	if c.linger > maxLinger {
		return nil, fmt.Errorf("channel: Linger of %v: must be at most %v", c.linger, maxLinger)
	}
	c.senders.Store(1)
	return c, nil
}

func never() (time.Duration, bool) { return 0, false }

// stalling is a source with claims that can hold it up.
type stalling interface {
	Stalled() (queue.Stall, bool)
	PassStalled(limit time.Duration) bool
}

// held says when a record that a merge by timestamp holds back may go.
func held(ring *queue.FanIn) (after time.Duration, now bool) {
	after, ok := ring.Due()
	return after, ok && after == 0
}

// passStalled gets past a claim that is older than limit, or says when it will
// be. A claim that cannot be passed is tried again each limit.
func passStalled(ring stalling, limit time.Duration) (after time.Duration, now bool) {
	s, ok := ring.Stalled()
	switch {
	case !ok:
		return 0, false
	case s.Age < limit:
		return limit - s.Age, false
	}
	return limit, ring.PassStalled(limit)
}

// waker is what a sender's calls do behind a commit. The commit must be visible
// before they look whether the receiver sleeps; those of shared rings are
// fences themselves.
type waker struct {
	core *core
	lane *queue.Producer // nil: a shared ring
}

// wake ends the receiver's sleep after something became visible to it.
func (w *waker) wake() {
	if w.core.strategy != Park {
		return
	}
	if w.lane != nil {
		w.lane.Fence()
	}
	w.core.parker.Wake()
}

// NewSPSC makes a channel for one sending and one receiving goroutine. The
// capacity, in bytes, and the largest payload are those of queue.NewSPSC.
func NewSPSC(capacity int, opts *Options) (*Sender, *Receiver, error) {
	p, ring, err := queue.NewSPSC(capacity)
	if err != nil {
		return nil, nil, err
	}
	c, err := newCore(ring, opts)
	if err != nil {
		return nil, nil, err
	}
	return newSender(p, c), newReceiver(c), nil
}

// NewMPSC makes a channel for any number of sending goroutines and one
// receiving one. The capacity, in bytes, and the largest payload are those of
// queue.NewMPSC.
func NewMPSC(capacity int, opts *Options) (*SharedSender, *Receiver, error) {
	p, ring, err := queue.NewMPSC(capacity)
	if err != nil {
		return nil, nil, err
	}
	c, err := newCore(ring, opts)
	if err != nil {
		return nil, nil, err
	}
	return newShared(p, c), newReceiver(c), nil
}

func newReceiver(c *core) *Receiver {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return &Receiver{core: c, timer: t, procs: runtime.GOMAXPROCS(0)}
}
