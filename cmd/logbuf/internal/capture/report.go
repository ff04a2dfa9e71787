package capture

import (
	"time"

	"github.com/nexus-logbuf/logbuf/adapter/fixbuf"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/source"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// Snapshot is the state of a run at one moment.
type Snapshot struct {
	Elapsed  time.Duration
	Stats    recorder.Stats
	Sources  []source.Status
	Draining bool // the sources have ended, or were told to
}

// Stream is what a run did for one source, or one FIX session.
type Stream struct {
	Name        string `json:"name"`
	Records     uint64 `json:"records"`    // in the archive
	Bytes       uint64 `json:"bytes"`      // their payload
	Lost        uint64 `json:"lost"`       // records the archive does not have, as far as known
	LostBytes   uint64 `json:"lost_bytes"` // their payload, as far as known
	Gaps        uint64 `json:"gaps"`       // losses of an unknown number of records
	LostBy      Losses `json:"lost_by,omitempty"`
	Abandoned   uint64 `json:"abandoned_claims,omitempty"` // claims that the archiver went past
	Connections uint64 `json:"connections"`                // made
	Ring        int    `json:"ring_bytes"`
	HighWater   int    `json:"ring_high_water_bytes"`
	Error       string `json:"error,omitempty"` // that ended it, or its last connection
}

// Losses are the records lost for each reason that has occurred.
type Losses map[journal.LossReason]uint64

func (l *Losses) add(reason journal.LossReason, records uint64) {
	if *l == nil {
		*l = make(Losses)
	}
	(*l)[reason] += records
}

// Report is the outcome of a run.
type Report struct {
	Dir         string        `json:"dir"`
	Seconds     float64       `json:"seconds"`
	Elapsed     time.Duration `json:"-"`
	Records     uint64        `json:"records"`
	Bytes       uint64        `json:"bytes"`
	Lost        uint64        `json:"lost"`
	LostBytes   uint64        `json:"lost_bytes"`
	Gaps        uint64        `json:"gaps"`
	LostBy      Losses        `json:"lost_by,omitempty"`
	Abandoned   uint64        `json:"abandoned_claims,omitempty"`
	NextSeq     uint64        `json:"next_seq"`
	DurableSeq  uint64        `json:"durable_seq"`
	NotWritten  uint64        `json:"not_written"` // committed records that did not reach the archive
	Segments    uint64        `json:"segments"`
	FileBytes   uint64        `json:"file_bytes"` // written to the archive, headers included
	MaxLag      time.Duration `json:"-"`          // the longest time until something was durable, as far as seen
	MaxLagMs    float64       `json:"max_lag_ms"`
	Syncs       uint64        `json:"syncs"`
	TornBytes   int64         `json:"torn_bytes"` // of an earlier run's tail, set aside at the start
	TornFile    string        `json:"torn_file,omitempty"`
	Streams     []Stream      `json:"streams"`
	Interrupted bool          `json:"interrupted"`
	Error       string        `json:"error,omitempty"`

	// With --frame fix: messages of no session that is recorded, and their bytes with those that were no message.
	NoSession      uint64 `json:"no_session,omitempty"`
	NoSessionBytes uint64 `json:"no_session_bytes,omitempty"`
}

// newReport gathers the numbers once the recorder is closed.
func newReport(cfg *Config, stats recorder.Stats, sources []source.Status, recovered journal.Recovery) *Report {
	j := stats.Journal
	r := &Report{
		Dir: cfg.Dir, NextSeq: j.NextSeq, DurableSeq: j.DurableSeq,
		Segments: j.Segments, FileBytes: j.Bytes, Syncs: j.Syncs,
		TornBytes: recovered.TornBytes, TornFile: recovered.TornFile,
	}
	named := map[string]bool{}
	for i, src := range cfg.Sources {
		named[src.Name] = true
		s := Stream{Name: src.Name, Ring: src.Ring}
		if i < len(sources) {
			s.Connections = sources[i].Connections
			if err := sources[i].LastError; err != nil {
				s.Error = err.Error()
			}
		}
		for _, st := range stats.Streams {
			if st.Name == src.Name {
				s.count(&st)
			}
		}
		r.add(s)
	}
	for _, st := range stats.Streams { // FIX sessions: streams of no one source
		if !named[st.Name] {
			s := Stream{Name: st.Name}
			s.count(&st)
			r.add(s)
		}
	}
	return r
}

func (s *Stream) count(st *recorder.StreamStats) {
	s.Records, s.Bytes, s.Lost, s.LostBytes, s.Gaps = st.Records, st.Bytes, st.Lost, st.LostBytes, st.Gaps
	s.HighWater, s.Abandoned = st.LaneHighWater, st.Abandoned
	for _, l := range st.ByReason {
		if l.Records > 0 {
			s.LostBy.add(l.Reason, l.Records)
		}
	}
}

// rings says how large the rings of FIX sessions were.
func (r *Report) rings(sessions fixbuf.Stats) {
	for i := range r.Streams {
		for _, s := range sessions.Sessions {
			if r.Streams[i].Name == s.Name {
				r.Streams[i].Ring = s.Recording.LaneCapacity
			}
		}
	}
}

func (r *Report) add(s Stream) {
	r.Records += s.Records
	r.Bytes += s.Bytes
	r.Lost += s.Lost
	r.LostBytes += s.LostBytes
	r.Gaps += s.Gaps
	r.Abandoned += s.Abandoned
	for reason, n := range s.LostBy {
		r.LostBy.add(reason, n)
	}
	r.Streams = append(r.Streams, s)
}

// HighWater is the fullest that any lane was, as a share of its size.
func (r *Report) HighWater() (share float64, bytes int) {
	for _, s := range r.Streams {
		if s.Ring > 0 && float64(s.HighWater)/float64(s.Ring) >= share {
			share, bytes = float64(s.HighWater)/float64(s.Ring), s.HighWater
		}
	}
	return share, bytes
}
