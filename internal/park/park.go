// Package park puts one goroutine to sleep until any of several others has
// work for it, without a lost wake-up and without a cost to those others while
// it is awake.
//
// The sleeper owns the right to sleep; a waker takes it over at most once per
// sleep. The protocol is Dekker's, with a flag and a channel that holds one
// token:
//
//	sleeper                                waker
//	Arm: state = armed                     make work visible
//	look for work once more                Wake: state == armed, and it makes it idle?
//	  some: Disarm                           → send the token
//	  none: Park: wait for the token
//
// All four accesses are sequentially consistent, so at least one side sees the
// other: either the sleeper's second look finds the work, or the waker finds
// the sleeper armed. Without the second look a waker that came between the
// first look and Arm is lost; with a plain store of the work, or of the flag,
// both sides can miss each other. A work item must therefore be published with
// a sync/atomic store or stronger before Wake.
//
// Exactly one token is sent for each sleep that a waker has ended, and the
// sleeper always takes it, so the channel is empty when a token is sent and
// sending never blocks.
package park

import (
	"time"

	"github.com/nexus-logbuf/logbuf/internal/step"
)

const (
	idle uint32 = iota
	armed
)

// lineSize keeps the flag, which wakers read for every item, away from words
// that others write.
const lineSize = 128

// Parker is the meeting point. It must be made by New and not be copied.
type Parker struct {
	_     [lineSize]byte
	state step.Uint32
	_     [lineSize]byte
	token step.Token
}

// New makes a Parker whose sleeper is awake.
func New() *Parker { return &Parker{token: step.NewToken()} }

// Arm announces that the sleeper is about to sleep. It must look for work once
// more and then call Park or Disarm. For the sleeper only.
func (p *Parker) Arm() { p.state.Store(armed) }

// Disarm takes Arm back. For the sleeper only.
func (p *Parker) Disarm() {
	if !p.state.CompareAndSwap(armed, idle) {
		p.token.Receive() // a waker won; its token is here or on its way
	}
}

// Park sleeps until Wake, or until done or alarm can be received from; a nil
// channel never can. It reports whether alarm ended the sleep. Either way the
// caller looks for work again. For the sleeper only, after Arm.
func (p *Parker) Park(done <-chan struct{}, alarm <-chan time.Time) (alarmed bool) {
	cause := p.token.Wait(done, alarm)
	if cause != step.Received {
		p.Disarm()
	}
	return cause == step.Alarm
}

// Wake wakes the sleeper if it is armed. While it is not, the cost is one load
// of a word that nobody writes. Any goroutine may call it, after it has made
// its work visible.
func (p *Parker) Wake() {
	if p.state.Load() == armed {
		p.wake()
	}
}

func (p *Parker) wake() {
	if p.state.CompareAndSwap(armed, idle) {
		p.token.Send()
	}
}
