package queue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"testing"
)

func TestDoubleSettle(t *testing.T) {
	commit := func(c Claim) { c.Commit() }
	commitN := func(c Claim) { c.CommitN(2) }
	abort := func(c Claim) { c.Abort() }
	tests := []struct {
		name          string
		first, second func(Claim)
		panics        string // of second; "" for none
		records       int
	}{
		{"commit, commit", commit, commit, "Commit of a claim of 5 bytes that is not open", 1},
		{"commit, commitN", commit, commitN, "CommitN of a claim of 5 bytes that is not open", 1},
		{"commit, abort", commit, abort, "", 1},
		{"commitN, commit", commitN, commit, "Commit of a claim of 5 bytes that is not open", 1},
		{"commitN, commitN", commitN, commitN, "CommitN of a claim of 5 bytes that is not open", 1},
		{"commitN, abort", commitN, abort, "", 1},
		{"abort, commit", abort, commit, "Commit of a claim of 5 bytes that is not open", 0},
		{"abort, commitN", abort, commitN, "CommitN of a claim of 5 bytes that is not open", 0},
		{"abort, abort", abort, abort, "", 0},
	}
	forKinds(t, func(t *testing.T, shared bool) {
		for _, closed := range []bool{false, true} {
			for _, tt := range tests {
				t.Run(fmt.Sprintf("%s, closed %v", tt.name, closed), func(t *testing.T) {
					w, c := newRingAt(t, shared, 64, 0)
					cl := must(w.TryClaim(5))
					tt.first(cl)
					if closed {
						w.Close()
					}
					if tt.panics != "" {
						wantPanic(t, func() { tt.second(cl) }, tt.panics)
					} else {
						tt.second(cl)
					}
					if cl.Bytes() != nil {
						t.Error("Bytes of a settled claim is not nil")
					}
					n := c.Drain(10, func(int32, []byte) {})
					if n != tt.records {
						t.Errorf("%d records, want %d", n, tt.records)
					}
					checkIdle(t, w, c)
				})
			}
		}
	})
}

// A copy of a claim that was settled long ago must not settle, or damage, what
// lies in its place now.
func TestStaleClaimLapsLater(t *testing.T) {
	forKinds(t, func(t *testing.T, shared bool) {
		for laps := 1; laps <= 3; laps++ {
			t.Run(fmt.Sprint(laps), func(t *testing.T) {
				w, c := newRingAt(t, shared, 64, 0)
				stale := must(w.TryClaim(8))
				stale.Commit()
				c.Next()
				c.Release()
				advance(t, w, c, laps*64-16)
				open := must(w.TryClaim(8)) // same place, same length, another lap
				copy(open.Bytes(), "another.")
				wantPanic(t, func() { stale.Commit() }, "not open")
				wantPanic(t, func() { stale.CommitN(0) }, "not open")
				stale.Abort()
				if stale.Bytes() != nil {
					t.Error("Bytes of a stale claim is not nil")
				}
				wantNothing(t, c)
				if !open.Commit() {
					t.Fatal("Commit of the open claim: false")
				}
				stale.Abort()
				wantNext(t, c, 1, []byte("another."))
				checkIdle(t, w, c)
			})
		}
	})
}

// Payload may look like the mark of an old claim at its place. Settling that
// claim again must not look there.
func TestStaleClaimInPayload(t *testing.T) {
	for _, settle := range []struct {
		name string
		fn   func(t *testing.T, c Claim)
	}{
		{"Abort", func(_ *testing.T, c Claim) { c.Abort() }},
		{"Commit", func(t *testing.T, c Claim) { wantPanic(t, func() { c.Commit() }, "not open") }},
		{"CommitN", func(t *testing.T, c Claim) { wantPanic(t, func() { c.CommitN(0) }, "not open") }},
	} {
		t.Run(settle.name, func(t *testing.T) {
			p, c, _ := NewMPSC(64)
			advance(t, p, c, 8)
			old := must(p.TryClaim(8)) // at index 8
			mark := c.ring.mem.load(8)
			old.Commit()
			c.Next()
			c.Release()
			advance(t, p, c, 64-24) // tail at index 0
			rec := make([]byte, 16) // its payload begins at index 8
			binary.LittleEndian.PutUint64(rec, uint64(mark))
			mustWrite(t, p, rec)
			settle.fn(t, old)
			wantNext(t, c, 1, rec)
		})
	}
}

// `defer c.Abort()` behind a claim is the documented idiom. Records of
// different lengths put payload where headers were; the race detector sees an
// Abort that looks there.
func TestDeferredAbort(t *testing.T) {
	p, c, _ := NewMPSC(64)
	const each = 4000
	var wg sync.WaitGroup
	for g := range 3 {
		wg.Go(func() {
			write := func(n int) (ok bool) {
				cl, err := p.TryClaim((n*7 + g*11) % 33)
				if err != nil {
					return false
				}
				defer cl.Abort()
				for i := range cl.Bytes() {
					cl.Bytes()[i] = 0xff
				}
				cl.Commit()
				return true
			}
			for n := 0; n < each; {
				if write(n) {
					n++
				} else {
					pause()
				}
			}
		})
	}
	for n := 0; n < 3*each; {
		got := c.Drain(100, func(_ int32, rec []byte) {
			for _, b := range rec {
				if b != 0xff {
					t.Errorf("payload % x", rec)
				}
			}
		})
		if n += got; got == 0 {
			pause()
		}
	}
	wg.Wait()
	wantNothing(t, c)
}

func TestForgottenClaim(t *testing.T) {
	t.Run("SPSC", func(t *testing.T) {
		p, c, _ := NewSPSC(64)
		forgotten := must(p.TryClaim(40))
		for i := range forgotten.Bytes() {
			forgotten.Bytes()[i] = 0xee
		}
		next := must(p.TryClaim(3))
		if forgotten.Bytes() != nil {
			t.Error("Bytes of a replaced claim is not nil")
		}
		copy(next.Bytes(), "abc")
		wantPanic(t, func() { forgotten.Commit() }, "claim of 40 bytes", "replaced")
		forgotten.Abort()
		if !next.Commit() {
			t.Fatal("Commit: false")
		}
		must(p.TryClaim(1))
		mustWrite(t, p, []byte("def")) // a write replaces a claim, too
		must(p.TryClaim(2))
		if _, err := p.TryClaim(1000); !errors.Is(err, ErrTooLarge) {
			t.Fatal(err)
		}
		wantNext(t, c, 1, []byte("abc"))
		wantNext(t, c, 1, []byte("def"))
		wantNothing(t, c)
		checkIdle(t, p, c)
	})
	t.Run("SPSC, refused claim gives the open one up", func(t *testing.T) {
		p, c, _ := NewSPSC(64)
		mustWrite(t, p, make([]byte, 32))
		open := must(p.TryClaim(8))
		if _, err := p.TryClaim(32); !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
		wantPanic(t, func() { open.Commit() }, "not open")
		wantNext(t, c, 1, make([]byte, 32))
		wantNothing(t, c)
	})
	t.Run("MPSC, behind it waits what was claimed later, until Close", func(t *testing.T) {
		p, c, _ := NewMPSC(128)
		mustWrite(t, p, []byte("before"))
		forgotten := must(p.TryClaim(5))
		mustWrite(t, p, []byte("behind"))
		wantNext(t, c, 1, []byte("before"))
		wantNothing(t, c)
		p.Close()
		if c.Drained() {
			t.Error("Drained with a record to come")
		}
		wantNext(t, c, 1, []byte("behind"))
		wantNothing(t, c)
		if !c.Drained() {
			t.Error("not Drained")
		}
		if forgotten.Commit() {
			t.Error("Commit of an abandoned claim: true")
		}
		forgotten.Abort()
		if s := c.Stats(); s.Abandoned != 1 || s.Aborts != 0 || s.Records != 2 {
			t.Errorf("%+v", s)
		}
	})
}

func TestZeroClaim(t *testing.T) {
	var c Claim
	c.Abort()
	if c.Bytes() != nil {
		t.Error("Bytes is not nil")
	}
	wantPanic(t, func() { c.Commit() }, "Commit of the zero Claim")
	wantPanic(t, func() { c.CommitN(0) }, "CommitN of the zero Claim")
}

func TestCommitNBounds(t *testing.T) {
	forKinds(t, func(t *testing.T, shared bool) {
		for _, n := range []int{-1, 6, 1 << 30, -1 << 31} {
			w, c := newRingAt(t, shared, 64, 0)
			cl := must(w.TryClaim(5))
			wantPanic(t, func() { cl.CommitN(n) }, fmt.Sprintf("CommitN(%d) of a claim of 5 bytes", n))
			copy(cl.Bytes(), "alive") // the claim is still open
			if !cl.Commit() {
				t.Fatal("Commit: false")
			}
			wantNext(t, c, 1, []byte("alive"))
		}
	})
}

func TestTypePanics(t *testing.T) {
	forKinds(t, func(t *testing.T, shared bool) {
		for _, typ := range []int32{0, -1, -2, -1 << 31} {
			w, c := newRingAt(t, shared, 64, 0)
			want := fmt.Sprintf("record type %d: must be at least 1", typ)
			wantPanic(t, func() { w.TryClaimTyped(typ, 1) }, want)
			wantPanic(t, func() { w.WriteTyped(typ, nil) }, want)
			wantNothing(t, c)
			checkIdle(t, w, c)
		}
		w, c := newRingAt(t, shared, 64, 0)
		if err := w.WriteTyped(1<<31-1, []byte("x")); err != nil {
			t.Fatal(err)
		}
		wantNext(t, c, 1<<31-1, []byte("x"))
	})
}

// Where a producer knows of room, its calls take other ways than in an empty ring.
func TestTypePanicsWithRoom(t *testing.T) {
	forKinds(t, func(t *testing.T, shared bool) {
		for _, typ := range []int32{0, -1, -2, -1 << 31} {
			want := fmt.Sprintf("record type %d: must be at least 1", typ)
			w, c := newRingAt(t, shared, 4096, 0)
			mustWrite(t, w, []byte("makes room"))
			open := must(w.TryClaim(5))
			for _, n := range []int{0, 1, 8, 9, 32, 33, 64, 65} {
				wantPanic(t, func() { w.TryClaimTyped(typ, n) }, want)
				wantPanic(t, func() { w.WriteTyped(typ, make([]byte, n)) }, want)
			}
			copy(open.Bytes(), "alive")
			if !open.Commit() {
				t.Error("Commit: false")
			}
			wantNext(t, c, 1, []byte("makes room"))
			wantNext(t, c, 1, []byte("alive"))
			checkIdle(t, w, c)
		}
	})
}

func TestReleaseToMisuse(t *testing.T) {
	forKinds(t, func(t *testing.T, shared bool) {
		w, c := newRingAt(t, shared, 256, 1<<64-64)
		mustWrite(t, w, make([]byte, 24)) // 32 bytes: -64 … -32
		mustWrite(t, w, make([]byte, 8))  // -32 … -16
		mustWrite(t, w, make([]byte, 24)) // -16 … 16
		s := c.Peek(48)
		if s.End() != 1<<64-16 || s.Records() != 2 {
			t.Fatalf("span to %d with %d records", s.End(), s.Records())
		}
		end := func(n int) uint64 { return s.End() + uint64(n) }
		c.ReleaseTo(end(-16))
		for _, tt := range []struct {
			name string
			pos  uint64
		}{
			{"before what was released", end(-24)},
			{"the start", end(-48)},
			{"behind what was read", end(8)},
			{"far behind", end(1 << 20)},
			{"not a multiple of 8", end(-4)},
			{"odd", end(-15)},
		} {
			wantPanic(t, func() { c.ReleaseTo(tt.pos) },
				fmt.Sprint(tt.pos), fmt.Sprint(end(-16), ", already released"), fmt.Sprint(end(0), ", read so far"))
		}
		c.ReleaseTo(end(-16)) // again
		c.ReleaseTo(end(0))
		c.ReleaseTo(end(0))
		wantNext(t, c, 1, make([]byte, 24))
		wantPanic(t, func() { c.ReleaseTo(end(-8)) }, "already released")
	})
}

// Naming the same position twice is harmless, also when skips behind it were
// given back on their own in between.
func TestReleaseToTwiceAroundSkip(t *testing.T) {
	forKinds(t, func(t *testing.T, shared bool) {
		for _, order := range []string{"peek, release", "release, peek"} {
			t.Run(order, func(t *testing.T) {
				w, c := newRingAt(t, shared, 64, 0)
				advance(t, w, c, 16)
				mustWrite(t, w, make([]byte, 32)) // 40 bytes, 8 to the end
				s := c.Peek(100)
				if order == "release, peek" {
					c.ReleaseTo(s.End())
				}
				if shared {
					must(w.TryClaim(0)).Abort() // a skip
				} else if _, err := w.TryClaim(48); err != ErrFull { // padding
					t.Fatal(err)
				}
				if c.Peek(100).Records() != 0 {
					t.Fatal("a record?")
				}
				c.ReleaseTo(s.End())
				c.ReleaseTo(s.End())
				if got := c.ring.head.load(); got != 64 {
					t.Fatalf("head %d, want 64: the padding is not given back", got)
				}
				mustWrite(t, w, make([]byte, 8))
				next := c.Peek(100)
				c.ReleaseTo(s.End()) // still the position that was named last
				c.ReleaseTo(next.End())
				wantPanic(t, func() { c.ReleaseTo(s.End()) }, "already released")
			})
		}
	})
}
