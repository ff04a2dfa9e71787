package replay

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
)

// BenchmarkPace replays b.N records at speed 1, at random times with the given mean interval, and reports how late they were. It says
// something on an idle machine only:
//
//	go test -run '^$' -bench Pace -benchtime 5000x ./replay
func BenchmarkPace(b *testing.B) {
	for _, mean := range []time.Duration{100 * time.Microsecond, time.Millisecond, 10 * time.Millisecond} {
		b.Run("every "+mean.String(), func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, 2))
			src := recorded(make([]time.Duration, b.N)...)
			at := src.recs[0].Time
			for i := range src.recs {
				src.recs[i].Time = at
				at += int64(rng.ExpFloat64() * float64(mean))
			}
			b.ResetTimer()
			rep, err := run(b.Context(), src, func(journal.Record) error { return nil }, &Options{Speed: 1})
			if err != nil {
				b.Fatal(err)
			}
			for _, q := range []struct {
				late time.Duration
				unit string
			}{{rep.Lateness.P50, "p50-µs"}, {rep.Lateness.P99, "p99-µs"}, {rep.Lateness.P999, "p99.9-µs"}, {rep.Lateness.Max, "max-µs"}} {
				b.ReportMetric(float64(q.late)/1e3, q.unit)
			}
			b.ReportMetric(float64(rep.Elapsed-rep.Recorded())/1e3, "drift-µs")
		})
	}
}
