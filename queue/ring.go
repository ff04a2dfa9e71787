package queue

import (
	"errors"
	"fmt"
	"math/bits"

	"github.com/nexus-logbuf/logbuf/internal/step"
)

const (
	minCapacity = 64
	maxCapacity = 1 << 30

	// lineSize separates words that different cores write: two cache lines of
	// amd64 (its prefetcher fetches pairs), one of Apple's and Neoverse cores.
	lineSize = 128
)

var (
	// ErrFull says that the record does not fit now; it will when the
	// consumer has given space back.
	ErrFull = errors.New("queue: ring is full")

	// ErrTooLarge says that the record can never fit: its payload is longer
	// than the capacity less 16 bytes, or its length is negative.
	ErrTooLarge = errors.New("queue: record can never fit the ring")

	// ErrClosed says that the producer, or the lane it writes to, is closed.
	ErrClosed = errors.New("queue: producer is closed")
)

// ring is what both roles share. Who writes what:
//
//	mem, capacity, shared,  nobody after construction
//	lane
//	home                    nobody after construction; see home
//	next                    the consumer, once: the ring that takes this one's place
//	stray                   the consumer, who alone reads it
//	slots                   MPSC producers, by compare-and-swap
//	closed                  set once, by Close
//	tail                    SPSC: Close, once (the running tail is private to
//	                        the producer). MPSC: producers, by compare-and-swap
//	headCache               MPSC producers: the last head one of them has seen;
//	                        never ahead of head
//	head                    the consumer: everything before it is free again
//	stats                   each counter has one kind of writer, see counters
type ring struct {
	mem      memory
	capacity uint64
	lapShift uint
	shared   bool       // MPSC
	lane     uint64     // number of the lane in its FanIn, from 1; 0: none
	slots    []producer // MPSC: the claims that are open, see newSlots
	closed   step.Bool
	home     *home // MPSC
	next     step.Pointer[ring]
	stray    bool // a claim was passed here that no slot holds
	stats    *counters

	_         [lineSize]byte
	tail      position
	_         [lineSize]byte
	headCache position
	_         [lineSize]byte
	head      position
	_         [lineSize]byte
}

// newRing makes a ring whose positions begin at start, a multiple of 8.
func newRing(capacity int, shared bool, start uint64) (*ring, error) {
	size, err := roundCapacity(capacity)
	if err != nil {
		return nil, err
	}
	return makeRing(size, shared, start, new(counters)), nil
}

func makeRing(size uint64, shared bool, start uint64, stats *counters) *ring {
	r := &ring{
		mem:      newMemory(int(size)),
		capacity: size,
		lapShift: uint(bits.TrailingZeros64(size)),
		shared:   shared,
		stats:    stats,
	}
	if shared {
		r.slots = newSlots(r)
	}
	r.tail.store(start)
	r.headCache.store(start)
	r.head.store(start)
	return r
}

func roundCapacity(capacity int) (uint64, error) {
	if capacity < 1 || capacity > maxCapacity {
		return 0, fmt.Errorf("queue: capacity of %d bytes: must be between 1 and %d", capacity, maxCapacity)
	}
	size := uint64(max(capacity, minCapacity))
	if size&(size-1) != 0 {
		size = 1 << bits.Len64(size)
	}
	return size, nil
}

func (r *ring) maxPayload() uint64        { return r.capacity - reserved - headerLen }
func (r *ring) toEnd(pos uint64) uint64   { return r.capacity - pos&r.mem.mask }
func (r *ring) lap(pos uint64) uint64     { return pos >> r.lapShift }
func (r *ring) fits(n int) bool           { return n >= 0 && uint64(n) <= r.maxPayload() }
func (r *ring) room(head, to uint64) bool { return int64(to-head) <= int64(r.capacity-reserved) }
func (r *ring) ended() (at uint64, ok bool) {
	if !r.closed.Load() {
		return 0, false
	}
	t := r.tail.load()
	return t &^ closedBit, t&closedBit != 0
}
