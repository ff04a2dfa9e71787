package queue

import (
	"slices"
	"sync/atomic"
)

// lane is one producer's ring in a FanIn. id and c are of any goroutine, as
// far as c's Stats go; late has one writer, the consumer; the rest is the
// consumer's, see byTime.
type lane struct {
	id   uint64
	c    *Consumer
	late atomic.Uint64

	ready   bool   // a record is at c.pos, and key is its time
	timed   bool   // it has a timestamp
	key     int64  // by which it is merged
	before  int64  // key of the record delivered before
	scanned uint64 // records before this position are in the sights
	limit   uint64 // reading position at which the lane has had its share of the round
}

// lanes is the rings that are read, in the order of their numbers, and the sum
// of those that are gone.
type lanes struct {
	list    []*lane
	newest  uint64 // the number that was given last
	retired Stats
	closed  bool // nothing is added any more
}

// change replaces the lanes by a copy that edit has changed, unless edit
// returns false. Any goroutine may call it.
func (f *FanIn) change(edit func(*lanes) bool) bool {
	for {
		old := f.lanes.Load()
		l := *old
		l.list = append(make([]*lane, 0, len(old.list)+1), old.list...)
		if !edit(&l) {
			return false
		}
		if f.lanes.CompareAndSwap(old, &l) {
			return true
		}
	}
}

// open shows a new lane to the consumer; its ring and number are fixed from
// then on.
func (f *FanIn) open(n *lane) bool {
	return f.change(func(l *lanes) bool {
		if l.closed {
			return false
		}
		l.newest++
		n.id, n.c.ring.lane = l.newest, l.newest
		l.list = append(l.list, n)
		return true
	})
}

// look takes over what others have changed in the lanes since the last look.
func (f *FanIn) look() {
	if l := f.lanes.Load(); l != f.seen {
		f.join(l)
	}
}

// join takes over lanes that were added. Their turn comes after everybody
// else's, so that newcomers, however many, keep nobody waiting.
func (f *FanIn) join(l *lanes) {
	known := f.seen.newest
	f.seen = l
	i, _ := slices.BinarySearchFunc(l.list, known+1, func(l *lane, id uint64) int {
		return int(int64(l.id - id))
	})
	added := l.list[i:]
	if len(added) == 0 {
		return
	}
	if f.byTime != nil {
		f.order = append(f.order, added...) // stays in the order of numbers
		f.byTime.join(f, added)
		return
	}
	first := len(f.order) == 0
	f.order = slices.Insert(f.order, f.turn, added...)
	if first {
		f.began = f.order[0].c.pos
		return
	}
	f.turn += len(added)
}

// retire removes lane i of the consumer's list, which is closed and read to
// its end. Its counters go over to the sum in the same step in which it leaves
// the list, so that Stats and Lanes never count it twice or not at all.
func (f *FanIn) retire(i int) {
	gone := f.order[i]
	f.order = slices.Delete(f.order, i, i+1)
	gone.c.settleStats()
	f.change(func(l *lanes) bool {
		l.list = slices.DeleteFunc(l.list, func(o *lane) bool { return o == gone })
		l.retired = l.retired.add(gone.stats())
		return true
	})
}

// settleStats brings the counters up to date although spans may still be held.
func (c *Consumer) settleStats() {
	raise(&c.ring.stats.readMark, c.pos-c.head)
	c.count()
}

func (l *lane) stats() Stats {
	s := l.c.Stats()
	s.Late = l.late.Load()
	return s
}

// Stats sums the counters of all lanes, those that are gone included; the
// high-water mark is the largest of any lane. Any goroutine may call it.
func (f *FanIn) Stats() Stats {
	l := f.lanes.Load()
	s := l.retired
	for _, o := range l.list {
		s = s.add(o.stats())
	}
	return s
}

// Lanes calls yield with the number and the counters of each lane, in the
// order of the numbers, until it returns false: for lane, s := range f.Lanes.
// Lanes are numbered from 1 in the order of NewProducer; a number is not used
// again. The sum over the lanes that are gone comes first, as number 0, once
// there are any; together it is what Stats returns. Any goroutine may call
// Lanes.
func (f *FanIn) Lanes(yield func(lane uint64, s Stats) bool) {
	l := f.lanes.Load()
	if l.newest != uint64(len(l.list)) && !yield(0, l.retired) {
		return
	}
	for _, o := range l.list {
		if !yield(o.id, o.stats()) {
			return
		}
	}
}

// Lane is the number of the producer's lane in its FanIn, from 1; 0 if the
// producer is that of NewSPSC. Any goroutine may call it.
func (p *Producer) Lane() uint64 { return p.ring.lane }
