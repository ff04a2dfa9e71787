package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/export"
	"github.com/nexus-logbuf/logbuf/journal"
)

// exportRows is a printer that also takes gaps, counts, and has an end.
type exportRows interface {
	printer
	gap(g journal.Gap) error
	close() error
	counts() *exportCounts
}

// exportCounts are what was exported.
type exportCounts struct {
	records, losses, gaps uint64
	lost                  uint64 // records that the losses and gaps count
}

func (c *exportCounts) counts() *exportCounts { return c }

// String says it in words.
func (c *exportCounts) String() string {
	text := cli.Plural(c.records, "record")
	if c.losses > 0 {
		text += ", " + plural(c.losses, "loss", "losses")
	}
	if c.gaps > 0 {
		text += ", " + cli.Plural(c.gaps, "gap")
	}
	if c.lost > 0 {
		text += fmt.Sprintf(" (%s missing)", cli.Plural(c.lost, "record"))
	}
	return text
}

func plural(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return cli.Count(n) + " " + many
}

// count counts a record or loss.
func (c *exportCounts) count(rec journal.Record) {
	switch {
	case rec.Kind == journal.KindLoss:
		c.losses++
		if l, err := journal.ParseLoss(rec.Payload); err == nil {
			c.lost += l.Records
		}
	case !isControl(rec):
		c.records++
	}
}

func (c *exportCounts) countGap(g journal.Gap) {
	c.gaps++
	n, _ := g.Lost()
	c.lost += n
}

// jsonRows are lines as `cat --format json` prints them, and a line for each gap.
type jsonRows struct {
	jsonPrinter
	exportCounts
	out io.Writer
}

func (j *jsonRows) print(w io.Writer, rec journal.Record) error {
	j.count(rec)
	return j.jsonPrinter.print(w, rec)
}

// exportGapJSON is the object "gap" of a line of kind gap.
type exportGapJSON struct {
	First   uint64  `json:"first"`
	Last    *uint64 `json:"last,omitempty"`    // when the end is known
	Records *uint64 `json:"records,omitempty"` // likewise
	Bytes   int64   `json:"bytes"`
	File    string  `json:"file"`
	Offset  int64   `json:"offset"`
	Reason  string  `json:"reason"`
	Trimmed bool    `json:"trimmed,omitempty"`
}

func (j *jsonRows) gap(g journal.Gap) error {
	j.countGap(g)
	line := struct {
		Seq  uint64        `json:"seq"`
		Kind string        `json:"kind"`
		Gap  exportGapJSON `json:"gap"`
	}{g.FirstSeq, "gap", exportGapJSON{First: g.FirstSeq, Bytes: g.Bytes, File: g.File, Offset: g.Offset, Reason: g.Reason, Trimmed: g.Trimmed}}
	if n, ok := g.Lost(); ok {
		line.Gap.Records = &n
		if n > 0 {
			line.Gap.Last = &g.LastSeq
		}
	}
	return json.NewEncoder(j.out).Encode(line)
}

func (*jsonRows) close() error { return nil }

// tableRows are rows of a format of package export: data records, losses, gaps and marks. Stream definitions, opens and closes are none.
type tableRows struct {
	exportCounts
	names *streamNames
	w     export.Writer
	row   export.Row
}

func (t *tableRows) print(_ io.Writer, rec journal.Record) error {
	t.count(rec)
	code := rec.Flags & journal.FlagSourceMask
	t.row = export.Row{Seq: rec.Seq, Time: rec.Time, StreamID: rec.Stream, Kind: kindName(rec), Payload: rec.Payload}
	if rec.Stream != 0 {
		t.row.Stream = t.names.of(rec.Stream)
	}
	switch {
	case rec.Kind == journal.KindLoss:
		t.row.Payload = nil
		t.row.Loss = lossOf(rec)
	case rec.Kind == journal.KindMark:
		t.row.Payload = afterVersion(rec.Payload)
	case isControl(rec):
		return nil
	default:
		t.row.Code = code
		if rec.Kind == journal.KindData {
			t.row.Opcode = opcodes[code]
		}
		t.row.Final, t.row.Outbound = rec.Flags&journal.FlagFinal != 0, rec.Flags&journal.FlagOutbound != 0
		t.row.Compressed, t.row.Truncated = rec.Flags&journal.FlagCompressed != 0, rec.Flags&journal.FlagTruncated != 0
	}
	return t.w.Write(&t.row)
}

func lossOf(rec journal.Record) *export.Loss {
	l, err := journal.ParseLoss(rec.Payload)
	if err != nil {
		return &export.Loss{Reason: unreadable(rec, err)}
	}
	return &export.Loss{First: l.First, Records: l.Records, Bytes: l.Bytes, From: l.From, To: l.To, Reason: l.Reason.String()}
}

func (t *tableRows) gap(g journal.Gap) error {
	t.countGap(g)
	n, _ := g.Lost()
	reason := g.Reason
	if g.Trimmed {
		reason = "trimmed: " + reason
	}
	t.row = export.Row{Seq: g.FirstSeq, NoTime: true, Kind: "gap", Loss: &export.Loss{First: g.FirstSeq, Records: n, Reason: reason}}
	return t.w.Write(&t.row)
}

func (t *tableRows) close() error { return t.w.Close() }
