package recorder

import (
	"encoding/json"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
)

// ProducerStats are a producer's counters since it was made.
type ProducerStats struct {
	Records uint64 // records handed to the journal
	Bytes   uint64 // their payload, bytes

	LagRecords uint64 // records committed and not yet handed to the journal
	LagBytes   uint64 // the lane memory they take, bytes

	Lost      uint64      // records that the archive does not have, as far as their number is known
	LostBytes uint64      // their payload, bytes, as far as it is known
	Gaps      uint64      // losses of an unknown number of records, see Producer.Lose
	ByReason  []LossCount // the three above for each reason that has occurred, in the order of the reasons; their sum at any moment
	Refused   uint64      // records refused with an error under OverloadWait or OverloadFail, or because of Close

	// Of shared producers. A claim that was passed counts as lost, too, if it is
	// committed after all; otherwise nobody knows whether a record was meant.
	StalledFor time.Duration // how long an open claim has held up the lane, since the archiver met it; 0: none does
	Abandoned  uint64        // claims that were passed while open: longer than Options.StallLimit, or at Close

	LaneCapacity  int // bytes
	LaneHighWater int // most bytes in use at once, to within 1/16 of the capacity
}

// StreamStats are a stream's counters since the recorder was opened. Each
// record that was offered is in one of Records, LagRecords, Lost and Refused.
type StreamStats struct {
	Name string
	ID   uint16
	Open bool // a producer is open, or closed and not yet drained

	Urgent bool // the producer that was made last is urgent
	ProducerStats
}

// Stats says what a recorder did since it was opened and where it stands. As
// JSON it is an object with the fields' names as keys: durations are
// nanoseconds, an error is its text and left out when nil, histograms are what
// journal.Histogram.MarshalJSON says. So a program that wants it among its
// expvars needs nothing but expvar.Func.
type Stats struct {
	Streams []StreamStats // in the order of their first producers
	Journal journal.Stats

	LagRecords       uint64        // records in the lanes, not yet handed to the journal
	LagBytes         uint64        // the lane memory they take, bytes
	UndurableRecords uint64        // LagRecords, and the records in the journal that are not yet durable
	UndurableBytes   uint64        // LagBytes, and the bytes written that are not yet durable
	Lag              time.Duration // age of the oldest write that is not yet durable, or under way; 0 when all is durable

	// What the archiver handed to the journal at a time: losses among them count as records.
	BatchRecords journal.Histogram
	BatchBytes   journal.Histogram // frames and padding

	LaneMemory   int // bytes of all open lanes, as they count against MemoryLimit, urgent ones included
	UrgentMemory int // of them, those of urgent lanes
	MemoryLimit  int // Options.MemoryLimit; urgent lanes may take Options.UrgentMemory besides

	ClockSteps uint64 // times that the wall clock was found to have been set, by 50 ms or more

	Err error // what stopped the archiver or the journal; nil while they run and after a good Close
}

// Stats returns the counters. Any goroutine may call it, also after Close. A
// record that goes from one place to the next meanwhile, such as from a lane to
// the journal, may be counted in both, and never in neither.
func (r *Recorder) Stats() Stats {
	s := Stats{MemoryLimit: r.opts.MemoryLimit, ClockSteps: r.clock.steps.Load()}
	r.mu.Lock()
	s.LaneMemory, s.UrgentMemory = r.memory, r.urgent
	s.Streams = make([]StreamStats, 0, len(r.streams))
	for _, st := range r.streams {
		one := st.stats(&r.clock)
		s.LagRecords += one.LagRecords
		s.LagBytes += one.LagBytes
		s.Streams = append(s.Streams, one)
	}
	r.mu.Unlock()
	j := r.journal.Stats()
	s.Journal, s.Lag, s.Err = j, j.Lag, j.Err
	if began := r.writing.Load(); began != 0 {
		s.Lag = max(s.Lag, time.Duration(r.clock.age()-began))
	}
	if f := r.failure.Load(); f != nil {
		s.Err = *f
	}
	s.UndurableRecords = s.LagRecords + j.LagRecords
	s.UndurableBytes = s.LagBytes + j.LagBytes
	s.BatchRecords.Sum, s.BatchRecords.Max = r.batchRecords.Load(&s.BatchRecords.Counts)
	s.BatchBytes.Sum, s.BatchBytes.Max = r.batchBytes.Load(&s.BatchBytes.Counts)
	return s
}

// MarshalJSON is documented with Stats.
func (s Stats) MarshalJSON() ([]byte, error) {
	type plain Stats
	text := ""
	if s.Err != nil {
		text = s.Err.Error()
	}
	return json.Marshal(struct {
		plain
		Err string `json:",omitempty"`
	}{plain(s), text})
}

// stats is called with the recorder's lock held. The lanes are read before the
// counters of what has left them.
func (st *stream) stats(c *clock) StreamStats {
	var lanes ProducerStats
	for _, l := range st.lanes {
		records, bytes := l.pending()
		lanes.LagRecords += records
		lanes.LagBytes += bytes
		lanes.LaneCapacity += l.capacity
		q := l.out.Stats()
		lanes.LaneHighWater = max(lanes.LaneHighWater, q.HighWater)
		lanes.Abandoned += q.Abandoned
		lanes.StalledFor = max(lanes.StalledFor, l.stalledFor(c))
	}
	s := StreamStats{Name: st.name, ID: st.id, Open: len(st.lanes) > 0, Urgent: st.urgent, ProducerStats: st.count.stats()}
	s.LagRecords, s.LagBytes, s.StalledFor = lanes.LagRecords, lanes.LagBytes, lanes.StalledFor
	s.Abandoned = st.abandoned + lanes.Abandoned
	s.LaneCapacity, s.LaneHighWater = lanes.LaneCapacity, max(st.highWater, lanes.LaneHighWater)
	return s
}
