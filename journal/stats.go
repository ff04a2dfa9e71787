package journal

import "time"

// Stats are counters of a Writer since Open, and where it stands now.
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

	LagRecords uint64        // records written and not yet durable
	LagBytes   uint64        // bytes written and not yet durable
	Lag        time.Duration // age of the oldest write that is not yet durable; 0 when all is

	Trimmed    uint64 // segments that Retention has removed
	Compressed uint64 // segments that were compressed
	KeepErr    error  // what keeps Retention or Compress from their work at the moment, ErrHeld for a cursor; recording goes on all the same

	Err error // the write or sync error that stopped the writer, nil when it runs
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
