//go:build !logbuf_explore

package step

import (
	"runtime"
	"sync/atomic"
	"time"
)

// Exploring says that an explorer may decide who runs. Code that spins before
// it waits leaves the spinning out then: it adds orders and no outcomes.
const Exploring = false

// The words that goroutines share.
type (
	Uint64 = atomic.Uint64
	Uint32 = atomic.Uint32
	Int64  = atomic.Int64
	Bool   = atomic.Bool

	Pointer[T any] = atomic.Pointer[T]
)

// Store64 is a plain store to a word that nobody else may access until
// something after it is published.
func Store64(p *uint64, v uint64) { *p = v }

// Copy is copy: bytes that nobody else may access until something after it is
// published.
func Copy(dst, src []byte) { copy(dst, src) }

// Clear is clear, under the rule of Copy.
func Clear(b []byte) { clear(b) }

// Yield lets other goroutines run.
func Yield() { runtime.Gosched() }

// Sleep pauses the goroutine.
func Sleep(d time.Duration) { time.Sleep(d) }

// Token is a channel for one token.
type Token chan struct{}

// NewToken makes a Token that is empty.
func NewToken() Token { return make(Token, 1) }

// Full reports whether the token is there.
func (t Token) Full() bool { return len(t) > 0 }

// Send puts the token in; it must be empty.
func (t Token) Send() { t <- struct{}{} }

// Receive waits for the token.
func (t Token) Receive() { <-t }

// Cause says what ended a wait.
type Cause int

// The causes.
const (
	Received Cause = iota // the token
	Alarm
	Done
)

// Wait waits for the token, or until one of the channels, which may be nil,
// can be received from.
func (t Token) Wait(done <-chan struct{}, alarm <-chan time.Time) Cause {
	select {
	case <-t:
		return Received
	case <-alarm:
		return Alarm
	case <-done:
		return Done
	}
}
