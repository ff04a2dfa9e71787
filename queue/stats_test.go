package queue

import "testing"

func TestStats(t *testing.T) {
	forKinds(t, func(t *testing.T, shared bool) {
		w, c := newRingAt(t, shared, 128, 0)
		want := func(after string, s Stats) {
			t.Helper()
			if got := w.Stats(); got != s || c.Stats() != s {
				t.Errorf("after %s: %+v, want %+v", after, got, s)
			}
		}
		want("nothing", Stats{})
		mustWrite(t, w, make([]byte, 10)) // 24 bytes
		mustWrite(t, w, make([]byte, 40)) // 48
		w.Write(make([]byte, 48))         // 56 to the end, 48 free: refused, no padding
		high := 0
		if !shared {
			high = 72 // its producer has looked
		}
		want("a refusal", Stats{Full: 1, HighWater: high})
		c.Drain(9, func(int32, []byte) {})
		want("two records", Stats{Records: 2, Bytes: 50, Full: 1, HighWater: 72})
		w.Write(make([]byte, 50)) // padding of 56
		want("padding", Stats{Records: 2, Bytes: 50, Full: 1, Padding: 56, HighWater: 72})
		c.Drain(9, func(int32, []byte) {})
		must(w.TryClaim(1)).Abort()
		cl := must(w.TryClaim(1))
		cl.Commit()
		cl.Abort()
		w.TryClaim(1 << 20)
		c.Drain(9, func(int32, []byte) {})
		s := Stats{Records: 4, Bytes: 101, Full: 1, Aborts: 1, Padding: 56, HighWater: c.Stats().HighWater}
		want("an abort", s)
		if s.HighWater < 72 || s.HighWater > 120 {
			t.Errorf("high water %d", s.HighWater)
		}
		w.Close()
		w.Write(nil)
		want("Close", s)
	})
}

// HighWater is what was in use, however far the positions have come.
func TestHighWater(t *testing.T) {
	forKinds(t, func(t *testing.T, shared bool) {
		for _, start := range starts {
			w, c := newRingAt(t, shared, 1024, start.pos)
			advance(t, w, c, 4096)
			for w.WriteTyped(1, nil) == nil {
			}
			c.Drain(1<<20, func(int32, []byte) {})
			if got := c.Stats().HighWater; got != 1016 {
				t.Errorf("from %s: %d, want 1016", start.name, got)
			}
		}
	})
}

// Records before and behind a claim that a closed ring's consumer passes were
// in use, too.
func TestHighWaterOfAnAbandonedRing(t *testing.T) {
	for name, before := range map[string]int{"a record before": 1, "none before": 0} {
		p, c, _ := NewMPSC(256)
		for range before {
			putString(t, p, "eight by")
		}
		mustClaim(t, p, 8)
		putString(t, p, "eight by")
		p.Close()
		if n := c.Drain(10, func(int32, []byte) {}); n != before+1 {
			t.Errorf("%s: %d records", name, n)
		}
		if got, want := c.Stats().HighWater, 32+16*before; got != want {
			t.Errorf("%s: high water %d, want %d", name, got, want)
		}
	}
}

func TestPosition(t *testing.T) {
	forKinds(t, func(t *testing.T, shared bool) {
		w, c := newRingAt(t, shared, 64, 1<<64-64)
		mustWrite(t, w, make([]byte, 40))
		pos := w.Position()
		if pos != 1<<64-16 {
			t.Errorf("Position %d", pos)
		}
		if c.Position() == pos {
			t.Error("read before reading")
		}
		s := c.Peek(0)
		if s.End() != pos || c.Position() != pos {
			t.Errorf("End %d, Position %d, want %d", s.End(), c.Position(), pos)
		}
		c.Release()
		w.Write(make([]byte, 48)) // padding only
		c.Peek(0)
		if got := w.Position(); got != c.Position() {
			t.Errorf("Position %d, the consumer's %d: nobody can wait for it", got, c.Position())
		}
	})
}

// A consumer that gives back little at a time finds out in time how full an MPSC
// ring is, though it does not look each time.
func TestHighWaterOfSmallReleases(t *testing.T) {
	p, c, _ := NewMPSC(8192)
	rec := make([]byte, 16) // 24 bytes of the ring
	read := func(n int) {
		for range n {
			c.Next()
			c.Release()
		}
	}
	mustWrite(t, p, rec)
	read(1) // it looks
	const records = 200
	for range records {
		mustWrite(t, p, rec)
	}
	read(lookEvery)
	if got, least := c.Stats().HighWater, (records-lookEvery)*24; got < least || got > records*24 {
		t.Errorf("high-water mark %d, between %d and %d bytes were in use", got, least, records*24)
	}
}

// An SPSC producer looks every 1/16 of the capacity, though nothing is in its way.
func TestHighWaterOfAProducerAlone(t *testing.T) {
	p, _, err := NewSPSC(4096)
	if err != nil {
		t.Fatal(err)
	}
	for p.WriteTyped(1, make([]byte, 8)) == nil {
		if used := int(p.Position()); p.Stats().HighWater < used-4096/16 {
			t.Fatalf("%d, of %d", p.Stats().HighWater, used)
		}
	}
}
