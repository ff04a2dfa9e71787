package replay

import (
	"math/bits"
	"time"
)

// Lateness says how long after they were due records were delivered.
type Lateness struct {
	Max  time.Duration
	P50  time.Duration // half of the records were not later than this; at most 1/16 above the true value
	P99  time.Duration // 99 in 100 were not later than this; as exact
	P999 time.Duration // 999 in 1000 were not later than this; as exact
}

// A histogram of durations with a relative error of at most 1/16: values below 16 ns have a bucket each; above, each power of two is cut in
// 16. 960 buckets, 7.5 KiB, cover all of int64. The idea is HdrHistogram's.
type histogram struct {
	counts [histogramBuckets]uint64
	total  uint64
	max    time.Duration
}

const (
	histogramBits    = 4
	histogramBuckets = (64 - histogramBits) << histogramBits
)

func (h *histogram) add(d time.Duration) {
	d = max(d, 0)
	h.counts[bucketOf(uint64(d))]++
	h.total++
	h.max = max(h.max, d)
}

// quantile gives the upper end of the bucket that holds the value of rank ceil(q × total), never more than the largest value.
func (h *histogram) quantile(q float64) time.Duration {
	rank := uint64(q * float64(h.total))
	if float64(rank) < q*float64(h.total) {
		rank++
	}
	seen := uint64(0)
	for i, n := range h.counts {
		seen += n
		if n > 0 && seen >= rank {
			return min(time.Duration(bucketTop(i)), h.max)
		}
	}
	return h.max
}

func (h *histogram) lateness() Lateness {
	return Lateness{Max: h.max, P50: h.quantile(0.50), P99: h.quantile(0.99), P999: h.quantile(0.999)}
}

// bucketOf maps 0…15 to 0…15, 16…31 to 16…31, 32…63 in twos to 32…47, and so on.
func bucketOf(v uint64) int {
	exp := bits.Len64(v>>histogramBits) - 1 // how many low bits a bucket swallows
	if exp < 0 {
		return int(v)
	}
	return (exp+1)<<histogramBits + int(v>>exp&(1<<histogramBits-1))
}

// bucketTop is the largest value of a bucket.
func bucketTop(i int) uint64 {
	exp := i>>histogramBits - 1
	if exp < 0 {
		return uint64(i)
	}
	mantissa := uint64(1<<histogramBits + i&(1<<histogramBits-1))
	return (mantissa+1)<<exp - 1
}
