package channel

import (
	"context"
	"sync"
	"syscall"
	"testing"
	"time"
)

// cpuTime is what this process has used, in user and kernel mode.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkIdle reports what waiting receivers cost: CPU milliseconds for each
// second, of all receivers together. An iteration is 100 ms without a record.
func BenchmarkIdle(b *testing.B) {
	for _, bb := range []struct {
		name      string
		wait      Strategy
		receivers int
	}{
		{"nobody", Park, 0},
		{"Park", Park, 1},
		{"Park/100 receivers", Park, 100},
		{"Backoff", Backoff, 1},
		{"Backoff/100 receivers", Backoff, 100},
		{"Spin", Spin, 1},
	} {
		b.Run(bb.name, func(b *testing.B) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			var wg sync.WaitGroup
			for range bb.receivers {
				tx, rx, err := NewMPSC(1024, &Options{Wait: bb.wait})
				if err != nil {
					b.Fatal(err)
				}
				wg.Go(func() { rx.Recv(ctx) })
				defer tx.Close()
			}
			time.Sleep(10 * time.Millisecond)
			start, cpu := time.Now(), cpuTime(b)
			for b.Loop() {
				time.Sleep(100 * time.Millisecond)
			}
			b.ReportMetric(float64((cpuTime(b)-cpu).Microseconds())/1000/time.Since(start).Seconds(), "cpu-ms/s")
			cancel()
			wg.Wait()
		})
	}
}
