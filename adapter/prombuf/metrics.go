package prombuf

import (
	"math"

	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
	"github.com/prometheus/client_golang/prometheus"
)

// metric is one number of an S.
type metric[S any] struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*S) float64
}

func counter[S any](name, help string, value func(*S) uint64, labels ...string) metric[S] {
	return metric[S]{desc(name, help, labels), prometheus.CounterValue, func(s *S) float64 { return float64(value(s)) }}
}

func gauge[S any](name, help string, value func(*S) float64, labels ...string) metric[S] {
	return metric[S]{desc(name, help, labels), prometheus.GaugeValue, value}
}

func desc(name, help string, labels []string) *prometheus.Desc {
	return prometheus.NewDesc("logbuf_"+name, help, labels, nil)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

type (
	stats  = recorder.Stats
	stream = recorder.StreamStats
)

const byStream = "stream"

// ofStream is there once for each stream.
var ofStream = []metric[stream]{
	counter("records_total", "Records in the archive.", func(s *stream) uint64 { return s.Records }, byStream),
	counter("payload_bytes_total", "Payload of the records in the archive.", func(s *stream) uint64 { return s.Bytes }, byStream),
	counter("lost_payload_bytes_total", "Payload of the records that were lost, as far as it is known.",
		func(s *stream) uint64 { return s.LostBytes }, byStream),
	counter("gaps_total", "Losses of an unknown number of records.", func(s *stream) uint64 { return s.Gaps }, byStream),
	counter("refused_records_total", "Records refused with an error.", func(s *stream) uint64 { return s.Refused }, byStream),
	gauge("ring_records", "Records in the ring, not yet handed to the archive.", func(s *stream) float64 { return float64(s.LagRecords) }, byStream),
	gauge("ring_used_bytes", "Ring memory in use.", func(s *stream) float64 { return float64(s.LagBytes) }, byStream),
	gauge("ring_high_water_bytes", "Most ring memory in use at once.", func(s *stream) float64 { return float64(s.LaneHighWater) }, byStream),
	gauge("ring_capacity_bytes", "Size of the ring; 0 when no producer is open.", func(s *stream) float64 { return float64(s.LaneCapacity) }, byStream),
	gauge("stalled_claim_seconds", "How long an open claim has held up the ring.", func(s *stream) float64 { return s.StalledFor.Seconds() }, byStream),
	counter("abandoned_claims_total", "Claims that were passed while open.", func(s *stream) uint64 { return s.Abandoned }, byStream),
}

// lostRecords is there once for each stream and reason, from the start: a rate
// is blind to a series that begins with its first loss.
var lostRecords = desc("lost_records_total", "Records that the archive does not have.", []string{byStream, "reason"})

// ofArchive is there once.
var ofArchive = []metric[stats]{
	gauge("undurable_records", "Records that are not yet durable.", func(s *stats) float64 { return float64(s.UndurableRecords) }),
	gauge("undurable_bytes", "Bytes in rings and files that are not yet durable.", func(s *stats) float64 { return float64(s.UndurableBytes) }),
	gauge("undurable_seconds", "Age of the oldest write that is not yet durable.", func(s *stats) float64 { return s.Lag.Seconds() }),
	gauge("lane_memory_bytes", "Memory of all rings.", func(s *stats) float64 { return float64(s.LaneMemory) }),
	gauge("lane_memory_limit_bytes", "Most memory that all rings may take.", func(s *stats) float64 { return float64(s.MemoryLimit) }),
	gauge("urgent_memory_bytes", "Memory of the rings of urgent streams.", func(s *stats) float64 { return float64(s.UrgentMemory) }),
	counter("clock_steps_total", "Steps of the wall clock.", func(s *stats) uint64 { return s.ClockSteps }),
	gauge("failed", "1 when an error has stopped the recorder.", func(s *stats) float64 { return truth(s.Err != nil) }),

	counter("sync_errors_total", "Syncs that failed.", func(s *stats) uint64 { return s.Journal.SyncErrors }),
	counter("archive_bytes_total", "Bytes written to the archive, headers included.", func(s *stats) uint64 { return s.Journal.Bytes }),
	counter("blocks_total", "Blocks written.", func(s *stats) uint64 { return s.Journal.Blocks }),
	counter("segments_total", "Segments begun.", func(s *stats) uint64 { return s.Journal.Segments }),
	counter("trimmed_segments_total", "Segments removed by retention.", func(s *stats) uint64 { return s.Journal.Trimmed }),
	counter("compressed_segments_total", "Segments compressed.", func(s *stats) uint64 { return s.Journal.Compressed }),
	gauge("segment_bytes", "Size of the segment being written.", func(s *stats) float64 { return float64(s.Journal.SegmentSize) }),
	gauge("next_sequence", "Sequence of the next record.", func(s *stats) float64 { return float64(s.Journal.NextSeq) }),
	gauge("durable_sequence", "First sequence that is not durable.", func(s *stats) float64 { return float64(s.Journal.DurableSeq) }),
	gauge("retention_held", "1 while something keeps retention or compression from their work.",
		func(s *stats) float64 { return truth(s.Journal.KeepErr != nil) }),
	counter("takeovers_total", "Segments that took over from one that had failed.", func(s *stats) uint64 { return s.Journal.Takeovers }),
	gauge("retained_bytes", "Memory held for a takeover.", func(s *stats) float64 { return float64(s.Journal.Retained) }),
	gauge("reserve_bytes", "Disk space held for when the disk is full.", func(s *stats) float64 { return float64(s.Journal.Reserve) }),
	gauge("disk_full", "1 while the last attempt to write found the disk full.", func(s *stats) float64 { return truth(!s.Journal.FullSince.IsZero()) }),
	counter("full_writes_total", "Writes that found the disk full.", func(s *stats) uint64 { return s.Journal.FullTimes }),
}

// ofDisk is there when the disk's free space is known.
var ofDisk = []metric[stats]{
	gauge("disk_free_bytes", "Free space on the archive's disk.", func(s *stats) float64 { return float64(s.Journal.DiskFree) }),
	gauge("disk_size_bytes", "Size of the archive's disk.", func(s *stats) float64 { return float64(s.Journal.DiskSize) }),
	gauge("disk_full_in_seconds", "When the disk will be full at the rate of the last minutes; +Inf when it is not filling.", func(s *stats) float64 {
		in, ok := s.Journal.DiskFullIn()
		if !ok {
			return math.Inf(1)
		}
		return in.Seconds()
	}),
}

// histogram shows the buckets first to last of a journal.Histogram; what is
// beyond is in the next one up, or in +Inf.
type histogram struct {
	desc        *prometheus.Desc
	value       func(*stats) *journal.Histogram
	first, last int
	unit        float64 // of the histogram's values, in those of the metric
}

const nano = 1e-9

var histograms = []histogram{
	{desc("write_seconds", "How long writes of blocks took.", nil), func(s *stats) *journal.Histogram { return &s.Journal.WriteLatency }, 10, 34, nano}, // 1 µs to 17 s
	{desc("sync_seconds", "How long syncs took.", nil), func(s *stats) *journal.Histogram { return &s.Journal.SyncLatency }, 10, 34, nano},
	{desc("batch_records", "Records appended at a time.", nil), func(s *stats) *journal.Histogram { return &s.BatchRecords }, 0, 16, 1},
	{desc("batch_bytes", "Bytes appended at a time.", nil), func(s *stats) *journal.Histogram { return &s.BatchBytes }, 5, 22, 1}, // 32 B to 4 MiB
}
