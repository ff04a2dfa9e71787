package queue

import (
	"errors"
	"fmt"
	"runtime"
	"testing"
)

func TestAppend(t *testing.T) {
	fail := errors.New("encoder")
	other := []byte("made elsewhere")
	tests := []struct {
		name   string
		max    int
		encode func(dst []byte) ([]byte, error)
		want   string
		err    error
	}{
		{"appends", 10, func(d []byte) ([]byte, error) { return append(d, "abc"...), nil }, "abc", nil},
		{"nothing", 10, func(d []byte) ([]byte, error) { return d, nil }, "", nil},
		{"nil", 10, func([]byte) ([]byte, error) { return nil, nil }, "", nil},
		{"all of max", 3, func(d []byte) ([]byte, error) { return append(d, "abc"...), nil }, "abc", nil},
		{"max 0", 0, func(d []byte) ([]byte, error) { return d, nil }, "", nil},
		{"max 0, grows", 0, func(d []byte) ([]byte, error) { return append(d, 1), nil }, "", ErrTooLarge},
		{"grows beyond max", 3, func(d []byte) ([]byte, error) { return append(d, "abcd"...), nil }, "", ErrTooLarge},
		{"grows and shrinks", 3, func(d []byte) ([]byte, error) { return append(d, "abcd"...)[:2], nil }, "ab", nil},
		{"another slice", 20, func([]byte) ([]byte, error) { return other, nil }, "made elsewhere", nil},
		{"another slice, too long", 5, func([]byte) ([]byte, error) { return other, nil }, "", ErrTooLarge},
		{"a part of dst", 8, func(d []byte) ([]byte, error) { return append(d, "abcdefgh"...)[3:6], nil }, "def", nil},
		{"error", 3, func(d []byte) ([]byte, error) { return append(d, "abc"...), fail }, "", fail},
		{"max too large", 49, func([]byte) ([]byte, error) { panic("called") }, "", ErrTooLarge},
		{"max negative", -1, func([]byte) ([]byte, error) { panic("called") }, "", ErrTooLarge},
	}
	forKinds(t, func(t *testing.T, shared bool) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				w, c := newRingAt(t, shared, 64, 0)
				dirty(t, w, c)
				err := w.Append(tt.max, func(dst []byte) ([]byte, error) {
					if len(dst) != 0 || cap(dst) != tt.max {
						t.Errorf("dst has %d bytes, capacity %d", len(dst), cap(dst))
					}
					return tt.encode(dst)
				})
				if !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
					t.Fatalf("%v, want %v", err, tt.err)
				}
				if err == nil {
					wantNext(t, c, 1, []byte(tt.want))
				}
				wantNothing(t, c)
				checkIdle(t, w, c)
			})
		}
		t.Run("panic", func(t *testing.T) {
			w, c := newRingAt(t, shared, 64, 0)
			wantPanic(t, func() { w.Append(8, func([]byte) ([]byte, error) { panic("in encode") }) }, "in encode")
			mustWrite(t, w, []byte("after"))
			wantNext(t, c, 1, []byte("after"))
			wantNothing(t, c)
		})
		t.Run("Goexit", func(t *testing.T) {
			w, c := newRingAt(t, shared, 64, 0)
			done := make(chan bool)
			go func() {
				defer close(done)
				w.Append(8, func([]byte) ([]byte, error) { runtime.Goexit(); return nil, nil })
			}()
			<-done
			mustWrite(t, w, []byte("after"))
			wantNext(t, c, 1, []byte("after"))
		})
		t.Run("encode closes the producer", func(t *testing.T) {
			w, c := newRingAt(t, shared, 64, 0)
			err := w.Append(8, func(d []byte) ([]byte, error) { w.Close(); return append(d, 1), nil })
			if !errors.Is(err, ErrClosed) {
				t.Errorf("%v, want ErrClosed", err)
			}
			wantNothing(t, c)
		})
	})
	t.Run("SPSC: encode writes", func(t *testing.T) {
		p, c, _ := NewSPSC(64)
		wantPanic(t, func() {
			p.Append(8, func(d []byte) ([]byte, error) { p.Write([]byte("inner")); return d, nil })
		}, "not open")
		wantNext(t, c, 1, []byte("inner"))
		wantNothing(t, c)
	})
	t.Run("MPSC: encode writes, and appends", func(t *testing.T) {
		p, c, _ := NewMPSC(128)
		err := p.Append(8, func(d []byte) ([]byte, error) {
			d = append(d, "outer"...)
			mustWrite(t, p, []byte("inner"))
			err := p.Append(8, func(d []byte) ([]byte, error) { return append(d, "inner 2"...), nil })
			return d, err
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"inner", "inner 2", "outer"} {
			wantNext(t, c, 1, []byte(want))
		}
	})
}

func TestDrain(t *testing.T) {
	forKinds(t, func(t *testing.T, shared bool) {
		for _, limit := range []int{-1, 0, 1, 3, 5, 6, 1 << 30} {
			w, c := newRingAt(t, shared, 256, 0)
			for i := range 5 {
				w.WriteTyped(int32(i+1), []byte{byte(i)})
			}
			i := 0
			n := c.Drain(limit, func(typ int32, rec []byte) {
				if typ != int32(i+1) || len(rec) != 1 || cap(rec) != 1 || rec[0] != byte(i) {
					t.Errorf("record %d: type %d, % x", i, typ, rec)
				}
				i++
			})
			if want := min(max(limit, 0), 5); n != want || i != want {
				t.Errorf("Drain(%d): %d, %d calls", limit, n, i)
			}
			if used := tailOf(w) - c.ring.head.load(); used != uint64(5-n)*16 {
				t.Errorf("Drain(%d): %d bytes in use", limit, used)
			}
		}
	})
}

// A panic in fn, or Goexit, consumes what was delivered, that record included,
// and gives the space back.
func TestDrainPanic(t *testing.T) {
	forKinds(t, func(t *testing.T, shared bool) {
		w, c := newRingAt(t, shared, 64, 1<<32-64)
		for i := range 3 {
			mustWrite(t, w, []byte{byte(i)})
		}
		calls := 0
		wantPanic(t, func() {
			c.Drain(10, func(int32, []byte) {
				if calls++; calls == 2 {
					panic("second")
				}
			})
		}, "second")
		if used := tailOf(w) - c.ring.head.load(); used != 16 || calls != 2 {
			t.Errorf("%d bytes in use after %d calls", used, calls)
		}
		done := make(chan bool)
		go func() {
			defer close(done)
			c.Drain(10, func(int32, []byte) { runtime.Goexit() })
		}()
		<-done
		wantNothing(t, c)
		checkIdle(t, w, c)
		if s := c.Stats(); s.Records != 3 {
			t.Errorf("%+v", s)
		}
	})
}

// The space of a long Drain, and of Next after Next, comes back on the way,
// not only at the end.
func TestSpaceComesBackOnTheWay(t *testing.T) {
	forKinds(t, func(t *testing.T, shared bool) {
		w, c := newRingAt(t, shared, 256, 0)
		for range 15 {
			mustWrite(t, w, make([]byte, 8))
		}
		i := 0
		c.Drain(5, func(int32, []byte) {
			if lag := c.pos - c.ring.head.load(); lag > 256/8+16 {
				t.Errorf("Drain, record %d: %d bytes not given back", i, lag)
			}
			i++
		})
		for range 10 {
			c.Next()
			if lag := c.pos - c.ring.head.load(); lag > 256/8+16 {
				t.Errorf("Next: %d bytes not given back", lag)
			}
		}
		wantNothing(t, c) // shows all of it
		if got := c.ring.head.load(); got != tailOf(w) {
			t.Errorf("head %d, tail %d", got, tailOf(w))
		}
	})
}

func TestReady(t *testing.T) {
	forKinds(t, func(t *testing.T, shared bool) {
		w, c := newRingAt(t, shared, 128, 0)
		if c.Ready() {
			t.Error("Ready on an empty ring")
		}
		mustWrite(t, w, []byte("one"))
		mustWrite(t, w, []byte("two"))
		rec, _ := c.Next()
		for range 2 {
			if !c.Ready() || string(rec) != "one" {
				t.Errorf("record %q", rec)
			}
		}
		if used := tailOf(w) - c.ring.head.load(); used != 32 {
			t.Errorf("Ready gave space back: %d in use", used)
		}
		wantNext(t, c, 1, []byte("two"))
		must(w.TryClaim(8)).Abort()
		if c.Ready() {
			t.Error("Ready with a skip only")
		}
		c.Release()
		if got := c.ring.head.load(); got != tailOf(w) {
			t.Errorf("head %d, tail %d", got, tailOf(w))
		}
	})
}

func TestClose(t *testing.T) {
	forKinds(t, func(t *testing.T, shared bool) {
		w, c := newRingAt(t, shared, 128, 1<<64-64)
		mustWrite(t, w, []byte("one"))
		open := must(w.TryClaim(3))
		if c.Drained() {
			t.Error("Drained before Close")
		}
		pos := w.Position()
		for range 2 {
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if w.Position() != pos {
			t.Errorf("Position %d, before Close %d", w.Position(), pos)
		}
		if c.Drained() {
			t.Error("Drained with a record to read")
		}
		wantNext(t, c, 1, []byte("one"))
		wantNothing(t, c)
		if !c.Drained() {
			t.Error("not Drained")
		}
		for range 2 {
			if ok := func() (ok bool) {
				defer func() {
					if recover() != nil {
						ok = false
					}
				}()
				return open.Commit()
			}(); ok {
				t.Error("Commit after Close: true")
			}
		}
		open.Abort()
		wantNothing(t, c)
		if s := w.Stats(); s.Aborts != 0 {
			t.Errorf("%+v", s)
		}
	})
	t.Run("MPSC: a claim that is in time", func(t *testing.T) {
		p, c, _ := NewMPSC(64)
		open := must(p.TryClaim(3))
		p.Close()
		copy(open.Bytes(), "yes")
		if !open.Commit() { // the consumer has not been here
			t.Fatal("Commit: false")
		}
		wantNext(t, c, 1, []byte("yes"))
	})
	t.Run("MPSC: inside CommitN", func(t *testing.T) {
		// The consumer must not abandon a claim whose owner has taken it to
		// shorten it.
		p, c, _ := NewMPSC(64)
		open := must(p.TryClaim(16))
		p.Close()
		c.ring.mem.settle(0, c.ring.markOf(open), settlingMark(0))
		wantNothing(t, c)
		if c.Drained() || c.Stats().Abandoned != 0 {
			t.Error("abandoned")
		}
		c.ring.mem.publish(16, makeSkip(8))
		c.ring.mem.publish(0, makeHeader(1, 16))
		if _, ok := c.Next(); !ok {
			t.Error("nothing")
		}
		wantNothing(t, c)
		if !c.Drained() {
			t.Error("not Drained")
		}
	})
	t.Run("MPSC: between the tail and the mark", func(t *testing.T) {
		p, c, _ := NewMPSC(64)
		c.ring.tail.advance(0, 16)
		p.Close()
		wantNothing(t, c)
		if c.Drained() {
			t.Error("Drained")
		}
		c.ring.mem.publish(0, claimMark(0, 16))
		wantNothing(t, c)
		if !c.Drained() || c.Stats().Abandoned != 1 {
			t.Error("not abandoned")
		}
	})
	t.Run("MPSC: abandoned memory is left alone", func(t *testing.T) {
		p, c, _ := NewMPSC(64)
		open := must(p.TryClaim(16))
		p.Close()
		copy(open.Bytes(), "late, and nobody")
		wantNothing(t, c)
		c.Release()
		if got := string(c.ring.mem.data[8:24]); got != "late, and nobody" {
			t.Errorf("the owner's bytes are %q", got)
		}
		if open.Commit() || open.Bytes() != nil {
			t.Error("Commit: true")
		}
	})
	t.Run("MPSC: the consumer retires the ring at this moment", func(t *testing.T) {
		p, c, _ := NewMPSC(64)
		p.Close()
		// retire has linked the next ring and not yet found this one closed.
		next := makeRing(64, true, 128, c.ring.stats)
		c.ring.next.Store(next)
		if _, err := p.Write([]byte("late")); err != ErrClosed {
			t.Errorf("Write after Close: %v", err)
		}
		if got := p.home.current.Load(); got != c.ring {
			t.Error("the next ring is current")
		}
	})
	t.Run("MPSC: CommitN of an abandoned claim", func(t *testing.T) {
		p, c, _ := NewMPSC(64)
		open := must(p.TryClaim(16))
		p.Close()
		wantNothing(t, c)
		before := words(c)
		if open.CommitN(3) {
			t.Error("CommitN: true")
		}
		if words(c) != before {
			t.Errorf("memory %x, before %x", words(c), before)
		}
	})
}

// More claims are open at once than there are slots.
func TestManyOpenClaims(t *testing.T) {
	const n = 3*slotCount + 1
	p, c, _ := NewMPSC(n * 16 * 2)
	var open []Claim
	for i := range n {
		open = append(open, must(p.TryClaimTyped(int32(i+1), 2)))
	}
	for k := range n {
		i := (k*7 + 3) % n // any order
		copy(open[i].Bytes(), fmt.Sprint(i%100, "  "))
		if k%2 == 0 {
			open[i].Commit()
		} else {
			open[i].Abort()
		}
		wantPanic(t, func() { open[i].Commit() }, "not open")
	}
	last := int32(0)
	if got := c.Drain(n, func(typ int32, rec []byte) {
		if typ <= last {
			t.Errorf("type %d behind %d", typ, last)
		}
		last = typ
	}); got != (n+1)/2 {
		t.Errorf("%d records, want %d", got, (n+1)/2)
	}
	for i := range c.ring.slots {
		if c.ring.slots[i].open.load() != 0 {
			t.Errorf("slot %d is not free", i)
		}
	}
}
