package main

import (
	"maps"
	"slices"

	"github.com/nexus-logbuf/logbuf/journal"
)

// verifyJSON is what `verify --json` prints. Fields are stable; new ones may be added.
type verifyJSON struct {
	Dir       string            `json:"dir"`
	Verdict   string            `json:"verdict"` // clean, torn, loss, corrupt
	Sealed    bool              `json:"sealed"`  // closed in good order
	Active    bool              `json:"active"`  // a writer has it open
	Records   uint64            `json:"records"`
	Control   uint64            `json:"control_records"`
	Bytes     uint64            `json:"payload_bytes"`
	FileBytes int64             `json:"file_bytes"`
	Segments  int               `json:"segments"`
	Blocks    int64             `json:"blocks"`
	FirstSeq  uint64            `json:"first_seq"`
	NextSeq   uint64            `json:"next_seq"`
	MinTime   string            `json:"min_time,omitempty"`
	MaxTime   string            `json:"max_time,omitempty"`
	Streams   map[uint16]string `json:"streams"`
	Problems  []problemJSON     `json:"problems"` // the first 10000
	ProblemN  int               `json:"problem_count"`
	Gaps      []gapJSON         `json:"gaps"` // the first 10000
	GapN      int               `json:"gap_count"`
	Totals    []streamTotalJSON `json:"stream_totals"`
	Torn      *tornJSON         `json:"torn,omitempty"`
	Losses    []lossRecordJSON  `json:"losses"` // the first 10000
	LossN     int               `json:"loss_records"`
	Foreign   []string          `json:"foreign,omitempty"`
}

// problemJSON says what is wrong. The range is missing when no record is known to be lost, and its end when that is not
// known.
type problemJSON struct {
	File     string  `json:"file"`
	Offset   int64   `json:"offset"`
	FirstSeq *uint64 `json:"first_seq,omitempty"`
	LastSeq  *uint64 `json:"last_seq,omitempty"`
	What     string  `json:"what"`
}

// gapJSON says which records are missing although nothing is damaged.
type gapJSON struct {
	problemJSON
	Trimmed bool `json:"trimmed"` // removed on purpose, and a note says so
}

// streamTotalJSON is what there is of one stream; stream_id 0 holds what is of none.
type streamTotalJSON struct {
	Stream   string `json:"stream,omitempty"`
	StreamID uint16 `json:"stream_id"`
	Records  uint64 `json:"records"`
	Bytes    uint64 `json:"payload_bytes"`
	Lost     uint64 `json:"lost_records"`
	MinTime  string `json:"min_time,omitempty"`
	MaxTime  string `json:"max_time,omitempty"`
}

func newStreamTotals(r *journal.Report) []streamTotalJSON {
	list := []streamTotalJSON{}
	for _, id := range slices.Sorted(maps.Keys(r.Totals)) {
		t := r.Totals[id]
		s := streamTotalJSON{Stream: r.Streams[id], StreamID: id, Records: t.Records, Bytes: t.Bytes, Lost: t.Lost}
		if t.Records > 0 {
			s.MinTime, s.MaxTime = timeJSON(t.MinTime), timeJSON(t.MaxTime)
		}
		list = append(list, s)
	}
	return list
}

type tornJSON struct {
	File    string `json:"file"`
	Offset  int64  `json:"offset"`
	Bytes   int64  `json:"bytes"`
	NextSeq uint64 `json:"next_seq"`
	Reason  string `json:"reason"`
}

type lossRecordJSON struct {
	Seq      uint64 `json:"seq"` // of the data record after it
	Stream   string `json:"stream,omitempty"`
	StreamID uint16 `json:"stream_id"`
	lossJSON
}

func newVerifyJSON(dir string, r *journal.Report) verifyJSON {
	v := verifyJSON{
		Dir: dir, Verdict: r.Verdict.String(), Sealed: r.Sealed, Active: r.Active, Records: r.Records, Control: r.Control, Bytes: r.Bytes,
		FileBytes: r.FileSize, Segments: r.Segments, Blocks: r.Blocks, FirstSeq: r.FirstSeq, NextSeq: r.NextSeq,
		Streams: r.Streams, Foreign: r.Foreign,
		Problems: []problemJSON{}, ProblemN: r.ProblemCount, Gaps: []gapJSON{}, GapN: r.GapCount, Totals: newStreamTotals(r),
		Losses: []lossRecordJSON{}, LossN: r.LossRecords,
	}
	if v.Streams == nil {
		v.Streams = map[uint16]string{}
	}
	if r.MinTime != 0 || r.MaxTime != 0 {
		v.MinTime, v.MaxTime = timeJSON(r.MinTime), timeJSON(r.MaxTime)
	}
	for _, p := range r.Problems {
		v.Problems = append(v.Problems, newProblemJSON(p))
	}
	for _, g := range r.Gaps {
		v.Gaps = append(v.Gaps, gapJSON{problemJSON: newProblemJSON(g), Trimmed: g.Trimmed})
	}
	if t := r.Torn; t != nil {
		v.Torn = &tornJSON{File: t.File, Offset: t.Offset, Bytes: t.Bytes, NextSeq: t.NextSeq, Reason: t.Reason}
	}
	for _, l := range r.Losses {
		v.Losses = append(v.Losses, lossRecordJSON{Seq: l.Seq, Stream: l.Name, StreamID: l.Stream, lossJSON: newLossJSON(l.Loss)})
	}
	return v
}

func newProblemJSON(p journal.Gap) problemJSON {
	j := problemJSON{File: p.File, Offset: p.Offset, What: p.Reason}
	if p.LastSeq+1 == p.FirstSeq {
		return j
	}
	j.FirstSeq = &p.FirstSeq
	if p.LastSeq != ^uint64(0) {
		j.LastSeq = &p.LastSeq
	}
	return j
}
