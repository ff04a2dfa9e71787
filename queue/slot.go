package queue

// slotCount is how many shared claims can be open at once before one more
// costs an allocation.
const slotCount = 64

// A slot says of one shared claim that it is open. It lies outside of the
// data area, because what a claim's header becomes once it is settled is not
// the claim's business: the consumer zeroes it, another producer puts payload
// there. A copy of the claim, or the deferred Abort behind a Commit, that
// looked at the header would race with them, and a compare-and-swap on it
// would damage payload that happens to look like the claim's mark.
//
// The slot's word is 0 when it is free, and the claim's position with openBit
// set while the claim is open. Positions do not repeat, so a copy of any age
// finds out that its claim is settled. Whoever takes the position out of the
// slot owns the header's mark, together with the consumer of a closed ring.
//
//	claim    tail CAS ─▶ mark ─▶ slot 0→pos
//	settle   slot pos→0 ─▶ mark→header CAS
//
// tail is the claim's position once more, for Bytes, which asks slots and unshared
// producers alike. Whoever has put a position into the slot writes it, and only the
// claim's owner reads it, as long as the claim is open.
//
// own is the account of the handle that the claim was made with. Whoever has
// put a position into the slot writes it, before anybody else knows of the
// claim, and only if it changes. Whoever settles the claim reads it first and
// takes the position out then: if that succeeds, no other claim had the slot in
// between, and what was read is the claim's. A copy of a settled claim may read
// another's account; it does nothing with it.
//
// Slots are producers, so that a Claim can point to one as it points to the
// producer of an SPSC ring.
func newSlots(r *ring) []producer {
	s := make([]producer, min(slotCount, r.capacity/headerLen))
	for i := range s {
		s[i].ring = r
	}
	return s
}

// hold takes a free slot for the claim at pos. It begins at one that this
// goroutine is likely to have used before and others not, so that its line
// stays with the core.
func (r *ring) hold(pos uint64, own *account) *producer {
	i := shard()
	for range r.slots {
		s := &r.slots[i%uint(len(r.slots))]
		if s.open.load() == noClaim && s.open.advance(noClaim, pos|openBit) {
			s.tail = pos
			if s.own.Load() != own {
				s.own.Store(own)
			}
			return s
		}
		i++
	}
	s := &producer{ring: r, tail: pos}
	s.own.Store(own)
	s.open.store(pos | openBit)
	return s
}

// slotOf is the slot of r that holds the claim at pos. There is none for Write,
// for one claim more than there are slots, and before the claiming call has
// put it there.
func (r *ring) slotOf(pos uint64) *producer {
	for i := range r.slots {
		if s := &r.slots[i]; s.holds(pos | openBit) {
			return s
		}
	}
	return nil
}

// held reports whether somebody may still settle a claim of r, a retired ring
// that was read to its end.
func (r *ring) held() bool {
	if r.stray {
		return true
	}
	for i := range r.slots {
		if r.slots[i].open.load() != noClaim {
			return true
		}
	}
	return false
}

// holds reports whether the claim is open whose id this is.
func (p *producer) holds(id uint64) bool { return p.open.load() == id }

// drop ends the claim of that id, once: only the call that returns true may settle
// its mark.
func (p *producer) drop(id uint64) bool { return p.open.advance(id, noClaim) }
