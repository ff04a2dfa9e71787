package main

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
)

// counts is what `stat` counts, for the archive and for each stream. The fields are stable; new ones may be added.
type counts struct {
	Records     uint64  `json:"records"`
	Bytes       uint64  `json:"payload_bytes"`
	FirstSeq    uint64  `json:"first_seq"`
	LastSeq     uint64  `json:"last_seq"` // meaningless when records is 0
	FirstTime   string  `json:"first_time,omitempty"`
	LastTime    string  `json:"last_time,omitempty"`
	Seconds     float64 `json:"seconds"`
	MinSize     int     `json:"min_size"`
	MaxSize     int     `json:"max_size"`
	Losses      uint64  `json:"losses"` // loss records
	LostRecords uint64  `json:"lost_records"`
	LostBytes   uint64  `json:"lost_bytes"`

	minTime, maxTime int64
}

type streamStats struct {
	ID   uint16 `json:"id"`
	Name string `json:"name"`
	counts
}

type archiveStats struct {
	Dir     string `json:"dir"`
	Verdict string `json:"verdict"` // clean, torn, loss, corrupt; else says why there is none
	Damage  string `json:"damage,omitempty"`
	counts
	Gaps      int            `json:"gaps"`            // places where sequences are missing
	Missing   uint64         `json:"missing_records"` // in them
	Trimmed   uint64         `json:"trimmed_records"` // removed on purpose, before the first segment
	FileBytes int64          `json:"file_bytes"`
	Epochs    int            `json:"epochs"` // times a writer opened the archive, as far as its segments are there
	Segments  []segmentStats `json:"segments"`
	Streams   []*streamStats `json:"streams"`
}

type segmentStats struct {
	File       string `json:"file"`
	Bytes      int64  `json:"bytes"`
	Number     uint64 `json:"number"` // 0 when the header cannot be read
	Epoch      uint64 `json:"epoch"`
	FirstSeq   uint64 `json:"first_seq"`
	Records    uint64 `json:"records"`
	Lost       uint64 `json:"lost_records"`
	RawBytes   int64  `json:"frame_bytes"` // before compression
	FirstTime  string `json:"first_time,omitempty"`
	LastTime   string `json:"last_time,omitempty"`
	Sealed     bool   `json:"sealed"`
	Compressed bool   `json:"compressed"`
}

func (c *counts) add(rec journal.Record) {
	size := len(rec.Payload)
	if c.Records == 0 {
		c.FirstSeq, c.MinSize, c.minTime, c.maxTime = rec.Seq, size, rec.Time, rec.Time
	}
	c.Records++
	c.Bytes += uint64(size)
	c.LastSeq = rec.Seq
	c.MinSize, c.MaxSize = min(c.MinSize, size), max(c.MaxSize, size)
	c.minTime, c.maxTime = min(c.minTime, rec.Time), max(c.maxTime, rec.Time)
}

func (c *counts) addLoss(l journal.Loss) {
	c.Losses++
	c.LostRecords += l.Records
	c.LostBytes += l.Bytes
}

// span is the time between the earliest and the latest record.
func (c *counts) span() time.Duration { return time.Duration(c.maxTime - c.minTime) }

func (c *counts) finish() {
	if c.Records > 0 {
		c.FirstTime, c.LastTime = timeJSON(c.minTime), timeJSON(c.maxTime)
		c.Seconds = c.span().Seconds()
	}
}

// finish completes the counts with names, files and the verdict. err is how the reading ended.
func (c *counting) finish(ended bool, err error) (*archiveStats, error) {
	s := c.stats
	s.Verdict, s.Damage = c.verdict(ended, err), describeDamage(err, c.reader.Torn())
	s.counts.finish()
	s.Streams = []*streamStats{}
	for id, stream := range c.byID {
		stream.Name = c.names.of(id)
		stream.counts.finish()
		s.Streams = append(s.Streams, stream)
	}
	slices.SortFunc(s.Streams, func(a, b *streamStats) int { return int(a.ID) - int(b.ID) })
	return s, s.addSegments(c.dir)
}

func (c *counting) verdict(ended bool, err error) string {
	var corrupt *journal.CorruptionError
	switch {
	case errors.As(err, &corrupt):
		return journal.Corrupt.String()
	case err != nil:
		return "unreadable"
	case c.missing:
		return journal.Lossy.String()
	case c.reader.Torn() != nil:
		return journal.Torn.String()
	case !ended || c.sel.fromSeq > 0 || c.sel.from.Given:
		return "not read from end to end"
	}
	return journal.Clean.String()
}

// addSegments fills in what the segments say of themselves.
func (s *archiveStats) addSegments(dir string) error {
	infos, err := journal.Segments(dir, nil)
	if err != nil {
		return err
	}
	if len(infos) > 0 && infos[0].Before != nil {
		s.addBefore(*infos[0].Before)
	}
	epochs := make(map[uint64]bool)
	s.Segments = []segmentStats{}
	for _, info := range infos {
		seg := segmentStats{
			File: info.File, Bytes: info.Size, Number: info.Number, Epoch: info.Epoch, FirstSeq: info.FirstSeq, Records: info.Records,
			Lost: info.Lost, RawBytes: info.RawBytes, Sealed: info.Sealed, Compressed: info.Compressed,
		}
		if info.Records > 0 {
			seg.FirstTime, seg.LastTime = timeJSON(info.MinTime), timeJSON(info.MaxTime)
		}
		s.Segments = append(s.Segments, seg)
		s.FileBytes += info.Size
		epochs[info.Epoch] = true
	}
	s.Epochs = len(epochs)
	return nil
}

// addBefore notes what is missing before the first segment, as Verify does.
func (s *archiveStats) addBefore(g journal.Gap) {
	missing, _ := g.Lost()
	if g.Trimmed {
		s.Trimmed = missing
		return
	}
	s.Gaps++
	s.Missing += missing
	if s.Verdict == journal.Clean.String() || s.Verdict == journal.Torn.String() {
		s.Verdict = journal.Lossy.String()
	}
	if s.Damage == "" {
		s.Damage = fmt.Sprintf("%s: %s; %s", g.File, g.Reason, lostRange(g.FirstSeq, g.LastSeq))
	}
}

// fastVerdict is the verdict of a look at headers and footers only. It names what it is worth.
const fastVerdict = "not verified: from headers and footers"

// fastStats counts what the segments say of themselves, without reading a record.
func fastStats(dir string) (*archiveStats, error) {
	infos, err := journal.Segments(dir, nil)
	if err != nil {
		return nil, err
	}
	s := &archiveStats{Dir: dir, Verdict: fastVerdict, Streams: []*streamStats{}}
	var next uint64
	for i, info := range infos {
		switch {
		case info.Number == 0:
			s.Damage = info.File + ": the header cannot be read"
		case i > 0 && info.FirstSeq > next:
			s.Gaps++
			s.Missing += info.FirstSeq - next
		}
		next = info.NextSeq
		if info.Records == 0 {
			continue
		}
		if s.Records == 0 {
			s.FirstSeq, s.minTime, s.maxTime = info.FirstSeq, info.MinTime, info.MaxTime
		}
		s.Records += info.Records
		s.LastSeq = info.NextSeq - 1
		s.minTime, s.maxTime = min(s.minTime, info.MinTime), max(s.maxTime, info.MaxTime)
	}
	for _, info := range infos {
		s.LostRecords += info.Lost
	}
	s.counts.finish()
	return s, s.addSegments(dir)
}
