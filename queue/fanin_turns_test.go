package queue

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// What the others deliver while a record waits at the head of its lane is
// bounded, exactly as FanIn says, by whatever verbs the records are read and
// while lanes come and go.
func TestFanInTurnsProperty(t *testing.T) {
	seeds := []uint64{1, 2, 3, 4, uint64(time.Now().UnixNano())}
	if *fanInSeed != 0 {
		seeds = []uint64{*fanInSeed}
	}
	for _, seed := range seeds {
		for _, capacity := range []int{64, 256, 4096} {
			t.Run(fmt.Sprintf("seed %d/%d", seed, capacity), func(t *testing.T) {
				replay(t, "queue.fanin", seed)
				rnd := rand.New(rand.NewPCG(seed, uint64(capacity)))
				f := must(newFanIn(capacity, starts[rnd.IntN(len(starts))].pos))
				m := &turns{t: t, rnd: rnd, f: f, capacity: capacity, lanes: map[uint64]*turnsLane{}}
				for range 4 {
					m.open()
				}
				steps := 6000
				if raceEnabled || testing.Short() {
					steps = 1500
				}
				for range steps {
					m.step()
				}
			})
		}
	}
}

// turns counts, for each lane that has something, what every other lane has
// delivered since its head became the head.
type turns struct {
	t        *testing.T
	rnd      *rand.Rand
	f        *FanIn
	capacity int
	lanes    map[uint64]*turnsLane
	ids      []uint64
}

type turnsLane struct {
	p       *Producer
	waiting []int // frames, in bytes
	others  map[uint64]int
	records map[uint64]int
	newer   map[uint64]bool // lanes that were added while it waited for its turn
}

func (m *turns) open() {
	p := must(m.f.NewProducer())
	m.lanes[p.Lane()] = &turnsLane{p: p}
	m.lanes[p.Lane()].head()
	m.ids = append(m.ids, p.Lane())
	for id, l := range m.lanes {
		turn := m.f.turn < len(m.f.order) && m.f.order[m.f.turn].id == id
		if id != p.Lane() && len(l.waiting) > 0 && !turn {
			l.newer[p.Lane()] = true
		}
	}
}

func (l *turnsLane) head() {
	l.others, l.records, l.newer = map[uint64]int{}, map[uint64]int{}, map[uint64]bool{}
}

func (m *turns) write(l *turnsLane) bool {
	n := m.rnd.IntN(min(m.capacity-15, 100))
	if m.rnd.IntN(4) == 0 {
		n = 0
	}
	if m.rnd.IntN(10) == 0 {
		n = m.capacity - 16 - m.rnd.IntN(8)
	}
	if l.p.WriteTyped(1, make([]byte, n)) != nil {
		return false
	}
	if l.waiting = append(l.waiting, int(align(uint64(headerLen+n)))); len(l.waiting) == 1 {
		l.head()
	}
	return true
}

// got checks a delivery of some records of one lane, the frames of which
// are bytes long.
func (m *turns) got(records, bytes int) {
	id := m.f.Lane()
	l := m.lanes[id]
	for range records {
		bytes -= l.waiting[0]
		l.waiting = l.waiting[1:]
		m.count(id, 1, 0)
	}
	if bytes < 0 || bytes > 0 && records == 1 {
		m.t.Fatalf("%d bytes more than the records have", bytes)
	}
	l.head()
}

func (m *turns) count(id uint64, records, bytes int) {
	for o, l := range m.lanes {
		if o == id || len(l.waiting) == 0 {
			continue
		}
		l.others[id] += bytes
		l.records[id] += records
		if l.newer[id] {
			m.t.Fatalf("lane %d delivers before lane %d, which waited when it was added", id, o)
		}
		if l.others[id] > 2*m.capacity-16 || l.records[id] > m.capacity/4 {
			m.t.Fatalf("while lane %d waits, lane %d delivers %d bytes, %d records", o, id, l.others[id], l.records[id])
		}
	}
}

func (m *turns) read() {
	switch m.rnd.IntN(4) {
	case 0, 1:
		if rec, ok := m.f.Next(); ok {
			n := int(align(uint64(headerLen + len(rec))))
			m.count(m.f.Lane(), 0, n)
			m.got(1, n)
		}
	case 2:
		m.f.Drain(1+m.rnd.IntN(12), func(_ int32, rec []byte) {
			n := int(align(uint64(headerLen + len(rec))))
			m.count(m.f.Lane(), 0, n)
			m.got(1, n)
		})
	case 3:
		s := m.f.Peek(m.rnd.IntN(m.capacity * 2))
		if s.Records() > 0 {
			m.count(m.f.Lane(), 0, len(s.Frames()))
			m.got(s.Records(), len(s.Frames()))
			m.f.ReleaseTo(s.End())
		}
	}
}

func (m *turns) step() {
	switch r := m.rnd.IntN(100); {
	case r < 2:
		m.open()
	case r < 4 && len(m.ids) > 2:
		i := m.rnd.IntN(len(m.ids))
		m.lanes[m.ids[i]].p.Close()
		m.ids = append(m.ids[:i], m.ids[i+1:]...)
	case r < 50:
		for _, id := range m.ids { // some keep their lane full
			if id%3 == 1 {
				for m.write(m.lanes[id]) {
				}
			} else if m.rnd.IntN(20) == 0 {
				m.write(m.lanes[id])
			}
		}
	default:
		m.read()
	}
}

// A turn may be as long as FanIn says it may be.
func TestFanInLongestTurn(t *testing.T) {
	f := must(newFanIn(64, 8)) // so that two of the longest records follow each other without padding
	hog, quiet := must(f.NewProducer()), must(f.NewProducer())
	mustWrite(t, quiet, nil)
	got := 0
	for {
		hog.Write(make([]byte, 48))
		rec, ok := f.Next()
		if !ok {
			continue // padding
		}
		if f.Lane() == quiet.Lane() {
			break
		}
		got += headerLen + len(rec)
		f.Release()
	}
	if got != 2*64-16 {
		t.Errorf("a turn of %d bytes, want %d", got, 2*64-16)
	}
}

func TestFanInClose(t *testing.T) {
	for _, byTime := range []bool{false, true} {
		t.Run(fmt.Sprintf("by time %v", byTime), func(t *testing.T) {
			f := must(NewFanIn(64))
			if byTime {
				f = must(NewFanInByTime(64, time.Hour))
			}
			wantState := func(ready, drained bool) {
				t.Helper()
				if f.Ready() != ready || f.Drained() != drained {
					t.Fatalf("Ready %v, Drained %v, want %v, %v", f.Ready(), f.Drained(), ready, drained)
				}
			}
			wantState(false, false)
			a := must(f.NewProducer())
			must(f.NewProducer()).Close()
			wantState(false, false)
			writeAt(t, a, 1)
			c := must(a.TryClaim(8))
			f.Close()
			f.Close()
			if p, err := f.NewProducer(); err != ErrClosed || p != nil {
				t.Fatalf("NewProducer of a closed FanIn: %v", err)
			}
			copy(c.Bytes(), stamped(2, 8))
			if !c.Commit() {
				t.Error("Close of the FanIn closed the producer")
			}
			wantState(true, false)
			a.Close()
			rec, _ := f.Next()
			wantState(true, false)
			if string(rec) != string(stamped(1, 8)) {
				t.Errorf("% x", rec)
			}
			if n := f.Drain(10, func(int32, []byte) {}); n != 1 {
				t.Errorf("%d records", n)
			}
			wantState(false, true)
			wantNothing(t, f)
			wantState(false, true)
			if n := len(f.lanes.Load().list); n != 0 {
				t.Errorf("%d lanes left", n)
			}
		})
	}
	f := must(NewFanIn(64))
	f.Close()
	if !f.Drained() {
		t.Error("closed, without lanes, not Drained")
	}
}

func TestFanInLanes(t *testing.T) {
	f := must(NewFanIn(64))
	list := func() (s string) {
		var sum Stats
		for id, stats := range f.Lanes {
			s += fmt.Sprintf("%d: %d/%d/%d, ", id, stats.Records, stats.Bytes, stats.HighWater)
			sum = sum.add(stats)
		}
		if sum != f.Stats() {
			t.Errorf("Lanes add up to %+v, Stats are %+v", sum, f.Stats())
		}
		return s
	}
	want := func(want string) {
		t.Helper()
		if got := list(); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
	want("")
	a, b := must(f.NewProducer()), must(f.NewProducer())
	want("1: 0/0/0, 2: 0/0/0, ")
	mustWrite(t, a, []byte("abc"))
	mustWrite(t, b, []byte("defgh"))
	mustWrite(t, b, []byte("i"))
	f.Drain(10, func(int32, []byte) {})
	want("1: 1/3/16, 2: 2/6/16, ")
	a.Close()
	wantNothing(t, f)
	want("0: 1/3/16, 2: 2/6/16, ")
	c := must(f.NewProducer())
	if a.Lane() != 1 || b.Lane() != 2 || c.Lane() != 3 {
		t.Errorf("lanes %d, %d, %d", a.Lane(), b.Lane(), c.Lane())
	}
	want("0: 1/3/16, 2: 2/6/16, 3: 0/0/0, ")
	b.Close()
	c.Close()
	wantNothing(t, f)
	want("0: 3/9/16, ")
	for range f.Lanes {
		break
	}
	if p, _, _ := NewSPSC(64); p.Lane() != 0 {
		t.Error("the producer of NewSPSC has a lane")
	}
	if f.Lane() != 2 {
		t.Errorf("Lane %d", f.Lane())
	}
}

// A callback that panics again and again does not keep the turn.
func TestFanInTurnAfterPanics(t *testing.T) {
	f := must(NewFanIn(64))
	hog, quiet := must(f.NewProducer()), must(f.NewProducer())
	mustWrite(t, quiet, nil)
	for range 20 {
		hog.Write(nil)
		func() {
			defer func() { recover() }()
			f.Drain(5, func(int32, []byte) { panic("no") })
		}()
		if f.Lane() == quiet.Lane() {
			return
		}
	}
	t.Error("20 records and not the quiet producer's")
}
