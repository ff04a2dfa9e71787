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

// BenchmarkEmit is what an event costs its caller, with the clock, in bursts
// that the lane holds: between them the archiver catches up, outside of the
// time. The floor is BenchmarkWriteAt, of as many bytes with a time that costs
// nothing.
func BenchmarkEmit(b *testing.B) {
	b.Run("16 B", func(b *testing.B) { benchEmit(b, event16{A: 1}) })
	b.Run("32 B", func(b *testing.B) { benchEmit(b, event32{A: 1}) })
	b.Run("64 B", func(b *testing.B) { benchEmit(b, event64{A: 1}) })
	b.Run("20 B with gaps", func(b *testing.B) { benchEmit(b, gaps{ID: 1}) })
	b.Run("Begin and End", func(b *testing.B) {
		k, e := benchTrack[struct{}](b)
		burst(b, k, func() { _ = e.Begin(k, struct{}{}).End() })
	})
	b.Run("Counter.Add", func(b *testing.B) {
		k, _ := benchTrack[struct{}](b)
		c := mustCounter[int64](b, k.t, "count", "")
		burst(b, k, func() { _ = c.Add(k, 1) })
	})
	b.Run("Sample", func(b *testing.B) {
		k, _ := benchTrack[struct{}](b)
		burst(b, k, func() { _ = k.Sample(0, 1) })
	})
}

func benchEmit[T any](b *testing.B, v T) {
	k, e := benchTrack[T](b)
	burst(b, k, func() { _ = e.Emit(k, v) })
}

// burst calls do, and lets the archiver catch up before the lane is full. It
// fails if something was lost all the same.
func burst(b *testing.B, k *Track, do func()) {
	b.Helper()
	const most = 20000 // times two records of 32 bytes, or one of 96
	n := 0
	for b.Loop() {
		do()
		if n++; n == most {
			b.StopTimer()
			must(b, k.p.WaitDurable(b.Context()))
			n = 0
			b.StartTimer()
		}
	}
	if lost := k.p.Stats().Lost; lost > 0 {
		b.Errorf("%d records were lost", lost)
	}
}

func benchTrack[T any](b *testing.B) (*Track, *Event[T]) {
	b.Helper()
	b.ReportAllocs()
	rec := openRecorder(b, b.TempDir(), nil)
	tracer := mustTracer(b, rec, nil)
	return mustTrack(b, tracer, "bench", &recorder.ProducerOptions{LaneSize: 4 << 20}), mustRegister[T](b, tracer, "event")
}

// BenchmarkWriteAt is the floor: the same bytes, ready made.
func BenchmarkWriteAt(b *testing.B) {
	for _, n := range []int{16, 32, 64} {
		b.Run(fmt.Sprintf("%d B", n), func(b *testing.B) {
			k, _ := benchTrack[struct{}](b)
			payload := make([]byte, eventLen+n)
			burst(b, k, func() { _ = k.p.WriteAt(1, KindEvent, 0, payload) })
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
		burst(b, k, func() { _, _ = fmt.Fprintf(k.p, "event a=%d b=%d c=%d d=%d", v.A, v.B, v.C, v.D) })
	})
	b.Run("json", func(b *testing.B) {
		k, _ := benchTrack[struct{}](b)
		v := event32{A: 1}
		burst(b, k, func() {
			text, _ := json.Marshal(v)
			_, _ = k.p.Write(text)
		})
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
