package prombuf_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/nexus-logbuf/logbuf/adapter/prombuf"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/queue"
	"github.com/nexus-logbuf/logbuf/recorder"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// scraped finds a value: of the metric of that name whose labels have these
// values, in the order of the label names. A histogram's value is its count.
func scraped(t *testing.T, families []*dto.MetricFamily, name string, labels ...string) float64 {
	t.Helper()
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
	metrics:
		for _, m := range f.GetMetric() {
			if len(m.GetLabel()) != len(labels) {
				continue
			}
			for _, l := range m.GetLabel() {
				if !strings.Contains("\n"+strings.Join(labels, "\n")+"\n", "\n"+l.GetValue()+"\n") {
					continue metrics
				}
			}
			switch {
			case m.GetCounter() != nil:
				return m.GetCounter().GetValue()
			case m.GetHistogram() != nil:
				return float64(m.GetHistogram().GetSampleCount())
			}
			return m.GetGauge().GetValue()
		}
	}
	t.Errorf("no %s%q", name, labels)
	return math.NaN()
}

// A scrape in the middle of a recording shows what Stats says at that moment;
// counters only grow; and in the end they are what was offered.
func TestUnderLoad(t *testing.T) {
	rec, err := recorder.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var last recorder.Stats
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(prombuf.NewCollector(func() recorder.Stats { last = rec.Stats(); return last }))

	const streams, each = 4, 20000
	var producers sync.WaitGroup
	for i := range streams {
		p, err := rec.Producer(fmt.Sprintf("stream %d", i), &recorder.ProducerOptions{LaneSize: 4 << 10})
		if err != nil {
			t.Fatal(err)
		}
		producers.Go(func() {
			defer p.Close()
			for range each {
				if _, err := p.Write(make([]byte, 100)); err != nil && !errors.Is(err, queue.ErrFull) {
					t.Error(err)
					return
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { producers.Wait(); close(done) }()
	before := make(map[string]float64)
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		compare(t, reg, &last, before)
	}
	if err := rec.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	families := compare(t, reg, &last, before)
	for i := range streams {
		name := fmt.Sprintf("stream %d", i)
		got := scraped(t, families, "logbuf_records_total", name) + scraped(t, families, "logbuf_lost_records_total", name, "overload")
		if got != each {
			t.Errorf("%s: %v records and lost, %d were offered", name, got, each)
		}
	}
	if n := scraped(t, families, "logbuf_batch_records"); n == 0 || n != float64(last.BatchRecords.Count()) {
		t.Errorf("%v batches, want %d", n, last.BatchRecords.Count())
	}
}

// compare scrapes once.
func compare(t *testing.T, reg *prometheus.Registry, last *recorder.Stats, before map[string]float64) []*dto.MetricFamily {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	same := func(want uint64, name string, labels ...string) {
		t.Helper()
		got := scraped(t, families, name, labels...)
		if got != float64(want) {
			t.Errorf("%s%q is %v, Stats says %d", name, labels, got, want)
		}
		if key := name + strings.Join(labels, "\n"); strings.HasSuffix(name, "_total") {
			if got < before[key] {
				t.Errorf("%s%q has fallen from %v to %v", name, labels, before[key], got)
			}
			before[key] = got
		}
	}
	for _, s := range last.Streams {
		same(s.Records, "logbuf_records_total", s.Name)
		same(s.Bytes, "logbuf_payload_bytes_total", s.Name)
		same(s.LagRecords, "logbuf_ring_records", s.Name)
		same(uint64(s.LaneHighWater), "logbuf_ring_high_water_bytes", s.Name)
		var overload uint64
		for _, l := range s.ByReason {
			if l.Reason == journal.LossOverload {
				overload = l.Records
			}
		}
		same(overload, "logbuf_lost_records_total", s.Name, "overload")
		same(0, "logbuf_lost_records_total", s.Name, "write error")
	}
	same(last.UndurableRecords, "logbuf_undurable_records")
	same(last.Journal.NextSeq, "logbuf_next_sequence")
	same(last.Journal.WriteLatency.Count(), "logbuf_write_seconds")
	same(last.Journal.SyncLatency.Count(), "logbuf_sync_seconds")
	return families
}

// The example of the package's documentation.
func ExampleNewCollector() {
	stats := func() recorder.Stats { // rec.Stats of a recorder
		return recorder.Stats{Streams: []recorder.StreamStats{{Name: "trades", ProducerStats: recorder.ProducerStats{Records: 42}}}}
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(prombuf.NewCollector(stats))

	text, err := testutil.GatherAndFormat(reg, expfmt.TypeTextPlain, "logbuf_records_total") // what promhttp would serve
	if err != nil {
		panic(err)
	}
	fmt.Print(string(text))
	// Output:
	// # HELP logbuf_records_total Records in the archive.
	// # TYPE logbuf_records_total counter
	// logbuf_records_total{stream="trades"} 42
}

// BenchmarkScrape is one scrape of a recorder with 500 streams.
func BenchmarkScrape(b *testing.B) {
	rec, err := recorder.Open(b.TempDir(), &recorder.Options{LaneSize: 4 << 10})
	if err != nil {
		b.Fatal(err)
	}
	defer rec.Close(context.Background())
	for i := range 500 {
		if _, err := rec.Producer(fmt.Sprintf("stream %d", i), nil); err != nil {
			b.Fatal(err)
		}
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(prombuf.NewCollector(rec.Stats))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := reg.Gather(); err != nil {
			b.Fatal(err)
		}
	}
}
