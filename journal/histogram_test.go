package journal

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/hist"
)

func histogramOf(values ...uint64) Histogram {
	var l hist.Live
	for _, v := range values {
		l.Add(v)
	}
	return loadHistogram(&l)
}

func TestQuantile(t *testing.T) {
	for _, tc := range []struct {
		name   string
		values []uint64
		q      float64
		want   uint64
	}{
		{"of nothing", nil, 0.5, 0},
		{"one value", []uint64{1000}, 0.5, 1000},
		{"a bound is in its bucket", []uint64{1024, 5000}, 0.5, 1024},
		{"above a bound is in the next", []uint64{1025, 5000}, 0.5, 2048},
		{"the least", []uint64{3, 100, 100}, 0, 4},
		{"the largest", []uint64{3, 100, 100}, 1, 100},
		{"beyond the largest", []uint64{3, 100}, 7, 100},
		{"one in a hundred", append(slices.Repeat([]uint64{10}, 99), 1<<50), 0.99, 16},
		{"more than the buckets hold", []uint64{1 << 62}, 0.5, 1 << 62},
		{"in the last bucket", []uint64{1 << 41, 1 << 62}, 0.5, 1 << 62},
		{"zero shares a bucket with one", []uint64{0, 0, 9}, 0.5, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := histogramOf(tc.values...)
			if got := h.Quantile(tc.q); got != tc.want {
				t.Errorf("Quantile(%v) of %v is %d, want %d", tc.q, tc.values, got, tc.want)
			}
		})
	}
}

// The error that Quantile states.
func TestQuantileError(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		values := make([]uint64, 1+rnd.IntN(300))
		for i := range values {
			values[i] = 2 + rnd.Uint64N(1<<rnd.IntN(40))
		}
		h := histogramOf(values...)
		slices.Sort(values)
		if h.Count() != uint64(len(values)) || h.Max != values[len(values)-1] {
			t.Fatalf("%d values up to %d: %d up to %d", len(values), values[len(values)-1], h.Count(), h.Max)
		}
		for _, k := range []int{0, len(values) / 2, len(values) - 1} {
			q := (float64(k) + 0.5) / float64(len(values))
			got, exact := h.Quantile(q), values[k]
			if got < exact || got >= 2*exact && got > exact {
				t.Fatalf("Quantile(%v) is %d, the exact one %d", q, got, exact)
			}
		}
	}
}

func TestHistogramJSON(t *testing.T) {
	b, err := json.Marshal(histogramOf(3, 1000, 1000))
	const want = `{"count":3,"sum":2003,"max":1000,"p50":1000,"p99":1000,"p999":1000,"buckets":{"1024":2,"4":1}}`
	if err != nil || string(b) != want {
		t.Errorf("%s, %v; want %s", b, err, want)
	}
}
