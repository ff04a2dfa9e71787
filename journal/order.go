package journal

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Bounds of what a Reader with Window holds back.
const (
	maxHeldBytes   = 64 << 20 // of payloads
	maxHeldRecords = 1 << 20
)

// errHeld is what load returns when a record has been held for long enough.
var errHeld = errors.New("journal: held long enough") // never leaves the package

// ordered gives a Reader's records ordered by time within a window: a record is held back until one that is later by the window has been
// read. Records wait in a heap by time, then by sequence, with copies of their payloads in memory that is used again.
type ordered struct {
	window  int64
	wall    bool // a record is held no longer than the window by the clock on the wall, too
	heap    []*held
	arrived []arrival // in the order of reading, from first on, with some that were given already: less than four times as many as were held at once
	first   int
	count   uint64 // records read
	free    []*held
	given   *held // lent to the caller until the next call
	bytes   int
	newest  int64 // latest time read
	last    int64 // latest time given
	late    uint64
	err     error // met, to be told when nothing is held any more
}

// held is a record that waits.
type held struct {
	rec   Record
	epoch uint64
	buf   []byte // of rec.Payload
	at    time.Time
	n     uint64 // number in the order of reading; 0 when it does not wait
}

// arrival names a held record by its number, too: its memory may be another record's by now.
type arrival struct {
	h *held
	n uint64
}

func newOrdered(o *ReaderOptions) *ordered {
	return &ordered{window: int64(o.Window), wall: o.Follow, newest: noMaxTime, last: noMaxTime}
}

// Late returns how many records a reader with Window has delivered behind one of a later time, because they came more than the window too
// late, or because of the bounds of what is held.
func (r *Reader) Late() uint64 {
	if r.order == nil {
		return 0
	}
	return r.order.late
}

// nextOrdered is Next with Window.
func (r *Reader) nextOrdered(ctx context.Context) (Record, error) {
	o := r.order
	if o.given != nil {
		o.free, o.given = append(o.free, o.given), nil
	}
	for {
		if errors.Is(r.err, errClosed) {
			return Record{}, errClosed
		}
		if len(o.heap) > 0 && (o.err != nil || o.due()) {
			return r.give(o.pop()), nil
		}
		if err := o.err; err != nil {
			o.err = nil
			return Record{}, err
		}
		var rec Record
		err := r.next(ctx, &rec)
		switch {
		case err == nil:
			o.push(rec, r.epoch)
		case errors.Is(err, errHeld):
			return r.give(o.pop()), nil
		case ctx.Err() != nil && errors.Is(err, ctx.Err()):
			return Record{}, err
		default:
			o.err = err
		}
	}
}

// give lends a record to the caller.
func (r *Reader) give(h *held) Record {
	o := r.order
	o.given = h
	if h.rec.Time < o.last {
		o.late++
	}
	o.last = max(o.last, h.rec.Time)
	r.epoch = h.epoch
	return h.rec
}

// due reports whether the earliest record need not wait any longer.
func (o *ordered) due() bool {
	if uint64(o.newest)-uint64(o.heap[0].rec.Time) >= uint64(o.window) || len(o.heap) > maxHeldRecords || o.bytes > maxHeldBytes {
		return true
	}
	return o.wall && o.overdue(time.Now())
}

// overdue reports whether the record that was read first has been held for the window. Then the earliest ones go until it is gone.
func (o *ordered) overdue(now time.Time) bool {
	return len(o.heap) > 0 && now.Sub(o.oldest().at) >= time.Duration(o.window)
}

// wait cuts a pause so that it ends when a record has been held for long enough; none is left when one has.
func (o *ordered) wait(pause time.Duration) time.Duration {
	if len(o.heap) == 0 {
		return pause
	}
	return min(pause, time.Until(o.oldest().at.Add(time.Duration(o.window))))
}

// oldest returns the record that was read first of those that are held.
func (o *ordered) oldest() *held { return o.arrived[o.first].h }

// push takes a copy of a record.
func (o *ordered) push(rec Record, epoch uint64) {
	var h *held
	if n := len(o.free); n > 0 {
		h, o.free = o.free[n-1], o.free[:n-1]
	} else {
		h = &held{}
	}
	if cap(h.buf) > 1024 && cap(h.buf) > 4*len(rec.Payload) {
		h.buf = nil // what is held is counted with its memory
	}
	h.buf = append(h.buf[:0], rec.Payload...)
	o.count++
	h.rec, h.epoch, h.n = rec, epoch, o.count
	h.rec.Payload = h.buf[:len(h.buf):len(h.buf)]
	if o.wall {
		h.at = time.Now()
	}
	o.newest = max(o.newest, rec.Time)
	o.bytes += cap(h.buf)
	if len(o.arrived) == cap(o.arrived) && len(o.heap) <= cap(o.arrived)/2 { // room instead of growing
		o.arrived = slices.DeleteFunc(o.arrived, func(a arrival) bool { return a.h == nil || a.h.n != a.n })
		o.first = 0
	}
	o.arrived = append(o.arrived, arrival{h: h, n: h.n})
	o.heap = append(o.heap, h)
	for i := len(o.heap) - 1; i > 0; { // up
		parent := (i - 1) / 2
		if !o.less(i, parent) {
			break
		}
		o.heap[i], o.heap[parent] = o.heap[parent], o.heap[i]
		i = parent
	}
}

// pop takes the earliest record out.
func (o *ordered) pop() *held {
	h := o.heap[0]
	n := len(o.heap) - 1
	o.heap[0], o.heap[n] = o.heap[n], nil
	o.heap = o.heap[:n]
	for i := 0; ; { // down
		child := 2*i + 1
		if child >= n {
			break
		}
		if child+1 < n && o.less(child+1, child) {
			child++
		}
		if !o.less(child, i) {
			break
		}
		o.heap[i], o.heap[child] = o.heap[child], o.heap[i]
		i = child
	}
	o.bytes -= cap(h.buf)
	h.n = 0
	for o.first < len(o.arrived) && o.arrived[o.first].h.n != o.arrived[o.first].n {
		o.arrived[o.first] = arrival{}
		o.first++
	}
	if o.first == len(o.arrived) {
		o.arrived, o.first = o.arrived[:0], 0
	}
	return h
}

// less orders by time, then by sequence; a control record comes before the data record whose sequence it has.
func (o *ordered) less(i, j int) bool {
	x, y := &o.heap[i].rec, &o.heap[j].rec
	if x.Time != y.Time {
		return x.Time < y.Time
	}
	if x.Seq != y.Seq {
		return x.Seq < y.Seq
	}
	return x.Kind >= firstControl && y.Kind < firstControl
}
