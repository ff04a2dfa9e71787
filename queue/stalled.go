package queue

import (
	"time"
	"weak"

	"github.com/nexus-logbuf/logbuf/internal/step"
)

// A claim of an MPSC ring that its owner neither commits nor aborts holds up
// every record claimed after it. Nobody can know whether the owner is gone or
// only slow: a goroutine may stand still for any time, and then go on and write
// to the bytes it claimed. So the claim's place can never be given to another
// producer, and skipping the claim inside of the ring, as rings between
// processes do after a timeout, would corrupt a record sooner or later.
//
// What is sound is to leave the whole buffer behind:
//
//	consumer                                producers
//	next := a fresh ring                    claim: r := current
//	r.next = next                             CAS on r's tail
//	r's tail: closed ──────────────────────▶   fails or finds it closed:
//	current = next                               r = r.next, claim there
//	the stalled claim: mark → skip, by CAS
//	read what is left of r, up to its end    the late owner: its CAS on the
//	go on in next                             mark fails, Commit returns false
//
// The closed tail fixes the end of r, so that every record claimed in r is
// read before the first one of next: the order of claims stays. r is never
// written by the consumer again, nor claimed from, so that whatever the late
// owner writes there harms nobody; the garbage collector takes r when the
// owner's claim is gone. A producer that is between its CAS on the tail and its
// mark runs no code of the user's, and is waited for.

// Stall is a claim that holds up the consumer.
type Stall struct {
	Position uint64        // of the claim, as Consumer.Position
	Size     int           // bytes claimed; 0 too while its producer is inside the claiming call
	Age      time.Duration // since Stalled or PassStalled first saw it
}

// maxRetired is how many buffers may wait for late owners at once. One more
// stalled claim is then not passed, so that memory is bounded by that many
// buffers beside the one in use, and garbage.
//
// maxKept bounds the garbage: how many buffers there may be that nobody waits
// for and that are not collected, be it that the collector has not run, or that
// somebody keeps copies of settled claims.
const (
	maxRetired = 4
	maxKept    = 64
)

// stall is the consumer's state of stalled claims.
type stall struct {
	since   time.Time // when the claim at seenAt was first seen; zero: none
	seenAt  uint64
	end     uint64    // of the retired ring being read, if next is not nil
	next    *ring     // read when the ring is at its end
	retired []retired // those that are not collected yet, as of the last look
}

// retired is a buffer that was left behind. The words outlive the ring where an
// owner has dropped its claim and kept the bytes.
type retired struct {
	ring  weak.Pointer[ring]
	words weak.Pointer[step.Uint64]
}

// Stalled reports the claim that is next to be read and not settled, if there
// is one. Its age counts from the first call of Stalled or PassStalled that
// saw it, so a caller that wants to know asks now and then, when nothing is
// there to read. The rings' other methods pay nothing for it. An SPSC ring has
// no such claims.
//
// A claim whose producer has taken the place and not yet marked it is reported,
// too: nobody tells a sleeping caller when the mark comes. PassStalled waits
// for it.
func (c *Consumer) Stalled() (Stall, bool) { return c.stalled(true) }

// stalled is Stalled, of claims that are not marked yet only if unmarked is set:
// to know of those takes a look at the tail, which producers write.
func (c *Consumer) stalled(unmarked bool) (Stall, bool) {
	if !c.ring.shared || c.Ready() {
		return Stall{}, false
	}
	h := c.ring.mem.load(c.pos)
	size := 0
	switch {
	case h.claimed():
		size = int(-int32(h)) - headerLen
	case !unmarked || h != 0 || c.ring.tail.load()&^closedBit == c.pos:
		return Stall{}, false
	}
	if c.since.IsZero() || c.seenAt != c.pos {
		c.since, c.seenAt = time.Now(), c.pos
	}
	return Stall{Position: c.pos, Size: size, Age: time.Since(c.since)}, true
}

// PassStalled gets past the claim that Stalled reports if it is older than
// limit: what was claimed after it can be read, producers have the whole
// capacity again, and the owner's Commit, should it ever come, returns false.
// It reports whether it did, or the claim was settled meanwhile.
//
// The first claim passed in a buffer allocates a new one of the same capacity
// for the producers. The old one counts until the owner of the claim settles
// it, late, or the garbage collector finds that nobody can. As long as four of
// them count, or 64 are not collected, no further buffer is left behind, and
// PassStalled returns false.
func (c *Consumer) PassStalled(limit time.Duration) bool {
	s, ok := c.stalled(false)
	if !ok || s.Age < limit {
		return false
	}
	if c.next == nil && !c.retire() {
		return false
	}
	if h := c.ring.mem.load(c.pos); h.claimed() {
		c.abandon(h)
	}
	return true
}

// retire closes the ring and puts a fresh one in its place.
func (c *Consumer) retire() bool {
	c.retired = stillThere(c.retired)
	if len(c.retired) == maxKept || awaited(c.retired) == maxRetired {
		return false
	}
	r := c.ring
	// The new positions begin at a lap of their own, behind any that a claim in
	// r can have: those end before head plus the capacity.
	next := makeRing(r.capacity, true, (c.head/r.capacity+2)*r.capacity, r.stats)
	next.home = r.home
	r.next.Store(next)
	old := r.tail.close()
	if old&closedBit != 0 { // Close was here first, and may not have seen next
		next.tail.close()
		next.closed.Store(true)
	}
	r.home.current.CompareAndSwap(r, next)
	c.next, c.end = next, old&^closedBit
	c.keep = true
	raise(&c.stats.readMark, c.end-c.head)
	// Rings that were retired before lead here at once, so that a claim in one
	// of them keeps none of those in between. Not before r is closed: a record
	// would overtake those that are still claimed there.
	for _, p := range c.retired {
		if o := p.ring.Value(); o != nil {
			o.next.Store(next)
		}
	}
	c.retired = append(c.retired, retired{weak.Make(r), weak.Make(r.mem.word(0))})
	return true
}

// awaited is how many of the buffers wait for an owner: a claim in it is not
// settled, or is gone and somebody has kept its bytes. The others nobody has a
// claim in; they stay in the list until they are collected, because a copy of a
// settled claim still leads to them and to what their next does.
func awaited(list []retired) int {
	n := 0
	for _, p := range list {
		if r := p.ring.Value(); r == nil || r.held() {
			n++
		}
	}
	return n
}

// stillThere is those of the buffers that are not collected.
func stillThere(list []retired) []retired {
	n := 0
	for _, p := range list {
		if p.words.Value() != nil {
			list[n] = p
			n++
		}
	}
	clear(list[n:])
	return list[:n]
}

// moveOn begins to read the ring behind a retired one. Spans of the retired one
// may still be held; giving them back means nothing to anybody.
func (c *Consumer) moveOn() {
	c.count() // show will not, for what is still held
	c.ring, c.next = c.next, nil
	c.keep = false
	c.pos = c.ring.head.load()
	c.head = c.pos
	c.releaseSkips()
}
