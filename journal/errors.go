package journal

import (
	"errors"
	"fmt"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// Errors to test for with errors.Is.
var (
	// ErrLocked says that another writer has the archive open.
	ErrLocked = vfs.ErrLocked
	// ErrNotArchive says that a directory is not there, is not a directory, or holds no segment.
	ErrNotArchive = errors.New("not an archive")
	// ErrVersion says that a file was written by a later version of the format.
	ErrVersion = errors.New("format version not supported")
	// ErrTooLarge says that a record can never fit a block.
	ErrTooLarge = errors.New("record larger than a block")
	// ErrFrames says that AppendFrames was given bytes that are not whole frames.
	ErrFrames = errors.New("malformed frames")
	// ErrHeld says that retention or Trim has kept more than its limits allow, because a cursor or a hold still wants it.
	ErrHeld = errors.New("kept for a cursor")
)

// CorruptionError says that bytes which were promised as durable, or which later data builds on, are missing or damaged.
type CorruptionError struct {
	File     string // name of the file in the archive
	Offset   int64  // where the damage begins, in bytes from the start of the file
	FirstSeq uint64 // first sequence lost
	LastSeq  uint64 // last sequence lost; FirstSeq−1 when no record is known to be lost; MaxUint64 when the end is not known
	Reason   string // what is wrong
}

// Error names file, offset, the range of sequences lost and the reason.
func (e *CorruptionError) Error() string {
	return fmt.Sprintf("journal: %s: corrupt at offset %d: %s (%s)", e.File, e.Offset, e.Reason, seqRange(e.FirstSeq, e.LastSeq))
}

// TornError says that an archive ends in bytes that are no whole block and that nobody promised: what a crash leaves behind.
type TornError struct {
	File    string // name of the file in the archive
	Offset  int64  // where the whole blocks end
	Bytes   int64  // bytes from there to the end of the file
	NextSeq uint64 // sequence after the last whole one
	Reason  string // what is wrong with the first bytes
}

// Error names file, offset and size of the torn tail.
func (e *TornError) Error() string {
	return fmt.Sprintf("journal: %s: torn tail of %d bytes at offset %d, after sequence %d: %s", e.File, e.Bytes, e.Offset, int64(e.NextSeq)-1, e.Reason)
}

// WriteError says that a write or a sync failed. Unless Full is set it stays: every later call returns it.
type WriteError struct {
	Op       string // write, sync, create, rename, sync directory
	File     string // path of the file
	Offset   int64  // where, in bytes from the start of the file; −1 when that says nothing
	FirstSeq uint64 // first sequence in doubt: it may be lost with a crash
	LastSeq  uint64 // last sequence in doubt; FirstSeq−1 when there is none
	Err      error  // the system's error
	Full     bool   // there was no room, and that is all: nothing is broken, what was written before is there, and the next call tries again
}

// Error names operation, file, offset, the range of sequences in doubt and the system's error.
func (e *WriteError) Error() string {
	at := ""
	if e.Offset >= 0 {
		at = fmt.Sprintf(" at offset %d", e.Offset)
	}
	doubt := "no sequence in doubt"
	if e.LastSeq+1 > e.FirstSeq {
		doubt = fmt.Sprintf("sequences %d to %d in doubt", e.FirstSeq, e.LastSeq)
	}
	return fmt.Sprintf("journal: %s of %s%s failed, %s: %v", e.Op, e.File, at, doubt, e.Err)
}

// Unwrap returns the system's error.
func (e *WriteError) Unwrap() error { return e.Err }

func seqRange(first, last uint64) string {
	switch {
	case last+1 == first:
		return "no sequence known to be lost"
	case last == ^uint64(0):
		return fmt.Sprintf("sequences from %d on lost", first)
	default:
		return fmt.Sprintf("sequences %d to %d lost", first, last)
	}
}
