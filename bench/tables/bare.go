package main

import (
	"unsafe"

	"github.com/nexus-logbuf/logbuf/internal/step"
)

// bare is a floor for the rings: what is left of SPSC when records have one size,
// one type, no claims, no counters and no end. A header in front of each slot says
// which record is in it; both loops are written out, with no call but that of the
// store.
type bare struct {
	slots  []byte // each a header and the payload
	stride int    // length of a slot
	count  uint64 // slots
	_      [64]byte

	sent, limit uint64 // the producer's: records so far, and how many there was room for
	in          int    // the next slot
	_           [64]byte

	head step.Uint64 // records that the consumer has given back
	_    [64]byte

	got, sum uint64 // the consumer's: records so far
	out      int    // the next slot
	kept     int    // the first one that is not given back
	_        [64]byte
}

// bareWay is not among ways, because nobody can visit its records.
var bareWay = way{name: "bare slots of one size, a floor", only: fixedPayloads, open: func(p payload) (pipe, error) {
	stride := headerSize + p.top
	count := ringSize / stride
	b := &bare{slots: make([]byte, count*stride), stride: stride, count: uint64(count)}
	return pipe{send: b.send, recv: b.take, all: b.produce}, nil
}}

const headerSize = 8

// header is the word of a slot that is n+1 when record n is in it.
func header(slot []byte) *step.Uint64 { return (*step.Uint64)(unsafe.Pointer(&slot[0])) }

// send sends any record.
func (b *bare) send([]byte) bool {
	if b.sent-b.head.Load() == b.count {
		return false
	}
	b.produce(nil, 1, &told{every: 2})
	return true
}

// produce fills slots in place. See sequence.
func (b *bare) produce(sizes []int, n int, t *told) {
	sent, limit, in, turn := b.sent, b.limit, b.in, 0
	slots, stride := b.slots, b.stride
	for i := range n {
		for sent == limit {
			if limit = b.head.Load() + b.count; sent == limit {
				t.full(i)
			}
		}
		slot := slots[in : in+stride]
		fill(slot[headerSize:], uint64(i))
		sent++
		step.StoreRelease(header(slot), sent)
		if in += stride; in == len(slots) {
			in = 0
		}
		turn = t.next(i, turn, len(sizes))
	}
	b.sent, b.limit, b.in = sent, limit, in
}

// take reads what is there, in place, and gives back an eighth of the slots at
// once.
func (b *bare) take(visitor) int {
	got, out, sum := b.got, b.out, b.sum
	slots, stride := b.slots, b.stride
	for {
		slot := slots[out : out+stride]
		if header(slot).Load() != got+1 {
			break
		}
		sum += read(slot[headerSize:])
		got++
		if out += stride; out-b.kept >= len(slots)/8 || out == len(slots) {
			b.giveBack(got, out)
			out %= len(slots)
		}
	}
	n := int(got - b.got)
	b.got, b.out, b.sum = got, out, sum
	return n
}

// giveBack gives back the slots before out. First it writes a word into each of
// their cache lines, as the rings do, so that the producer finds none that is in
// both caches.
func (b *bare) giveBack(got uint64, out int) {
	const line = 64
	for i := b.kept/line*line + line - 1; i < out; i += line {
		b.slots[i] = 0
	}
	b.kept = out % len(b.slots)
	step.StoreRelease(&b.head, got)
}
