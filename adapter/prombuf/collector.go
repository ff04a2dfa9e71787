package prombuf

import (
	"slices"
	"strings"

	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
	"github.com/prometheus/client_golang/prometheus"
)

// collector shows what stats returns.
type collector struct {
	stats func() recorder.Stats
}

// NewCollector returns a collector of what stats returns, which is a recorder's
// Stats method or something that calls it. stats is called at each scrape, from
// any goroutine, and must not wait.
func NewCollector(stats func() recorder.Stats) prometheus.Collector {
	return &collector{stats: stats}
}

// Describe sends what Collect can send: nothing depends on the recorder.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for i := range ofStream {
		out <- ofStream[i].desc
	}
	out <- lostRecords
	for i := range ofArchive {
		out <- ofArchive[i].desc
	}
	for i := range ofDisk {
		out <- ofDisk[i].desc
	}
	for i := range histograms {
		out <- histograms[i].desc
	}
}

// Collect sends the metrics of one snapshot.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	s := c.stats()
	for i := range s.Streams {
		collectStream(out, &s.Streams[i])
	}
	for i := range ofArchive {
		m := &ofArchive[i]
		out <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(&s))
	}
	if !s.Journal.DiskAt.IsZero() {
		for i := range ofDisk {
			m := &ofDisk[i]
			out <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(&s))
		}
	}
	for i := range histograms {
		h := &histograms[i]
		out <- h.metric(h.value(&s))
	}
}

func collectStream(out chan<- prometheus.Metric, s *recorder.StreamStats) {
	// A recorder's names are UTF-8; a label that is not would fail the scrape.
	name := strings.ToValidUTF8(s.Name, "\uFFFD")
	for i := range ofStream {
		m := &ofStream[i]
		out <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(s), name)
	}
	lost := func(reason journal.LossReason, records uint64) {
		out <- prometheus.MustNewConstMetric(lostRecords, prometheus.CounterValue, float64(records), name, reason.String())
	}
	for _, reason := range reasons {
		if !slices.ContainsFunc(s.ByReason, func(l recorder.LossCount) bool { return l.Reason == reason }) {
			lost(reason, 0)
		}
	}
	for _, l := range s.ByReason {
		lost(l.Reason, l.Records)
	}
}

// reasons are those that a recorder itself has.
var reasons = [...]journal.LossReason{
	journal.LossOverload, journal.LossTooLarge, journal.LossClosed, journal.LossSource, journal.LossWrite, journal.LossStalled,
}

// metric makes the histogram of a snapshot. The buckets are always the same,
// as Prometheus wants it.
func (h *histogram) metric(s *journal.Histogram) prometheus.Metric {
	buckets := make(map[float64]uint64, h.last-h.first+1)
	var below uint64
	for i, n := range s.Counts[:h.last+1] {
		below += n
		if i >= h.first {
			buckets[float64(journal.HistogramBound(i))*h.unit] = below
		}
	}
	return prometheus.MustNewConstHistogram(h.desc, s.Count(), float64(s.Sum)*h.unit, buckets)
}
