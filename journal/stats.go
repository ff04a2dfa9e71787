package journal

import (
	"encoding/json"
	"time"
)

// Stats are counters of a Writer since Open, and where it stands now. As JSON they are an object with the fields' names as keys: durations
// are nanoseconds, errors their text and left out when nil, histograms what Histogram.MarshalJSON says.
type Stats struct {
	Epoch       uint64 // number of this open of the archive, from 1
	Segment     uint64 // number of the segment being written
	SegmentFile string // its file name
	SegmentSize int64  // its size so far, bytes

	NextSeq    uint64 // sequence of the next record
	DurableSeq uint64 // first sequence that is not known to be durable
	NextPos    uint64 // log position written so far, bytes
	DurablePos uint64 // log position known to be durable

	Segments uint64 // segments begun
	Blocks   uint64 // blocks written
	Records  uint64 // data records written
	Bytes    uint64 // bytes written, headers included

	Syncs      uint64        // syncs of data that succeeded
	SyncErrors uint64        // syncs that failed
	LastSync   time.Duration // how long the last sync took
	MaxSync    time.Duration // how long the slowest took

	WriteLatency Histogram // how long the writes of blocks took, nanoseconds; those that failed, too
	SyncLatency  Histogram // how long the syncs of data took that succeeded, nanoseconds

	LagRecords uint64        // records written and not yet durable
	LagBytes   uint64        // bytes written and not yet durable
	Lag        time.Duration // age of the oldest write that is not yet durable; 0 when all is

	Trimmed    uint64 // segments that Retention has removed
	Compressed uint64 // segments that were compressed
	KeepErr    error  // what keeps Retention or Compress from their work at the moment, ErrHeld for a cursor; recording goes on all the same

	Takeovers uint64 // times that a new segment took over from one that had failed, see Options.Retain
	Retained  int64  // bytes kept in memory for that now
	Reserve   int64  // bytes that Options.Reserve holds on the disk now

	Full      error     // a *WriteError: the disk is full, and the last attempt to write has failed; nil when it is not
	FullSince time.Time `json:",omitzero"` // since when, zero when it is not
	FullTimes uint64    // writes that found the disk full

	// The disk that the archive is being written on, as the writer has looked at it every few seconds, off the write path: a disk that does
	// not answer holds up nobody who asks for Stats.
	DiskAt   time.Time `json:",omitzero"` // when that was, zero when it was not or the system has no answer
	DiskSize int64     // its size, bytes
	DiskFree int64     // bytes of it that this process may still use
	DiskFill int64     // bytes a second by which DiskFree has shrunk, whoever it was, over the last 10 s to 5 minutes; negative when it grows

	Err error // the write or sync error that stopped the writer, nil when it runs
}

// Stats returns counters since Open, and where the writer stands now. After Close it returns the last ones.
func (w *Writer) Stats() Stats {
	reserve := w.reserve.size.Load()
	s := &w.sync
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Stats{
		Epoch: s.epoch, Segment: s.number, SegmentFile: s.cur.name, SegmentSize: int64(s.written.pos - s.cur.hdr.basePos),
		NextSeq: s.written.seq, DurableSeq: s.durable.seq, NextPos: s.written.pos, DurablePos: s.durable.pos,
		Segments: s.segments, Blocks: s.blocks.Load(), Records: s.written.seq - s.startSeq, Bytes: s.written.pos - s.startPos,
		Syncs: s.syncs, SyncErrors: s.syncErrors, LastSync: s.lastSync, MaxSync: s.maxSync,
		LagRecords: s.written.seq - s.durable.seq, LagBytes: s.written.pos - s.durable.pos,
		Takeovers: s.takeovers, Retained: w.retained.held.Load(), Reserve: reserve,
		WriteLatency: loadHistogram(&w.writeLatency), SyncLatency: loadHistogram(&w.syncLatency),
		FullSince: s.full.since, FullTimes: s.full.times,
		Err: s.failure(),
	}
	if s.full.in != 0 {
		st.Full = s.inDoubt(s.full.last)
	}
	since := s.inflightSince
	if since.IsZero() {
		since = s.pendingSince
	}
	if !since.IsZero() && st.LagBytes > 0 {
		st.Lag = time.Since(since)
	}
	w.keepStats(&st)
	w.space.stats(&st)
	return st
}

// DiskFullIn says when the disk will be full if it goes on filling as it does. ok is false when it is not filling, and when nobody knows.
func (s *Stats) DiskFullIn() (in time.Duration, ok bool) {
	if s.DiskAt.IsZero() || s.DiskFill <= 0 {
		return 0, false
	}
	const most = 1 << 62 // nanoseconds, 146 years
	return time.Duration(min(float64(s.DiskFree)/float64(s.DiskFill)*float64(time.Second), most)), true
}

// MarshalJSON is documented with Stats.
func (s Stats) MarshalJSON() ([]byte, error) {
	type plain Stats
	return json.Marshal(struct {
		plain
		KeepErr string `json:",omitempty"`
		Full    string `json:",omitempty"`
		Err     string `json:",omitempty"`
	}{plain(s), errorText(s.KeepErr), errorText(s.Full), errorText(s.Err)})
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// Verdict says what state an archive's end is in.
type Verdict uint8

// Verdicts. The zero value is none of them.
const (
	Clean   Verdict = 1 // all blocks are whole
	Torn    Verdict = 2 // the end is torn: bytes that nobody promised are no whole block
	Corrupt Verdict = 3 // bytes that were promised are missing or damaged
	Lossy   Verdict = 4 // records are missing in the middle or at the start that nobody was promised, or that were never said to be trimmed
)

// String returns clean, torn, corrupt or loss.
func (v Verdict) String() string {
	switch v {
	case Clean:
		return "clean"
	case Torn:
		return "torn"
	case Corrupt:
		return "corrupt"
	case Lossy:
		return "loss"
	}
	return "unknown"
}

// Recovery is what Open found and did.
type Recovery struct {
	Verdict   Verdict // Clean, Torn when a tail was cut, Lossy when records before the last segment were lost
	Unclean   bool    // the last writer did not close the archive
	Segments  int     // segments found
	NextSeq   uint64  // sequence after the last whole record
	TornFile  string  // name of the file the tail was copied to, empty when none was cut; there may be one for the segment before, too
	TornBytes int64   // bytes cut
	TornFirst uint64  // first sequence that was in the tail, as far as its headers can be read
	TornLast  uint64  // last one; TornFirst−1 when none is known
	LossFirst uint64  // Lossy: first sequence lost in a power cut, while what was written after it is there
	LossLast  uint64  // last one; LossFirst−1 when no record was among what was lost
}
