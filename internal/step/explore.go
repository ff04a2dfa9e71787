//go:build logbuf_explore

package step

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"
)

// Exploring says that an explorer may decide who runs.
const Exploring = true

// Scheduler decides who runs. Its methods are called by the one thread that
// runs at that time, and may return much later.
type Scheduler interface {
	// Access announces an access and returns when it is the thread's turn. A
	// fence also drains the thread's store buffer.
	Access(what string, at unsafe.Pointer, fence bool)
	// Wrote says that the thread has changed something others may wait for.
	Wrote()
	// Buffer takes a store that may reach memory later. It reports false if
	// stores are not buffered, and the caller must do it now. A store that is not
	// a release is to a place that nobody else may look at before a later one.
	Buffer(what string, at unsafe.Pointer, v uint64, release bool, do func()) bool
	// Forward is the thread's own newest buffered value of the word at at.
	Forward(at unsafe.Pointer) (uint64, bool)
	// Yield says that the thread makes no progress until another has.
	Yield()
	// Block waits until ready returns true.
	Block(what string, ready func() bool)
	// Tracing reports whether what is announced is kept.
	Tracing() bool
	// Weak reports whether atomic stores are to be plain stores, to see what
	// breaks.
	Weak() bool
}

// describe is Sprintf of two words at most, where somebody reads it: most runs
// are not, and it would take most of their time.
func describe(e Scheduler, format string, words ...uint64) string {
	if !e.Tracing() {
		return format
	}
	switch len(words) {
	case 1:
		return fmt.Sprintf(format, words[0])
	default:
		return fmt.Sprintf(format, words[0], words[1])
	}
}

// Explorer is the scheduler, or nil outside of an exploration. Set it between
// runs only.
var Explorer Scheduler

// Uint64 is atomic.Uint64, announced.
type Uint64 struct{ v atomic.Uint64 }

func (x *Uint64) Load() uint64 {
	if e := Explorer; e != nil {
		e.Access("load", unsafe.Pointer(x), false)
		if v, ok := e.Forward(unsafe.Pointer(x)); ok {
			return v
		}
	}
	return x.v.Load()
}

func (x *Uint64) Store(v uint64) {
	if e := Explorer; e != nil {
		if e.Weak() {
			e.Access("weak store", unsafe.Pointer(x), false)
			if e.Buffer(describe(e, "store %#x", v), unsafe.Pointer(x), v, true, func() { x.v.Store(v) }) {
				return
			}
		} else {
			e.Access(describe(e, "store %#x", v), unsafe.Pointer(x), true)
		}
		if x.v.Load() != v {
			e.Wrote() // what was there already is no news to those who wait
		}
	}
	x.v.Store(v)
}

func (x *Uint64) CompareAndSwap(old, v uint64) bool {
	if e := Explorer; e != nil {
		e.Access(describe(e, "cas %#x→%#x", old, v), unsafe.Pointer(x), true)
		if x.v.Load() == old {
			e.Wrote()
		}
	}
	return x.v.CompareAndSwap(old, v)
}

func (x *Uint64) Add(d uint64) uint64 {
	if e := Explorer; e != nil {
		e.Access("add", unsafe.Pointer(x), true)
		e.Wrote()
	}
	return x.v.Add(d)
}

func (x *Uint64) Or(mask uint64) uint64 {
	if e := Explorer; e != nil {
		e.Access("or", unsafe.Pointer(x), true)
		e.Wrote()
	}
	return x.v.Or(mask) // the old value, as sync/atomic has it
}

// Uint32 is atomic.Uint32, announced.
type Uint32 struct{ w Uint64 }

func (x *Uint32) Load() uint32   { return uint32(x.w.Load()) }
func (x *Uint32) Store(v uint32) { x.w.Store(uint64(v)) }
func (x *Uint32) CompareAndSwap(old, v uint32) bool {
	return x.w.CompareAndSwap(uint64(old), uint64(v))
}

// Int64 is atomic.Int64, announced.
type Int64 struct{ w Uint64 }

func (x *Int64) Load() int64                      { return int64(x.w.Load()) }
func (x *Int64) Store(v int64)                    { x.w.Store(uint64(v)) }
func (x *Int64) Add(d int64) int64                { return int64(x.w.Add(uint64(d))) }
func (x *Int64) CompareAndSwap(old, v int64) bool { return x.w.CompareAndSwap(uint64(old), uint64(v)) }

// Bool is atomic.Bool, announced.
type Bool struct{ w Uint64 }

func (x *Bool) Load() bool { return x.w.Load() != 0 }

func (x *Bool) Store(v bool) { x.w.Store(bit(v)) }

func (x *Bool) CompareAndSwap(old, v bool) bool { return x.w.CompareAndSwap(bit(old), bit(v)) }

// Pointer is atomic.Pointer, announced. It is not buffered.
type Pointer[T any] struct{ v atomic.Pointer[T] }

func (x *Pointer[T]) Load() *T {
	if e := Explorer; e != nil {
		e.Access("load pointer", unsafe.Pointer(x), false)
	}
	return x.v.Load()
}

func (x *Pointer[T]) Store(v *T) {
	if e := Explorer; e != nil {
		e.Access("store pointer", unsafe.Pointer(x), true)
		e.Wrote()
	}
	x.v.Store(v)
}

func (x *Pointer[T]) CompareAndSwap(old, v *T) bool {
	if e := Explorer; e != nil {
		e.Access("cas pointer", unsafe.Pointer(x), true)
		if x.v.Load() == old {
			e.Wrote()
		}
	}
	return x.v.CompareAndSwap(old, v)
}

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// StoreRelease is a store that later loads may overtake.
func StoreRelease(x *Uint64, v uint64) {
	if e := Explorer; e != nil {
		e.Access("release store", unsafe.Pointer(x), false)
		if e.Buffer(describe(e, "store %#x", v), unsafe.Pointer(x), v, true, func() { x.v.Store(v) }) {
			return
		}
	}
	x.v.Store(v)
}

// Store64 is a plain store.
func Store64(p *uint64, v uint64) {
	if e := Explorer; e != nil {
		e.Access(describe(e, "plain store %#x", v), unsafe.Pointer(p), false)
		if e.Buffer("plain store", unsafe.Pointer(p), v, false, func() { *p = v }) {
			return
		}
	}
	*p = v
}

// Copy is copy. Readers of the bytes see all of it or nothing.
func Copy(dst, src []byte) {
	if e := Explorer; e != nil && len(src) > 0 {
		e.Access(describe(e, "copy %d bytes", uint64(len(src))), unsafe.Pointer(unsafe.SliceData(dst)), false)
		kept := append([]byte(nil), src...)
		if e.Buffer("copy", nil, 0, false, func() { copy(dst, kept) }) {
			return
		}
	}
	copy(dst, src)
}

// Clear is clear.
func Clear(b []byte) {
	if e := Explorer; e != nil && len(b) > 0 {
		e.Access(describe(e, "clear %d bytes", uint64(len(b))), unsafe.Pointer(unsafe.SliceData(b)), false)
		if e.Buffer("clear", nil, 0, false, func() { clear(b) }) {
			return
		}
	}
	clear(b)
}

// Yield lets other threads run.
func Yield() {
	if e := Explorer; e != nil {
		e.Yield()
		return
	}
	runtime.Gosched()
}

// Sleep pauses the thread; to the explorer it is Yield.
func Sleep(d time.Duration) {
	if e := Explorer; e != nil {
		e.Yield()
		return
	}
	time.Sleep(d)
}

// Token is a channel for one token.
type Token struct {
	c    chan struct{}
	full *Bool
}

// NewToken makes a Token that is empty.
func NewToken() Token { return Token{c: make(chan struct{}, 1), full: new(Bool)} }

// Full reports whether the token is there.
func (t Token) Full() bool { return len(t.c) > 0 || t.full.w.v.Load() != 0 }

// Send puts the token in.
func (t Token) Send() {
	e := Explorer
	if e == nil {
		t.c <- struct{}{}
		return
	}
	e.Access("send token", unsafe.Pointer(t.full), true)
	if t.full.w.v.Load() != 0 {
		panic("step: the token is there already: sending would block")
	}
	t.full.w.v.Store(1)
	e.Wrote()
}

// Receive waits for the token.
func (t Token) Receive() {
	e := Explorer
	if e == nil {
		<-t.c
		return
	}
	e.Block("receive token", func() bool { return t.full.w.v.Load() != 0 })
	t.full.w.v.Store(0)
	e.Wrote()
}

// Cause says what ended a wait.
type Cause int

// The causes.
const (
	Received Cause = iota
	Alarm
	Done
)

// Wait waits for the token. In an exploration no other cause ends it.
func (t Token) Wait(done <-chan struct{}, alarm <-chan time.Time) Cause {
	if Explorer != nil {
		t.Receive()
		return Received
	}
	select {
	case <-t.c:
		return Received
	case <-alarm:
		return Alarm
	case <-done:
		return Done
	}
}
