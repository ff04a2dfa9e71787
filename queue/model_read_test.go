package queue

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// take is the next record of the lane, or nil. Claims that are open on a
// closed ring are abandoned when the consumer gets there.
func (l *laneModel) take() *entry {
	for len(l.queue) > 0 {
		e := l.queue[0]
		if e.state == waiting && !l.closed {
			return nil
		}
		l.queue = l.queue[1:]
		switch e.state {
		case committed:
			return e
		case waiting:
			e.state = skipped
		}
	}
	return nil
}

// got compares one record with the model.
func (m *model) got(call string, typ int32, rec []byte) {
	m.t.Helper()
	i := int(typ&0xff) - 1
	if i < 0 || i >= len(m.lanes) {
		m.fatalf("%s: type %#x is of no lane", call, typ)
	}
	e := m.lanes[i].take()
	switch {
	case e == nil:
		m.fatalf("%s: lane %d: %d bytes, type %#x; the model has nothing", call, i+1, len(rec), typ)
	case e.typ != typ || !bytes.Equal(e.data, rec):
		m.fatalf("%s: lane %d: type %#x, % x\nwant type %#x, % x", call, i+1, typ, rec, e.typ, e.data)
	}
	m.records++
	m.bytes += uint64(len(rec))
}

// nothing checks that no lane has a record to give.
func (m *model) nothing(call string) {
	m.t.Helper()
	for _, l := range m.lanes {
		if e := l.take(); e != nil {
			m.fatalf("%s: nothing; lane %d has a record of %d bytes", call, l.tag, len(e.data))
		}
	}
}

// checkValid checks that what the consumer holds has not changed.
func (m *model) checkValid() {
	m.t.Helper()
	if m.cur != nil && !bytes.Equal(m.cur, m.curCopy) {
		m.fatalf("the current record has changed:\n% x\n% x", m.cur, m.curCopy)
	}
	for i, h := range m.held {
		if !bytes.Equal(h.frames, h.copied) {
			m.fatalf("held span %d of %d has changed", i, len(m.held))
		}
	}
}

func (m *model) next() {
	m.note("next")
	m.checkValid()
	m.held = m.held[:0]
	rec, ok := m.r.Next()
	if m.cur, m.curCopy = rec, bytes.Clone(rec); !ok {
		m.nothing("Next")
		return
	}
	if len(rec) != cap(rec) {
		m.fatalf("record of %d bytes has capacity %d", len(rec), cap(rec))
	}
	m.got("Next", m.r.Type(), rec)
}

func (m *model) drain() {
	limit := m.choose.n(12) - 1
	m.note("drain %d", limit)
	m.checkValid()
	m.cur, m.held = nil, m.held[:0]
	calls, stop := 0, -1
	if m.choose.n(8) == 0 {
		stop = m.choose.n(4)
	}
	var n int
	panicked := func() (p bool) {
		defer func() {
			if v := recover(); v != nil {
				if v != errEncode {
					panic(v)
				}
				p = true
			}
		}()
		n = m.r.Drain(limit, func(typ int32, rec []byte) {
			m.got("Drain", typ, rec)
			if calls++; calls > stop && stop >= 0 {
				panic(errEncode)
			}
		})
		return false
	}()
	if panicked {
		return
	}
	if n != calls || n > max(limit, 0) {
		m.fatalf("Drain(%d): %d, %d calls", limit, n, calls)
	}
	if n < limit {
		m.nothing("Drain")
	}
}

func (m *model) peek() {
	limit := []int{0, 16, 40, 100, 1 << 30, m.capacity}[m.choose.n(6)]
	m.note("peek %d", limit)
	m.checkValid()
	if m.f != nil {
		m.cur = nil
	}
	s := m.r.Peek(limit)
	if s.Records() == 0 {
		if s.End() != 0 || s.Frames() != nil {
			m.fatalf("an empty span to %d with % x", s.End(), s.Frames())
		}
		m.nothing("Peek")
		return
	}
	for _, rec := range checkSpan(m.t, s, limit) {
		m.got("Peek", rec.typ, rec.payload)
	}
	m.held = append(m.held, heldSpan{s.Frames(), bytes.Clone(s.Frames()), s.End()})
}

func (m *model) releaseTo() {
	m.checkValid()
	if len(m.held) == 0 {
		return
	}
	i := m.choose.n(len(m.held))
	h := &m.held[i]
	pos := h.end
	if keep := m.choose.n(len(h.frames)) &^ 7; keep > 0 && m.choose.n(2) == 0 {
		pos -= uint64(keep)
		h.frames, h.copied = h.frames[len(h.frames)-keep:], h.copied[len(h.copied)-keep:]
		i-- // the rest of it is still held
	}
	m.note("release to %d of %d spans, %d", i+1, len(m.held), pos)
	m.r.ReleaseTo(pos)
	if m.choose.n(4) == 0 {
		m.r.ReleaseTo(pos)
	}
	m.cur = nil
	m.held = m.held[i+1:]
}

// finish settles and reads everything, and checks what must hold at the end.
func (m *model) finish() {
	m.note("finish")
	for _, l := range m.lanes {
		for len(l.open) > 0 {
			m.settleAt(l, 0)
		}
	}
	for m.next(); m.cur != nil; m.next() {
	}
	for _, l := range m.lanes {
		if l.closed {
			continue
		}
		m.biggest(l)
		l.w.Close()
	}
	m.nothing("finish")
	m.r.Release()
	if m.c != nil && !m.c.Drained() {
		m.fatalf("closed and read, not Drained")
	}
	wantNothing(m.t, m.r)
	if m.f != nil && len(m.f.lanes.Load().list) != 0 {
		m.fatalf("%d lanes left", len(m.f.lanes.Load().list))
	}
	s := m.r.Stats()
	if s.HighWater > m.capacity-8 || s.HighWater < 0 || m.records > 0 && s.HighWater == 0 {
		m.fatalf("high water %d of %d", s.HighWater, m.capacity)
	}
	want := Stats{Records: m.records, Bytes: m.bytes, Full: m.full, Aborts: m.aborts, Abandoned: s.Abandoned, Padding: m.padding, Late: s.Late, HighWater: s.HighWater}
	if s != want {
		m.fatalf("stats\n%+v, want\n%+v", s, want)
	}
}

// biggest checks that the largest record is accepted by an empty ring, after
// the consumer has moved over the padding.
func (m *model) biggest(l *laneModel) {
	for try := 1; ; try++ {
		n := m.capacity - 16
		_, want := m.expect(l, n)
		e := &entry{typ: 1<<8 | l.tag, data: m.payload(n)}
		err := l.w.WriteTyped(e.typ, e.data)
		if err != want {
			m.fatalf("the largest record: %v, want %v", err, want)
		}
		if err == nil {
			l.queue = append(l.queue, e)
			m.next()
			if !bytes.Equal(m.cur, e.data) {
				m.fatalf("the largest record does not come out")
			}
			m.next()
			return
		}
		if try == 2 {
			m.fatalf("the largest record is refused twice by an empty ring")
		}
		m.next()
	}
}

func TestModel(t *testing.T) {
	seeds := []uint64{1, 2, 3, uint64(time.Now().UnixNano())}
	steps := 2500
	if raceEnabled || testing.Short() {
		seeds, steps = seeds[2:], 600
	}
	if *modelSeed != 0 {
		seeds = []uint64{*modelSeed}
	}
	for _, kind := range []string{"SPSC", "MPSC", "FanIn", "FanInByTime"} {
		for _, capacity := range []int{64, 128, 256, 1024, 4096, 1 << 16} {
			for _, start := range starts {
				for _, seed := range seeds {
					t.Run(fmt.Sprintf("%s/%d/from %s/seed %d", kind, capacity, start.name, seed), func(t *testing.T) {
						replay(t, "queue.seed", seed)
						ch := &randomChooser{Rand: rand.New(rand.NewPCG(seed, uint64(capacity))), left: steps}
						newModel(t, ch, kind, capacity, start.pos).run()
					})
				}
			}
		}
	}
}
