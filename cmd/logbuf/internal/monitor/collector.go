package monitor

import (
	"strings"
	"time"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/capture"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/source"
	"github.com/prometheus/client_golang/prometheus"
)

// collector shows what the tool knows beyond the recorder's Stats.
type collector struct {
	state func() *capture.Snapshot
	check *Checker
}

var (
	sourceUp = prometheus.NewDesc("logbuf_source_up", "1 while the stream's source is connected, or listens.", []string{"stream"}, nil)
	connects = prometheus.NewDesc("logbuf_source_connections_total", "Connections made to the stream's source.", []string{"stream"}, nil)
	keepsUp  = prometheus.NewDesc("logbuf_keeping_up", "1 when /healthz says that the recording is keeping up.", nil, nil)
)

// Describe is prometheus.Collector's.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{sourceUp, connects, keepsUp} {
		out <- d
	}
}

// Collect is prometheus.Collector's.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	s := c.state()
	for _, src := range s.Sources {
		name := strings.ToValidUTF8(src.Name, "\uFFFD")
		out <- prometheus.MustNewConstMetric(sourceUp, prometheus.GaugeValue, truth(src.State == source.Live), name)
		out <- prometheus.MustNewConstMetric(connects, prometheus.CounterValue, float64(src.Connections), name)
	}
	out <- prometheus.MustNewConstMetric(keepsUp, prometheus.GaugeValue, truth(c.check.Look(time.Now(), s) == nil))
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
