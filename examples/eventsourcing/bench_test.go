package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// Orders over TCP, each acknowledged when it is durable and applied, from
// clients that each wait for their acknowledgement. Every batch is synced.
func BenchmarkOrders(b *testing.B) {
	for _, quotes := range []int{0, 100_000} {
		for _, clients := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("quotes=%d/clients=%d", quotes, clients), func(b *testing.B) { benchmarkOrders(b, quotes, clients) })
		}
	}
}

func benchmarkOrders(b *testing.B, quotes, clients int) {
	s, err := Start(Config{Dir: b.TempDir(), Log: io.Discard})
	if err != nil {
		b.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	var running, done sync.WaitGroup
	running.Go(func() { _ = (&server{service: s}).serve(ctx, l) })
	running.Go(func() { _ = feed(ctx, s, quotes) })
	var next atomic.Int64
	took := make([][]time.Duration, clients)
	before := s.rec.Stats().Journal.NextSeq
	b.ResetTimer()
	for i := range clients {
		done.Go(func() {
			c, err := dial(l.Addr().String())
			if err != nil {
				b.Error(err)
				return
			}
			defer c.close()
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				began := time.Now()
				if _, err := c.do(fmt.Sprintf("order %d XYZ %d 100", n, n%2*2-1)); err != nil {
					b.Error(err)
					return
				}
				took[i] = append(took[i], time.Since(began))
			}
		})
	}
	done.Wait()
	b.StopTimer()
	events := s.rec.Stats().Journal.NextSeq - before
	stop()
	running.Wait()
	if err := s.Close(); err != nil {
		b.Error(err)
	}
	all := slices.Concat(took...)
	slices.Sort(all)
	at := func(q float64) float64 { return float64(all[int(q*float64(len(all)-1))].Microseconds()) }
	b.ReportMetric(at(0.50), "p50-µs")
	b.ReportMetric(at(0.99), "p99-µs")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "orders/s")
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(0, "ns/op")
}

// A start from a journal without snapshots: nine quotes to an order.
func BenchmarkRebuild(b *testing.B) {
	const events = 1_000_000
	dir := b.TempDir()
	rec, err := recorder.Open(journalDir(dir), &recorder.Options{Journal: journal.Options{Sync: journal.SyncNone}})
	if err != nil {
		b.Fatal(err)
	}
	p, err := rec.Producer(streamQuotes, &recorder.ProducerOptions{Overload: recorder.OverloadWait, LaneSize: 4 << 20})
	if err != nil {
		b.Fatal(err)
	}
	for i := range events {
		kind, payload := kindQuote, fmt.Appendf(nil, "%s %d %d", symbols[i%len(symbols)], 1000+i%50, 1001+i%50)
		if i%10 == 0 {
			kind, payload = kindOrder, fmt.Appendf(nil, "order %d XYZ %d 100", i, i%20/5-1)
		}
		if err := p.WriteAt(int64(i), kind, 0, payload); err != nil {
			b.Fatal(err)
		}
	}
	if err := rec.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
	var took time.Duration
	for b.Loop() {
		s, err := Start(Config{Dir: dir, Log: io.Discard})
		if err != nil {
			b.Fatal(err)
		}
		if s.Rebuilt.Records != events {
			b.Fatalf("%d records", s.Rebuilt.Records)
		}
		took += s.Rebuilt.Took
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(events*float64(b.N)/took.Seconds(), "events/s")
	b.ReportMetric(0, "ns/op")
}
