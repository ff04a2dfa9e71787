package queue

import (
	"fmt"
	"time"

	"github.com/nexus-logbuf/logbuf/internal/step"
)

// FanIn merges any number of producers without contention between them: each
// has an SPSC lane of its own, and the consumer goes round the lanes, or, see
// NewFanInByTime, takes the records in the order of their timestamps. Records
// of one producer stay in order. A producer that stalls, or forgets a claim,
// holds up only itself.
//
// NewProducer, Close, Stats and Lanes may be called by any goroutine. The rest
// is for one goroutine at a time and means what it means to a Consumer, over a
// stream of positions that is the FanIn's own: Position of a lane's Producer
// does not compare with End of a span.
//
// # Fairness
//
// A FanIn made by NewFanIn goes round. Let C be the capacity of a lane. A
// lane's turn ends when nothing is found in it, or when its reading position
// has moved by C bytes or more since the turn began; turns go on across calls
// and verbs. What is longer than the rest of the turn is delivered whole, so a
// turn is at most 2C-16 bytes of frames, headers and alignment included, and
// at most C/4 records. Between two turns of a lane every other lane has one
// turn at most: while a record waits at the head of its lane, no other lane
// delivers more than 2C-16 bytes. A lane that is added takes its place behind
// all others, so that newcomers delay no turn that is yet to come.
type FanIn struct {
	laneCapacity int
	start        uint64              // where positions begin
	lanes        step.Pointer[lanes] // replaced whole, never changed in place

	// Of the consumer's goroutine:
	seen    *lanes  // lanes as of the last look
	order   []*lane // the lanes of seen, in the order of their turns
	turn    int     // index of the lane whose turn it is
	began   uint64  // that lane's reading position when its turn began
	current *lane   // lane of the record that Next or Drain delivered last, until it is given back
	last    *lane   // lane of the record or span that was delivered last
	byTime  *byTime // nil: round-robin
	spans
}

// NewFanIn makes a FanIn without lanes that goes round. laneCapacity is the
// size in bytes of each lane, as NewSPSC takes it.
func NewFanIn(laneCapacity int) (*FanIn, error) {
	return newFanIn(laneCapacity, 0)
}

// NewFanInByTime makes a FanIn without lanes that merges them by timestamp.
// laneCapacity is as for NewFanIn; grace, 0 or more, is how long the consumer
// waits for a record that belongs before one it has. A record's payload begins
// with its timestamp, an int64 in little-endian, as the recorder writes it
// (nanoseconds since the Unix epoch; any other unit will do, it is only
// compared).
//
// # Order
//
// A record is in time if it is committed less than the grace after the first
// commit of a record with a greater timestamp, in whatever lane, and no record
// before it in its own lane has a greater one. Every record that is in time is
// delivered before all records with greater timestamps. A lane takes part from
// the first call that begins after NewProducer has returned. Records with
// equal timestamps come in the order of lane numbers, as far as they are there.
//
// Whatever is delivered behind a record with a greater timestamp is late:
// Late says so of the current record, and Stats counts it. It is delivered
// as soon as its turn among the records that are there comes, and nothing
// waits for it. Being late needs one of: committed later than the grace; a
// timestamp less than that of a record before it in its lane (a clock that
// stepped back: from there until the lane has caught up with itself, its
// records are late, the other lanes' are not); or a record with too great a
// timestamp that was delivered before (a clock that jumped ahead makes all
// that is committed later than the grace after it late, until timestamps have
// caught up with it).
//
// A record of less than 8 bytes has no timestamp. It counts as having that of
// the record before it in its lane, or the least there is if it is the lane's
// first, and is never late itself.
//
// # Delay
//
// A record that is the least at the head of all lanes, none of them empty, is
// delivered at once, without a look at the clock. An open lane that is empty
// delays the others by no more than the grace and 1/64 of it: a record may be
// delivered, together with everything before it in time, when it has been
// seen for so long. It is seen, at the latest, when Next, Ready, Due, Drain or
// Peek finds nothing else to deliver, or when each lane has delivered as many
// bytes as it has. A consumer that sleeps should therefore look when a record
// arrives, as package channel does, and again after Due. A lane that is closed
// and read to its end delays nobody. The grace is measured by a monotonic
// clock.
//
// Lanes are read least timestamp first, and not round. What has waited for the
// grace is still delivered after at most 4C bytes of each other lane, C being
// a lane's capacity, even if records with lower timestamps arrive without end.
//
// A span has records of one lane that may go at once: up to the first one with
// a timestamp greater than that at another lane's head, and either only
// records that are late or none. Choosing a record takes a look at the head of
// each lane.
func NewFanInByTime(laneCapacity int, grace time.Duration) (*FanIn, error) {
	base := time.Now()
	return newFanInByTime(laneCapacity, 0, grace, func() time.Duration { return time.Since(base) })
}

func newFanInByTime(laneCapacity int, start uint64, grace time.Duration, clock func() time.Duration) (*FanIn, error) {
	if grace < 0 {
		return nil, fmt.Errorf("queue: grace of %v: must not be negative", grace)
	}
	f, err := newFanIn(laneCapacity, start)
	if err != nil {
		return nil, err
	}
	f.byTime = newByTime(grace, clock)
	return f, nil
}

func newFanIn(laneCapacity int, start uint64) (*FanIn, error) {
	size, err := roundCapacity(laneCapacity)
	if err != nil {
		return nil, err
	}
	f := &FanIn{laneCapacity: int(size), start: start, seen: new(lanes), spans: spans{read: start, released: start}}
	f.lanes.Store(f.seen)
	return f, nil
}

// NewProducer adds a lane and returns its producer, or ErrClosed. Close of the
// producer retires the lane: the consumer reads what is left in it, and then
// it is gone.
func (f *FanIn) NewProducer() (*Producer, error) {
	p, c, err := newSPSC(f.laneCapacity, f.start)
	if err != nil {
		return nil, err
	}
	if !f.open(&lane{c: c}) {
		return nil, ErrClosed
	}
	return p, nil
}

// Close ends the adding of lanes: NewProducer fails with ErrClosed from now
// on. The lanes that there are stay until their producers close them. Any
// goroutine may call Close, and again.
func (f *FanIn) Close() error {
	f.change(func(l *lanes) bool {
		wasOpen := !l.closed
		l.closed = true
		return wasOpen
	})
	return nil
}

// Drained reports whether the FanIn is closed, and so are all producers, and
// everything that they committed has been read.
func (f *FanIn) Drained() bool {
	f.look()
	if !f.seen.closed {
		return false // before that, lanes may still be added
	}
	for _, l := range f.order {
		if !l.c.Drained() {
			return false
		}
	}
	return true
}

// Ready reports whether a record may be read now. It delivers nothing and
// leaves what was delivered before valid.
func (f *FanIn) Ready() bool {
	wait, ok := f.Due()
	return ok && wait == 0
}

// Due reports how long it is until a record may be read: 0 if one may be read
// now; false if there is none. In between are records that a FanIn by time
// holds back; if another arrives meanwhile, the wait may become shorter, so
// look again then. Due delivers nothing and leaves what was delivered before
// valid.
func (f *FanIn) Due() (time.Duration, bool) {
	if f.byTime != nil {
		if f.byTime.pick(f) != nil {
			return 0, true
		}
		return f.byTime.wait, f.byTime.holds
	}
	f.look()
	for _, l := range f.order {
		if l.c.Ready() {
			return 0, true
		}
	}
	return 0, false
}

// Type is the type of the record that Next returned last, 0 once it is given back.
func (f *FanIn) Type() int32 {
	if f.current == nil {
		return 0
	}
	return f.current.c.Type()
}

// Lane is the number of the lane, as Producer.Lane and Lanes tell it, of the
// record or span that was delivered last; 0 before the first. The function
// that is given to Drain may call it.
func (f *FanIn) Lane() uint64 {
	if f.last == nil {
		return 0
	}
	return f.last.id
}

// Late reports whether the record, or the records of the span, that was
// delivered last came behind one with a greater timestamp. It is always false
// if the FanIn goes round. The function that is given to Drain may call it.
func (f *FanIn) Late() bool { return f.byTime != nil && f.byTime.late }
