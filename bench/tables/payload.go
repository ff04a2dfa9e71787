package main

import (
	"math/rand/v2"
	"sync/atomic"
	"unsafe"
)

// payload is a column: records of one size, or of random sizes, the same ones
// for everybody.
type payload struct {
	name     string
	low, top int // bytes
}

var (
	payloads      = []payload{{"8 B", 8, 8}, {"64 B", 64, 64}, {"256 B", 256, 256}, {"1 KiB", 1024, 1024}, {"16 KiB", 16384, 16384}, {"8–1024 B", 8, 1024}}
	fixedPayloads = []int{0, 1, 2, 3, 4} // those of one size
	shortPayloads = payloads[:4]         // those of the tables about single records
)

func payloadNames(ps []payload) (names []string) {
	for _, p := range ps {
		names = append(names, p.name)
	}
	return names
}

// items is how many records, on average, make ringSize.
func (p payload) items() int { return ringSize / ((p.low + p.top) / 2) }

// sizes are 4096 payload lengths, multiples of 8, to be used in turn.
func (p payload) sizes() []int {
	r := rand.New(rand.NewPCG(1, 2))
	s := make([]int, 4096)
	for i := range s {
		s[i] = p.low + r.IntN((p.top-p.low)/8+1)*8
	}
	return s
}

// warm fills the ring of a pipe and empties it, so that no page is touched for
// the first time while it is measured.
func (p pipe) warm(size int) {
	rec := make([]byte, size)
	for range ringSize / size {
		if !p.send(rec) {
			break
		}
	}
	p.empty()
}

func (p pipe) empty() {
	for p.recv(func(int32, []byte) {}) > 0 {
	}
}

// fill is the producer's share of a record, read the consumer's: every word. Four
// at a time, because what a loop of one word costs depends on where in the program
// it happens to lie: 0.3 ns a word, or, across a boundary of 64 bytes, 0.4 and
// more.
func fill(rec []byte, n uint64) {
	w := words(rec)
	for len(w) >= 4 {
		w[0], w[1], w[2], w[3] = n, n, n, n
		w = w[4:]
	}
	for i := range w {
		w[i] = n
	}
}

func read(rec []byte) (sum uint64) {
	w := words(rec)
	for len(w) >= 4 {
		sum += w[0] + w[1] + w[2] + w[3]
		w = w[4:]
	}
	for _, n := range w {
		sum += n
	}
	return sum
}

// words are the whole words of a record.
func words(rec []byte) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(rec))), len(rec)/8)
}

var sink atomic.Uint64
