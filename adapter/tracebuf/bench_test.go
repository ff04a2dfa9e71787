package tracebuf

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/recorder"
)

type (
	event16 struct{ A, B uint64 }
	event32 struct{ A, B, C, D uint64 }
	event64 struct{ A, B, C, D, E, F, G, H uint64 }
)

// BenchmarkEmit is what an event costs its caller, with the clock. The floor
// is recorder.WriteAt of as many bytes with a time that costs nothing. What
// finds the lane full is dropped: ns/op is the caller's, not the disk's, and
// lost/op says how much.
func BenchmarkEmit(b *testing.B) {
	b.Run("16 B", func(b *testing.B) { benchEmit(b, event16{A: 1}) })
	b.Run("32 B", func(b *testing.B) { benchEmit(b, event32{A: 1}) })
	b.Run("64 B", func(b *testing.B) { benchEmit(b, event64{A: 1}) })
	b.Run("20 B with gaps", func(b *testing.B) { benchEmit(b, gaps{ID: 1}) })
	b.Run("Begin and End", func(b *testing.B) {
		k, e := benchTrack[struct{}](b)
		for b.Loop() {
			_ = e.Begin(k, struct{}{}).End()
		}
		reportLost(b, k)
	})
	b.Run("Counter.Add", func(b *testing.B) {
		k, _ := benchTrack[struct{}](b)
		c := mustCounter[int64](b, k.t, "count", "")
		for b.Loop() {
			_ = c.Add(k, 1)
		}
		reportLost(b, k)
	})
	b.Run("Sample", func(b *testing.B) {
		k, _ := benchTrack[struct{}](b)
		for b.Loop() {
			_ = k.Sample(0, 1)
		}
		reportLost(b, k)
	})
}

func benchEmit[T any](b *testing.B, v T) {
	k, e := benchTrack[T](b)
	for b.Loop() {
		_ = e.Emit(k, v)
	}
	reportLost(b, k)
}

func benchTrack[T any](b *testing.B) (*Track, *Event[T]) {
	b.Helper()
	b.ReportAllocs()
	rec := openRecorder(b, b.TempDir(), nil)
	tracer := mustTracer(b, rec, nil)
	return mustTrack(b, tracer, "bench", &recorder.ProducerOptions{LaneSize: 4 << 20}), mustRegister[T](b, tracer, "event")
}

func reportLost(b *testing.B, k *Track) {
	b.Helper()
	b.ReportMetric(float64(k.p.Stats().Lost)/float64(b.N), "lost/op")
}

// BenchmarkWriteAt is the floor: the same bytes, ready made.
func BenchmarkWriteAt(b *testing.B) {
	for _, n := range []int{16, 32, 64} {
		b.Run(fmt.Sprintf("%d B", n), func(b *testing.B) {
			k, _ := benchTrack[struct{}](b)
			payload := make([]byte, eventLen+n)
			for b.Loop() {
				_ = k.p.WriteAt(1, KindEvent, 0, payload)
			}
			reportLost(b, k)
		})
	}
}

// BenchmarkClock is the part of Emit that reads the time, and what time.Now
// would cost.
func BenchmarkClock(b *testing.B) {
	t := &Tracer{start: time.Now()}
	var sum int64
	b.Run("tracer", func(b *testing.B) {
		for b.Loop() {
			sum += t.now()
		}
	})
	b.Run("time.Now", func(b *testing.B) {
		for b.Loop() {
			sum += time.Now().UnixNano()
		}
	})
	_ = sum
}

// BenchmarkText is what programs do instead: the same event as text, into the
// same lane.
func BenchmarkText(b *testing.B) {
	b.Run("fmt", func(b *testing.B) {
		k, _ := benchTrack[struct{}](b)
		v := event32{A: 1}
		for b.Loop() {
			_, _ = fmt.Fprintf(k.p, "event a=%d b=%d c=%d d=%d", v.A, v.B, v.C, v.D)
		}
		reportLost(b, k)
	})
	b.Run("json", func(b *testing.B) {
		k, _ := benchTrack[struct{}](b)
		v := event32{A: 1}
		for b.Loop() {
			text, _ := json.Marshal(v)
			_, _ = k.p.Write(text)
		}
		reportLost(b, k)
	})
}

// BenchmarkSampleGoroutines is one sample of all goroutines.
func BenchmarkSampleGoroutines(b *testing.B) {
	for _, n := range []int{10, 1000, 10000} {
		b.Run(fmt.Sprintf("%d goroutines", n), func(b *testing.B) {
			k, _ := benchTrack[struct{}](b)
			release := make(chan struct{})
			defer close(release)
			for range n {
				go waitForSampler(release)
			}
			s := sampler{k: k, interval: time.Millisecond}
			for b.Loop() {
				s.sample()
			}
		})
	}
}

// BenchmarkDecode is what reading one event back costs.
func BenchmarkDecode(b *testing.B) {
	d, rec := decodable(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Decode(rec); err != nil {
			b.Fatal(err)
		}
	}
}
