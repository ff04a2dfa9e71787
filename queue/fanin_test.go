package queue

import (
	"fmt"
	"testing"
)

func TestFanInGoesRound(t *testing.T) {
	f := must(NewFanIn(256))
	wantNothing(t, f)
	if f.Type() != 0 || f.Peek(10).Records() != 0 || f.Drain(10, nil) != 0 {
		t.Error("an empty FanIn has something")
	}
	var ps []*Producer
	for i := range 3 {
		p := must(f.NewProducer())
		ps = append(ps, p)
		for k := range 4 {
			mustWrite(t, p, []byte{byte(i), byte(k)})
		}
	}
	var order [3]byte
	for range 12 {
		rec, ok := f.Next()
		if !ok || rec[1] != order[rec[0]] {
			t.Fatalf("got % x, %v; next of each lane: %v", rec, ok, order)
		}
		order[rec[0]]++
	}
	wantNothing(t, f)
	for range 2 {
		for _, p := range ps {
			mustWrite(t, p, nil)
		}
	}
	var turns []string
	for s := f.Peek(1 << 20); s.Records() > 0; s = f.Peek(1 << 20) {
		turns = append(turns, fmt.Sprint(s.Records()))
		f.ReleaseTo(s.End())
	}
	if fmt.Sprint(turns) != "[2 2 2]" {
		t.Errorf("spans of %v records, want one of 2 from each lane", turns)
	}
}

// A producer that writes as fast as it is read must not keep the others
// waiting, whichever verb reads.
func TestFanInFairness(t *testing.T) {
	verbs := map[string]func(f *FanIn, got func(rec []byte)){
		"Next": func(f *FanIn, got func([]byte)) {
			for range 100 {
				rec, _ := f.Next()
				got(rec)
			}
		},
		"Drain": func(f *FanIn, got func([]byte)) {
			f.Drain(100, func(_ int32, rec []byte) { got(rec) })
		},
		"Peek": func(f *FanIn, got func([]byte)) {
			for range 100 {
				s := f.Peek(0)
				got(s.Frames()[headerLen:])
				f.ReleaseTo(s.End())
			}
		},
	}
	for name, read := range verbs {
		t.Run(name, func(t *testing.T) {
			f := must(NewFanIn(64))
			hog, quiet := must(f.NewProducer()), must(f.NewProducer())
			mustWrite(t, hog, []byte("hog"))
			mustWrite(t, quiet, []byte("quiet"))
			seen := false
			read(f, func(rec []byte) {
				seen = seen || string(rec[:3]) == "qui"
				hog.Write([]byte("hog"))
			})
			if !seen {
				t.Error("100 records and not the quiet producer's")
			}
		})
	}
}

func TestFanInLanesComeAndGo(t *testing.T) {
	f := must(NewFanIn(64))
	for i := range 20 {
		p := must(f.NewProducer())
		mustWrite(t, p, []byte{byte(i)})
		p.Close()
		if err := p.WriteTyped(1, nil); err != ErrClosed {
			t.Fatalf("Write to a retired lane: %v", err)
		}
		wantNext(t, f, 1, []byte{byte(i)})
		wantNothing(t, f)
		if n := len(f.lanes.Load().list); n != 0 {
			t.Fatalf("%d lanes left", n)
		}
	}
	if s := f.Stats(); s.Records != 20 || s.Bytes != 20 || s.HighWater != 16 {
		t.Errorf("%+v", s)
	}
	if got := cap(f.spans.list); got > 64 {
		t.Errorf("room for %d held spans", got)
	}
}

// A lane that is gone keeps what was delivered and not given back.
func TestFanInRetiresHeldLane(t *testing.T) {
	f := must(NewFanIn(64))
	a, b := must(f.NewProducer()), must(f.NewProducer())
	mustWrite(t, a, []byte("from a"))
	mustWrite(t, b, []byte("from b"))
	a.Close()
	b.Close()
	s1, s2 := f.Peek(100), f.Peek(100)
	for range 2 {
		if f.Peek(100).Records() != 0 {
			t.Fatal("a third record")
		}
	}
	if n := len(f.lanes.Load().list); n != 0 {
		t.Fatalf("%d lanes left", n)
	}
	for i, s := range []Span{s1, s2} {
		if recs := checkSpan(t, s, 100); len(recs) != 1 || string(recs[0].payload[:5]) != "from " {
			t.Errorf("span %d: %v", i, recs)
		}
	}
	if s := f.Stats(); s.Records != 2 || s.Bytes != 12 {
		t.Errorf("before the release: %+v", s)
	}
	f.ReleaseTo(s1.End())
	f.ReleaseTo(s2.End())
	if s := f.Stats(); s.Records != 2 || s.Bytes != 12 {
		t.Errorf("after the release: %+v", s)
	}
	for i, h := range f.spans.list[:cap(f.spans.list)] {
		if h.ring != nil {
			t.Errorf("held %d keeps a lane's memory", i)
		}
	}
}

// A lane goes while the record that Next returned from it is still current.
func TestFanInRetiresCurrentLane(t *testing.T) {
	f := must(NewFanIn(64))
	a, b := must(f.NewProducer()), must(f.NewProducer())
	if err := a.WriteTyped(7, []byte("last")); err != nil {
		t.Fatal(err)
	}
	a.Close()
	wantNext(t, f, 7, []byte("last"))
	wantNothing(t, f)
	if f.Type() != 0 {
		t.Errorf("Type %d without a record", f.Type())
	}
	mustWrite(t, b, []byte("b"))
	wantNext(t, f, 1, []byte("b"))
	f.Release()
	f.Release()
	wantNothing(t, f)
}

func TestFanInReleaseTo(t *testing.T) {
	for _, start := range starts {
		t.Run(start.name, func(t *testing.T) {
			f := must(NewFanIn(256))
			f.read, f.released = start.pos, start.pos
			a, b := must(f.NewProducer()), must(f.NewProducer())
			for range 3 {
				mustWrite(t, a, make([]byte, 24))
				mustWrite(t, b, make([]byte, 24))
			}
			s1, s2, s3 := f.Peek(64), f.Peek(1000), f.Peek(1000)
			if s1.Records() != 2 || s1.End() != start.pos+64 || s2.End() != start.pos+96 || s3.End() != start.pos+192 {
				t.Fatalf("spans to %d, %d, %d", s1.End(), s2.End(), s3.End())
			}
			head := func(p *Producer) uint64 { return p.ring.head.load() }
			want := func(at string, inA, inB uint64) {
				t.Helper()
				if head(a) != inA || head(b) != inB {
					t.Fatalf("%s: heads at %d and %d, want %d and %d", at, head(a), head(b), inA, inB)
				}
			}
			f.ReleaseTo(start.pos)
			want("at the start", 0, 0)
			f.ReleaseTo(start.pos + 40)
			want("inside the first", 40, 0)
			wantPanic(t, func() { f.ReleaseTo(start.pos + 32) }, fmt.Sprint(start.pos+32), "already released")
			wantPanic(t, func() { f.ReleaseTo(start.pos + 44) }, "multiple of 8")
			wantPanic(t, func() { f.ReleaseTo(start.pos + 200) }, "read so far")
			f.ReleaseTo(s1.End())
			want("behind the first", 64, 0)
			f.ReleaseTo(s1.End() + 8)
			f.ReleaseTo(s1.End() + 8)
			want("inside the second", 72, 0)
			f.ReleaseTo(s2.End() + 8)
			want("inside the third", 96, 8)
			f.ReleaseTo(s3.End())
			want("behind all", 96, 96)
			wantNothing(t, f)
		})
	}
}

// Next and Drain give back the spans that are held, and Peek the record.
func TestFanInMixedVerbs(t *testing.T) {
	f := must(NewFanIn(64))
	a, b := must(f.NewProducer()), must(f.NewProducer())
	used := func(p *Producer) uint64 { return p.tail - p.ring.head.load() }
	write := func() { mustWrite(t, a, []byte("a")); mustWrite(t, b, []byte("b")) }
	write()
	f.Peek(100)
	f.Next()
	f.Peek(100)
	if used(a)+used(b) > 0 {
		t.Errorf("in use: %d, %d", used(a), used(b))
	}
	write()
	f.Peek(100)
	f.Drain(1, func(int32, []byte) {})
	if used(a)+used(b) > 0 {
		t.Errorf("in use: %d, %d", used(a), used(b))
	}
	write()
	f.Peek(100)
	f.Peek(100)
	f.Release()
	if used(a)+used(b) > 0 {
		t.Errorf("in use: %d, %d", used(a), used(b))
	}
	wantNothing(t, f)
}

func TestFanInDrainPanic(t *testing.T) {
	f := must(NewFanIn(64))
	a := must(f.NewProducer())
	mustWrite(t, a, []byte("1"))
	mustWrite(t, a, []byte("2"))
	wantPanic(t, func() { f.Drain(10, func(int32, []byte) { panic("first") }) }, "first")
	wantNext(t, f, 1, []byte("2"))
	wantNothing(t, f)
}

func TestFanInCapacity(t *testing.T) {
	for _, capacity := range []int{0, -1, 1<<30 + 1} {
		if _, err := NewFanIn(capacity); err == nil {
			t.Errorf("NewFanIn(%d): no error", capacity)
		}
	}
	f := must(NewFanIn(65))
	if p := must(f.NewProducer()); p.Capacity() != 128 {
		t.Errorf("lane of %d bytes", p.Capacity())
	}
}

// A lane that goes in the middle of a round must not end it early.
func TestFanInDrainPastRetiredLane(t *testing.T) {
	f := must(NewFanIn(64))
	for range 3 {
		must(f.NewProducer()).Close()
	}
	p := must(f.NewProducer())
	mustWrite(t, p, []byte("x"))
	if n := f.Drain(10, func(int32, []byte) {}); n != 1 {
		t.Errorf("%d records, want 1", n)
	}
}
