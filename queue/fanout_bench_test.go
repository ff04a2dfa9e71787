package queue

import (
	"fmt"
	"sync"
	"testing"
)

// BenchmarkFanOut is one goroutine that sends and one for each worker.
func BenchmarkFanOut(b *testing.B) {
	rec := pattern(64, 1)
	for _, workers := range []int{1, 2, 4} {
		for name, send := range map[string]func(f *FanOut, i uint64) error{
			"Send":     func(f *FanOut, i uint64) error { return f.Send(i, 1, rec) },
			"SendNext": func(f *FanOut, _ uint64) error { return f.SendNext(1, rec) },
		} {
			b.Run(fmt.Sprintf("%s/%d workers/64B", name, workers), func(b *testing.B) {
				f, wait := benchWorkers(workers)
				b.ReportAllocs()
				b.SetBytes(64)
				b.ResetTimer()
				for i := uint64(0); i < uint64(b.N); {
					if send(f, i) == nil {
						i++
					} else {
						pause()
					}
				}
				wait()
			})
		}
	}
}

// BenchmarkForward is a producer and the goroutine that forwards in one, and
// one for each worker.
func BenchmarkForward(b *testing.B) {
	rec := pattern(64, 1)
	for _, workers := range []int{1, 2} {
		b.Run(fmt.Sprintf("%d workers/64B", workers), func(b *testing.B) {
			f, wait := benchWorkers(workers)
			p, c, _ := NewSPSC(64 << 10)
			key := uint64(0)
			byKey := func(int32, []byte) uint64 { key++; return key }
			b.ReportAllocs()
			b.SetBytes(64)
			b.ResetTimer()
			for sent, moved := 0, 0; moved < b.N; {
				for sent < b.N && p.WriteTyped(1, rec) == nil {
					sent++
				}
				n, err := f.Forward(c, 1<<30, byKey)
				if moved += n; err != nil {
					pause()
				}
			}
			wait()
		})
	}
}

// benchWorkers makes a FanOut whose workers read; wait closes it and returns
// when they have read everything.
func benchWorkers(workers int) (f *FanOut, wait func()) {
	f, cs, _ := NewFanOut(workers, benchCapacity)
	var wg sync.WaitGroup
	for _, c := range cs {
		wg.Go(func() {
			for !c.Drained() {
				if c.Drain(256, func(_ int32, rec []byte) { touch(rec) }) == 0 {
					pause()
				}
			}
		})
	}
	return f, func() { f.Close(); wg.Wait() }
}
