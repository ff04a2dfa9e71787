package queue

import (
	"fmt"
	"math"

	"github.com/nexus-logbuf/logbuf/internal/invariants"
)

// Consumer is the reading end of a ring. It is for one goroutine at a time;
// only Stats may be called from anywhere.
//
// There are two ways to read, which may alternate. Next, Release and Drain go
// record by record and give back everything read so far, spans included. Peek
// and ReleaseTo go by spans and keep reading and giving back apart, so that
// several spans may be held at once, as long as the ring has room for more.
//
// The positions, each at or behind the one above it:
//
//	pos       the next frame to look at
//	readEnd   behind the last record delivered; only skips lie from there to pos
//	released  given back by the caller, not yet shown to producers
//	head      shown to producers
//
// Frames in [head, pos) belong to the consumer. In an MPSC ring it zeroes them
// once, before it shows the new head, because any producer may then put a
// header anywhere. In an SPSC ring what it leaves there means nothing: the
// producer zeroes the one header that will be looked at next.
type Consumer struct {
	_ [lineSize]byte

	ring     *ring
	pos      uint64
	readEnd  uint64
	released uint64
	head     uint64
	lazy     uint64 // how far released may run ahead of head before it is shown
	shown    uint64 // how often that was done

	// releaseSkips moved released from asked to skipEnd: the caller, who does not
	// know of skips, may name what lies between.
	asked, skipEnd uint64

	typ     int32
	keep    bool // a claim was abandoned: its owner may still write, so nothing is zeroed or reused
	records uint64
	bytes   uint64
	stats   *counters

	stall // see stalled.go

	_ [lineSize]byte
}

func newConsumer(r *ring, start uint64) *Consumer {
	return &Consumer{
		ring: r, pos: start, readEnd: start, released: start, head: start,
		lazy: r.capacity / 8, asked: start, skipEnd: start, stats: r.stats,
	}
}

// Next gives back everything read before and returns the next record, which is
// valid until the next call of any method but Type and Stats. It returns false
// when there is none.
func (c *Consumer) Next() (rec []byte, ok bool) {
	c.released = c.pos
	if c.released-c.head >= c.lazy {
		c.show()
	}
	at := c.pos
	h := c.ring.mem.load(at)
	if h.record() { // as take does, without the call
		c.deliver(h)
	} else if at, h, ok = c.take(); !ok {
		return nil, false
	}
	c.typ = h.typ()
	return c.ring.mem.bytes(at+headerLen, h.payload()), true
}

// Ready reports whether a record is there to be read. It delivers nothing and
// leaves what was delivered before valid.
func (c *Consumer) Ready() bool {
	for {
		h := c.ring.mem.load(c.pos)
		switch {
		case h.committed() && !h.skip():
			return true
		case h.committed():
			c.pos += h.stride()
		case !c.nothing():
			return false
		}
	}
}

// Type is the type of the record that Next returned last.
func (c *Consumer) Type() int32 { return c.typ }

// Release gives everything read so far back to the producers at once, without
// waiting for the next call to do so.
func (c *Consumer) Release() {
	c.released = c.pos
	c.show()
}

// Drain calls fn for each of the next records, at most limit, and returns how
// many there were. rec is valid until fn returns. Space is given back on the
// way. If fn panics, the records delivered so far are consumed, that one
// included. fn must not use the consumer.
func (c *Consumer) Drain(limit int, fn func(typ int32, rec []byte)) int {
	return c.drain(limit, math.MaxUint64, fn)
}

// drain is Drain that ends when it has read quota bytes of the ring.
func (c *Consumer) drain(limit int, quota uint64, fn func(typ int32, rec []byte)) int {
	n := 0
	start := c.pos
	defer c.Release()
	for n < limit && c.pos-start < quota {
		at := c.pos
		h := c.ring.mem.load(at)
		if h.record() { // as take does, without the call
			c.deliver(h)
		} else {
			var ok bool
			if at, h, ok = c.take(); !ok {
				break
			}
		}
		n++
		fn(h.typ(), c.ring.mem.bytes(at+headerLen, h.payload()))
		c.released = c.pos
		if c.released-c.head >= c.lazy {
			c.show()
		}
	}
	return n
}

// Peek returns the next committed records as they lie in the ring: whole
// frames, contiguous, at most maxBytes of them but at least one record. The
// span is empty when nothing is there. It moves the reading position only; the
// span is valid until it is given back with ReleaseTo, or by Next, Release or
// Drain.
func (c *Consumer) Peek(maxBytes int) Span {
	start, _, ok := c.take()
	if !ok {
		return Span{}
	}
	records, end := 1, c.pos // end is behind the last record, at behind the last frame looked at
	limit := start + uint64(max(maxBytes, 0))
	for at := end; at&c.ring.mem.mask != 0; {
		h := c.ring.mem.load(at)
		if !h.committed() || h.skip() && h.stride() > smallSkip {
			break
		}
		at += h.stride()
		if h.skip() {
			continue
		}
		if int64(limit-at) < 0 {
			break
		}
		records, end = records+1, at
		c.bytes += uint64(h.payload())
	}
	c.records += uint64(records - 1)
	c.pos, c.readEnd = end, end
	return Span{frames: c.ring.mem.bytes(start, int(end-start)), records: records, end: end}
}

// ReleaseTo gives the space before pos back to the producers. pos is the End
// of a span, or any position inside one that is a multiple of 8; it must lie
// between what was given back before and what was read, or ReleaseTo panics.
// Naming the position that was named last is harmless.
func (c *Consumer) ReleaseTo(pos uint64) {
	low := c.released
	if low == c.skipEnd {
		low = c.asked
	}
	if int64(pos-low) < 0 || int64(c.pos-pos) < 0 || pos%headerLen != 0 {
		panic(fmt.Sprintf("queue: ReleaseTo(%d): must be a multiple of 8 between %d, already released, and %d, read so far",
			pos, low, c.pos))
	}
	if int64(pos-c.released) > 0 {
		c.released = pos
	}
	c.releaseSkips()
	c.show()
}

// Drained reports whether the producers are closed and everything that they
// committed has been read.
func (c *Consumer) Drained() bool {
	end, ok := c.ring.ended()
	return ok && end == c.pos && c.next == nil
}

// Position is the position up to which the consumer has read, skips included.
// Everything that a producer had published when its Position was p has been
// read once Position less p is not negative.
func (c *Consumer) Position() uint64 { return c.pos }

// Capacity is the size of the ring in bytes, a power of two.
func (c *Consumer) Capacity() int { return int(c.ring.capacity) }

// Stats is a snapshot of the ring's counters. Any goroutine may call it.
func (c *Consumer) Stats() Stats { return c.stats.snapshot() }

// take moves over the next record, and the skips before it, and returns where
// it is. Finding nothing, it shows the producers all that was given back.
func (c *Consumer) take() (at uint64, h header, ok bool) {
	for {
		at = c.pos
		h = c.ring.mem.load(at) // receives the record, and the zero behind it, from its producer
		if !h.committed() {
			if c.nothing() {
				continue
			}
			return 0, 0, false
		}
		if h.skip() {
			c.pos += h.stride()
			continue
		}
		c.deliver(h)
		return at, h, true
	}
}

// deliver moves over the record at pos, whose header is h, and counts it.
func (c *Consumer) deliver(h header) {
	c.pos += h.stride()
	c.readEnd = c.pos
	c.records++
	c.bytes += uint64(h.payload())
}

// nothing is called when no committed frame is at pos. It reports whether that
// has changed: on a closed ring, an open claim at pos is abandoned here.
//
// The claim's owner may be slow rather than gone, and may write to its bytes
// at any later time. That harms nobody: no claim succeeds on a closed ring, so
// the bytes are never anyone else's, and the owner's Commit finds the mark
// gone. The consumer stops zeroing, so that it does not write there either.
func (c *Consumer) nothing() bool {
	c.releaseSkips()
	c.show()
	if c.next != nil && c.pos == c.end {
		c.moveOn()
		return true
	}
	r := c.ring
	end, ok := r.ended()
	if c.next != nil {
		end, ok = c.end, c.next.closed.Load()
	}
	if !ok || end == c.pos {
		return false
	}
	h := r.mem.load(c.pos)
	if !h.claimed() {
		// Committed by now; or its producer is between the tail and the mark,
		// or inside CommitN, and will be through in a moment.
		return h.committed()
	}
	raise(&c.stats.readMark, end-c.head) // show looks no more
	c.abandon(h)
	return true
}

// abandon passes the claim at pos, whose mark is h, unless its owner settles it
// first. The ring takes no claims any more.
func (c *Consumer) abandon(h header) {
	c.keep = true
	if !c.ring.mem.settle(c.pos, h, makeSkip(align(uint64(-int64(int32(h)))))) {
		return
	}
	c.stats.abandoned.Add(1)
	if c.next != nil && c.ring.slotOf(c.pos) == nil {
		c.ring.stray = true
	}
}

// releaseSkips gives back the skips behind the last record, once everything
// before them is given back: nobody else will. A record that waits for the
// front of the buffer waits for the padding's space too.
func (c *Consumer) releaseSkips() {
	if int64(c.released-c.readEnd) < 0 || c.released == c.pos {
		return
	}
	if c.released != c.skipEnd {
		c.asked = c.released
	}
	c.released, c.skipEnd = c.pos, c.pos
}

// show passes the space before released to the producers.
func (c *Consumer) show() {
	if int64(c.released-c.head) <= 0 { // less: spans of a retired ring are held
		return
	}
	r := c.ring
	switch {
	case c.keep:
	case r.shared:
		end := c.pos
		if c.released-c.head >= c.lazy || c.shown%lookEvery == 0 {
			end = r.tail.load() &^ closedBit // the producers' line: not each time
		}
		c.shown++
		raise(&c.stats.readMark, end-c.head)
		r.mem.zero(c.head, c.released) // producers that see the new head may claim anywhere here
	default:
		raise(&c.stats.readMark, c.pos-c.head)
		if invariants.Enabled {
			r.mem.fill(c.head, c.released, poison) // a record kept too long reads as this
		} else {
			r.mem.own(c.head, c.released)
		}
	}
	c.head = c.released
	r.head.store(c.head)
	c.count()
}

// count shows what was read to Stats.
func (c *Consumer) count() {
	c.stats.records.Store(c.records)
	c.stats.bytes.Store(c.bytes)
}

// lookEvery is how often, of the times that the head is shown, the consumer looks
// how full an MPSC ring is. It also does whenever much is given back.
const lookEvery = 64

// poison fills released records of SPSC rings where the checks are on.
const poison = 0xDB
