package queue

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

// priorityModel is a slice of records per level, and for each level that has
// something what it has waited for. It knows nothing of how Priority chooses:
// it checks the promises.
type priorityModel struct {
	t       *testing.T
	rnd     *rand.Rand
	ps      []*SharedProducer
	p       *Priority
	queue   [][]record1
	waited  []int // records of more urgent levels delivered while the level had something
	others  int   // records of other levels delivered while level 0 had something
	urgent  []int // records of more urgent levels delivered since the level's last, and since a call found nothing
	atBound int   // how often a level waited as long as it may
	log     []string
	spans   []modelSpan
	cur     []byte
	curCopy []byte
	total   uint64
}

type record1 struct {
	typ  int32
	data []byte
}

type modelSpan struct {
	frames, copied []byte
	end            uint64
}

func newPriorityModel(t *testing.T, seed uint64) *priorityModel {
	rnd := rand.New(rand.NewPCG(seed, 2))
	levels := 1 + rnd.IntN(5)
	ps, p := newPriorityAt(t, levels, 64<<(2*rnd.IntN(4)), starts[rnd.IntN(len(starts))].pos)
	return &priorityModel{
		t: t, rnd: rnd, ps: ps, p: p,
		queue: make([][]record1, levels), waited: make([]int, levels), urgent: make([]int, levels),
	}
}

func (m *priorityModel) fatalf(format string, args ...any) {
	m.t.Helper()
	for _, l := range m.log[max(0, len(m.log)-30):] {
		m.t.Log(l)
	}
	m.t.Fatalf(format, args...)
}

func (m *priorityModel) note(format string, args ...any) {
	m.log = append(m.log, fmt.Sprintf(format, args...))
}

func (m *priorityModel) write(l int) {
	n := m.rnd.IntN(30)
	if m.rnd.IntN(8) == 0 {
		n = m.rnd.IntN(m.ps[l].Capacity() - 15)
	}
	rec := record1{1 + m.rnd.Int32N(1000), pattern(n, m.rnd.Uint64())}
	err := m.ps[l].WriteTyped(rec.typ, rec.data)
	m.note("level %d: write %d bytes: %v", l, n, err)
	if err == nil {
		m.queue[l] = append(m.queue[l], rec)
	}
}

// got checks a record that was delivered: the next of its level, and nobody
// waited too long for it.
func (m *priorityModel) got(l int, typ int32, data []byte) {
	m.t.Helper()
	m.note("got %d bytes of level %d", len(data), l)
	if l < 0 || l >= len(m.queue) || len(m.queue[l]) == 0 {
		m.fatalf("a record of level %d, which has none", l)
	}
	if want := m.queue[l][0]; want.typ != typ || !bytes.Equal(want.data, data) {
		m.fatalf("level %d: type %d, % x; want type %d, % x", l, typ, data, want.typ, want.data)
	}
	for u := range l {
		if len(m.queue[u]) > 0 && m.urgent[l] < UrgentRun {
			m.fatalf("level %d before level %d, after %d more urgent records", l, u, m.urgent[l])
		}
	}
	m.queue[l] = m.queue[l][1:]
	m.waited[l], m.urgent[l] = 0, 0
	m.total++
	for k := l + 1; k < len(m.queue); k++ {
		m.urgent[k]++
		if len(m.queue[k]) == 0 {
			m.waited[k] = 0
			continue
		}
		if m.waited[k]++; m.waited[k] == UrgentRun {
			m.atBound++
		}
		if m.waited[k] > UrgentRun {
			m.fatalf("level %d has waited for %d more urgent records", k, m.waited[k])
		}
	}
	if m.others++; l == 0 || len(m.queue[0]) == 0 {
		m.others = 0
	}
	if m.others >= len(m.queue) {
		m.fatalf("level 0 has waited for %d records of %d levels", m.others, len(m.queue)-1)
	}
}

func (m *priorityModel) left() (n int) {
	for _, q := range m.queue {
		n += len(q)
	}
	return n
}

// valid checks that what was delivered and not given back is as it was.
func (m *priorityModel) valid() {
	m.t.Helper()
	if !bytes.Equal(m.cur, m.curCopy) {
		m.fatalf("the current record has changed")
	}
	for i, s := range m.spans {
		if !bytes.Equal(s.frames, s.copied) {
			m.fatalf("span %d has changed", i)
		}
	}
}

func (m *priorityModel) nothingHeld() { m.cur, m.curCopy, m.spans = nil, nil, nil }

func (m *priorityModel) nothing(found bool) {
	m.t.Helper()
	if found != (m.left() > 0) {
		m.fatalf("found something: %v; the model has %d records", found, m.left())
	}
}

func (m *priorityModel) next() {
	m.valid()
	m.nothingHeld()
	has := m.left() > 0
	rec, ok := m.p.Next()
	if ok != has {
		m.fatalf("Next: %v", ok)
	}
	if !ok {
		clear(m.urgent) // nobody waits
	} else {
		m.got(m.p.Level(), m.p.Type(), rec)
		m.cur, m.curCopy = rec, bytes.Clone(rec)
	}
}

func (m *priorityModel) drain() {
	m.valid()
	m.nothingHeld()
	limit := m.rnd.IntN(20)
	want := min(limit, m.left())
	refill := m.rnd.IntN(3) == 0
	n := m.p.Drain(limit, func(typ int32, rec []byte) {
		m.got(m.p.Level(), typ, rec)
		if refill { // producers go on meanwhile
			m.write(m.rnd.IntN(len(m.ps)))
		}
	})
	if n < want || n > limit {
		m.fatalf("Drain(%d): %d", limit, n)
	}
	if n < limit {
		clear(m.urgent)
	}
}

func (m *priorityModel) peek() {
	m.valid()
	m.cur, m.curCopy = nil, nil
	maxBytes := m.rnd.IntN(400) - 10
	has := m.left() > 0
	s := m.p.Peek(maxBytes)
	recs := checkSpan(m.t, s, maxBytes)
	if (len(recs) > 0) != has {
		m.fatalf("Peek: %d records", len(recs))
	}
	for _, r := range recs {
		m.got(m.p.Level(), r.typ, r.payload)
	}
	if len(recs) > 0 {
		m.spans = append(m.spans, modelSpan{s.Frames(), bytes.Clone(s.Frames()), s.End()})
	}
}

func (m *priorityModel) releaseTo() {
	m.valid()
	if len(m.spans) == 0 {
		return
	}
	i := m.rnd.IntN(len(m.spans))
	s := m.spans[i]
	inside := 8 * m.rnd.IntN(len(s.frames)/8+1)
	m.note("release span %d but for %d bytes", i, inside)
	m.p.ReleaseTo(s.end - uint64(inside))
	if m.spans = m.spans[i:]; inside == 0 {
		m.spans = m.spans[1:]
		return
	}
	kept := s.frames[len(s.frames)-inside:]
	m.spans[0] = modelSpan{kept, bytes.Clone(kept), s.end}
}

func (m *priorityModel) forward() {
	m.valid()
	m.nothingHeld()
	f, cs, _ := NewFanOut(1, 64<<m.rnd.IntN(6))
	n, err := f.Forward(m.p, m.rnd.IntN(30), func(typ int32, rec []byte) uint64 {
		if m.rnd.IntN(8) == 0 { // something more urgent comes in between
			m.write(m.rnd.IntN(len(m.ps)))
		}
		return 0
	})
	m.note("forwarded %d: %v", n, err)
	// In the order of delivery; the lane does not tell the level, so it is
	// looked for.
	got := cs[0].Drain(1<<30, func(typ int32, rec []byte) {
		for l, q := range m.queue {
			if len(q) > 0 && q[0].typ == typ && bytes.Equal(q[0].data, rec) {
				m.note("forwarded of level %d", l)
				m.queue[l] = q[1:]
				m.total++
				return
			}
		}
		m.fatalf("forwarded % x, which is the next of no level", rec)
	})
	if got != n {
		m.fatalf("Forward says %d, the worker got %d", n, got)
	}
	// What waited for what was not followed: begin anew.
	for l := range m.waited {
		m.waited[l], m.urgent[l] = -1<<30, 1<<30
	}
	m.others = -1 << 30
}

func (m *priorityModel) step(forward bool) {
	switch k := m.rnd.IntN(12); {
	case k < 3:
		m.write(m.rnd.IntN(len(m.ps)))
	case k == 3: // one level is filled, or nearly
		l := m.rnd.IntN(len(m.ps))
		for range m.rnd.IntN(100) {
			m.write(l)
		}
	case k == 4: // a busy level against the rest
		l := m.rnd.IntN(min(2, len(m.ps)))
		for range m.rnd.IntN(100) {
			m.write(l)
			m.next()
		}
		for m.rnd.IntN(4) == 0 && m.left() > 0 {
			m.drain()
		}
	case k == 5:
		m.drain()
	case k < 8:
		m.peek()
	case k == 8:
		m.releaseTo()
	case k == 9:
		m.next()
	case k == 10:
		m.valid()
		m.nothing(m.p.Ready())
		m.valid()
	case forward:
		m.forward()
	default:
		m.valid()
		m.p.Release()
		m.nothingHeld()
	}
}

// finish reads what is left, and checks that all space is free again and
// nothing miscounted.
func (m *priorityModel) finish() {
	m.nothingHeld()
	for _, w := range m.ps {
		w.Close()
	}
	for m.left() > 0 {
		m.next()
	}
	if _, ok := m.p.Next(); ok || !m.p.Drained() || m.p.Ready() {
		m.fatalf("more records than were written, or not drained")
	}
	for l, c := range m.p.levels {
		if c.head != c.ring.tail.load()&^closedBit {
			m.fatalf("level %d: head %d, tail %d", l, c.head, c.ring.tail.load())
		}
	}
	if s := m.p.Stats(); s.Records != m.total {
		m.fatalf("%+v, %d records delivered", s, m.total)
	}
}

func TestPriorityModel(t *testing.T) {
	runs := 300
	if raceEnabled || testing.Short() {
		runs = 60
	}
	atBound := 0
	for seed := range uint64(runs) {
		forward := seed%4 == 3
		t.Run(fmt.Sprintf("%d", seed), func(t *testing.T) {
			m := newPriorityModel(t, seed)
			for range 300 {
				m.step(forward)
			}
			m.finish()
			atBound += m.atBound
		})
	}
	if atBound < runs/10 {
		t.Errorf("the bound was reached %d times: the test does not test it", atBound)
	}
	t.Logf("the bound was reached %d times", atBound)
}
