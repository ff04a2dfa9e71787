package queue

import (
	"fmt"

	"github.com/nexus-logbuf/logbuf/internal/step"
)

// Claim is space for one record that its owner fills and then publishes with
// Commit or CommitN, or gives back with Abort. It is a value of three words
// that may be copied; the first call that settles it counts, on whichever
// copy. A claim has one owner at a time; two goroutines must not use it at
// once.
//
// The zero Claim, which the failing claim calls return, holds nothing: Abort
// of it does nothing.
type Claim struct {
	p   *producer
	id  uint64 // what p.open is while the claim is open; if p is a slot, see at
	hdr header // what Commit publishes
}

// Bytes is the payload to fill: as long as was claimed, not zeroed, and valid
// until the claim is settled. A claim that is no longer open has none.
//
// Writing to it after Commit damages a published record. Builds with -race
// report that; others cannot see it.
func (c Claim) Bytes() []byte {
	if c.p == nil || !c.p.holds(c.id) {
		return nil
	}
	return c.p.ring.mem.space(c.p.tail+headerLen, c.hdr.payload())
}

// Len is how many bytes were claimed, whether the claim is open or not; 0 for the
// zero Claim.
func (c Claim) Len() int { return max(0, c.hdr.payload()) }

// Commit publishes the record; see Producer.Fence about what the caller looks at
// next. It returns false, and nothing is published, only if the claim had been
// abandoned: the consumer had passed it as stalled, or its producer was closed
// before.
//
// Commit panics if the claim is not open any more: committed or aborted
// before, or, with an unshared producer, replaced by a later claim or write.
func (c Claim) Commit() bool {
	p := c.p
	if p == nil || p.ring.shared || !p.holds(c.id) {
		return c.commitShared()
	}
	p.open.set(noClaim)
	p.ring.mem.release(p.pass(c.hdr.stride()), c.hdr)
	return true
}

// CommitN publishes the first n bytes of the claim as the record, for
// encoders that learn the length late, and gives the rest back. n must be
// between 0 and len(Bytes()), or CommitN panics. It is Commit otherwise.
func (c Claim) CommitN(n int) bool {
	if c.p == nil {
		panic("queue: CommitN of the zero Claim")
	}
	if n < 0 || n > c.hdr.payload() {
		panic(fmt.Sprintf("queue: CommitN(%d) of a claim of %d bytes", n, c.hdr.payload()))
	}
	if c.p.ring.shared {
		return c.p.ring.commitSharedN(c, n)
	}
	if !c.p.holds(c.id) {
		return c.dead("CommitN")
	}
	h := makeHeader(c.hdr.typ(), headerLen+n)
	c.p.open.set(noClaim)
	c.p.ring.mem.zeroPadding(c.p.tail, h)
	c.p.publish(h)
	return true
}

// Abort gives the claim back; no record appears. After Commit, CommitN or
// another Abort, and on the zero Claim, it does nothing, so that
//
//	defer c.Abort()
//
// behind a successful claim is right on every path.
func (c Claim) Abort() {
	switch {
	case c.p == nil:
	case c.p.ring.shared:
		c.p.ring.abortShared(c)
	case c.p.holds(c.id):
		c.p.open.set(noClaim)
		c.p.ring.stats.aborts.Add(1)
	}
}

// dead ends a call that settles an unshared claim which is not open: false if
// it was open when its producer was closed, a panic for a mistake.
func (c Claim) dead(call string) bool {
	if !c.p.ring.closed.Load() || c.id != c.p.claims {
		c.panicDead(call)
	}
	return false
}

func (c Claim) panicDead(call string) {
	panic(fmt.Sprintf("queue: %s of a claim of %d bytes that is not open: it was committed or aborted before, or replaced by a later claim of its producer",
		call, c.hdr.payload()))
}

// zeroPadding zeroes what lies between the payload of a record at pos and the
// next header, so that old bytes never go to disk as padding.
func (m *memory) zeroPadding(pos uint64, h header) {
	if n := h.stride() - h.length(); n != 0 {
		step.Clear(m.bytes(pos+h.length(), int(n)))
	}
}

// shared claims

// at is the position of a shared claim.
func (c Claim) at() uint64 { return c.id &^ openBit }

func (r *ring) markOf(c Claim) header { return claimMark(r.lap(c.at()), c.hdr.length()) }

// commitShared passes the record's ownership to the consumer. It is a
// compare-and-swap and not a store because the consumer of a closed ring may
// have abandoned the claim. Commit of the zero Claim, and of an unshared claim that
// is not open, ends here too.
func (c Claim) commitShared() bool {
	switch {
	case c.p == nil:
		panic("queue: Commit of the zero Claim")
	case !c.p.ring.shared:
		return c.dead("Commit")
	}
	r := c.p.ring
	own := c.p.own.Load() // while the slot is the claim's
	if !c.p.drop(c.id) {
		c.panicDead("Commit")
	}
	if !r.mem.settle(c.at(), r.markOf(c), c.hdr) {
		own.passed()
		return false
	}
	own.committed(c.hdr.payload())
	return true
}

// commitSharedN publishes a record shorter than its claim: first the claim is
// taken out of the consumer's hands, then the rest becomes a skip, then the
// record appears. In the other order an abandoned claim would end in a record
// behind the consumer's back.
func (r *ring) commitSharedN(c Claim, n int) bool {
	h := makeHeader(c.hdr.typ(), headerLen+n)
	if h == c.hdr {
		return c.commitShared()
	}
	own := c.p.own.Load() // while the slot is the claim's
	if !c.p.drop(c.id) {
		c.panicDead("CommitN")
	}
	if !r.mem.settle(c.at(), r.markOf(c), settlingMark(r.lap(c.at()))) {
		own.passed()
		return false
	}
	r.mem.zeroPadding(c.at(), h)
	if rest := c.hdr.stride() - h.stride(); rest != 0 {
		r.mem.publish(c.at()+h.stride(), makeSkip(rest))
	}
	r.mem.publish(c.at(), h) // passes the record and the skip behind it to the consumer
	own.committed(n)
	return true
}

// abortShared turns the claim into a skip.
func (r *ring) abortShared(c Claim) {
	own := c.p.own.Load() // while the slot is the claim's
	if !c.p.drop(c.id) {
		return
	}
	if !r.mem.settle(c.at(), r.markOf(c), makeSkip(c.hdr.stride())) {
		own.passed()
		return
	}
	r.stats.aborts.Add(1)
	own.aborted()
}
