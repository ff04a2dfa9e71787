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
}

// core is what the two sides share.
type core struct {
	// Nobody writes these after construction.
	ring     *queue.Consumer
	parker   *park.Parker
	strategy Strategy

	// senders counts open handles. It falls to zero once, before the ring is
	// closed, and never rises again. finished is set by the receiver's Close.
	senders  step.Int64
	finished step.Bool
}

func newCore(ring *queue.Consumer, opts *Options) (*core, error) {
	c := &core{ring: ring, parker: park.New()}
	if opts != nil {
		c.strategy = opts.Wait
	}
	if c.strategy > Spin {
		return nil, fmt.Errorf("channel: unknown wait strategy %d", c.strategy)
	}
	c.senders.Store(1)
	return c, nil
}

// wake ends the receiver's sleep after something became visible to it.
func (c *core) wake() {
	if c.strategy == Park {
		c.parker.Wake()
	}
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
	return &Sender{ring: p, core: c}, newReceiver(c), nil
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
	return &SharedSender{ring: p, core: c}, newReceiver(c), nil
}

func newReceiver(c *core) *Receiver {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return &Receiver{core: c, timer: t, procs: runtime.GOMAXPROCS(0)}
}
