package queue

import (
	"encoding/binary"
	"testing"
	"time"
)

// No call on a hot path allocates.
func TestNoAllocations(t *testing.T) {
	rec := make([]byte, 40)
	encode := func(dst []byte) ([]byte, error) { return append(dst, rec...), nil }
	sink := func(typ int32, rec []byte) {}
	claim := func(w writer) Claim { return must(w.TryClaimTyped(3, 40)) }
	writes := []struct {
		name string
		fn   func(w writer)
		pool bool // uses sync.Pool, which drops things on purpose under the race detector
	}{
		{"Write", func(w writer) { w.Write(rec) }, false},
		{"WriteTyped", func(w writer) { w.WriteTyped(2, rec) }, false},
		{"TryClaim, Commit", func(w writer) { claim(w).Commit() }, false},
		{"TryClaim, CommitN", func(w writer) { claim(w).CommitN(7) }, false},
		{"TryClaim, Bytes, Commit, Abort", func(w writer) {
			c := claim(w)
			defer c.Abort()
			copy(c.Bytes(), rec)
			c.Commit()
		}, false},
		{"TryClaim, Abort", func(w writer) { claim(w).Abort() }, false},
		{"Append", func(w writer) { w.Append(100, encode) }, true},
		{"ErrTooLarge", func(w writer) { w.TryClaim(1 << 20) }, false},
		{"Stats, Position, Capacity", func(w writer) { w.Stats(); w.Position(); w.Capacity() }, false},
	}
	reads := []struct {
		name string
		fn   func(r reader)
	}{
		{"Next", func(r reader) { r.Next(); r.Type() }},
		{"Next, Release", func(r reader) { r.Next(); r.Release() }},
		{"Drain", func(r reader) { r.Drain(10, sink) }},
		{"Ready, Drained, Stalled, PassStalled, Position", func(r reader) {
			if c, ok := r.(*Consumer); ok {
				c.Ready()
				c.Drained()
				c.Stalled()
				c.PassStalled(time.Hour)
				c.Position()
			} else if f, ok := r.(interface{ Ready() bool }); ok {
				f.Ready()
			}
			r.Stats()
			r.Drain(10, sink)
		}},
		{"Peek, ReleaseTo", func(r reader) {
			if s := r.Peek(1000); s.Records() > 0 {
				_ = s.Frames()
				r.ReleaseTo(s.End())
			}
		}},
	}
	check := func(t *testing.T, w writer, r reader) {
		for _, wr := range writes {
			for _, rd := range reads {
				if wr.pool && raceEnabled {
					continue
				}
				if n := testing.AllocsPerRun(200, func() { wr.fn(w); rd.fn(r) }); n != 0 {
					t.Errorf("%s and %s: %v allocations", wr.name, rd.name, n)
				}
			}
		}
		if n := testing.AllocsPerRun(200, func() { // full
			for w.WriteTyped(1, rec) == nil {
			}
			r.Drain(1<<20, sink)
		}); n != 0 {
			t.Errorf("filling up: %v allocations", n)
		}
	}
	forKinds(t, func(t *testing.T, shared bool) {
		w, c := newRingAt(t, shared, 1024, 0)
		check(t, w, c)
	})
	t.Run("MPSC, a clone", func(t *testing.T) {
		p, c, _ := NewMPSC(1024)
		check(t, p.Clone(), c)
	})
	t.Run("MPSC, a claim stalls", func(t *testing.T) {
		p, c := newRingAt(t, true, 1024, 0)
		open := must(p.TryClaim(8))
		mustWrite(t, p, rec)
		if n := testing.AllocsPerRun(200, func() {
			c.Next()
			c.Ready()
			if _, ok := c.Stalled(); !ok || c.PassStalled(time.Hour) {
				t.Fatal("no stalled claim")
			}
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
		open.Commit()
	})
	t.Run("FanIn", func(t *testing.T) {
		f := must(NewFanIn(1024))
		p := must(f.NewProducer())
		must(f.NewProducer())
		check(t, p, f)
	})
	t.Run("FanInByTime", func(t *testing.T) {
		f := must(NewFanInByTime(1024, 0))
		p := must(f.NewProducer())
		must(f.NewProducer())
		check(t, p, f)
	})
	t.Run("FanInByTime, held back", func(t *testing.T) {
		f := must(NewFanInByTime(1<<16, time.Hour))
		a, b := must(f.NewProducer()), must(f.NewProducer())
		at := int64(0)
		stamp := func(w writer) {
			at++
			c := must(w.TryClaim(timeLen))
			binary.LittleEndian.PutUint64(c.Bytes(), uint64(at))
			c.Commit()
		}
		if n := testing.AllocsPerRun(200, func() {
			stamp(a)
			if f.Ready() { // b is empty
				t.Fatal("Ready")
			}
			stamp(b)
			if d, ok := f.Due(); d != 0 || !ok {
				t.Fatal("not Due")
			}
			if f.Drain(10, sink) == 0 {
				t.Fatal("nothing drained")
			}
			stamp(a)
			for s := f.Peek(1000); s.Records() > 0; s = f.Peek(1000) {
				f.ReleaseTo(s.End())
			}
			f.Stats()
			f.Drained()
			f.Late()
			f.Lane()
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}
