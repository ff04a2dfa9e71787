package journal

import (
	"errors"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

var errTODO = errors.New("journal: not built yet")

// VerifyOptions are the options of Verify. Nil is the default.
type VerifyOptions struct {
	FS       vfs.FS                  // default: the operating system's
	Progress func(done, total int64) // called now and then with bytes read and bytes there are; default none
}

// Problem is one thing that is wrong with an archive.
type Problem struct {
	File     string // file name in the archive
	Offset   int64  // bytes from its start
	FirstSeq uint64 // first sequence lost
	LastSeq  uint64 // last sequence lost; FirstSeq−1 when none is known to be
	What     string // what is wrong
}

// LossRecord is a loss record and where it stands.
type LossRecord struct {
	Loss
	Seq  uint64 // sequence of the next data record
	Name string // name of the stream, if defined
}

// Report is what Verify found.
type Report struct {
	Verdict  Verdict
	Segments int
	Blocks   int64
	Records  uint64 // data records, all verified
	Control  uint64 // control records
	Bytes    int64  // payload bytes of data records
	FileSize int64  // bytes of all segments
	FirstSeq uint64
	NextSeq  uint64 // sequence after the last verified record
	MinTime  int64  // earliest record, nanoseconds since the Unix epoch; 0 when there is none
	MaxTime  int64  // latest record
	Streams  map[uint16]string
	Losses   []LossRecord
	Problems []Problem
	Torn     *TornError // the torn tail, if there is one
	Foreign  []string   // files in the directory that are no part of an archive
}

// Verify reads the whole archive in dir and checks every byte of it. It changes nothing and works while a writer is active.
func Verify(dir string, opts *VerifyOptions) (*Report, error) { return nil, errTODO }
