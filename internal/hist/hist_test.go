package hist

import (
	"math"
	"testing"
)

func TestBucket(t *testing.T) {
	for _, tc := range []struct {
		v    uint64
		want int
	}{
		{0, 0}, {1, 0}, {2, 1}, {3, 2}, {4, 2}, {5, 3}, {8, 3}, {9, 4}, {1 << 20, 20}, {1<<20 + 1, 21},
		{1 << (Buckets - 2), Buckets - 2}, {1<<(Buckets-2) + 1, Buckets - 1}, {1 << 60, Buckets - 1}, {math.MaxUint64, Buckets - 1},
	} {
		if got := Bucket(tc.v); got != tc.want {
			t.Errorf("bucket of %d is %d, want %d", tc.v, got, tc.want)
		}
	}
}

// What a reader loads while values are added never has more in its counts than
// in its sum, and in the end all is there.
func TestLoadWhileAdding(t *testing.T) {
	const n = 20000
	var l Live
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range uint64(n) {
			l.Add(i%7 + 3)
		}
	}()
	var counts [Buckets]uint64
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		sum, largest := l.Load(&counts)
		var total uint64
		for _, c := range counts {
			total += c
		}
		if sum < 3*total || largest > 9 {
			t.Fatalf("%d values of 3 to 9 add up to %d, the largest is %d", total, sum, largest)
		}
	}
	sum, largest := l.Load(&counts)
	var want uint64
	for i := range uint64(n) {
		want += i%7 + 3
	}
	if sum != want || largest != 9 || counts[2]+counts[3]+counts[4] != n {
		t.Errorf("sum %d, largest %d, counts %v; want a sum of %d, 9, and %d values", sum, largest, counts, want, n)
	}
}

func BenchmarkAdd(b *testing.B) {
	var l Live
	for i := range b.N {
		l.Add(uint64(i))
	}
}
