package queue

import (
	"unsafe"

	"github.com/nexus-logbuf/logbuf/internal/invariants"
	"github.com/nexus-logbuf/logbuf/internal/step"
)

// The protocol touches the words of the ring and the positions through this
// file only, and this file through package step, where a schedule explorer can
// stop before each access.
//
// unsafe rests on two rules. The words are allocated as atomic ones, so that
// they are 8-byte aligned on every platform, and every word address is base
// plus a multiple of 8 below the capacity. Payload is read through data, an
// ordinary slice over the same allocation, whose bounds are checked; it is written
// through space, short32 and short64, whose callers have made sure of them.

// memory is the data area of one ring.
type memory struct {
	area
	data []byte // the same bytes
}

// area is the data area as words. Positions are free-running byte counts; the
// index is the position modulo the capacity.
//
// A copy of it stays in registers. What is behind a pointer the compiler loads
// again after each store to the buffer, which to its knowledge may have changed it.
type area struct {
	base unsafe.Pointer // *[capacity/8]step.Uint64
	mask uint64         // capacity - 1
}

// newMemory touches each page, so that no producer of the first lap waits for the
// system to find one.
func newMemory(capacity int) memory {
	words := make([]step.Uint64, capacity/headerLen)
	for i := 0; i < len(words); i += pageSize / headerLen {
		words[i] = step.Uint64{}
	}
	base := unsafe.Pointer(unsafe.SliceData(words))
	return memory{
		area: area{base: base, mask: uint64(capacity) - 1},
		data: unsafe.Slice((*byte)(base), capacity),
	}
}

// pageSize is the smallest size of a page of memory. Only speed rests on it.
const pageSize = 4096

func (m area) word(pos uint64) *step.Uint64 {
	return (*step.Uint64)(unsafe.Add(m.base, pos&m.mask))
}

// load reads the header at pos; what its writer did before publishing it has
// happened.
func (m area) load(pos uint64) header { return header(disk(header(m.word(pos).Load()))) }

// publish stores the header at pos; whoever loads it sees everything that its
// writer did before.
func (m area) publish(pos uint64, h header) { m.word(pos).Store(disk(h)) }

// release is publish where the producer does not look at anything next that
// rests on others seeing the header: loads that follow may come before the store.
func (m area) release(pos uint64, h header) { step.StoreRelease(m.word(pos), disk(h)) }

// settle replaces the header at pos if it is old, and publishes as publish
// does.
func (m area) settle(pos uint64, old, h header) bool {
	return m.word(pos).CompareAndSwap(disk(old), disk(h))
}

// clear zeroes the word at pos with a plain store. Only the owner of the word
// may call it; a later publish makes the store visible.
func (m area) clear(pos uint64) {
	step.Store64((*uint64)(unsafe.Add(m.base, pos&m.mask)), 0)
}

// bytes is the n bytes at pos, which do not cross the end of the buffer.
func (m *memory) bytes(pos uint64, n int) []byte {
	i := int(pos & m.mask)
	return m.data[i : i+n : i+n]
}

// space is bytes for the producer, who knows that they are within the buffer: its
// limit says so, whatever the consumer's end holds. A header that is read may have
// been damaged by a user who has written to a claim that was not his any more: bytes,
// for the consumer, looks.
func (m area) space(pos uint64, n int) []byte {
	return unsafe.Slice((*byte)(unsafe.Add(m.base, pos&m.mask)), n)
}

// write copies b to pos, under the rule of space.
func (m area) write(pos uint64, b []byte) { step.Copy(m.space(pos, len(b)), b) }

// The lengths that short32 and short64 copy.
const (
	shortMin = 8
	shortMid = 32
	shortMax = 64
)

// short64 is write of more than shortMid and at most shortMax bytes, without a
// call: in pieces of 16 bytes, of which the last two end where b ends, and so may
// cover bytes of the others once more. The runtime's copy does the same behind its
// look at the length; getting there and back takes as long as the copy.
func (m area) short64(pos uint64, b []byte) {
	if step.Exploring {
		m.write(pos, b)
		return
	}
	to, from, n := unsafe.Add(m.base, pos&m.mask), unsafe.Pointer(unsafe.SliceData(b)), len(b)
	*(*[16]byte)(to) = *(*[16]byte)(from)
	*(*[16]byte)(unsafe.Add(to, 16)) = *(*[16]byte)(unsafe.Add(from, 16))
	*(*[16]byte)(unsafe.Add(to, n-32)) = *(*[16]byte)(unsafe.Add(from, n-32))
	*(*[16]byte)(unsafe.Add(to, n-16)) = *(*[16]byte)(unsafe.Add(from, n-16))
}

// short32 is short64 of shortMin to shortMid bytes.
func (m area) short32(pos uint64, b []byte) {
	if step.Exploring {
		m.write(pos, b)
		return
	}
	to, from, n := unsafe.Add(m.base, pos&m.mask), unsafe.Pointer(unsafe.SliceData(b)), len(b)
	if n >= 16 {
		*(*[16]byte)(to) = *(*[16]byte)(from)
		*(*[16]byte)(unsafe.Add(to, n-16)) = *(*[16]byte)(unsafe.Add(from, n-16))
	} else {
		*(*[8]byte)(to) = *(*[8]byte)(from)
		*(*[8]byte)(unsafe.Add(to, n-8)) = *(*[8]byte)(unsafe.Add(from, n-8))
	}
}

// zero zeroes [from, to), across the end of the buffer if need be.
func (m *memory) zero(from, to uint64) {
	if invariants.Enabled && !step.Exploring {
		m.fill(from, to, 0) // the race detector sees this; it does not see clear
		return
	}
	for from != to {
		part := m.part(from, to)
		step.Clear(part)
		from += uint64(len(part))
	}
}

// own writes a word into each cache line that ends in [from, to), for speed only:
// it takes the line out of the producer's cache, where reading it has left a
// copy. To write to a copy that it shares, a core must ask all others, line by
// line as it comes to them; a line that it has not at all is fetched ahead of
// need. Lines that reach beyond to are left alone, because the producer may be
// writing to them.
func (m *memory) own(from, to uint64) {
	base, mask := m.base, m.mask // to the compiler, each store may change what m has
	for at := from &^ (cacheLine - 1); at != to&^(cacheLine-1); at += cacheLine {
		step.Store64((*uint64)(unsafe.Add(base, (at+cacheLine-headerLen)&mask)), 0)
	}
}

// cacheLine is the size of a cache line of most machines. Only speed rests on
// it.
const cacheLine = 64

// fill sets every byte of [from, to) to b, where the checks are on.
func (m *memory) fill(from, to uint64, b byte) {
	for from != to {
		part := m.part(from, to)
		part[0] = b
		for n := 1; n < len(part); n *= 2 {
			copy(part[n:], part[:n])
		}
		from += uint64(len(part))
	}
}

// part is [from, to), or what of it lies before the end of the buffer.
func (m *memory) part(from, to uint64) []byte {
	i := from & m.mask
	return m.data[i : i+min(to-from, uint64(len(m.data))-i)]
}

// position is a position that one side publishes and another reads.
type position struct{ v step.Uint64 }

func (p *position) load() uint64                { return p.v.Load() }
func (p *position) store(pos uint64)            { p.v.Store(pos) }
func (p *position) advance(old, to uint64) bool { return p.v.CompareAndSwap(old, to) }

// set is store of a word that one goroutine uses, and no other.
func (p *position) set(v uint64) { *(*uint64)(unsafe.Pointer(&p.v)) = v }

// close sets the closed bit and returns what was there before.
func (p *position) close() uint64 { return p.v.Or(closedBit) }

// closedBit, in a published tail, says that no claim succeeds any more.
// Positions are multiples of 8, so the bit is free.
const closedBit = 1

// noClaim is what open is while no claim is.
const noClaim = 0

// openBit, in the id of a shared claim, makes its position differ from noClaim.
const openBit = 1

// shard is a number that tends to be the same in one goroutine and to differ
// between goroutines: where on its stack the caller is. It is a hint and
// nothing rests on it. Explored programs all begin at the same slot: their runs
// must be alike, and so they meet there.
func shard() uint {
	if step.Exploring {
		return 0
	}
	var here byte
	return uint(uint32(uintptr(unsafe.Pointer(&here))>>11) * 0x9E3779B9 >> 16)
}
