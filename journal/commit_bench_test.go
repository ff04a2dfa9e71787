package journal

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"
)

// BenchmarkGroupCommit is the time from Append to the return of WaitDurable, with so many goroutines that do one after another, each in a
// hurry. An iteration is one record. LOGBUF_BENCH_DIR names the directory; the default is the one for temporary files.
func BenchmarkGroupCommit(b *testing.B) {
	for _, policy := range []Sync{SyncBatch, SyncInterval} {
		for _, waiters := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("%v/%d", policy, waiters), func(b *testing.B) { benchCommit(b, policy, waiters) })
		}
	}
}

func benchCommit(b *testing.B, policy Sync, waiters int) {
	dir, err := os.MkdirTemp(os.Getenv("LOGBUF_BENCH_DIR"), "commit")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(dir)
	w := mustOpen(b, dir, &Options{Sync: policy})
	took := make([]time.Duration, b.N)
	var wg sync.WaitGroup
	b.ResetTimer()
	for g := range waiters {
		wg.Go(func() {
			rec := Record{Payload: make([]byte, 200)}
			for i := g; i < b.N; i += waiters {
				start := time.Now()
				seq, err := w.Append(rec)
				if err == nil {
					err = w.WaitDurable(context.Background(), seq)
				}
				if err != nil {
					b.Error(err)
					return
				}
				took[i] = time.Since(start)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
	b.ReportMetric(float64(b.N)/float64(max(w.Stats().Syncs, 1)), "records/sync")
	mustClose(b, w)
}
