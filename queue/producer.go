package queue

import (
	"fmt"

	"github.com/nexus-logbuf/logbuf/internal/step"
)

// producer is the state behind a claim. Of a shared one only ring, tail, open and
// own are used, see newSlots; the rest is private to the one goroutine of an SPSC
// producer:
//
//	tail     everything before it is published; the next header goes there,
//	         and the word at tail is zero
//	limit    tail or less, or 7 less than where the bytes from tail on end that are
//	         known to be free and contiguous; the word behind those is free as well.
//	         See fits
//	claims   the number of the last claim; once closed, of the one that was open then,
//	         or noClaim
//	open     the number of the claim that is open, or noClaim
//
// How fast short records follow each other is bounded by what each of these words
// takes from its store to the next record's load, some 8 cycles. So a call that
// finds room changes none of them twice, and none in place where it can just be stored.
type producer struct {
	ring   *ring
	tail   uint64
	limit  uint64
	claims uint64
	open   position
	own    step.Pointer[account]
	_      [lineSize]byte
}

// Producer is the writing end of an SPSC ring or of a FanIn's lane. It is for
// one goroutine at a time; hand it over with a happens-before edge, as any
// plain value. Only Stats may be called from anywhere. Two goroutines at once may
// damage the ring and, because what they write is not checked again, memory behind it;
// builds with -race report them.
//
// At most one claim is open: a claim does not take its place in the ring until
// it is committed, so the next claim or write replaces one that was forgotten.
type Producer struct {
	_     [lineSize]byte
	fence step.Uint32 // nobody reads it, see Fence
	producer
}

// NewSPSC makes a ring for one producer and one consumer, which may be
// different goroutines. The capacity is in bytes, between 1 and 1 GiB, and is
// rounded up to 64 or the next power of two. The largest payload is the
// capacity less 16 bytes; every record that fits will be accepted once the
// consumer has caught up.
func NewSPSC(capacity int) (*Producer, *Consumer, error) {
	return newSPSC(capacity, 0)
}

func newSPSC(capacity int, start uint64) (*Producer, *Consumer, error) {
	r, err := newRing(capacity, false, start)
	if err != nil {
		return nil, nil, err
	}
	p := &Producer{producer: producer{ring: r, tail: start, limit: start}}
	return p, newConsumer(r, start), nil
}

// TryClaim reserves n bytes for a record of type 1. See TryClaimTyped.
func (p *Producer) TryClaim(n int) (Claim, error) { return p.TryClaimTyped(typeDefault, n) }

// TryClaimTyped reserves n payload bytes, n ≥ 0, for a record of type typ,
// which must be at least 1 or the call panics. It never blocks: ErrFull says
// that the record does not fit now, ErrTooLarge that it never will, ErrClosed
// that the producer is closed. A claim that was open before is given up.
func (p *Producer) TryClaimTyped(typ int32, n int) (Claim, error) {
	if typ < 1 || n < 0 || !p.fits(n) {
		return p.claim(typ, n)
	}
	h := makeHeader(typ, headerLen+n)
	if n%headerLen != 0 {
		p.ring.mem.clear(p.tail + h.stride() - headerLen)
	}
	id := p.claims + 1
	p.claims = id
	p.open.set(id)
	return Claim{p: &p.producer, id: id, hdr: h}, nil
}

// claim is TryClaimTyped if something is in the way.
func (p *Producer) claim(typ int32, n int) (Claim, error) {
	if typ < 1 {
		panicType(typ)
	}
	if err := p.reserve(n); err != nil {
		return Claim{}, err
	}
	return p.TryClaimTyped(typ, n)
}

// Write publishes rec as one record of type 1. It returns len(rec) and nil, or
// 0 and one of TryClaim's errors. Before a look whether the consumer sleeps,
// call Fence.
func (p *Producer) Write(rec []byte) (int, error) {
	if err := p.WriteTyped(typeDefault, rec); err != nil {
		return 0, err
	}
	return len(rec), nil
}

// WriteTyped publishes a copy of rec as one record of type typ, at least 1.
// Its errors are those of TryClaimTyped. rec must not lie in the Bytes of a claim of
// p: the record goes to the same place. CommitN publishes the front of a claim.
func (p *Producer) WriteTyped(typ int32, rec []byte) error {
	n := len(rec)
	if typ < 1 || !p.fits(n) || n < shortMin || n > shortMax {
		return p.write(typ, rec)
	}
	p.open.set(noClaim)
	m, at, h := p.ring.mem.area, p.tail, makeHeader(typ, headerLen+n)
	if n%headerLen != 0 {
		m.clear(at + h.stride() - headerLen)
	}
	if n > shortMid {
		m.short64(at+headerLen, rec)
	} else {
		m.short32(at+headerLen, rec)
	}
	p.pass(h.stride())
	m.release(at, h)
	return nil
}

// write is WriteTyped of records that are not short, or if something is in the way.
func (p *Producer) write(typ int32, rec []byte) error {
	n := len(rec)
	if typ < 1 {
		panicType(typ)
	}
	if !p.fits(n) {
		if err := p.reserve(n); err != nil {
			return err
		}
	}
	p.open.set(noClaim)
	m, at, h := p.ring.mem.area, p.tail, makeHeader(typ, headerLen+n)
	if n%headerLen != 0 {
		m.clear(at + h.stride() - headerLen)
	}
	m.write(at+headerLen, rec)
	m.release(p.pass(h.stride()), h)
	return nil
}

// Append claims max bytes and has encode append the record to dst, which has
// length 0 and capacity max. The slice that encode returns is the record; if
// encode had to grow it beyond max, the error is ErrTooLarge. Nothing is
// published if encode returns an error, which Append returns, or panics.
// encode must not use the producer.
func (p *Producer) Append(max int, encode func(dst []byte) ([]byte, error)) error {
	c, err := p.TryClaim(max)
	if err != nil {
		return err
	}
	defer c.Abort()
	space := c.Bytes()
	rec, err := encode(space[:0])
	if err != nil {
		return err
	}
	if len(rec) > max {
		return ErrTooLarge
	}
	if len(rec) > 0 && &rec[0] != &space[0] {
		copy(space, rec)
	}
	if !c.CommitN(len(rec)) {
		return ErrClosed // by encode
	}
	return nil
}

// Fence orders everything that the producer has published before whatever its
// goroutine loads next. Writes and commits alone do not: a goroutine may load
// what it loads next before the consumer can see the record. Whoever puts the
// consumer to sleep, and looks behind each record whether to wake it, calls
// Fence in between, and so does whoever sends to a channel that may be full:
//
//	p.Write(rec)
//	p.Fence() // without it, "full" may be an old look, and the consumer sleeps on
//	select {
//	case wake <- struct{}{}:
//	default:
//	}
//
// Package channel does it for its users. Rings of several producers need none.
func (p *Producer) Fence() { p.fence.Store(1) }

// Capacity is the size of the ring in bytes, a power of two.
func (p *Producer) Capacity() int { return int(p.ring.capacity) }

// Position is the position behind the last published record; see
// Consumer.Position.
func (p *Producer) Position() uint64 { return p.tail }

// Close ends the producer: every later claim or write fails with ErrClosed,
// and Commit of a claim that is still open returns false. What was committed
// stays for the consumer. Close may be called again, from the producer's
// goroutine only.
func (p *Producer) Close() error {
	if p.ring.closed.Load() {
		return nil
	}
	p.claims = p.open.load()
	p.open.set(noClaim)
	p.limit = p.tail
	p.ring.tail.store(p.tail | closedBit)
	p.ring.closed.Store(true) // shows the last tail, and every record before it, to the consumer
	return nil
}

// Stats is a snapshot of the ring's counters. Any goroutine may call it.
func (p *Producer) Stats() Stats { return p.ring.stats.snapshot() }

// publish passes the record at tail to the consumer.
//
// Nothing orders the record before what this goroutine loads next: see Fence.
// The refusals of reserve count themselves with an atomic add behind the padding
// they may have published, which does.
func (p *producer) publish(h header) { p.ring.mem.release(p.pass(h.stride()), h) }

// pass moves tail behind a frame of stride bytes, and returns where its header
// goes. The word at the new tail is zeroed before the header is stored: the
// consumer, once it has the record, looks there, and must not find a header of an
// earlier lap. It cannot look before, and the word is free because limit leaves one
// behind it.
func (p *producer) pass(stride uint64) (at uint64) {
	at = p.tail
	p.tail = at + stride
	p.ring.mem.clear(at + stride)
	return at
}

// fits reports whether there is room for a record of n bytes, n ≥ 0. It may say
// no where there is, see reserve.
func (p *producer) fits(n int) bool { return int64(n) < int64(p.limit-p.tail) }

// reserve makes room for a record of n bytes, or says why not; a claim that is open
// is given up in either case. It is the slow path: it reads the consumer's head, and
// limit is kept small enough to come back here every 1/16 of the capacity, for the
// high-water mark.
func (p *producer) reserve(n int) error {
	p.open.set(noClaim)
	r := p.ring
	if r.closed.Load() {
		return ErrClosed
	}
	if !r.fits(n) {
		return ErrTooLarge
	}
	frame := align(headerLen + uint64(n))
	used := p.tail - r.head.load()
	raise(&r.stats.writeMark, used)
	free := r.capacity - reserved - used
	if toEnd := r.toEnd(p.tail); frame > toEnd && toEnd <= free {
		// The padding is published even if the record must wait: only so
		// does the consumer bring the front of the buffer within reach of a
		// record that is longer than what lies before tail.
		p.publish(makeSkip(toEnd))
		r.stats.padding.Add(toEnd)
		free -= toEnd
	}
	toEnd := r.toEnd(p.tail)
	if frame > toEnd || frame > free {
		p.limit = p.tail
		r.stats.full.Add(1)
		return ErrFull
	}
	p.limit = p.tail + min(toEnd, free, max(frame, r.capacity/16)) - (headerLen - 1)
	return nil
}

func panicType(typ int32) {
	panic(fmt.Sprintf("queue: record type %d: must be at least 1", typ))
}
