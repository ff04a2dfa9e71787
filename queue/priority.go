package queue

import (
	"fmt"
	"math"
	"time"
)

// UrgentRun bounds how long a Priority lets a less urgent level wait: while a
// level has a record, at most this many records of more urgent levels are
// delivered before it. 64 leaves the urgent level 64 of 65 records when a less
// urgent one is never empty, and costs that one a look every 64 records when
// it is.
const UrgentRun = 64

// maxLevels bounds the looks that one delivery can cost. It is less than
// UrgentRun, so that levels that are due together cannot make each other due
// again before an urgent record gets its turn.
const maxLevels = 16

// Priority reads several MPSC rings, the levels, urgent first. Level 0 is the
// most urgent. Each delivery takes the next record of the most urgent level
// that has one, but for the bound on waiting:
//
// If a level has a record when a call begins, or gets one during Drain, then at
// most UrgentRun records of more urgent levels are delivered before one of that
// level, by whatever mixture of calls. That holds for each level however many
// there are: of several that have waited so long the least urgent goes first,
// which is not more urgent than the others. In return the next record of level 0
// waits for one record of each other level at most.
//
// Records of one level stay in the order of their claims; between levels there
// is no order. A stalled claim holds up its level only.
//
// A Priority is for one goroutine at a time; only Stats may be called from
// anywhere. The verbs mean what they mean to a Consumer. Positions of spans are
// the Priority's own: Position of a level's producer does not compare with End
// of a span.
type Priority struct {
	levels []*Consumer
	// passed[l] is how many records of more urgent levels were delivered since
	// pick last found level l empty or l delivered something.
	passed []int

	record *Consumer // ring of the record that Next returned, until it is given back
	typ    int32     // of that record
	level  int       // of what was delivered last
	spans            // delivered by Peek; none while record is not nil
}

// NewPriority makes a ring for each of 1 to 16 levels and returns their
// producers, the most urgent first, and the one reader of them all. The
// capacity of each ring, in bytes, and its largest payload are as for NewMPSC.
func NewPriority(levels, capacity int) ([]*SharedProducer, *Priority, error) {
	return newPriority(levels, capacity, 0)
}

func newPriority(levels, capacity int, start uint64) ([]*SharedProducer, *Priority, error) {
	if levels < 1 || levels > maxLevels {
		return nil, nil, fmt.Errorf("queue: %d levels: must be between 1 and %d", levels, maxLevels)
	}
	p := &Priority{passed: make([]int, levels), level: -1}
	p.read, p.released = start, start
	producers := make([]*SharedProducer, levels)
	for l := range producers {
		producer, c, err := newMPSC(capacity, start)
		if err != nil {
			return nil, nil, err
		}
		producers[l], p.levels = producer, append(p.levels, c)
	}
	return producers, p, nil
}

// Next gives back everything read before and returns the next record, which is
// valid until the next call of any method but Type, Level and Stats. It returns
// false when no level has one.
func (p *Priority) Next() (rec []byte, ok bool) {
	p.releaseAll()
	l := p.pick()
	if l < 0 {
		p.releaseRecord()
		return nil, false
	}
	return p.next(l), true
}

// next delivers the next record of level l, which has one. No span is held.
func (p *Priority) next(l int) []byte {
	c := p.levels[l]
	if p.record != c {
		p.releaseRecord()
		p.record = c
	}
	rec, _ := c.Next()
	p.typ = c.typ
	p.count(l, 1)
	return rec
}

// Type is the type of the record that Next returned last, 0 before the first.
func (p *Priority) Type() int32 { return p.typ }

// Level is the level of the record or span that was delivered last, -1 before
// the first. The function that Drain calls may ask it.
func (p *Priority) Level() int { return p.level }

// Release gives everything read so far back to the producers at once.
func (p *Priority) Release() {
	p.releaseRecord()
	p.releaseAll()
}

func (p *Priority) releaseRecord() {
	if p.record != nil {
		p.record.Release()
		p.record = nil
	}
}

// Drain calls fn for each of the next records, at most limit, and returns how
// many there were. It chooses the level anew for each record. See
// Consumer.Drain.
func (p *Priority) Drain(limit int, fn func(typ int32, rec []byte)) int {
	p.releaseAll()
	defer p.Release()
	n := 0
	for n < limit {
		l := p.pick()
		if l < 0 {
			break
		}
		rec := p.next(l)
		n++
		fn(p.typ, rec)
	}
	return n
}

// Peek returns the next committed records of one level, as they lie there. The
// span ends where Next would change to another level: in front of a less urgent
// one that is due, and behind one record if a more urgent one has something.
// Of urgent records that come later it knows nothing; maxBytes bounds what goes
// before them. See Consumer.Peek.
func (p *Priority) Peek(maxBytes int) Span {
	p.releaseRecord()
	l := p.pick()
	if l < 0 {
		return Span{}
	}
	c := p.levels[l]
	if n := p.allowance(l); n < math.MaxInt {
		maxBytes = min(maxBytes, c.sizeOf(n))
	}
	s := c.Peek(maxBytes)
	p.count(l, s.records)
	return p.add(c, s)
}

// ReleaseTo gives back every span up to pos: the End of a span, or a position
// inside one that is a multiple of 8. See Consumer.ReleaseTo.
func (p *Priority) ReleaseTo(pos uint64) { p.releaseTo(pos) }

// Ready reports whether a record is there to be read. It delivers nothing and
// leaves what was delivered before valid.
func (p *Priority) Ready() bool {
	for _, c := range p.levels {
		if c.Ready() {
			return true
		}
	}
	return false
}

// Drained reports whether the producers of all levels are closed and
// everything that they committed has been read.
func (p *Priority) Drained() bool {
	for _, c := range p.levels {
		if !c.Drained() {
			return false
		}
	}
	return true
}

// Stalled reports, of the claims that hold up a level, the one that has been
// seen for longest. Its position is that of its level. See Consumer.Stalled.
func (p *Priority) Stalled() (oldest Stall, ok bool) {
	for _, c := range p.levels {
		if s, stalled := c.Stalled(); stalled && (!ok || s.Age > oldest.Age) {
			oldest, ok = s, true
		}
	}
	return oldest, ok
}

// PassStalled gets past every claim older than limit that holds up a level, and
// reports whether there was one. See Consumer.PassStalled; its limit of four
// buffers left behind is for each level.
func (p *Priority) PassStalled(limit time.Duration) bool {
	passed := false
	for _, c := range p.levels {
		if c.PassStalled(limit) {
			passed = true
		}
	}
	return passed
}

// Stats sums the counters of all levels; the high-water mark is the largest of
// any. Stats of a level's producer are the level's alone. Any goroutine may
// call it.
func (p *Priority) Stats() Stats {
	var s Stats
	for _, c := range p.levels {
		s = s.add(c.Stats())
	}
	return s
}

// pick is the level to deliver from, or -1. A level that is due stays so until
// it delivers or is seen empty; the least urgent of them goes first, because
// what it delivers does not add to what the others have waited for.
func (p *Priority) pick() int {
	for l := len(p.levels) - 1; l > 0; l-- {
		if p.passed[l] < UrgentRun {
			continue
		}
		if p.levels[l].Ready() {
			return l
		}
		p.passed[l] = 0
	}
	for l, c := range p.levels {
		if c.Ready() {
			return l
		}
		p.passed[l] = 0
	}
	return -1
}

// allowance is how many records level l, just picked, may deliver at once.
func (p *Priority) allowance(l int) int {
	for _, c := range p.levels[:l] {
		if c.Ready() {
			return 1
		}
	}
	n := math.MaxInt
	for m := l + 1; m < len(p.levels); m++ {
		if p.levels[m].Ready() {
			n = min(n, UrgentRun-p.passed[m])
		}
	}
	return n
}

// count notes that level l has delivered n records.
func (p *Priority) count(l, n int) {
	p.level = l
	p.passed[l] = 0
	for m := l + 1; m < len(p.passed); m++ {
		p.passed[m] += n
	}
}

// sizeOf is the bytes of the next records, at most n of them, with the skips
// between them. The consumer is Ready, so that pos is at a record.
func (c *Consumer) sizeOf(n int) int {
	at := c.pos
	for n > 0 {
		h := c.ring.mem.load(at)
		if !h.committed() {
			break
		}
		at += h.stride()
		if !h.skip() {
			n--
		}
	}
	return int(at - c.pos)
}
