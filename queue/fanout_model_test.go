package queue

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

// fanOutModel is a slice of records per worker, and what each call must
// answer: refusals too, from the room in the lanes.
type fanOutModel struct {
	t      *testing.T
	rnd    *rand.Rand
	f      *FanOut
	cs     []*Consumer
	lane   [][]record1 // sent and not read by the worker
	turn   int
	closed bool

	from   Source
	next   func() ([]byte, bool)
	in     writer
	source []record1 // in the source of Forward
}

func newFanOutModel(t *testing.T, seed uint64) *fanOutModel {
	rnd := rand.New(rand.NewPCG(seed, 3))
	start := starts[rnd.IntN(len(starts))].pos
	m := &fanOutModel{t: t, rnd: rnd}
	m.f, m.cs = newFanOutAt(t, 1+rnd.IntN(4), 64<<(2*rnd.IntN(3)), start)
	m.lane = make([][]record1, len(m.cs))
	capacity := 64 << rnd.IntN(5)
	switch rnd.IntN(3) {
	case 0:
		w, c := newRingAt(t, rnd.IntN(2) == 0, capacity, start)
		m.in, m.from, m.next = w, c, c.Next
	case 1:
		ws, p := newPriorityAt(t, 1, capacity, start)
		m.in, m.from, m.next = ws[0], p, p.Next
	case 2:
		f := must(newFanIn(capacity, start))
		m.in, m.from, m.next = must(f.NewProducer()), f, f.Next
	}
	return m
}

// answer is what a record of n bytes to worker w must get now.
func (m *fanOutModel) answer(w, n int) error {
	p := m.f.lanes[w]
	if m.closed {
		return ErrClosed
	}
	if n > p.Capacity()-16 {
		return ErrTooLarge
	}
	size := uint64(p.Capacity())
	free := size - 8 - (p.tail - m.cs[w].head)
	frame := uint64(8+n+7) / 8 * 8
	if toEnd := size - p.tail%size; frame > toEnd {
		frame += toEnd
	}
	if frame > free {
		return ErrFull
	}
	return nil
}

// inTurn is the worker that takes the next record of n bytes.
func (m *fanOutModel) inTurn(n int) (w int, err error) {
	for range m.cs {
		w = m.turn
		if err = m.answer(w, n); err != nil && err != ErrFull {
			return w, err // takes no turn
		}
		m.turn = (m.turn + 1) % len(m.cs)
		if err == nil {
			return w, nil
		}
	}
	return 0, err
}

func (m *fanOutModel) record() record1 {
	n := m.rnd.IntN(30)
	if m.rnd.IntN(6) == 0 {
		n = m.rnd.IntN(m.cs[0].Capacity())
	}
	return record1{1 + m.rnd.Int32N(1000), pattern(n, m.rnd.Uint64())}
}

func (m *fanOutModel) took(what string, w int, rec record1, got, want error) {
	m.t.Helper()
	if got != want {
		m.t.Fatalf("%s of %d bytes to worker %d: %v, want %v", what, len(rec.data), w, got, want)
	}
	if got == nil {
		m.lane[w] = append(m.lane[w], rec)
	}
}

func (m *fanOutModel) send() {
	rec, key := m.record(), m.rnd.Uint64N(16)
	var w int
	var want error
	keyed := m.rnd.IntN(2) == 0
	if keyed {
		w = m.f.Worker(key)
		want = m.answer(w, len(rec.data))
	} else {
		w, want = m.inTurn(len(rec.data))
	}
	switch how := m.rnd.IntN(4); {
	case how < 2 && keyed:
		m.took("Send", w, rec, m.f.Send(key, rec.typ, rec.data), want)
	case how < 2:
		m.took("SendNext", w, rec, m.f.SendNext(rec.typ, rec.data), want)
	default:
		var c Claim
		var err error
		if keyed {
			c, err = m.f.TryClaim(key, rec.typ, len(rec.data))
		} else {
			c, err = m.f.TryClaimNext(rec.typ, len(rec.data))
		}
		copy(c.Bytes(), rec.data)
		switch {
		case err != nil:
		case how == 2 && m.rnd.IntN(3) == 0:
			c.Abort()
			return
		case how == 2:
			return // forgotten: costs nothing
		case !c.Commit():
			m.t.Fatal("not committed")
		}
		m.took("claim", w, rec, err, want)
	}
}

func (m *fanOutModel) forward() {
	for range m.rnd.IntN(20) {
		rec := m.record()
		if m.in.WriteTyped(rec.typ, rec.data) == nil {
			m.source = append(m.source, rec)
		}
	}
	limit := m.rnd.IntN(20)
	var key func(int32, []byte) uint64
	if m.rnd.IntN(2) == 0 {
		key = func(typ int32, _ []byte) uint64 { return uint64(typ) }
	}
	// Which lane takes what must be known in advance, so one at a time.
	moved := 0
	for moved < limit {
		if len(m.source) == 0 {
			if n, err := m.f.Forward(m.from, 1, key); n != 0 || err != nil {
				m.t.Fatalf("Forward of nothing: %d, %v", n, err)
			}
			return
		}
		rec := m.source[0]
		var w int
		var want error
		if key != nil {
			w = m.f.Worker(uint64(rec.typ))
			want = m.answer(w, len(rec.data))
		} else {
			w, want = m.inTurn(len(rec.data))
		}
		n, err := m.f.Forward(m.from, 1, key)
		m.took("Forward", w, rec, err, want)
		if (n == 1) != (err == nil) {
			m.t.Fatalf("Forward: %d, %v", n, err)
		}
		switch {
		case err == nil:
			m.source = m.source[1:]
			moved++
		case err == ErrFull && m.rnd.IntN(4) > 0:
			return
		default: // the caller takes it himself
			got, ok := m.next()
			if !ok || !bytes.Equal(got, rec.data) {
				m.t.Fatalf("what did not fit: % x, want % x", got, rec.data)
			}
			m.source = m.source[1:]
		}
	}
}

func (m *fanOutModel) read(w, limit int) {
	q := m.lane[w]
	n := m.cs[w].Drain(limit, func(typ int32, data []byte) {
		if len(q) == 0 || q[0].typ != typ || !bytes.Equal(q[0].data, data) {
			m.t.Fatalf("worker %d: type %d, % x; want %v", w, typ, data, q)
		}
		q = q[1:]
	})
	if n != min(limit, len(m.lane[w])) {
		m.t.Fatalf("worker %d: %d records, limit %d, the model has %d", w, n, limit, len(m.lane[w]))
	}
	m.lane[w] = q
}

func TestFanOutModel(t *testing.T) {
	runs := 300
	if raceEnabled || testing.Short() {
		runs = 60
	}
	for seed := range uint64(runs) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			m := newFanOutModel(t, seed)
			for range 400 {
				switch k := m.rnd.IntN(16); {
				case k < 8:
					m.send()
				case k < 10:
					m.forward()
				case k == 15 && m.rnd.IntN(60) == 0:
					m.f.Close()
					m.closed = true
				default:
					m.read(m.rnd.IntN(len(m.cs)), m.rnd.IntN(8))
				}
			}
			m.f.Close()
			for w, c := range m.cs {
				m.read(w, len(m.lane[w]))
				if wantNothing(t, c); !c.Drained() {
					t.Errorf("worker %d is not drained", w)
				}
			}
		})
	}
}
