package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/nexus-logbuf/logbuf/adapter/tracebuf"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/export"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/spf13/cobra"
)

// learn reads all definitions of telemetry in an archive: they may stand behind what they describe. Damage ends it; who reads the records
// then meets it again.
func learn(ctx context.Context, dir string, salvage bool, say func(string, ...any)) (*tracebuf.Decoder, error) {
	d := new(tracebuf.Decoder)
	a, err := openArchive(dir, &journal.ReaderOptions{Salvage: salvage})
	if err != nil {
		return nil, err
	}
	defer a.close()
	bad := 0
	for {
		rec, err := a.reader.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return d, context.Cause(ctx)
		case isPassed(err):
			continue
		case err != nil:
			return d, nil
		}
		if err := d.Learn(rec); err != nil {
			if bad++; bad == 1 {
				say("warning: %v; what it describes is left out", err)
			}
		}
	}
}

// isPassed tells errors behind which a reader goes on.
func isPassed(err error) bool {
	_, gap := errors.AsType[*journal.GapError](err)
	_, again := errors.AsType[*journal.ReissueError](err)
	return gap || again
}

// traceRows is what exports of telemetry have in common: records are decoded, those that are none or are not defined are counted.
type traceRows struct {
	exportCounts
	names     *streamNames
	d         *tracebuf.Decoder
	undefined uint64
	others    uint64
	decoded   bool
	broken    error // the first record that says it is telemetry and is not
}

// decode decodes a data record. ok is false for those that are left out.
func (t *traceRows) decode(rec journal.Record) (e tracebuf.Entry, ok bool) {
	if !tracebuf.IsKind(rec.Kind) {
		t.others++
		return e, false
	}
	if rec.Kind == tracebuf.KindDefine {
		return e, false
	}
	e, err := t.d.Decode(rec)
	if err != nil {
		t.undefined++
		if !errors.Is(err, tracebuf.ErrUndefined) {
			t.broken = cmp.Or(t.broken, err)
		}
		return e, false
	}
	t.decoded = true
	return e, true
}

// warn says what was left out.
func (t *traceRows) warn(say func(string, ...any)) {
	switch {
	case t.broken != nil:
		say("warning: %s left out: no definition, or not what the definition says: %v", cli.Plural(t.undefined, "record"), t.broken)
	case t.undefined > 0:
		say("warning: %s left out: the archive has no definition of them", cli.Plural(t.undefined, "record"))
	case !t.decoded && t.others > 0:
		say("warning: nothing there is telemetry (package tracebuf); left out: %s", cli.Plural(t.others, "record"))
	}
}

// perfettoRows writes a trace.
type perfettoRows struct {
	traceRows
	w *export.Perfetto
}

func (t *perfettoRows) print(_ io.Writer, rec journal.Record) error {
	stream := ""
	if rec.Stream != 0 {
		stream = t.names.of(rec.Stream)
	}
	switch {
	case rec.Kind == journal.KindLoss:
		t.count(rec)
		l := lossOf(rec)
		return t.w.Note(stream, rec.Time, "records lost", "records", l.Records, "bytes", l.Bytes, "reason", l.Reason, "stream", stream)
	case rec.Kind == journal.KindMark:
		return t.w.Note("", rec.Time, "mark", "text", string(afterVersion(rec.Payload)))
	case rec.Kind == journal.KindOpen:
		return t.w.Reopened()
	case isControl(rec):
		return nil
	}
	e, ok := t.decode(rec)
	if !ok {
		return nil
	}
	t.records++
	return t.w.Entry(stream, &e)
}

func (t *perfettoRows) gap(g journal.Gap) error {
	t.countGap(g)
	n, _ := g.Lost()
	return t.w.Note("", 0, "records missing", "first", g.FirstSeq, "records", n, "reason", g.Reason)
}

func (t *perfettoRows) close() error { return t.w.Close() }

// eventRows writes a table of one event.
type eventRows struct {
	traceRows
	name  string
	w     *export.EventsCSV
	begun map[spanKey]int64 // when the spans that are open began
	row   export.EventRow
}

type spanKey struct{ track, span uint32 }

// maxBegun is the most open spans whose begin is remembered. A program that does not end its spans has more.
const maxBegun = 1 << 20

func newEventRows(names *streamNames, d *tracebuf.Decoder, name string, out io.Writer) (*eventRows, error) {
	var schemas []tracebuf.Schema
	var known []string
	for _, s := range d.Schemas() {
		if s.Name == name {
			schemas = append(schemas, s)
		}
		known = append(known, s.Name)
	}
	if schemas == nil {
		if known == nil {
			return nil, fmt.Errorf("no event is named %q: the archive has none", name)
		}
		return nil, fmt.Errorf("no event is named %q; there are: %s", name, strings.Join(quoteAll(slices.Compact(known)), ", "))
	}
	t := &eventRows{traceRows: traceRows{names: names, d: d}, name: name, begun: make(map[spanKey]int64)}
	t.w = export.NewEventsCSV(out, schemas)
	return t, nil
}

func (t *eventRows) print(_ io.Writer, rec journal.Record) error {
	t.row = export.EventRow{Row: export.Row{Seq: rec.Seq, Time: rec.Time}}
	if rec.Stream != 0 {
		t.row.Stream = t.names.of(rec.Stream)
	}
	if rec.Kind == journal.KindLoss {
		t.count(rec)
		t.row.Kind, t.row.Loss = "loss", lossOf(rec)
		return t.w.Write(&t.row, "")
	}
	if isControl(rec) {
		return nil
	}
	e, ok := t.decode(rec)
	if !ok || e.Name != t.name || e.Kind == tracebuf.KindSample {
		return nil
	}
	t.records++
	key := spanKey{e.Track.ID, e.Span}
	switch e.Kind {
	case tracebuf.KindBegin:
		if len(t.begun) == maxBegun {
			clear(t.begun)
		}
		t.begun[key] = e.Time
	case tracebuf.KindEnd:
		t.row.Took = -1
		if from, ok := t.begun[key]; ok {
			t.row.Took = max(e.Time-from, 0)
			delete(t.begun, key)
		}
	}
	t.row.Entry = &e
	process, _ := t.d.Process(e.Track.Process)
	return t.w.Write(&t.row, process.Name)
}

func (t *eventRows) gap(g journal.Gap) error {
	t.countGap(g)
	n, _ := g.Lost()
	t.row = export.EventRow{Row: export.Row{Seq: g.FirstSeq, NoTime: true, Kind: "gap", Loss: &export.Loss{Records: n}}}
	return t.w.Write(&t.row, "")
}

func (*eventRows) close() error { return nil } // every line has been written

// completeEvent completes the names of events and counters of the archive that was named before.
func completeEvent(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completeStreamFor)
	defer cancel()
	d, _ := learn(ctx, args[0], false, func(string, ...any) {}) // a completion has no one to tell of errors
	if d == nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, s := range d.Schemas() {
		names = append(names, s.Name)
	}
	return slices.Compact(names), cobra.ShellCompDirectiveNoFileComp
}
