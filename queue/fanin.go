package queue

import (
	"fmt"
	"slices"
	"sync/atomic"
)

// FanIn merges any number of producers without contention between them: each
// has an SPSC lane of its own, and the consumer goes round the lanes. Records
// of one producer stay in order; between producers there is no order but that
// of the round. A producer that stalls, or forgets a claim, holds up only
// itself.
//
// NewProducer and Stats may be called by any goroutine; the consumer's verbs,
// Next, Type, Release, Drain, Peek and ReleaseTo, are for one goroutine at a
// time. They mean what they mean to a Consumer, over a stream of positions
// that is the FanIn's own: Position of a lane's Producer does not compare with
// End of a span.
type FanIn struct {
	laneCapacity int
	start        uint64                // where positions begin
	lanes        atomic.Pointer[lanes] // replaced whole, never changed in place

	// Of the consumer's goroutine:
	turn     int       // index of the lane whose turn it is
	quota    int       // records' bytes that it may still deliver in this turn
	current  *Consumer // lane of the record that Next returned last
	read     uint64    // position behind everything delivered
	released uint64    // position behind everything given back
	held     []held    // spans delivered and not given back, oldest first
}

// lanes is the rings that are read, and the counters of those that are gone.
type lanes struct {
	list    []*Consumer
	retired Stats
}

// held is a span that the caller has not given back: [end-size, end) in the
// FanIn's positions is [laneEnd-size, laneEnd) in the lane's.
type held struct {
	lane         *Consumer
	end, laneEnd uint64
}

// NewFanIn makes a FanIn without lanes. laneCapacity is the size in bytes of
// each lane, as NewSPSC takes it.
func NewFanIn(laneCapacity int) (*FanIn, error) {
	return newFanIn(laneCapacity, 0)
}

func newFanIn(laneCapacity int, start uint64) (*FanIn, error) {
	size, err := roundCapacity(laneCapacity)
	if err != nil {
		return nil, err
	}
	f := &FanIn{laneCapacity: int(size), quota: int(size), start: start, read: start, released: start}
	f.lanes.Store(new(lanes))
	return f, nil
}

// NewProducer adds a lane and returns its producer. Close of the producer
// retires the lane: the consumer reads what is left in it, and then it is
// gone.
func (f *FanIn) NewProducer() (*Producer, error) {
	p, c, err := newSPSC(f.laneCapacity, f.start)
	if err != nil {
		return nil, err
	}
	f.change(func(l *lanes) { l.list = append(l.list, c) })
	return p, nil
}

// change replaces the lanes by a copy that edit has changed.
func (f *FanIn) change(edit func(*lanes)) {
	for {
		old := f.lanes.Load()
		l := &lanes{list: append(make([]*Consumer, 0, len(old.list)+1), old.list...), retired: old.retired}
		edit(l)
		if f.lanes.CompareAndSwap(old, l) {
			return
		}
	}
}

// Next gives back everything read before and returns the next record. See
// Consumer.Next.
func (f *FanIn) Next() (rec []byte, ok bool) {
	f.releaseSpans()
	for range f.round() {
		l := f.lane()
		if l == nil {
			return nil, false
		}
		if f.quota > 0 {
			if rec, ok = l.Next(); ok {
				f.current = l
				f.quota -= headerLen + len(rec)
				return rec, true
			}
		}
		if l == f.current {
			f.releaseRecord()
		}
		f.pass(l)
	}
	return nil, false
}

// Type is the type of the record that Next returned last, 0 once it is given back.
func (f *FanIn) Type() int32 {
	if f.current == nil {
		return 0
	}
	return f.current.Type()
}

// Release gives everything read so far back to the producers at once.
func (f *FanIn) Release() {
	f.releaseRecord()
	f.releaseSpans()
}

// releaseRecord gives back the record that Next returned. No span is held
// then: Next has given them back.
func (f *FanIn) releaseRecord() {
	if f.current != nil {
		f.current.Release()
		f.current = nil
	}
}

func (f *FanIn) releaseSpans() {
	if len(f.held) > 0 {
		f.ReleaseTo(f.read)
	}
}

// Drain calls fn for each of the next records, at most limit, lane by lane: a
// lane's turn ends after as many bytes as the lane has, so that a producer who
// keeps up with fn does not keep the others waiting. See Consumer.Drain.
func (f *FanIn) Drain(limit int, fn func(typ int32, rec []byte)) int {
	f.Release()
	n := 0
	for idle := 0; n < limit && idle < len(f.lanes.Load().list); {
		l := f.lane()
		got := l.drain(limit-n, uint64(f.laneCapacity), fn)
		n += got
		switch gone := f.pass(l); {
		case got > 0:
			idle = 0
		case !gone:
			idle++
		}
	}
	return n
}

// Peek returns the next committed records of one lane, as they lie there. See
// Consumer.Peek.
func (f *FanIn) Peek(maxBytes int) Span {
	f.releaseRecord()
	for range f.round() {
		l := f.lane()
		if l == nil {
			break
		}
		if f.quota > 0 {
			if s := l.Peek(maxBytes); s.records > 0 {
				return f.hold(l, s)
			}
		}
		f.pass(l)
	}
	return Span{}
}

// hold notes that s is delivered, and gives it the FanIn's own end position.
func (f *FanIn) hold(l *Consumer, s Span) Span {
	f.quota -= len(s.frames)
	f.read += uint64(len(s.frames))
	f.held = append(f.held, held{lane: l, end: f.read, laneEnd: s.end})
	s.end = f.read
	return s
}

// ReleaseTo gives back every span up to pos: the End of a span, or a position
// inside one that is a multiple of 8. See Consumer.ReleaseTo.
func (f *FanIn) ReleaseTo(pos uint64) {
	if int64(pos-f.released) < 0 || int64(f.read-pos) < 0 || pos%headerLen != 0 {
		panic(fmt.Sprintf("queue: ReleaseTo(%d): must be a multiple of 8 between %d, already released, and %d, read so far",
			pos, f.released, f.read))
	}
	n := 0
	for n < len(f.held) && int64(pos-f.held[n].end) >= 0 {
		f.held[n].lane.ReleaseTo(f.held[n].laneEnd)
		n++
	}
	if n < len(f.held) && int64(pos-f.released) > 0 {
		h := f.held[n]
		if at := h.laneEnd - (h.end - pos); int64(at-h.lane.released) > 0 {
			h.lane.ReleaseTo(at)
		}
	}
	f.held = slices.Delete(f.held, 0, n)
	f.released = pos
}

// Stats sums the counters of all lanes, those that are gone included; the
// high-water mark is the largest of any lane. Any goroutine may call it.
func (f *FanIn) Stats() Stats {
	l := f.lanes.Load()
	s := l.retired
	for _, c := range l.list {
		s = s.add(c.Stats())
	}
	return s
}

// round is how many lanes to ask before nothing is there: each once, and the
// one whose turn it was again, with a new quota.
func (f *FanIn) round() int { return len(f.lanes.Load().list) + 1 }

// lane is the lane whose turn it is, or nil if there are none.
func (f *FanIn) lane() *Consumer {
	list := f.lanes.Load().list
	if len(list) == 0 {
		return nil
	}
	if f.turn >= len(list) {
		f.turn = 0
		f.quota = f.laneCapacity
	}
	return list[f.turn]
}

// pass ends the turn of c. A lane that is closed and read to its end goes.
func (f *FanIn) pass(c *Consumer) (gone bool) {
	f.quota = f.laneCapacity
	if !c.Drained() {
		f.turn++
		return false
	}
	c.count() // so that spans that are still held count
	f.change(func(l *lanes) {
		l.list = slices.DeleteFunc(l.list, func(o *Consumer) bool { return o == c })
		l.retired = l.retired.add(c.Stats())
	})
	return true
}
