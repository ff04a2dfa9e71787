package queue

import (
	"errors"
	"fmt"
	"runtime"
	"testing"
)

// ways that user code may leave a function other than by return.
var exits = []struct {
	name string
	exit func()
}{
	{"panic", func() { panic("exit") }},
	{"panic(nil)", func() { panic(nil) }},
	{"Goexit", runtime.Goexit},
}

// leaving runs fn in a goroutine of its own, which fn leaves by exit.
func leaving(fn func()) {
	done := make(chan bool)
	go func() {
		defer close(done)
		defer func() { recover() }()
		fn()
	}()
	<-done
}

// A goroutine that ends between claim and commit: with a deferred Abort the
// space comes back at once. Without, an SPSC producer's next claim takes the
// same place, and an MPSC ring goes on when the claim is passed or the ring is
// closed.
func TestExitBetweenClaimAndCommit(t *testing.T) {
	afterwards := []struct {
		name string
		fn   func(w writer, c *Consumer)
	}{
		{"passed", func(_ writer, c *Consumer) { c.PassStalled(0) }},
		{"closed", func(w writer, _ *Consumer) { w.Close() }},
	}
	forKinds(t, func(t *testing.T, shared bool) {
		for _, e := range exits {
			for _, deferred := range []bool{true, false} {
				for _, then := range afterwards {
					t.Run(fmt.Sprintf("%s, deferred Abort %v, %s", e.name, deferred, then.name), func(t *testing.T) {
						w, c := newRingAt(t, shared, 256, 1<<32-128)
						mustWrite(t, w, []byte("before"))
						var claim Claim
						leaving(func() {
							claim = must(w.TryClaim(20))
							if deferred {
								defer claim.Abort()
							}
							copy(claim.Bytes(), "half of it")
							e.exit()
							t.Error("not left")
						})
						wantNext(t, c, 1, []byte("before"))
						mustWrite(t, w, []byte("behind"))
						if shared && !deferred {
							wantNothing(t, c)
							then.fn(w, c)
						}
						wantNext(t, c, 1, []byte("behind"))
						wantNothing(t, c)
						left := shared && !deferred
						if s := w.Stats(); s.Records != 2 || (s.Abandoned == 1) != left || (s.Aborts == 1) != deferred {
							t.Errorf("%+v", s)
						}
						if left && claim.Commit() {
							t.Error("Commit: true")
						}
						if left && then.name == "closed" {
							return
						}
						mustWrite(t, w, pattern(112, 1)) // there is all the room
						wantNext(t, c, 1, pattern(112, 1))
					})
				}
			}
		}
	})
}

// User code that the rings call may end in any way: Append's encoder has
// written nothing, what Drain has delivered is consumed, and the ring goes on.
func TestExitInCallbacks(t *testing.T) {
	forKinds(t, func(t *testing.T, shared bool) {
		for _, e := range exits {
			t.Run("Append, "+e.name, func(t *testing.T) {
				w, c := newRingAt(t, shared, 64, 0)
				mustWrite(t, w, []byte("before"))
				before := imageOf(w, c)
				leaving(func() {
					w.Append(16, func(dst []byte) ([]byte, error) {
						e.exit()
						return dst, errors.New("not left")
					})
				})
				if after := imageOf(w, c); after != before {
					t.Errorf("the ring has changed: %+v", after)
				}
				mustWrite(t, w, []byte("after"))
				wantNext(t, c, 1, []byte("before"))
				wantNext(t, c, 1, []byte("after"))
			})
			t.Run("Drain, "+e.name, func(t *testing.T) { exitInDrain(t, shared, e.exit) })
		}
	})
	for _, e := range exits {
		t.Run("FanIn, "+e.name, func(t *testing.T) {
			f := must(NewFanIn(64))
			a, b := must(f.NewProducer()), must(f.NewProducer())
			for i := range 2 {
				mustWrite(t, a, []byte{'a', byte(i)})
				mustWrite(t, b, []byte{'b', byte(i)})
			}
			var got [256]byte
			n := 0
			for range 4 {
				leaving(func() {
					f.Drain(10, func(_ int32, rec []byte) {
						if rec[1] != got[rec[0]] {
							t.Errorf("record % x, want number %d", rec, got[rec[0]])
						}
						got[rec[0]]++
						n++
						e.exit()
					})
				})
			}
			wantNothing(t, f)
			if n != 4 || f.Stats().Records != 4 {
				t.Errorf("%d records, %+v", n, f.Stats())
			}
			mustWrite(t, a, make([]byte, 24)) // the space is back
		})
	}
}

// exitInDrain leaves the callback of each of three records.
func exitInDrain(t *testing.T, shared bool, exit func()) {
	w, c := newRingAt(t, shared, 64, 1<<64-32)
	for i := range 3 {
		mustWrite(t, w, []byte{byte(i)})
	}
	for i := range 3 {
		leaving(func() {
			c.Drain(10, func(_ int32, rec []byte) {
				if rec[0] != byte(i) {
					t.Errorf("record %d, want %d", rec[0], i)
				}
				exit()
			})
		})
		if used := tailOf(w) - c.ring.head.load(); used != uint64(2-i)*16 {
			t.Errorf("after record %d: %d bytes in use", i, used)
		}
	}
	if n := c.Drain(10, nil); n != 0 || c.Stats().Records != 3 {
		t.Errorf("%d more; %+v", n, c.Stats())
	}
	checkIdle(t, w, c)
}
