package queue

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var fanInSeed = flag.Uint64("queue.fanin", 0, "replay one property test of FanIn with this seed, 0 = fixed seeds and a fresh one")

// fakeClock is a clock that stands still until it is told.
type fakeClock struct{ now time.Duration }

func (c *fakeClock) read() time.Duration { return c.now }

func newFakeFanIn(t testing.TB, capacity int, start uint64, grace time.Duration) (*FanIn, *fakeClock) {
	t.Helper()
	clock := &fakeClock{now: 1000}
	return must(newFanInByTime(capacity, start, grace, clock.read)), clock
}

// stamped is a payload of n bytes, at least 8, that begins with a timestamp.
func stamped(at int64, n int) []byte {
	b := make([]byte, max(n, timeLen))
	binary.LittleEndian.PutUint64(b, uint64(at))
	return b
}

func writeAt(t testing.TB, p *Producer, at int64) {
	t.Helper()
	mustWrite(t, p, stamped(at, 8))
}

// wantTimes reads everything that may be read and compares the timestamps;
// late ones are marked by a minus sign.
func wantTimes(t testing.TB, f *FanIn, want ...int64) {
	t.Helper()
	var got []int64
	for rec, ok := f.Next(); ok; rec, ok = f.Next() {
		at := int64(math.MaxInt64)
		if len(rec) >= timeLen {
			at = int64(binary.LittleEndian.Uint64(rec))
		}
		if f.Late() {
			at = -at
		}
		got = append(got, at)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("got %d, want %d", got, want)
	}
}

func wantDue(t testing.TB, f *FanIn, wait time.Duration, ok bool) {
	t.Helper()
	if d, o := f.Due(); d != wait || o != ok {
		t.Fatalf("Due: %d, %v, want %d, %v", d, o, wait, ok)
	}
	if f.Ready() != (ok && wait == 0) {
		t.Fatalf("Ready: %v", f.Ready())
	}
}

func TestFanInByTime(t *testing.T) {
	const short = math.MaxInt64 // how wantTimes shows a record without a timestamp
	cases := []struct {
		name string
		run  func(t *testing.T, f *FanIn, clock *fakeClock, a, b *Producer)
	}{
		{"no lane empty: at once, least first", func(t *testing.T, f *FanIn, _ *fakeClock, a, b *Producer) {
			for _, at := range []int64{1, 4, 5} {
				writeAt(t, a, at)
			}
			for _, at := range []int64{2, 3, 6} {
				writeAt(t, b, at)
			}
			wantTimes(t, f, 1, 2, 3, 4, 5) // 6 may wait for something of a
			wantDue(t, f, 100, true)
		}},
		{"an empty lane holds back for the grace", func(t *testing.T, f *FanIn, clock *fakeClock, a, b *Producer) {
			wantDue(t, f, 0, false)
			writeAt(t, a, 7)
			wantTimes(t, f)
			clock.now += 99
			wantTimes(t, f)
			wantDue(t, f, 1, true)
			clock.now++
			wantDue(t, f, 0, true)
			wantTimes(t, f, 7)
			wantDue(t, f, 0, false)
		}},
		{"in time", func(t *testing.T, f *FanIn, clock *fakeClock, a, b *Producer) {
			writeAt(t, a, 7)
			wantTimes(t, f)
			clock.now += 99
			writeAt(t, b, 3)
			wantTimes(t, f, 3)
			clock.now++
			wantTimes(t, f, 7)
		}},
		{"later than the grace", func(t *testing.T, f *FanIn, clock *fakeClock, a, b *Producer) {
			writeAt(t, a, 7)
			wantTimes(t, f)
			clock.now += 100
			wantTimes(t, f, 7)
			writeAt(t, b, 3)
			writeAt(t, b, 7)
			writeAt(t, b, 8)
			wantTimes(t, f, -3, 7)
			if s := f.Stats(); s.Late != 1 {
				t.Errorf("%+v", s)
			}
		}},
		{"later than the grace, but not too late", func(t *testing.T, f *FanIn, clock *fakeClock, a, b *Producer) {
			writeAt(t, a, 7)
			wantTimes(t, f)
			clock.now += 1000
			writeAt(t, b, 3)
			wantTimes(t, f, 3, 7)
		}},
		{"the grace counts for each record", func(t *testing.T, f *FanIn, clock *fakeClock, a, b *Producer) {
			for i := range int64(5) {
				writeAt(t, a, 10+i)
				wantTimes(t, f)
				clock.now += 10
			}
			clock.now += 50
			for i := range int64(5) {
				wantTimes(t, f, 10+i)
				clock.now += 10
			}
		}},
		{"two seen in one step of the grace", func(t *testing.T, f *FanIn, clock *fakeClock, a, b *Producer) {
			writeAt(t, a, 10)
			wantTimes(t, f)
			clock.now += 100 / graceSteps
			writeAt(t, a, 20)
			wantTimes(t, f)
			clock.now += 99
			wantTimes(t, f) // 10 waits with 20 for the rest of the step; 20 not less than the grace
			clock.now++
			wantTimes(t, f, 10, 20)
		}},
		{"what is before a record that may go may go", func(t *testing.T, f *FanIn, clock *fakeClock, a, b *Producer) {
			c := must(f.NewProducer())
			writeAt(t, a, 20)
			wantTimes(t, f)
			clock.now += 90
			writeAt(t, b, 10)
			wantDue(t, f, 10, true)
			clock.now += 10
			wantTimes(t, f, 10, 20)
			writeAt(t, c, 15)
			wantTimes(t, f, -15)
		}},
		{"a closed lane delays nobody", func(t *testing.T, f *FanIn, _ *fakeClock, a, b *Producer) {
			writeAt(t, a, 20)
			writeAt(t, b, 10)
			b.Close()
			wantTimes(t, f, 10, 20)
		}},
		{"an open claim holds up its lane", func(t *testing.T, f *FanIn, clock *fakeClock, a, b *Producer) {
			must(b.TryClaim(8))
			writeAt(t, a, 20)
			wantTimes(t, f)
			clock.now += 100
			wantTimes(t, f, 20)
		}},
		{"equal timestamps", func(t *testing.T, f *FanIn, _ *fakeClock, a, b *Producer) {
			for range 3 {
				writeAt(t, b, 5)
				writeAt(t, a, 5)
			}
			a.Close()
			b.Close()
			var lanes []uint64
			for _, ok := f.Next(); ok; _, ok = f.Next() {
				lanes = append(lanes, f.Lane())
			}
			if fmt.Sprint(lanes) != "[1 1 1 2 2 2]" {
				t.Error(lanes)
			}
		}},
		{"a clock that steps back", func(t *testing.T, f *FanIn, _ *fakeClock, a, b *Producer) {
			for _, at := range []int64{10, 20, 5, 6, 30} {
				writeAt(t, a, at)
			}
			for _, at := range []int64{15, 25} {
				writeAt(t, b, at)
			}
			a.Close()
			b.Close()
			wantTimes(t, f, 10, 15, 20, -5, -6, 25, 30)
		}},
		{"a clock that jumps ahead", func(t *testing.T, f *FanIn, clock *fakeClock, a, b *Producer) {
			writeAt(t, a, 1e9)
			wantTimes(t, f)
			clock.now += 50
			writeAt(t, b, 10)
			wantTimes(t, f, 10)
			clock.now += 50
			wantTimes(t, f, 1e9)
			writeAt(t, b, 20)
			wantTimes(t, f, -20)
		}},
		{"no timestamp", func(t *testing.T, f *FanIn, clock *fakeClock, a, b *Producer) {
			mustWrite(t, a, nil) // the first of its lane: at once
			wantTimes(t, f, short)
			writeAt(t, a, 10)
			mustWrite(t, a, []byte("1234567"))
			writeAt(t, a, 30)
			writeAt(t, b, 20)
			wantTimes(t, f, 10, short, 20)
			clock.now += 100
			wantTimes(t, f, 30)
			mustWrite(t, b, nil)
			wantTimes(t, f, short)
		}},
		{"no timestamp: that of the record before", func(t *testing.T, f *FanIn, clock *fakeClock, a, b *Producer) {
			writeAt(t, a, 10)
			mustWrite(t, a, nil)
			f.Ready()
			clock.now += 100
			f.Next()
			writeAt(t, b, 5)
			wantTimes(t, f, -5, short)
		}},
		{"negative and extreme timestamps", func(t *testing.T, f *FanIn, clock *fakeClock, a, b *Producer) {
			writeAt(t, a, math.MinInt64)
			writeAt(t, a, -1)
			writeAt(t, b, 0)
			writeAt(t, b, math.MaxInt64-1)
			wantTimes(t, f, math.MinInt64, -1)
			clock.now += 100
			wantTimes(t, f, 0, math.MaxInt64-1)
		}},
		{"a lane that is added", func(t *testing.T, f *FanIn, clock *fakeClock, a, b *Producer) {
			writeAt(t, a, 20)
			writeAt(t, b, 30)
			c := must(f.NewProducer())
			wantTimes(t, f)
			writeAt(t, c, 10)
			c.Close()
			wantTimes(t, f, 10, 20)
		}},
		{"the record stays valid while another is looked for", func(t *testing.T, f *FanIn, _ *fakeClock, a, b *Producer) {
			writeAt(t, a, 1)
			writeAt(t, b, 2)
			rec, _ := f.Next()
			f.Ready()
			f.Due()
			if string(rec) != string(stamped(1, 8)) || f.Type() != 1 {
				t.Errorf("% x, type %d", rec, f.Type())
			}
			a.Close()
			b.Close()
			f.Ready()
			if f.Drained() || f.Type() != 1 {
				t.Error("Drained with a record to be read")
			}
			wantTimes(t, f, 2)
			f.Release()
			f.Close()
			if !f.Drained() {
				t.Error("not Drained")
			}
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f, clock := newFakeFanIn(t, 256, 1<<64-72, 100)
			a, b := must(f.NewProducer()), must(f.NewProducer())
			c.run(t, f, clock, a, b)
		})
	}
}

// Records that are committed while the consumer is between two of its steps:
// where the clock is read before the lanes, and again behind them.
func TestFanInByTimeBetweenSteps(t *testing.T) {
	now := time.Duration(1000)
	var before, after func() // run once, around a reading of the clock
	f := must(newFanInByTime(256, 0, 100, func() time.Duration {
		if before != nil {
			before()
			before = nil
		}
		at := now
		if after != nil {
			after()
			after = nil
		}
		return at
	}))
	a, b := must(f.NewProducer()), must(f.NewProducer())
	writeAt(t, a, 20)
	wantTimes(t, f)
	now = 1099
	before = func() { writeAt(t, b, 10); now = 1100 }
	wantTimes(t, f, 10, 20) // 10 was committed before the grace was over

	now = 2000
	writeAt(t, a, 30)
	wantTimes(t, f)
	now = 2050
	after = func() { now = 2060; writeAt(t, a, 50) }
	wantTimes(t, f)
	now = 2150
	wantTimes(t, f, 30)
	now = 2159
	writeAt(t, b, 40) // less than the grace after 50
	wantTimes(t, f, 40)
	now = 2160
	wantTimes(t, f, 50)
}

func TestFanInByTimeErrors(t *testing.T) {
	if _, err := NewFanInByTime(64, -1); err == nil {
		t.Error("a negative grace: no error")
	}
	if _, err := NewFanInByTime(0, 1); err == nil {
		t.Error("no capacity: no error")
	}
	f := must(NewFanInByTime(64, 0))
	a := must(f.NewProducer())
	must(f.NewProducer())
	writeAt(t, a, 5)
	wantTimes(t, f, 5) // without a grace nothing is held back
	f = must(NewFanInByTime(64, math.MaxInt64))
	a = must(f.NewProducer())
	b := must(f.NewProducer())
	writeAt(t, a, 5)
	if d, ok := f.Due(); !ok || d < math.MaxInt64-time.Duration(time.Minute) {
		t.Errorf("Due: %d, %v", d, ok)
	}
	b.Close()
	wantTimes(t, f, 5)
}

// Spans end where another lane's turn comes, and have late records or none.
func TestFanInByTimePeek(t *testing.T) {
	for name, c := range map[string]struct {
		a, b []int64
		max  int
		want string
	}{
		"alternating":       {[]int64{1, 3, 5}, []int64{2, 4, 6}, 1000, "1:1 1:2 1:3 1:4 1:5 1:6"},
		"runs":              {[]int64{1, 2, 3, 10}, []int64{4, 5, 6, 11}, 1000, "3:1 3:4 1:10 1:11"},
		"equal, lower lane": {[]int64{1, 4, 4, 5}, []int64{4, 5}, 1000, "3:1 1:4 1:5 1:5"},
		"short spans":       {[]int64{1, 2, 3}, []int64{9}, 32, "2:1 1:3 1:9"},
		"one at least":      {[]int64{1, 2}, []int64{9}, 0, "1:1 1:2 1:9"},
		"steps back":        {[]int64{10, 20, 5, 6, 20, 21}, []int64{15, 30}, 1000, "1:10 1:15 1:20 2:-5 2:20 1:30"},
	} {
		t.Run(name, func(t *testing.T) {
			f, _ := newFakeFanIn(t, 256, 1<<32-72, 100)
			a, b := must(f.NewProducer()), must(f.NewProducer())
			for _, at := range c.a {
				writeAt(t, a, at)
			}
			for _, at := range c.b {
				writeAt(t, b, at)
			}
			a.Close()
			b.Close()
			got := ""
			for s := f.Peek(c.max); s.Records() > 0; s = f.Peek(c.max) {
				recs := checkSpan(t, s, c.max)
				at := int64(binary.LittleEndian.Uint64(recs[0].payload))
				if f.Late() {
					at = -at
				}
				got += fmt.Sprintf(" %d:%d", len(recs), at)
			}
			f.Release()
			// a lap of 256 bytes from 2^32-72 on may cut a run in two
			if got != " "+c.want {
				t.Errorf("got%s, want %s", got, c.want)
			}
		})
	}
}

// A lane whose clock is far behind, or which has no timestamps at all, does
// not keep the others waiting for ever, however fast it is.
func TestFanInByTimeBehind(t *testing.T) {
	const capacity = 256
	for _, name := range []string{"far behind", "no timestamps"} {
		t.Run(name, func(t *testing.T) {
			f, clock := newFakeFanIn(t, capacity, 0, 100)
			hog, quiet := must(f.NewProducer()), must(f.NewProducer())
			fill := func() {
				for {
					rec := stamped(1, 8)
					if name == "no timestamps" {
						rec = nil
					}
					if _, err := hog.Write(rec); err != nil {
						return
					}
				}
			}
			writeAt(t, quiet, 1e6)
			fill()
			seen := 0
			for i := 0; f.last == nil || f.Lane() == hog.Lane(); i++ {
				rec, ok := f.Next()
				if !ok {
					t.Fatal("nothing")
				}
				if seen += int(align(uint64(headerLen + len(rec)))); seen > 100*capacity {
					t.Fatalf("%d bytes before the quiet producer's record", seen)
				}
				if i == 40 {
					clock.now += 100
					seen = 0
				}
				fill()
			}
			if seen > 4*capacity {
				t.Errorf("%d bytes before the quiet producer's record", seen)
			}
		})
	}
}

// timed is a record of the property test.
type timed struct {
	lane, n   int
	at        int64 // timestamp
	commit    time.Duration
	call      int  // call after which it was committed
	opened    int  // call after which the lane was there
	steady    bool // no record before it in its lane has a greater timestamp
	delivered bool
}

// drainedAt is when everything was read that could be.
type drainedAt struct {
	call int
	at   time.Duration
}

type delivery struct {
	*timed
	late bool
	call int
}

// timeProperty writes records with timestamps near the clock's, some of them
// far off it, and reads them in every way. What was promised is then checked
// record by record, by its definition.
type timeProperty struct {
	t      *testing.T
	rnd    *rand.Rand
	f      *FanIn
	clock  *fakeClock
	grace  time.Duration
	wild   bool // timestamps also step back
	lanes  []*timeLane
	all    []*timed
	out    []delivery
	call   int
	drains []drainedAt
}

type timeLane struct {
	p      *Producer
	opened int
	recs   []*timed
	read   int
	high   int64
	closed bool
}

func (l *timeLane) empty() bool { return l.read == len(l.recs) }

func (m *timeProperty) open() {
	m.lanes = append(m.lanes, &timeLane{p: must(m.f.NewProducer()), opened: m.call, high: math.MinInt64})
}

func (m *timeProperty) write(l *timeLane) {
	at := int64(m.clock.now) - int64(m.rnd.IntN(int(m.grace)/2+2))
	switch m.rnd.IntN(20) {
	case 0:
		at -= 3 * int64(m.grace)
	case 1:
		at += int64(m.grace) / 2
	}
	if !m.wild || m.rnd.IntN(10) > 0 {
		at = max(at, l.high)
	}
	n := len(l.recs)
	rec := stamped(at, 16+m.rnd.IntN(40))
	binary.LittleEndian.PutUint32(rec[8:], uint32(slices.Index(m.lanes, l)))
	binary.LittleEndian.PutUint32(rec[12:], uint32(n))
	if _, err := l.p.Write(rec); err != nil {
		return
	}
	r := &timed{lane: slices.Index(m.lanes, l), n: n, at: at, commit: m.clock.now, call: m.call, opened: l.opened, steady: at >= l.high}
	l.high = max(l.high, at)
	l.recs = append(l.recs, r)
	m.all = append(m.all, r)
}

func (m *timeProperty) got(payload []byte) {
	lane, n := binary.LittleEndian.Uint32(payload[8:]), binary.LittleEndian.Uint32(payload[12:])
	l := m.lanes[lane]
	if int(n) != l.read || n >= uint32(len(l.recs)) || l.recs[n].at != int64(binary.LittleEndian.Uint64(payload)) {
		m.t.Fatalf("record %d of lane %d, want %d", n, lane, l.read)
	}
	l.read++
	if m.f.Lane() != l.p.Lane() {
		m.t.Fatalf("Lane %d, want %d", m.f.Lane(), l.p.Lane())
	}
	m.out = append(m.out, delivery{l.recs[n], m.f.Late(), m.call})
	l.recs[n].delivered = true
}

// readAll reads everything that may go, by verbs chosen at random.
func (m *timeProperty) readAll() {
	for {
		m.call++
		ready := m.f.Ready()
		if !ready && m.rnd.IntN(2) == 0 {
			break
		}
		before := len(m.out)
		switch m.rnd.IntN(3) {
		case 0:
			if rec, ok := m.f.Next(); ok {
				m.got(rec)
			}
		case 1:
			m.f.Drain(1+m.rnd.IntN(5), func(_ int32, rec []byte) { m.got(rec) })
		case 2:
			limit := m.rnd.IntN(200)
			s := m.f.Peek(limit)
			for _, rec := range checkSpan(m.t, s, limit) {
				m.got(rec.payload)
			}
			if s.Records() > 0 && m.rnd.IntN(2) == 0 {
				m.f.ReleaseTo(s.End())
			}
		}
		if ready != (len(m.out) > before) {
			m.t.Fatalf("Ready: %v, and %d records", ready, len(m.out)-before)
		}
		if !ready {
			break
		}
	}
	m.drains = append(m.drains, drainedAt{m.call, m.clock.now})
	m.checkDelay()
}

// checkDelay is called when nothing more may be read.
func (m *timeProperty) checkDelay() {
	waiting, empty := 0, 0
	for i, l := range m.lanes {
		if l.empty() {
			if !l.closed {
				empty++
			}
			continue
		}
		waiting++
		r := l.recs[l.read]
		for _, seen := range m.drains {
			if seen.call > r.call && m.clock.now-seen.at > m.grace+m.grace/graceSteps {
				m.t.Fatalf("at %d: record %d of lane %d, committed at %d and seen at %d, is still held back", m.clock.now, r.n, i, r.commit, seen.at)
			}
		}
	}
	if waiting > 0 && empty == 0 {
		m.t.Fatalf("no lane is empty, and %d are held back", waiting)
	}
	wait, ok := m.f.Due()
	if ok != (waiting > 0) || ok && (wait <= 0 || wait > m.grace) {
		m.t.Fatalf("Due: %d, %v with %d lanes waiting", wait, ok, waiting)
	}
	if ok && m.rnd.IntN(3) == 0 {
		m.clock.now += wait
		if !m.f.Ready() {
			m.t.Fatalf("nothing to be read after what Due had said, %d", wait)
		}
	}
}

// checkOrder checks late and what was promised of records in time.
func (m *timeProperty) checkOrder() {
	high, late := int64(math.MinInt64), uint64(0)
	for i, d := range m.out {
		if d.late != (d.at < high) {
			m.t.Fatalf("record %d of lane %d: Late %v, timestamp %d, greatest before %d", d.n, d.lane, d.late, d.at, high)
		}
		high = max(high, d.at)
		if d.late {
			late++
		}
		if !d.late || !d.steady {
			continue
		}
		inTime := true
		for _, o := range m.all {
			if o.at > d.at && d.commit >= o.commit+m.grace {
				inTime = false
				break
			}
		}
		for _, o := range m.out[:i] {
			if o.at > d.at && o.call <= d.opened {
				inTime = false // its lane was not there when o was delivered
				break
			}
		}
		if inTime {
			m.t.Fatalf("record %d of lane %d, timestamp %d, committed at %d: in time, and delivered late", d.n, d.lane, d.at, d.commit)
		}
	}
	if s := m.f.Stats(); s.Late != late || s.Records != uint64(len(m.all)) || len(m.out) != len(m.all) {
		m.t.Fatalf("%d late of %d, %d delivered; stats %+v", late, len(m.all), len(m.out), s)
	}
}

func (m *timeProperty) run(steps int) {
	for range steps {
		l := m.lanes[m.rnd.IntN(len(m.lanes))]
		switch r := m.rnd.IntN(100); {
		case r < 55:
			if !l.closed {
				m.write(l)
			}
		case r < 70:
			m.clock.now += time.Duration(m.rnd.IntN(int(m.grace)/4 + 2))
		case r < 72:
			m.clock.now += 2 * m.grace
		case r < 74:
			if len(m.lanes) < 12 {
				m.open()
			}
		case r < 75:
			l.p.Close()
			l.closed = true
		default:
			m.readAll()
		}
	}
	for _, l := range m.lanes {
		l.p.Close()
		l.closed = true
	}
	m.f.Close()
	m.readAll()
	if !m.f.Drained() {
		m.t.Fatal("not Drained")
	}
	m.f.Release()
	m.checkOrder()
}

func TestFanInByTimeProperties(t *testing.T) {
	seeds := []uint64{1, 2, 3, 4, 5, 6, uint64(time.Now().UnixNano())}
	steps := 3000
	if raceEnabled || testing.Short() {
		seeds, steps = seeds[4:], 800
	}
	if *fanInSeed != 0 {
		seeds = []uint64{*fanInSeed}
	}
	for _, seed := range seeds {
		for _, grace := range []time.Duration{1, 63, 1000, 1e6} {
			for _, wild := range []bool{false, true} {
				for _, capacity := range []int{64, 512, 1 << 14} {
					t.Run(fmt.Sprintf("seed %d/grace %d/wild %v/%d", seed, grace, wild, capacity), func(t *testing.T) {
						replay(t, "queue.fanin", seed)
						rnd := rand.New(rand.NewPCG(seed, uint64(capacity)))
						f, clock := newFakeFanIn(t, capacity, starts[rnd.IntN(len(starts))].pos, grace)
						m := &timeProperty{t: t, rnd: rnd, f: f, clock: clock, grace: grace, wild: wild}
						m.open()
						m.open()
						m.run(steps)
					})
				}
			}
		}
	}
}
