// Package hist counts values in buckets whose bounds are powers of two: the
// recording side of journal.Histogram.
package hist

import (
	"math/bits"
	"sync/atomic"
)

// Buckets is how many buckets there are. Bucket i holds the values above
// 2^(i−1), and up to 2^i; the first one 0 and 1; the last one all above
// 2^(Buckets−2), which in nanoseconds is 18 minutes.
const Buckets = 42

// Bucket returns the bucket of a value.
func Bucket(v uint64) int {
	if v <= 1 {
		return 0
	}
	return min(bits.Len64(v-1), Buckets-1)
}

// Live is a histogram that is being written. One goroutine at a time adds; any
// may load meanwhile. The zero value is empty.
type Live struct {
	counts [Buckets]atomic.Uint64
	sum    atomic.Uint64
	max    atomic.Uint64
}

// Add counts a value. Its callers take turns.
func (l *Live) Add(v uint64) {
	if v > l.max.Load() {
		l.max.Store(v)
	}
	l.sum.Add(v)
	l.counts[Bucket(v)].Add(1)
}

// Load copies the counts, and returns the sum and the largest of the values. A
// value that is being added may be in the sum and not yet in the counts.
func (l *Live) Load(counts *[Buckets]uint64) (sum, largest uint64) {
	for i := range l.counts {
		counts[i] = l.counts[i].Load()
	}
	return l.sum.Load(), l.max.Load()
}
