package prombuf

import (
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

var update = flag.Bool("update", false, "write testdata/metrics.txt anew")

// sample has a number of its own for each metric.
func sample() recorder.Stats {
	s := recorder.Stats{
		UndurableRecords: 101, UndurableBytes: 102, Lag: 1500 * time.Millisecond, LaneMemory: 103, MemoryLimit: 104, UrgentMemory: 105, ClockSteps: 106,
		Journal: journal.Stats{
			SyncErrors: 201, Bytes: 202, Blocks: 203, Segments: 204, Trimmed: 205, Compressed: 206, SegmentSize: 207,
			NextSeq: 208, DurableSeq: 209, KeepErr: journal.ErrHeld, Takeovers: 210, Retained: 211, Reserve: 212,
			FullSince: time.Unix(1, 0), FullTimes: 213,
			DiskAt: time.Unix(2, 0), DiskFree: 3000, DiskSize: 214, DiskFill: 100,
		},
		Streams: []recorder.StreamStats{
			{Name: "trades", ProducerStats: recorder.ProducerStats{
				Records: 301, Bytes: 302, LagRecords: 303, LagBytes: 304, Lost: 305, LostBytes: 306, Gaps: 307, Refused: 308,
				StalledFor: 309 * time.Second, Abandoned: 310, LaneCapacity: 311, LaneHighWater: 312,
				ByReason: []recorder.LossCount{{Reason: journal.LossOverload, Records: 300}, {Reason: journal.LossStalled, Records: 5}},
			}},
			{Name: "a \"quoted\"\nname \\ of \xff bytes"},
		},
		Err: errors.New("stopped"),
	}
	s.BatchRecords = journal.Histogram{Sum: 7, Max: 4}
	s.BatchRecords.Counts[0], s.BatchRecords.Counts[2] = 3, 1
	s.BatchBytes = journal.Histogram{Sum: 1 << 41, Max: 1 << 41}
	s.BatchBytes.Counts[journal.HistogramBuckets-1] = 1
	s.Journal.WriteLatency = journal.Histogram{Sum: 2500, Max: 2000}
	s.Journal.WriteLatency.Counts[9], s.Journal.WriteLatency.Counts[11] = 1, 1
	return s
}

// Names, labels, types and values, as they are scraped.
func TestScrape(t *testing.T) {
	c := NewCollector(sample)
	const file = "testdata/metrics.txt"
	if *update {
		reg := prometheus.NewRegistry()
		reg.MustRegister(c)
		if err := prometheus.WriteToTextfile(file, reg); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer want.Close()
	if err := testutil.CollectAndCompare(c, want); err != nil {
		t.Error(err)
	}
}

// A registry checks that what is collected was described, and that nothing is
// there twice.
func TestLint(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	if err := reg.Register(NewCollector(sample)); err != nil {
		t.Fatal(err)
	}
	problems, err := testutil.GatherAndLint(reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	if err := reg.Register(NewCollector(sample)); err == nil {
		t.Error("two collectors without a label to tell them apart were registered")
	}
	for _, name := range []string{"day1", "day2"} {
		labelled := prometheus.WrapRegistererWith(prometheus.Labels{"archive": name}, prometheus.NewPedanticRegistry())
		if err := labelled.Register(NewCollector(sample)); err != nil {
			t.Error(err)
		}
	}
}

// The documentation names each metric, and none that is not there.
func TestDocumented(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]bool)
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "//\tlogbuf_"); ok {
			documented["logbuf_"+strings.Fields(rest)[0]] = true
		}
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(NewCollector(sample))
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if !documented[f.GetName()] {
			t.Errorf("%s is not in doc.go", f.GetName())
		}
		delete(documented, f.GetName())
	}
	for name := range documented {
		t.Errorf("doc.go has %s, which is not there", name)
	}
}

// A disk that nobody knows the size of is not one with no space.
func TestUnknownDisk(t *testing.T) {
	n := testutil.CollectAndCount(NewCollector(func() recorder.Stats { return recorder.Stats{} }),
		"logbuf_disk_free_bytes", "logbuf_disk_size_bytes", "logbuf_disk_full_in_seconds")
	if n != 0 {
		t.Errorf("%d metrics about it", n)
	}
}
