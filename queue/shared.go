package queue

import (
	"sync"

	"github.com/nexus-logbuf/logbuf/internal/step"
)

// SharedProducer is the writing end of an MPSC ring. Any goroutine may use it
// at any time, claims included: each call stands for itself. Records appear in
// the order of their claims, so an open claim holds up the records claimed
// after it; claim, fill and commit without blocking in between, or use Write
// or Append.
//
// NewMPSC returns one handle, which all may share; Clone makes others, which
// count for themselves.
type SharedProducer struct {
	home *home
	own  *account // nil: the handle that NewMPSC returned
}

// home is what producers and consumer of an MPSC ring keep when the consumer
// puts a new ring in the place of one with a stalled claim.
//
//	current   the ring that claims go to, or one that was retired since:
//	          then its next leads on. The consumer and producers move it
//	stats     see counters; the same in every ring
type home struct {
	_       [lineSize]byte
	current step.Pointer[ring]
	_       [lineSize]byte
	stats   counters
}

// NewMPSC makes a ring for any number of producers and one consumer. The
// capacity and the largest payload are as for NewSPSC.
func NewMPSC(capacity int) (*SharedProducer, *Consumer, error) {
	return newMPSC(capacity, 0)
}

func newMPSC(capacity int, start uint64) (*SharedProducer, *Consumer, error) {
	r, err := newRing(capacity, true, start)
	if err != nil {
		return nil, nil, err
	}
	h := &home{}
	r.home, r.stats = h, &h.stats
	h.current.Store(r)
	return &SharedProducer{home: h}, newConsumer(r, start), nil
}

// Clone makes another handle on the same ring, whose Stats are its own: one for
// each producer tells them apart. That costs it two uncontended atomic adds per
// record and a few hundred bytes, and the handle that NewMPSC returned nothing.
// Close of any handle closes the ring. Any goroutine may call Clone.
func (p *SharedProducer) Clone() *SharedProducer {
	return &SharedProducer{home: p.home, own: new(account)}
}

// TryClaim reserves n bytes for a record of type 1. See TryClaimTyped.
func (p *SharedProducer) TryClaim(n int) (Claim, error) { return p.TryClaimTyped(typeDefault, n) }

// TryClaimTyped reserves n payload bytes, n ≥ 0, for a record of type typ,
// which must be at least 1 or the call panics. It never blocks: ErrFull says
// that the record does not fit now, ErrTooLarge that it never will, ErrClosed
// that the producer is closed.
//
// The claim must be settled: records claimed after it are not delivered until
// it is committed, aborted, or the producer is closed.
func (p *SharedProducer) TryClaimTyped(typ int32, n int) (Claim, error) {
	if typ < 1 {
		panicType(typ)
	}
	r := p.home.current.Load()
	pos, ok := r.quick(n)
	if !ok {
		var err error
		if r, pos, err = p.place(r, n); err != nil {
			return Claim{}, err
		}
	}
	r.mem.release(pos, claimMark(r.lap(pos), headerLen+uint64(n)))
	return Claim{p: r.hold(pos, p.own), id: pos | openBit, hdr: makeHeader(typ, headerLen+n)}, nil
}

// place takes the next place for a record of n bytes, if quick has not: in r,
// which was current a moment ago, or in the ring that has taken its place.
func (p *SharedProducer) place(r *ring, n int) (*ring, uint64, error) {
	for {
		pos, err := r.place(n, p.own)
		if err != ErrClosed {
			return r, pos, err
		}
		// next before closed: a Close that comes behind these loads finds next
		// and closes it; of one that was before, no claim may escape into a next
		// ring that the consumer has linked and not closed yet.
		next := r.next.Load()
		if next == nil || r.closed.Load() {
			return nil, 0, ErrClosed
		}
		p.home.current.CompareAndSwap(r, next)
		r = next
	}
}

// last is the ring that no other has replaced.
func (h *home) last() *ring {
	r := h.current.Load()
	for next := r.next.Load(); next != nil; next = r.next.Load() {
		r = next
	}
	return r
}

// Write publishes rec as one record of type 1. It returns len(rec) and nil, or
// 0 and one of TryClaim's errors.
func (p *SharedProducer) Write(rec []byte) (int, error) {
	if err := p.WriteTyped(typeDefault, rec); err != nil {
		return 0, err
	}
	return len(rec), nil
}

// WriteTyped publishes a copy of rec as one record of type typ, at least 1.
// Its errors are those of TryClaimTyped.
func (p *SharedProducer) WriteTyped(typ int32, rec []byte) error {
	if typ < 1 {
		panicType(typ)
	}
	length := headerLen + len(rec)
	for {
		r := p.home.current.Load()
		pos, ok := r.quick(len(rec))
		if !ok {
			var err error
			if r, pos, err = p.place(r, len(rec)); err != nil {
				return err
			}
		}
		mark := claimMark(r.lap(pos), uint64(length))
		r.mem.release(pos, mark)
		step.Copy(r.mem.bytes(pos+headerLen, len(rec)), rec)
		if r.mem.settle(pos, mark, makeHeader(typ, length)) {
			p.own.committed(len(rec))
			return nil
		}
		// The consumer has passed the claim as stalled, or the ring is closed:
		// once more, to find out.
		p.own.passed()
	}
}

// Append has encode append a record to dst, which has length 0 and capacity
// max at least, and writes what encode returns; more than max bytes are
// ErrTooLarge. Nothing is published if encode returns an error, which Append
// returns, or panics. encode runs on scratch memory, outside any claim, so it
// may take its time and may use the producer; dst is valid until it returns.
func (p *SharedProducer) Append(max int, encode func(dst []byte) ([]byte, error)) error {
	r := p.home.last()
	if r.closed.Load() {
		return ErrClosed
	}
	if !r.fits(max) {
		return ErrTooLarge
	}
	scratch := scratchPool.Get().(*[]byte)
	defer scratchPool.Put(scratch)
	if cap(*scratch) < max {
		*scratch = make([]byte, 0, max)
	}
	rec, err := encode((*scratch)[:0:max])
	if err != nil {
		return err
	}
	if len(rec) > max {
		return ErrTooLarge
	}
	return p.WriteTyped(typeDefault, rec)
}

var scratchPool = sync.Pool{New: func() any { return new([]byte) }}

// Capacity is the size of the ring in bytes, a power of two.
func (p *SharedProducer) Capacity() int { return int(p.home.current.Load().capacity) }

// Position is the position behind the last claim; see Consumer.Position.
func (p *SharedProducer) Position() uint64 { return p.home.last().tail.load() &^ closedBit }

// Close ends the ring's writing side: every later claim or write, by any
// goroutine, fails with ErrClosed. The consumer still gets every record that
// was committed; a claim that is still open when the consumer reaches it is
// abandoned, and its Commit returns false. Close may be called again.
func (p *SharedProducer) Close() error {
	// A ring that the consumer retires at this moment has its next either
	// before its tail is closed, and this loop finds it, or finds its tail
	// closed afterwards, and closes the next one itself.
	for r := p.home.current.Load(); r != nil; r = r.next.Load() {
		r.tail.close() // no compare-and-swap on the tail succeeds from here on
		r.closed.Store(true)
	}
	return nil
}

// Stats is a snapshot of the counters of the handle, which any goroutine may
// take.
//
// Of the handle that NewMPSC returned they are the ring's: what all handles
// have done together, and the same as Consumer.Stats. Of a clone they are what
// its own calls have answered: Records and Bytes count what it has committed,
// whether it is read by now or not; Full, Aborts and Padding what the ring's
// count, as far as it is the clone's; Abandoned the claims of its that Commit
// or Abort found passed over. A claim that its owner never came back to is
// Abandoned in the ring's counters only. HighWater is the ring's in either
// case.
func (p *SharedProducer) Stats() Stats {
	if p.own != nil {
		return p.own.snapshot(p.home.stats.highWater())
	}
	return p.home.stats.snapshot()
}

// quick is place where nothing is in the way: the record fits, before the end of
// the buffer too, the producers' copy of the head says so, and no other producer
// comes between. What place says of the order of its loads holds here, too; the
// largest payload is what the room leaves, see maxPayload.
func (r *ring) quick(n int) (pos uint64, ok bool) {
	tail := r.tail.load()
	to := tail + align(headerLen+uint64(n))
	if n < 0 || tail&closedBit != 0 || to-tail > r.toEnd(tail) || !r.room(r.headCache.load(), to) || !r.tail.advance(tail, to) {
		return 0, false
	}
	return tail, true
}

// place takes the next place for a record of n bytes. What it refuses or pads
// is counted for own, too.
//
// The tail is loaded before the head. A tail that is stale by then makes the
// ring look emptier than it is, never fuller: if it does not fit even so, it
// did not fit when the head was loaded, and if it seems to fit wrongly, the
// compare-and-swap fails. Loaded the other way round, a stale head and a fresh
// tail would refuse records that fit.
//
// From the compare-and-swap on, the header reads as zero and the consumer waits
// there until the caller has marked the place. No user code runs in between.
func (r *ring) place(n int, own *account) (uint64, error) {
	if !r.fits(n) {
		if r.tail.load()&closedBit != 0 {
			return 0, ErrClosed
		}
		return 0, ErrTooLarge
	}
	frame := align(headerLen + uint64(n))
	for {
		tail := r.tail.load()
		if tail&closedBit != 0 {
			return 0, ErrClosed
		}
		var padding uint64
		if toEnd := r.toEnd(tail); frame > toEnd {
			padding = toEnd
		}
		to := tail + padding + frame
		if !r.roomFor(to) {
			if padding == 0 || !r.roomFor(tail+padding) {
				r.stats.full.Add(1)
				own.refused()
				return 0, ErrFull
			}
			to = tail + padding // the padding alone, see producer.reserve
		}
		if !r.tail.advance(tail, to) {
			continue
		}
		if padding != 0 {
			r.mem.publish(tail, makeSkip(padding))
			r.stats.padding.Add(padding)
			own.padded(padding)
		}
		pos := tail + padding
		if pos == to {
			continue
		}
		return pos, nil
	}
}

// roomFor reports whether the ring may be in use up to position to. It asks
// the producers' copy of the head first, which is never ahead of the head; a
// copy that goes back under a race is only pessimistic.
func (r *ring) roomFor(to uint64) bool {
	if r.room(r.headCache.load(), to) {
		return true
	}
	head := r.head.load()
	r.headCache.store(head)
	return r.room(head, to)
}
