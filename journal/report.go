package journal

// Problem is one thing that is wrong with an archive.
type Problem struct {
	File     string // file name in the archive
	Offset   int64  // bytes from its start
	FirstSeq uint64 // first sequence lost
	LastSeq  uint64 // last sequence lost; FirstSeq−1 when none is known to be; MaxUint64 when the end is not known
	What     string // what is wrong
}

// Lost returns how many records the problem is known to have cost, and whether that number is known.
func (p Problem) Lost() (records uint64, known bool) {
	if p.LastSeq == ^uint64(0) && p.FirstSeq > 0 {
		return 0, false
	}
	return p.LastSeq + 1 - p.FirstSeq, true
}

// LossRecord is a loss record and where it stands.
type LossRecord struct {
	Loss
	Seq  uint64 // sequence of the next data record
	Name string // name of the stream, empty when it is not defined
}

// maxListed bounds how many problems and losses a Report lists. Their numbers are right all the same.
const maxListed = 10000

// Report is what Verify found.
type Report struct {
	Verdict  Verdict
	Sealed   bool // the last segment has its footer: the archive is closed
	Active   bool // a writer has the archive open; the report is about what it had written when Verify began
	Segments int
	Blocks   int64
	Records  uint64 // data records verified
	Control  uint64 // control records verified
	Bytes    uint64 // payload bytes of those data records
	FileSize int64  // bytes of all segment files
	FirstSeq uint64 // first sequence of the archive
	NextSeq  uint64 // sequence after the last verified record
	MinTime  int64  // earliest data record, nanoseconds since the Unix epoch; 0 when there is none
	MaxTime  int64  // latest data record; 0 when there is none

	Streams      map[uint16]string // names by id
	Losses       []LossRecord      // loss records, the first 10000
	LossRecords  int               // how many there are
	Problems     []Problem         // what is wrong, the first 10000
	ProblemCount int               // how many there are
	Torn         *TornError        // the torn tail, nil when there is none
	Foreign      []string          // files in the directory that are no part of an archive
}

func (r *Report) problem(p Problem) {
	r.ProblemCount++
	if len(r.Problems) < maxListed {
		r.Problems = append(r.Problems, p)
	}
}

func (r *Report) loss(l LossRecord) {
	r.LossRecords++
	if len(r.Losses) < maxListed {
		r.Losses = append(r.Losses, l)
	}
}
