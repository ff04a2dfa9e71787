package journal

import "maps"

// LossRecord is a loss record and where it stands.
type LossRecord struct {
	Loss
	Seq  uint64 // sequence of the next data record
	Name string // name of the stream, empty when it is not defined
}

// StreamTotal is what an archive has of one stream.
type StreamTotal struct {
	Records uint64 // data records
	Bytes   uint64 // payload bytes of them
	Lost    uint64 // records that the stream's loss records speak of
	MinTime int64  // earliest data record, nanoseconds since the Unix epoch; 0 when there is none
	MaxTime int64  // latest data record; 0 when there is none
}

// add takes in one data record.
func (t *StreamTotal) add(bytes uint64, time int64) {
	if t.Records == 0 {
		t.MinTime, t.MaxTime = time, time
	}
	t.Records++
	t.Bytes += bytes
	t.MinTime, t.MaxTime = min(t.MinTime, time), max(t.MaxTime, time)
}

// addAll takes in data records, of which there is at least one.
func (t *StreamTotal) addAll(info *frameInfo) {
	*t = t.plus(StreamTotal{Records: uint64(info.count), Bytes: info.bytes, MinTime: info.minTime, MaxTime: info.maxTime})
}

// plus returns the totals of both.
func (t StreamTotal) plus(u StreamTotal) StreamTotal {
	switch {
	case u.Records == 0:
	case t.Records == 0:
		t.MinTime, t.MaxTime = u.MinTime, u.MaxTime
	default:
		t.MinTime, t.MaxTime = min(t.MinTime, u.MinTime), max(t.MaxTime, u.MaxTime)
	}
	t.Records += u.Records
	t.Bytes += u.Bytes
	t.Lost += u.Lost
	return t
}

// maxListed bounds how many problems, gaps and losses a report lists. Their numbers are right all the same.
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

	Streams      map[uint16]string      // names by id
	Totals       map[uint16]StreamTotal // by id, for streams that have records or losses; 0 holds what is of no stream
	Losses       []LossRecord           // loss records, the first 10000
	LossRecords  int                    // how many there are
	Problems     []Gap                  // what is wrong, the first 10000
	ProblemCount int                    // how many there are
	Gaps         []Gap                  // records that are missing and known to be, the first 10000: declared, trimmed or, with verdict Lossy, lost
	GapCount     int                    // how many there are
	Torn         *TornError             // the torn tail, nil when there is none
	Foreign      []string               // files in the directory that are no part of an archive

	lost int // gaps that are neither declared nor trimmed
}

func newReport() *Report {
	return &Report{Streams: make(map[uint16]string), Totals: make(map[uint16]StreamTotal), MinTime: noMinTime, MaxTime: noMaxTime}
}

func (r *Report) problem(g Gap) { r.Problems, r.ProblemCount = listed(r.Problems, g), r.ProblemCount+1 }
func (r *Report) gap(g Gap)     { r.Gaps, r.GapCount = listed(r.Gaps, g), r.GapCount+1 }

// lose notes a gap that makes the verdict Lossy.
func (r *Report) lose(g Gap) {
	r.gap(g)
	r.lost++
}

func (r *Report) loss(l LossRecord) {
	r.Losses, r.LossRecords = listed(r.Losses, l), r.LossRecords+1
}

// listed appends to a list that has not reached maxListed.
func listed[T any](list []T, v ...T) []T {
	return append(list, v[:min(len(v), maxListed-len(list))]...)
}

// add takes in the report on the next segment.
func (r *Report) add(s *Report) {
	r.Blocks += s.Blocks
	r.Records += s.Records
	r.Control += s.Control
	r.Bytes += s.Bytes
	r.MinTime, r.MaxTime = min(r.MinTime, s.MinTime), max(r.MaxTime, s.MaxTime)
	maps.Copy(r.Streams, s.Streams)
	for id, t := range s.Totals {
		r.Totals[id] = r.Totals[id].plus(t)
	}
	r.Losses, r.LossRecords = listed(r.Losses, s.Losses...), r.LossRecords+s.LossRecords
	r.Problems, r.ProblemCount = listed(r.Problems, s.Problems...), r.ProblemCount+s.ProblemCount
	r.Gaps, r.GapCount = listed(r.Gaps, s.Gaps...), r.GapCount+s.GapCount
	r.lost += s.lost
	r.Sealed, r.Torn = s.Sealed, s.Torn
}
