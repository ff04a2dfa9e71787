package journal

import (
	"encoding/json"
	"math"

	"github.com/nexus-logbuf/logbuf/internal/hist"
)

// HistogramBuckets is how many buckets a Histogram has.
const HistogramBuckets = hist.Buckets

// Histogram says how values were distributed: a snapshot, which its holder may
// keep and change. Times in it are nanoseconds.
type Histogram struct {
	// Counts has the number of values in each bucket: in bucket 0 the values 0
	// and 1, in bucket i those above 2^(i−1) and up to 2^i, in the last one all
	// that are larger than that.
	Counts [HistogramBuckets]uint64
	Sum    uint64 // of all values; a value that is being counted may be in it already
	Max    uint64 // the largest value
}

// HistogramBound returns the largest value of a bucket, 2^i, and for the last
// one the largest there is.
func HistogramBound(bucket int) uint64 {
	if bucket >= HistogramBuckets-1 {
		return math.MaxUint64
	}
	return 1 << bucket
}

// Count returns the number of values.
func (h *Histogram) Count() (n uint64) {
	for _, c := range h.Counts {
		n += c
	}
	return n
}

// Quantile returns a value that a share q of the values, 0 to 1, does not
// exceed: Quantile(0.5) is the median. It is the bound of the bucket that the
// true one is in, or Max if that is less: never less than the true one, and
// less than twice as much, where 0 passes for 1; in the last bucket, which in
// nanoseconds begins at 18 minutes, anything up to Max. 0 when there are no
// values.
func (h *Histogram) Quantile(q float64) uint64 {
	n := h.Count()
	if n == 0 {
		return 0
	}
	rank := min(max(uint64(math.Ceil(q*float64(n))), 1), n) // of the value, from 1
	for i, c := range h.Counts {
		if rank <= c {
			return min(HistogramBound(i), h.Max)
		}
		rank -= c
	}
	return h.Max
}

// MarshalJSON writes count, sum, max, p50, p99, p999 (see Quantile) and
// buckets, an object of the counts that are not zero by bound.
func (h Histogram) MarshalJSON() ([]byte, error) {
	buckets := make(map[uint64]uint64)
	for i, c := range h.Counts {
		if c > 0 {
			buckets[HistogramBound(i)] = c
		}
	}
	return json.Marshal(struct {
		Count   uint64            `json:"count"`
		Sum     uint64            `json:"sum"`
		Max     uint64            `json:"max"`
		P50     uint64            `json:"p50"`
		P99     uint64            `json:"p99"`
		P999    uint64            `json:"p999"`
		Buckets map[uint64]uint64 `json:"buckets"`
	}{h.Count(), h.Sum, h.Max, h.Quantile(0.5), h.Quantile(0.99), h.Quantile(0.999), buckets})
}

// loadHistogram returns a snapshot of one that is being written.
func loadHistogram(l *hist.Live) (h Histogram) {
	h.Sum, h.Max = l.Load(&h.Counts)
	return h
}
