package recorder

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
)

const (
	clockLooks = time.Second           // between the archiver's looks at the wall clock while it is awake
	clockTrust = 2 * time.Second       // after a look: an archiver that is held up for longer, in a write, does not look
	clockStep  = 50 * time.Millisecond // a difference from which on the wall clock was set; smaller ones are followed and not recorded
	clockNoise = time.Microsecond      // a difference that is not followed: reading both clocks takes time
)

// clock tells the time of records. The system's wall clock costs two readings
// each time, its own and the monotonic one, and that is half of a short Write.
// So a record's time is the monotonic clock's reading, and the archiver says
// what to add to it: it compares the clocks every clockLooks, and at once when
// it wakes up. While it sleeps, or a write holds it up, nobody compares, and the
// wall clock is asked.
type clock struct {
	base   time.Time    // the monotonic clock's zero
	anchor atomic.Int64 // Unix nanoseconds at base, by the wall clock of the last look
	until  atomic.Int64 // ns since base: from then on the wall clock is asked; 0: always; stored behind anchor
	steps  atomic.Uint64

	// The archiver's:
	read    func() (wall int64, since time.Duration) // both clocks, the wall clock first; since base
	known   int64                                    // the anchor, also while it sleeps
	looked  time.Duration                            // since base: the last look
	pending int64                                    // by how much the wall clock was set, not recorded yet
}

func (c *clock) start() {
	c.base = time.Now()
	c.read = func() (int64, time.Duration) {
		now := time.Now()
		return now.UnixNano(), now.Sub(c.base)
	}
	c.known = c.compare(3)
}

// compare returns the anchor that both clocks make now. Who is interrupted
// between the two readings finds too little, so the most of n is the best.
func (c *clock) compare(n int) int64 {
	anchor := int64(math.MinInt64)
	for range n {
		wall, since := c.read()
		anchor = max(anchor, wall-int64(since))
		c.looked = since
	}
	return anchor
}

// now is the time in nanoseconds since the Unix epoch. Any goroutine.
func (c *clock) now() int64 {
	if until := c.until.Load(); until != 0 {
		if since := int64(time.Since(c.base)); since < until {
			return c.anchor.Load() + since
		}
	}
	wall, _ := c.read()
	return wall
}

// age is the time since the clock was started, more than 0, whatever the wall
// clock does. Any goroutine.
func (c *clock) age() int64 { return 1 + int64(time.Since(c.base)) }

// rest is before the archiver sleeps.
func (c *clock) rest() { c.until.Store(0) }

// tick looks if the last look is clockLooks ago.
func (c *clock) tick() {
	if time.Since(c.base)-c.looked >= clockLooks {
		c.look()
	}
}

// look compares the clocks, and follows the wall clock.
func (c *clock) look() {
	if d := time.Duration(c.compare(1) - c.known); d.Abs() > clockNoise {
		anchor := c.compare(3)
		d = time.Duration(anchor - c.known)
		if c.known = anchor; d.Abs() >= clockStep {
			c.pending += int64(d)
			c.steps.Add(1)
		}
	}
	c.anchor.Store(c.known)
	c.until.Store(int64(c.looked + clockTrust))
}

// writeClock records that the wall clock was set, if it was.
func (a *archiver) writeClock() {
	c := &a.rec.clock
	if c.pending == 0 {
		return
	}
	now := c.now()
	step := journal.ClockStep{Before: now - c.pending, After: now}
	c.pending = 0
	frame := journal.AppendFrame(nil, journal.Record{Time: now, Kind: journal.KindClock, Payload: step.Append(nil)})
	a.write(frame, 1) // not from a.staged, which may be about to be written
}
