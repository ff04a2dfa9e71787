package queue

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"
)

var (
	_ reader = (*Priority)(nil)
	_ Source = (*Priority)(nil)
)

func newPriorityAt(t testing.TB, levels, capacity int, start uint64) ([]*SharedProducer, *Priority) {
	t.Helper()
	ps, p, err := newPriority(levels, capacity, start)
	if err != nil {
		t.Fatal(err)
	}
	return ps, p
}

func TestPriorityUrgentFirst(t *testing.T) {
	ps, p := newPriorityAt(t, 3, 256, 0)
	if p.Level() != -1 || p.Type() != 0 || p.Ready() || p.Drained() || p.Peek(10).Records() != 0 {
		t.Error("an empty Priority has something")
	}
	wantNothing(t, p)
	for _, l := range []int{2, 0, 1, 2, 1, 0} {
		if err := ps[l].WriteTyped(int32(l+10), []byte{byte(l)}); err != nil {
			t.Fatal(err)
		}
	}
	for i, l := range []int{0, 0, 1, 1, 2} {
		if !p.Ready() {
			t.Fatalf("record %d: not ready", i)
		}
		wantNext(t, p, int32(l+10), []byte{byte(l)})
		if p.Level() != l {
			t.Errorf("record %d: level %d, want %d", i, p.Level(), l)
		}
	}
	mustWrite(t, ps[1], []byte("late and more urgent"))
	wantNext(t, p, 1, []byte("late and more urgent"))
	wantNext(t, p, 12, []byte{2})
	wantNothing(t, p)
	for l, w := range ps {
		if p.Drained() {
			t.Errorf("drained with level %d open", l)
		}
		w.Close()
	}
	if !p.Drained() || p.Level() != 2 || p.Type() != 12 {
		t.Errorf("drained %v, level %d, type %d", p.Drained(), p.Level(), p.Type())
	}
}

func TestPriorityArguments(t *testing.T) {
	for _, c := range []struct{ levels, capacity int }{{0, 64}, {-1, 64}, {17, 64}, {2, 0}, {2, 1<<30 + 1}} {
		if _, _, err := NewPriority(c.levels, c.capacity); err == nil {
			t.Errorf("NewPriority(%d, %d): no error", c.levels, c.capacity)
		}
	}
	ps, _, err := NewPriority(16, 65)
	if err != nil || len(ps) != 16 || ps[15].Capacity() != 128 {
		t.Error(err, len(ps))
	}
	if maxLevels >= UrgentRun {
		t.Error("levels that are due together make each other due")
	}
}

// priorityVerbs is the ways to read: each calls got for what one call
// delivers, and says whether there was anything.
var priorityVerbs = map[string]func(p *Priority, got func(level int, rec []byte)) bool{
	"Next": func(p *Priority, got func(int, []byte)) bool {
		rec, ok := p.Next()
		if ok {
			got(p.Level(), rec)
		}
		return ok
	},
	"Drain": func(p *Priority, got func(int, []byte)) bool {
		return p.Drain(10, func(_ int32, rec []byte) { got(p.Level(), rec) }) > 0
	},
	"Peek": func(p *Priority, got func(int, []byte)) bool {
		s := p.Peek(1 << 20)
		list, err := parse(s.Frames())
		if err != nil {
			panic(err)
		}
		for _, f := range list {
			if f.typ != typeSkip {
				got(p.Level(), f.payload)
			}
		}
		if s.Records() > 0 {
			p.ReleaseTo(s.End())
		}
		return s.Records() > 0
	},
	"Peek one": func(p *Priority, got func(int, []byte)) bool {
		s := p.Peek(0)
		if s.Records() > 0 {
			got(p.Level(), s.Frames()[headerLen:])
			p.Release()
		}
		return s.Records() > 0
	},
	"Forward": func(p *Priority, got func(int, []byte)) bool {
		_, err := oneLane().Forward(p, 1, func(_ int32, rec []byte) uint64 {
			got(int(rec[0]), rec)
			return 0
		})
		return err == nil
	},
}

// oneLane takes what Forward moves.
func oneLane() *FanOut { f, _, _ := NewFanOut(1, 1<<12); return f }

// With every level always full, each gets its share to the record: between two
// records of a level lie UrgentRun more urgent ones, and whoever is due with it.
func TestPrioritySaturated(t *testing.T) {
	for name, read := range priorityVerbs {
		for levels := 2; levels <= 5; levels++ {
			t.Run(fmt.Sprintf("%s/%d", name, levels), func(t *testing.T) {
				ps, p := newPriorityAt(t, levels, 4096, 1<<64-4096)
				fill := func() {
					for l, w := range ps {
						for w.WriteTyped(1, []byte{byte(l), 9: 1}) == nil {
						}
					}
				}
				fill()
				urgent := make([]int, levels) // delivered from more urgent levels since the level's last
				count := make([]int, levels)
				total := 0
				got := func(l int, _ []byte) {
					total++
					count[l]++
					for m := l + 1; m < levels; m++ {
						if urgent[m]++; urgent[m] > UrgentRun {
							t.Fatalf("record %d: level %d waits for %d more urgent ones", total, m, urgent[m])
						}
					}
					if l > 0 && urgent[l] < UrgentRun {
						t.Fatalf("record %d: level %d after %d more urgent ones", total, l, urgent[l])
					}
					urgent[l] = 0
				}
				for total < 10000 {
					if !read(p, got) {
						t.Fatal("nothing to read")
					}
					fill()
				}
				for l, moreUrgent := 1, count[0]; l < levels; l++ {
					if n := moreUrgent / UrgentRun; count[l] < n-1 || count[l] > n {
						t.Errorf("level %d: %d records, %d more urgent ones", l, count[l], moreUrgent)
					}
					moreUrgent += count[l]
				}
			})
		}
	}
}

// While nothing less urgent waits, spans are as long as the ring has them.
func TestPrioritySpansAreWholeWhenNobodyWaits(t *testing.T) {
	ps, p := newPriorityAt(t, 2, 4096, 0)
	for range 200 {
		mustWrite(t, ps[0], []byte("12345678"))
	}
	s := p.Peek(1 << 20)
	if s.Records() != 200 {
		t.Errorf("%d records, want 200", s.Records())
	}
	p.ReleaseTo(s.End())
	// The level was empty then; now it is due, after so many.
	mustWrite(t, ps[0], []byte("urgent"))
	mustWrite(t, ps[1], []byte("waits"))
	wantNext(t, p, 1, []byte("waits"))
	wantNext(t, p, 1, []byte("urgent"))
}

func TestPriorityReleaseTo(t *testing.T) {
	for _, start := range starts {
		t.Run(start.name, func(t *testing.T) {
			begin := align(start.pos/256*256) + 256 // so that nothing wraps
			ps, p := newPriorityAt(t, 2, 256, begin)
			for range 2 {
				mustWrite(t, ps[0], make([]byte, 24))
				mustWrite(t, ps[1], make([]byte, 24))
			}
			s1, s2 := p.Peek(1000), p.Peek(0)
			mustWrite(t, ps[0], make([]byte, 24))
			s3, s4 := p.Peek(1000), p.Peek(1000)
			for i, s := range []Span{s1, s2, s3, s4} {
				if want := begin + []uint64{64, 96, 128, 160}[i]; s.End() != want {
					t.Fatalf("span %d ends at %d, want %d", i, s.End(), want)
				}
			}
			want := func(at string, in0, in1 uint64) {
				t.Helper()
				if a, b := p.levels[0].head-begin, p.levels[1].head-begin; a != in0 || b != in1 {
					t.Fatalf("%s: heads at %d and %d, want %d and %d", at, a, b, in0, in1)
				}
			}
			p.ReleaseTo(begin)
			want("at the start", 0, 0)
			p.ReleaseTo(begin + 40)
			want("inside the first", 40, 0)
			wantPanic(t, func() { p.ReleaseTo(begin + 32) }, fmt.Sprint(begin+32), "already released")
			wantPanic(t, func() { p.ReleaseTo(begin + 44) }, "multiple of 8")
			wantPanic(t, func() { p.ReleaseTo(begin + 168) }, "read so far")
			p.ReleaseTo(s2.End())
			want("behind the second", 64, 32)
			p.ReleaseTo(s2.End())
			p.ReleaseTo(s3.End() + 8)
			want("inside the fourth", 96, 40)
			p.ReleaseTo(s4.End())
			want("behind all", 96, 64)
			wantNothing(t, p)
			for i, s := range p.list[:cap(p.list)] {
				if s.ring != nil {
					t.Errorf("entry %d of the list keeps a ring", i)
				}
			}
		})
	}
}

// Every verb gives back what the others have delivered.
func TestPriorityMixedVerbs(t *testing.T) {
	ps, p := newPriorityAt(t, 2, 64, 0)
	used := func() (n uint64) {
		for l, w := range ps {
			n += w.Position() - p.levels[l].ring.head.load()
		}
		return n
	}
	put := func() { mustWrite(t, ps[0], []byte("0")); mustWrite(t, ps[1], []byte("1")) }
	nop := func(int32, []byte) {}
	for name, read := range map[string]func(){
		"Next, Next, Next": func() { p.Next(); p.Next(); p.Next() },
		"Peek, Next, Peek, Release": func() {
			p.Peek(9)
			p.Next()
			p.Peek(9)
			p.Release()
		},
		"Next, Peek, ReleaseTo":   func() { p.Next(); p.ReleaseTo(p.Peek(9).End()) },
		"Peek, Drain":             func() { p.Peek(9); p.Drain(9, nop) },
		"Next, Drain":             func() { p.Next(); p.Drain(9, nop) },
		"Drain":                   func() { p.Drain(9, nop) },
		"Next, Forward":           func() { p.Next(); oneLane().Forward(p, 9, nil) },
		"Peek, Forward":           func() { p.Peek(9); oneLane().Forward(p, 9, nil) },
		"Forward, Forward, twice": func() { f := oneLane(); f.Forward(p, 1, nil); f.Forward(p, 1, nil) },
		"Next, Next, Release":     func() { p.Next(); p.Next(); p.Release() },
	} {
		put()
		read()
		if n := used(); n != 0 {
			t.Errorf("%s: %d bytes in use", name, n)
		}
		wantNothing(t, p)
	}
}

func TestPriorityRecordStaysValid(t *testing.T) {
	ps, p := newPriorityAt(t, 2, 64, 0)
	mustWrite(t, ps[0], []byte("urgent"))
	mustWrite(t, ps[1], []byte("other"))
	rec, _ := p.Next()
	if !p.Ready() || p.Drained() || p.Level() != 0 || string(rec) != "urgent" {
		t.Errorf("%q", rec)
	}
	if _, ok := p.Stalled(); ok || string(rec) != "urgent" {
		t.Errorf("%q", rec)
	}
}

func TestPriorityDrainPanic(t *testing.T) {
	ps, p := newPriorityAt(t, 2, 64, 0)
	mustWrite(t, ps[0], []byte("1"))
	mustWrite(t, ps[1], []byte("2"))
	wantPanic(t, func() { p.Drain(10, func(int32, []byte) { panic("first") }) }, "first")
	if n := p.levels[0].head; n != 16 {
		t.Errorf("head of level 0 at %d", n)
	}
	wantNext(t, p, 1, []byte("2"))
	wantNothing(t, p)
}

// An open claim holds up its level and no other, and can be passed.
func TestPriorityStalled(t *testing.T) {
	ps, p := newPriorityAt(t, 3, 128, 0)
	c0 := must(ps[0].TryClaim(11))
	mustWrite(t, ps[0], []byte("behind"))
	c1 := must(ps[1].TryClaim(12))
	mustWrite(t, ps[2], []byte("free"))
	wantNext(t, p, 1, []byte("free"))
	wantNothing(t, p)
	p.Stalled()
	for oldest, size := range []int{11, 12} {
		p.levels[oldest].since = p.levels[oldest].since.Add(-time.Duration(oldest+1) * time.Hour)
		if s, ok := p.Stalled(); !ok || s.Size != size || s.Age < time.Hour {
			t.Fatalf("%+v, %v", s, ok)
		}
	}
	if p.PassStalled(1 << 62) {
		t.Error("passed too early")
	}
	c1.Abort()
	if s, ok := p.Stalled(); !ok || s.Size != 11 {
		t.Fatalf("%+v, %v", s, ok)
	}
	if !p.PassStalled(0) || p.PassStalled(0) {
		t.Error("the claim should be passed once")
	}
	wantNext(t, p, 1, []byte("behind"))
	if c0.Commit() {
		t.Error("a passed claim was committed")
	}
	mustWrite(t, ps[0], []byte("in the new buffer"))
	if s := p.Peek(100); s.Records() != 1 || p.Level() != 0 {
		t.Errorf("%d records of level %d", s.Records(), p.Level())
	}
	p.Release()
	if s := p.Stats(); s.Abandoned != 1 || s.Aborts != 1 || s.Records != 3 {
		t.Errorf("%+v", s)
	}
}

func TestPriorityPassesAllStalled(t *testing.T) {
	ps, p := newPriorityAt(t, 3, 128, 0)
	for l := range 2 {
		must(ps[l].TryClaim(8))
		mustWrite(t, ps[l], []byte{byte(l)})
	}
	if !p.PassStalled(0) {
		t.Fatal("nothing passed")
	}
	wantNext(t, p, 1, []byte{0})
	wantNext(t, p, 1, []byte{1})
	wantNothing(t, p)
}

// A span that must end early counts records, not what lies between them.
func TestPrioritySpanAcrossSkips(t *testing.T) {
	ps, p := newPriorityAt(t, 2, 4096, 0)
	for range UrgentRun + 1 {
		mustWrite(t, ps[0], nil)
		must(ps[0].TryClaim(0)).Abort()
	}
	mustWrite(t, ps[1], nil)
	if s := p.Peek(1 << 20); s.Records() != UrgentRun {
		t.Errorf("%d records", s.Records())
	}
}

// A claim that is open when its level is closed does not keep the level from
// being drained, however busy the others are.
func TestPriorityClosedLevelWithOpenClaim(t *testing.T) {
	ps, p := newPriorityAt(t, 2, 256, 0)
	must(ps[0].TryClaim(8))
	ps[0].Close()
	mustWrite(t, ps[1], []byte("other"))
	wantNext(t, p, 1, []byte("other"))
	if !p.levels[0].Drained() {
		t.Error("level 0 is not drained")
	}
}

func TestPriorityNoAllocations(t *testing.T) {
	ps, p := newPriorityAt(t, 3, 1024, 0)
	f, cs, _ := NewFanOut(2, 1024)
	key := func(typ int32, rec []byte) uint64 { return binary.LittleEndian.Uint64(rec) }
	nop := func(int32, []byte) {}
	rec := make([]byte, 40)
	for name, read := range map[string]func(){
		"Next": func() {
			p.Next()
			p.Next()
			p.Next()
			p.Level()
			p.Type()
			p.Release()
		},
		"Drain":       func() { p.Drain(3, nop) },
		"Peek":        func() { p.Peek(100); p.Peek(100); p.ReleaseTo(p.Peek(100).End()) },
		"Ready, etc.": func() { p.Ready(); p.Stalled(); p.Drained(); p.Stats(); p.Drain(3, nop) },
		"Forward": func() {
			f.Forward(p, 3, key)
			cs[0].Drain(9, nop)
			cs[1].Drain(9, nop)
		},
	} {
		if n := testing.AllocsPerRun(200, func() {
			for _, w := range ps {
				w.WriteTyped(1, rec)
			}
			read()
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
		wantNothing(t, p)
	}
}
