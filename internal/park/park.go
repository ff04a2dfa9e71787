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
//
// # Dozing
//
// There are two kinds of sleep and two kinds of waker. A sleeper that will look
// by itself soon, because it parks with an alarm, calls Doze instead of Arm:
//
//	        ends the sleep of Arm   ends that of Doze
//	Wake    yes                     no
//	Rouse   yes                     yes
//
// So work that can wait for the alarm is followed by Wake, which then costs its
// producer nothing, and what cannot wait by Rouse. The protocol is the same
// with another value of the flag: a Rouse is not lost if the second look, behind
// Doze, finds what it is for.
package park

import (
	"time"

	"github.com/nexus-logbuf/logbuf/internal/step"
)

// The states, of which idle is the sleeper's when it is awake.
const (
	idle uint32 = iota
	armed
	dozing
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

// Arm announces that the sleeper is about to sleep until somebody wakes it. It
// must look for work once more and then call Park or Disarm. For the sleeper
// only.
func (p *Parker) Arm() { p.state.Store(armed) }

// Doze is Arm for a sleep that Rouse ends, and Wake does not. For the sleeper
// only.
func (p *Parker) Doze() { p.state.Store(dozing) }

// Disarm takes Arm or Doze back. For the sleeper only.
func (p *Parker) Disarm() {
	if !p.end(p.state.Load()) {
		p.token.Receive() // a waker won; its token is here or on its way
	}
}

// Park sleeps until Wake or Rouse, or until done or alarm can be received from;
// a nil channel never can. It reports whether alarm ended the sleep. Either way
// the caller looks for work again. For the sleeper only, after Arm or Doze.
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
		p.wake(armed)
	}
}

// Rouse wakes the sleeper if it is armed or dozes. Any goroutine may call it,
// after it has made its work visible.
func (p *Parker) Rouse() {
	if s := p.state.Load(); s != idle {
		p.wake(s)
	}
}

// Asleep reports whether Rouse would do anything, at the cost of a Wake that
// does nothing: the caller, if it has made its work visible before, may leave
// out both if it is false.
func (p *Parker) Asleep() bool { return p.state.Load() != idle }

func (p *Parker) wake(s uint32) {
	if p.end(s) {
		p.token.Send()
	}
}

// end ends a sleep of kind s, unless somebody else has.
func (p *Parker) end(s uint32) bool { return s != idle && p.state.CompareAndSwap(s, idle) }
