package queue

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
)

var modelSeed = flag.Uint64("queue.seed", 0, "replay one model test run with this seed, 0 = fixed seeds and a fresh one")

// The model is a queue of records per lane, in which a shared claim waits in
// its place until it is settled. Every operation goes to the ring and to the
// model, and what the ring answers must be what the model says: exactly,
// refusals included.
type model struct {
	t        testing.TB
	choose   chooser
	r        reader
	c        *Consumer // nil for a FanIn
	f        *FanIn    // nil otherwise
	lanes    []*laneModel
	cur      []byte // what Next returned last, as long as it is valid
	curCopy  []byte
	held     []heldSpan
	log      []string
	capacity int

	records, bytes, full, aborts, padding uint64
}

type laneModel struct {
	w      writer
	c      *Consumer
	tag    int32 // low byte of the type of each record of the lane
	queue  []*entry
	open   []openClaim
	dead   []Claim
	closed bool
}

type entry struct {
	typ   int32
	data  []byte
	state entryState
}

type entryState int

const (
	committed entryState = iota
	waiting              // a shared claim that is open
	skipped              // aborted or abandoned
)

type openClaim struct {
	c   Claim
	e   *entry
	typ int32
}

type heldSpan struct {
	frames, copied []byte
	end            uint64
}

// chooser makes the decisions: from a random source or from fuzzed bytes.
type chooser interface {
	n(k int) int // 0 … k-1
	done() bool
}

type randomChooser struct {
	*rand.Rand
	left int
}

func (r *randomChooser) n(k int) int { return r.IntN(k) }
func (r *randomChooser) done() bool  { r.left--; return r.left < 0 }

func newModel(t testing.TB, ch chooser, kind string, capacity int, start uint64) *model {
	m := &model{t: t, choose: ch, capacity: capacity}
	switch kind {
	case "SPSC", "MPSC":
		w, c := newRingAt(t, kind == "MPSC", capacity, start)
		m.r, m.c = c, c
		m.capacity = w.Capacity()
		m.lanes = []*laneModel{{w: w, c: c, tag: 1}}
	case "FanIn", "FanInByTime":
		f := must(newFanIn(capacity, start))
		if kind == "FanInByTime" { // without a grace all that is there may be read
			f = must(newFanInByTime(capacity, start, 0, new(fakeClock).read))
		}
		m.r, m.f = f, f
		m.capacity = f.laneCapacity
		m.addLane()
	}
	return m
}

func (m *model) addLane() {
	if len(m.lanes) >= 200 {
		return
	}
	p := must(m.f.NewProducer())
	list := m.f.lanes.Load().list
	m.lanes = append(m.lanes, &laneModel{w: p, c: list[len(list)-1].c, tag: int32(len(m.lanes) + 1)})
}

func (m *model) fatalf(format string, args ...any) {
	m.t.Helper()
	from := max(0, len(m.log)-30)
	for i, l := range m.log[from:] {
		m.t.Logf("%4d %s", from+i, l)
	}
	m.t.Fatalf(format, args...)
}

func (m *model) note(format string, args ...any) { m.log = append(m.log, fmt.Sprintf(format, args...)) }

func (m *model) run() {
	for !m.choose.done() {
		m.step()
		if m.capacity <= 1024 || len(m.log)%64 == 0 {
			for _, l := range m.lanes {
				checkIdle(m.t, l.w, l.c)
			}
		}
	}
	m.finish()
}

func (m *model) step() {
	l := m.lanes[m.choose.n(len(m.lanes))]
	switch m.choose.n(16) {
	case 0, 1, 2:
		m.claim(l)
	case 3, 4:
		m.write(l)
	case 5:
		m.append(l)
	case 6, 7:
		m.settle(l)
	case 8:
		m.misuse(l)
	case 9, 10:
		m.next()
	case 11:
		m.drain()
	case 12, 13:
		m.peek()
	case 14:
		m.releaseTo()
	case 15:
		m.rare(l)
	}
}

func (m *model) rare(l *laneModel) {
	switch k := m.choose.n(8); {
	case k == 0 && m.f != nil:
		m.note("add lane")
		m.addLane()
	case k == 1 && m.f != nil, k == 1 && m.choose.n(30) == 0:
		m.note("close lane %d", l.tag)
		if err := l.w.Close(); err != nil {
			m.fatalf("Close: %v", err)
		}
		l.closed = true
	case k < 5:
		m.note("release")
		m.checkValid()
		m.r.Release()
		m.cur, m.held = nil, m.held[:0]
	case m.c != nil:
		m.note("ready")
		m.checkValid()
		want := m.lanes[0].take()
		if got := m.c.Ready(); got != (want != nil) {
			m.fatalf("Ready: %v, model %v", got, want)
		}
		if want != nil {
			m.lanes[0].queue = append([]*entry{want}, m.lanes[0].queue...)
		}
	}
}

// size picks a payload length, edges more often than not.
func (m *model) size(l *laneModel) int {
	r := l.c.ring
	switch m.choose.n(10) {
	case 0:
		return int(r.toEnd(tailOf(l.w))) - headerLen + m.choose.n(3) - 1
	case 1:
		return int(r.maxPayload()) + m.choose.n(3) - 1
	case 2:
		return int(r.capacity/2) + m.choose.n(9) - 4
	case 3:
		return m.choose.n(int(r.capacity))
	case 4:
		return m.choose.n(3) - 1
	default:
		return m.choose.n(33)
	}
}

// expect says what a claim of n bytes must answer, and where it will lie.
func (m *model) expect(l *laneModel, n int) (pos uint64, err error) {
	r := l.c.ring
	pos = tailOf(l.w)
	free := r.capacity - 8 - (pos - r.head.load())
	switch {
	case l.closed:
		return pos, ErrClosed
	case n < 0 || n > int(r.capacity)-16:
		return pos, ErrTooLarge
	}
	frame := uint64(8+n+7) / 8 * 8
	if toEnd := r.capacity - pos%r.capacity; frame > toEnd {
		if toEnd > free {
			m.full++
			return pos, ErrFull
		}
		m.padding += toEnd
		pos += toEnd
		free -= toEnd
	}
	if frame > free {
		m.full++
		return pos, ErrFull
	}
	return pos, nil
}

func (m *model) wantErr(l *laneModel, call string, n int, got, want error, pos uint64) {
	m.t.Helper()
	if !errors.Is(got, want) || (got == nil) != (want == nil) {
		m.fatalf("%s of %d bytes at %d: %v, want %v", call, n, pos, got, want)
	}
	if want != nil && tailOf(l.w) != pos {
		m.fatalf("%s of %d bytes: tail %d, want %d", call, n, tailOf(l.w), pos)
	}
}

func (m *model) typ(l *laneModel) int32 {
	if l.tag == 1 && m.choose.n(2) == 0 {
		return 1
	}
	return int32(m.choose.n(1<<23))<<8 | l.tag
}

func (m *model) payload(n int) []byte { return pattern(n, uint64(len(m.log))) }

func (m *model) claim(l *laneModel) {
	n, typ := m.size(l), m.typ(l)
	pos, want := m.expect(l, n)
	m.note("claim %d bytes in lane %d at %d, want %v", n, l.tag, pos, want)
	m.giveUp(l)
	var c Claim
	var err error
	if typ == 1 {
		c, err = l.w.TryClaim(n)
	} else {
		c, err = l.w.TryClaimTyped(typ, n)
	}
	m.wantErr(l, "TryClaim", n, err, want, pos)
	if err != nil {
		if c != (Claim{}) {
			m.fatalf("a refused claim is not zero")
		}
		return
	}
	if len(c.Bytes()) != n || cap(c.Bytes()) != n {
		m.fatalf("claim of %d bytes has %d, capacity %d", n, len(c.Bytes()), cap(c.Bytes()))
	}
	e := &entry{typ: typ, data: m.payload(n), state: waiting}
	copy(c.Bytes(), e.data)
	l.open = append(l.open, openClaim{c, e, typ})
	if isShared(l.w) {
		l.queue = append(l.queue, e)
	}
	if m.choose.n(3) > 0 {
		m.settleAt(l, len(l.open)-1)
	}
}

// giveUp is what a new claim or write does to the open claim of an unshared
// producer.
func (m *model) giveUp(l *laneModel) {
	if isShared(l.w) {
		return
	}
	for _, o := range l.open {
		l.bury(o.c)
	}
	l.open = nil
}

func (l *laneModel) bury(c Claim) {
	l.dead = append(l.dead, c)
	if len(l.dead) > 8 {
		l.dead = l.dead[1:]
	}
}

func (m *model) settle(l *laneModel) {
	if len(l.open) > 0 {
		m.settleAt(l, m.choose.n(len(l.open)))
	}
}

func (m *model) settleAt(l *laneModel, i int) {
	o := l.open[i]
	l.open = append(l.open[:i], l.open[i+1:]...)
	l.bury(o.c)
	abandoned := o.e.state == skipped || l.closed && !isShared(l.w)
	how := m.choose.n(4)
	m.note("settle a claim of %d bytes in lane %d: %d, abandoned %v", len(o.e.data), l.tag, how, abandoned)
	switch how {
	case 0:
		o.c.Abort()
		if !abandoned {
			o.e.state = skipped
			m.aborts++
		}
		return
	case 1:
		n := m.choose.n(len(o.e.data) + 1)
		o.e.data = o.e.data[:n]
		if o.c.CommitN(n) == abandoned {
			m.fatalf("CommitN: %v", !abandoned)
		}
	default:
		if o.c.Commit() == abandoned {
			m.fatalf("Commit: %v", !abandoned)
		}
	}
	if abandoned {
		return
	}
	o.e.state = committed
	if !isShared(l.w) {
		l.queue = append(l.queue, o.e)
	}
}

func (m *model) write(l *laneModel) {
	n, typ := m.size(l), m.typ(l)
	if n < 0 {
		n = 0
	}
	pos, want := m.expect(l, n)
	m.note("write %d bytes to lane %d at %d, want %v", n, l.tag, pos, want)
	m.giveUp(l)
	e := &entry{typ: typ, data: m.payload(n)}
	var err error
	if typ == 1 {
		var k int
		if k, err = l.w.Write(e.data); err == nil && k != n || err != nil && k != 0 {
			m.fatalf("Write: %d, %v", k, err)
		}
	} else {
		err = l.w.WriteTyped(typ, e.data)
	}
	m.wantErr(l, "Write", n, err, want, pos)
	if err == nil {
		l.queue = append(l.queue, e)
	}
}

var errEncode = errors.New("encode")

func (m *model) append(l *laneModel) {
	if l.tag != 1 {
		return
	}
	limit, how := m.size(l), m.choose.n(5)
	if isShared(l.w) && (l.closed || limit < 0 || limit > int(l.c.ring.maxPayload())) {
		how = 0 // refused before encode is called
	}
	e := &entry{typ: 1}
	var wantEncode error
	encode := func(dst []byte) ([]byte, error) {
		if len(dst) != 0 || cap(dst) < limit {
			m.fatalf("encode gets %d bytes, capacity %d, max %d", len(dst), cap(dst), limit)
		}
		switch how {
		case 0, 1: // a part, in place
			e.data = m.payload(m.choose.n(limit + 1))
			return append(dst, e.data...), nil
		case 2: // another slice
			e.data = m.payload(limit)
			return e.data, nil
		case 3:
			wantEncode = errEncode
			return dst, errEncode
		default:
			wantEncode = ErrTooLarge
			return append(dst, make([]byte, limit+1)...), nil
		}
	}
	var pos uint64
	var want error
	if isShared(l.w) {
		// encode runs first: what it will do must be known to know what follows.
		called := false
		err := l.w.Append(limit, func(dst []byte) ([]byte, error) {
			called = true
			out, err := encode(dst)
			if wantEncode == nil {
				pos, want = m.expect(l, len(e.data))
			}
			return out, err
		})
		if !called {
			pos = tailOf(l.w)
			if want = ErrTooLarge; l.closed {
				want = ErrClosed
			}
		} else if wantEncode != nil {
			pos, want = tailOf(l.w), wantEncode
		}
		m.note("append %d of %d bytes at %d, want %v", len(e.data), limit, pos, want)
		m.wantErr(l, "Append", limit, err, want, pos)
		if err == nil {
			l.queue = append(l.queue, e)
		}
		return
	}
	pos, want = m.expect(l, limit)
	m.giveUp(l)
	err := l.w.Append(limit, encode)
	if want == nil && wantEncode != nil {
		want = wantEncode
		m.aborts++
	}
	m.note("append %d of %d bytes at %d, want %v", len(e.data), limit, pos, want)
	m.wantErr(l, "Append", limit, err, want, pos)
	if err == nil {
		l.queue = append(l.queue, e)
	}
}

func (m *model) misuse(l *laneModel) {
	if len(l.dead) == 0 {
		return
	}
	c := l.dead[m.choose.n(len(l.dead))]
	m.note("misuse a claim of lane %d", l.tag)
	if c.Abort(); c.Bytes() != nil {
		m.fatalf("Bytes of a settled claim")
	}
	if !l.closed {
		wantPanic(m.t, func() { c.Commit() }, "not open")
	}
}
