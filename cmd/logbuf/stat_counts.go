package main

import (
	"errors"
	"os"
	"regexp"
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
	Verdict string `json:"verdict"` // clean, torn, corrupt; "not read to the end" when a bound ended it
	Damage  string `json:"damage,omitempty"`
	counts
	FileBytes int64          `json:"file_bytes"`
	Epochs    int            `json:"epochs"` // times a writer opened the archive, as far as its segments are there
	Segments  []segmentStats `json:"segments"`
	Streams   []*streamStats `json:"streams"`
}

type segmentStats struct {
	File  string `json:"file"`
	Bytes int64  `json:"bytes"`
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
	return s, s.addFiles(c.dir)
}

func (c *counting) verdict(ended bool, err error) string {
	var corrupt *journal.CorruptionError
	switch {
	case errors.As(err, &corrupt):
		return journal.Corrupt.String()
	case err != nil:
		return "unreadable"
	case c.reader.Torn() != nil:
		return journal.Torn.String()
	case !ended || c.sel.fromSeq > 0 || c.sel.from.Given:
		return "not read from end to end"
	}
	return journal.Clean.String()
}

// segmentName matches <first sequence, 20 digits>-<epoch, 8 hex>.lbj.
var segmentName = regexp.MustCompile(`^[0-9]{20}-([0-9a-f]{8,})\.lbj$`)

func (s *archiveStats) addFiles(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	epochs := make(map[string]bool)
	s.Segments = []segmentStats{}
	for _, e := range entries {
		match := segmentName.FindStringSubmatch(e.Name())
		if match == nil {
			continue
		}
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue // it went since the listing, or is foreign
		}
		s.Segments = append(s.Segments, segmentStats{File: e.Name(), Bytes: info.Size()})
		s.FileBytes += info.Size()
		epochs[match[1]] = true
	}
	s.Epochs = len(epochs)
	return nil
}
