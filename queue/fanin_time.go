package queue

import (
	"encoding/binary"
	"math"
	"time"
)

// byTime is what a FanIn by time adds to its consumer. What it promises stands
// at NewFanInByTime; this is how.
//
//	bound    what has no greater timestamp may go, whatever lane is empty
//	sights   of what was seen at a time, the greatest timestamp; once it was
//	         that long ago, bound rises to it
//
// A record x that was seen grace ago lifts bound to its timestamp. What
// belongs before x and is in time was committed by then: it is at the head of
// its lane, or behind a head that is no greater, and goes first because the
// least head does. x itself, and so what bound lets through, was seen no
// earlier than it was committed, which is all that the promise needs.
//
// If no lane is empty the least head may go without that: nothing that will
// come in any lane is less.
//
// A lane whose timestamps stay behind the others' would always have the least
// head. So the reading goes in rounds: between two surveys each lane's reading
// position moves by at most a lane's capacity, not counting the last step. All
// that a lane had at the survey comes out in the round even so.
type byTime struct {
	grace time.Duration
	clock func() time.Duration // monotonic

	bound  int64
	last   int64 // the greatest timestamp delivered
	late   bool  // what was delivered last was late
	sights [maxSights]sight
	first  int // index of the oldest sight
	count  int

	// what pick found when it returned nil:
	holds bool          // a record is held back
	wait  time.Duration // for how long at most
}

// sight says that a record with the timestamp until, and none greater, was
// seen by at. Those of one step of the grace share a sight, so that there are
// few; since is when it began.
type sight struct {
	since, at time.Duration
	until     int64
}

const (
	graceSteps = 64
	maxSights  = graceSteps + 3
)

func newByTime(grace time.Duration, clock func() time.Duration) *byTime {
	return &byTime{grace: grace, clock: clock, bound: math.MinInt64, last: math.MinInt64}
}

func (m *byTime) join(f *FanIn, added []*lane) {
	for _, l := range added {
		l.before, l.scanned, l.limit = math.MinInt64, l.c.pos, l.c.pos+uint64(f.laneCapacity)
	}
}

func (f *FanIn) nextByTime() (rec []byte, ok bool) {
	if prev := f.current; prev != nil {
		f.current = nil
		prev.c.giveBack()
	}
	if l := f.byTime.pick(f); l != nil {
		return f.takeByTime(l)
	}
	return nil, false
}

// takeByTime delivers the head of l, which pick has found.
func (f *FanIn) takeByTime(l *lane) (rec []byte, ok bool) {
	f.byTime.late = f.byTime.deliver(l, l.key, l.timed)
	if f.byTime.late {
		l.late.Store(l.late.Load() + 1)
	}
	f.current, f.last = l, l
	return l.c.Next()
}

func (f *FanIn) drainByTime(limit int, fn func(typ int32, rec []byte)) (n int) {
	defer f.Release()
	for n < limit {
		rec, ok := f.nextByTime()
		if !ok {
			break
		}
		n++
		fn(f.current.c.Type(), rec)
	}
	return n
}

func (f *FanIn) peekByTime(maxBytes int) Span {
	l := f.byTime.pick(f)
	if l == nil {
		return Span{}
	}
	f.last = l
	return f.add(l.c, l.c.Peek(f.byTime.run(f, l, maxBytes)))
}

// giveBack gives back what was read, and shows it to the producer when it is
// worth a store or nothing more is found.
func (c *Consumer) giveBack() {
	c.released = c.pos
	if c.released-c.head >= c.lazy {
		c.show()
	}
}

// pick returns the lane whose head is to be delivered next, or nil.
func (m *byTime) pick(f *FanIn) *lane {
	f.look()
	some := false
	for _, l := range f.order {
		if !l.ready {
			l.load()
		}
		some = some || l.ready
	}
	l, may := m.least(f)
	if may {
		return l
	}
	now := m.survey(f, some)
	if l, may = m.least(f); l != nil && !may && !some {
		now = m.survey(f, true) // it has just come: seen from now on
		l, may = m.least(f)
	}
	if may {
		return l
	}
	m.wait, m.holds = 0, l != nil
	if m.holds {
		m.wait = m.remaining(now, l.key)
	}
	return nil
}

// least returns the lane with the least head that has a share of the round
// left, and whether the head may go.
func (m *byTime) least(f *FanIn) (best *lane, may bool) {
	all := true // every lane has a head, and a share
	for _, l := range f.order {
		switch {
		case !l.ready || int64(l.c.pos-l.limit) >= 0:
			all = false
		case best == nil || l.key < best.key:
			best = l
		}
	}
	return best, best != nil && (all || best.key <= m.bound)
}

// load looks whether a record is at the lane's head.
func (l *lane) load() {
	c := l.c
	for {
		h := c.ring.mem.load(c.pos)
		if !h.committed() {
			return
		}
		if !h.skip() {
			l.ready = true
			l.key, l.timed = l.timeAt(c.pos, h)
			return
		}
		c.pos += h.stride()
	}
}

// timeAt is the timestamp of the record at pos; of one that has none, the key
// of the record before it in its lane, if that was the last to be delivered.
func (l *lane) timeAt(pos uint64, h header) (key int64, timed bool) {
	if h.payload() < timeLen {
		return l.before, false
	}
	return int64(binary.LittleEndian.Uint64(l.c.ring.mem.bytes(pos+headerLen, timeLen))), true
}

const timeLen = 8

// deliver notes that a record of l goes out, and returns whether it is late.
// From now on nothing up to its key need be held back.
func (m *byTime) deliver(l *lane, key int64, timed bool) (late bool) {
	late = timed && key < m.last
	m.last, m.bound = max(m.last, key), max(m.bound, key)
	l.before, l.ready = key, false
	return late
}

// run delivers the head of l and the records behind it that may go at once,
// and returns how many bytes of a span they are. It stops where Consumer.Peek
// stops.
func (m *byTime) run(f *FanIn, l *lane, maxBytes int) int {
	c := l.c
	most := m.most(f, l)
	start := c.pos
	at := start + c.ring.mem.load(start).stride()
	end := at
	n := uint64(1)
	m.late = m.deliver(l, l.key, l.timed)
	for at&c.ring.mem.mask != 0 && int64(at-l.limit) < 0 {
		h := c.ring.mem.load(at)
		if !h.committed() || h.skip() && h.stride() > smallSkip {
			break
		}
		if h.skip() {
			at += h.stride()
			continue
		}
		key, timed := l.timeAt(at, h)
		late := timed && key < m.last
		if at += h.stride(); at-start > uint64(max(maxBytes, 0)) || key > most || late != m.late {
			break
		}
		m.deliver(l, key, timed)
		end, n = at, n+1
	}
	if m.late {
		l.late.Store(l.late.Load() + n)
	}
	return int(end - start)
}

// most is the greatest key that may go from l, whose head is the next to go,
// before anything of another lane.
func (m *byTime) most(f *FanIn, l *lane) int64 {
	most, above := int64(math.MaxInt64), false
	for _, o := range f.order {
		switch {
		case o == l:
			above = true
		case !o.ready || int64(o.c.pos-o.limit) >= 0:
			most = min(most, max(m.bound, l.key))
		case above:
			most = min(most, o.key)
		default:
			most = min(most, o.key-1) // of equal ones the lower lane's goes first; o.key > l.key
		}
	}
	return most
}

// survey begins a round: it takes over new lanes, lets those go that are
// closed and read, gives back space, and, if timed, looks what has been seen
// for how long. It returns the time.
func (m *byTime) survey(f *FanIn, timed bool) (now time.Duration) {
	if timed {
		now = m.clock() // before the lanes are looked at: what was committed by now is found
		m.rise(now)
		f.look()
	}
	newest, found := int64(math.MinInt64), false
	for i := 0; i < len(f.order); {
		l := f.order[i]
		l.c.releaseSkips()
		l.c.show()
		if !l.ready {
			l.load()
		}
		if !l.ready && l.c.Drained() {
			f.retire(i)
			continue
		}
		l.limit = l.c.pos + uint64(f.laneCapacity)
		if timed {
			if until, ok := l.scan(); ok {
				newest, found = max(newest, until), true
			}
		}
		i++
	}
	if found && newest > m.bound {
		m.sighted(m.clock(), newest) // behind the look: what was found was committed by then
	}
	return now
}

// scan returns the greatest timestamp among the records that were not scanned
// before.
func (l *lane) scan() (newest int64, found bool) {
	mem := &l.c.ring.mem
	at := l.scanned
	if int64(l.c.pos-at) > 0 {
		at = l.c.pos
	}
	newest = math.MinInt64
	for h := mem.load(at); h.committed(); h = mem.load(at) {
		if !h.skip() {
			if t, timed := l.timeAt(at, h); timed {
				newest, found = max(newest, t), true
			}
		}
		at += h.stride()
	}
	l.scanned = at
	return newest, found
}

// sighted notes that until was seen at now.
func (m *byTime) sighted(now time.Duration, until int64) {
	if m.grace == 0 {
		m.bound = max(m.bound, until)
		return
	}
	if m.count > 0 {
		s := &m.sights[(m.first+m.count-1)%maxSights]
		if until <= s.until {
			return // comes with that one
		}
		if m.count == maxSights || now-s.since <= m.grace/graceSteps {
			s.at, s.until = now, until
			return
		}
	}
	m.sights[(m.first+m.count)%maxSights] = sight{since: now, at: now, until: until}
	m.count++
}

// rise lifts bound to what was seen grace ago.
func (m *byTime) rise(now time.Duration) {
	for m.count > 0 {
		s := m.sights[m.first]
		if now-s.at < m.grace {
			return
		}
		m.bound = max(m.bound, s.until)
		m.first = (m.first + 1) % maxSights
		m.count--
	}
}

// remaining is how long it is until bound rises to key, which is above it.
func (m *byTime) remaining(now time.Duration, key int64) time.Duration {
	for i := range m.count {
		if s := m.sights[(m.first+i)%maxSights]; s.until >= key {
			return m.grace - max(0, now-s.at)
		}
	}
	return m.grace
}
