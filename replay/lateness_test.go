package replay

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestBuckets(t *testing.T) {
	values := []uint64{0, 1, 15, 16, 17, 31, 32, 33, 63, 64, 1000, 1 << 20, 1<<20 + 1, math.MaxInt64 - 1, math.MaxInt64}
	for shift := range 63 {
		values = append(values, 1<<shift, 1<<shift-1)
	}
	slices.Sort(values)
	previous := 0
	for _, v := range values {
		i := bucketOf(v)
		if i < previous || i >= histogramBuckets {
			t.Fatalf("value %d is in bucket %d, after bucket %d of %d", v, i, previous, histogramBuckets)
		}
		previous = i
		top := bucketTop(i)
		if top < v || float64(top) > float64(v)*(1+1.0/16)+1 {
			t.Errorf("value %d is in bucket %d, which ends at %d", v, i, top)
		}
		if bucketOf(top) != i || top < math.MaxInt64 && bucketOf(top+1) != i+1 {
			t.Errorf("bucket %d does not end at %d", i, top)
		}
	}
}

func TestQuantiles(t *testing.T) {
	var h histogram
	if got := h.lateness(); got != (Lateness{}) {
		t.Errorf("empty histogram: %+v", got)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	all := make([]time.Duration, 10_000)
	for i := range all {
		all[i] = time.Duration(rng.ExpFloat64() * 1e6)
		h.add(all[i])
	}
	h.add(-5)
	all = append(all, 0)
	slices.Sort(all)
	got := h.lateness()
	if got.Max != all[len(all)-1] {
		t.Errorf("max %v, want %v", got.Max, all[len(all)-1])
	}
	for _, q := range []struct {
		of   float64
		got  time.Duration
		name string
	}{{0.5, got.P50, "p50"}, {0.99, got.P99, "p99"}, {0.999, got.P999, "p99.9"}} {
		rank := int(math.Ceil(q.of*float64(len(all)))) - 1
		if want := all[rank]; q.got < want || float64(q.got) > float64(want)*(1+1.0/16) {
			t.Errorf("%s is %v, want %v or at most 1/16 more", q.name, q.got, want)
		}
	}
}

func TestQuantilesOfAFew(t *testing.T) {
	var h histogram
	for _, d := range []time.Duration{3, 1, 2} {
		h.add(d)
	}
	if got, want := h.lateness(), (Lateness{Max: 3, P50: 2, P99: 3, P999: 3}); got != want {
		t.Errorf("of 1, 2 and 3 ns: %+v, want %+v", got, want)
	}
}
