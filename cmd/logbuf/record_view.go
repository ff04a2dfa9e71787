package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/capture"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/source"
	"github.com/nexus-logbuf/logbuf/journal"
)

// rateOver is how long a stretch the shown rates are taken over.
const rateOver = time.Second

// recordView shows the state of a recording: a status line on a terminal,
// otherwise a line a second if asked for.
type recordView struct {
	line  *cli.Status
	lines bool
	dir   string

	begun          bool
	at             time.Duration // of the last rates
	records, bytes uint64        // at that time
	rate, byteRate string
}

// show is called from one goroutine.
func (v *recordView) show(s *capture.Snapshot) {
	if !v.begun {
		v.begun = true
		v.line.Println("recording %s into %s; Ctrl-C ends it", cli.Plural(len(s.Sources), "source"), v.dir)
	}
	if !v.line.Active() && !v.lines {
		return
	}
	fresh := v.rates(s)
	switch {
	case v.line.Active():
		v.line.Set("%s", v.text(s))
	case fresh:
		v.line.Println("%s", v.text(s))
	}
}

// rates takes the rates anew when enough time has passed.
func (v *recordView) rates(s *capture.Snapshot) bool {
	records, bytes := totals(s)
	d := s.Elapsed - v.at
	if d < rateOver && v.rate != "" {
		return false
	}
	v.rate, v.byteRate = cli.Rate(records-v.records, d), cli.ByteRate(bytes-v.bytes, d)
	v.at, v.records, v.bytes = s.Elapsed, records, bytes
	return true
}

func totals(s *capture.Snapshot) (records, bytes uint64) {
	for _, st := range s.Stats.Streams {
		records += st.Records
		bytes += st.Bytes
	}
	return records, bytes
}

// text is the line. What matters most comes first: a narrow terminal cuts the end.
func (v *recordView) text(s *capture.Snapshot) string {
	var dropped uint64
	ring := 0.0
	for _, st := range s.Stats.Streams {
		dropped += st.Lost
		if st.LaneCapacity > 0 {
			ring = max(ring, float64(st.LaneHighWater)/float64(st.LaneCapacity))
		}
	}
	records, bytes := totals(s)
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s  %s  dropped %s  ring high %.0f%%  lag %s  %s  %s",
		cli.Elapsed(s.Elapsed.Truncate(100*time.Millisecond)), v.rate, v.byteRate,
		cli.Count(dropped), 100*ring, cli.Elapsed(s.Stats.Lag), cli.Plural(records, "record"), cli.Bytes(bytes))
	away := 0
	for _, src := range s.Sources {
		if src.State == source.Connecting || src.State == source.Waiting {
			away++
		}
	}
	if away > 0 {
		fmt.Fprintf(&b, "  %d of %d not connected", away, len(s.Sources))
	}
	stalled := time.Duration(0)
	for _, st := range s.Stats.Streams {
		stalled = max(stalled, st.StalledFor)
	}
	if stalled > 0 {
		fmt.Fprintf(&b, "  a claim stalls for %s", cli.Elapsed(stalled))
	}
	if s.Draining {
		b.WriteString("  draining")
	}
	return b.String()
}

// printRecordReport prints the final report for a person.
func printRecordReport(w io.Writer, r *capture.Report) {
	fmt.Fprintf(w, "recorded %s, %s in %s (%s, %s) into %s\n", cli.Plural(r.Records, "record"), cli.Bytes(r.Bytes), cli.Elapsed(r.Elapsed),
		cli.Rate(r.Records, r.Elapsed), cli.ByteRate(r.Bytes, r.Elapsed), r.Dir)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "STREAM\tRECORDS\tBYTES\tLOST\tGAPS\tRING HIGH\tCONNECTIONS")
	for _, s := range r.Streams {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%d\t%.0f%%\t%d\n", s.Name, cli.Count(s.Records), cli.Bytes(s.Bytes), cli.Count(s.Lost), s.Gaps,
			percent(s.HighWater, s.Ring), s.Connections)
	}
	tw.Flush()
	if r.Lost > 0 || r.Gaps > 0 {
		which := "; the archive says which"
		if r.NotWritten > 0 {
			which = "; the archive says which, as far as it could be written"
		}
		fmt.Fprintf(w, "lost: %s (%s%s) and %s of unknown size%s\n", cli.Plural(r.Lost, "record"), cli.Bytes(r.LostBytes), byReason(r.LostBy), cli.Plural(r.Gaps, "gap"), which)
	}
	if r.LostBy[journal.LossOverload] > 0 {
		fmt.Fprintf(w, "how large a ring would have held it: logbuf stat %s --sizing\n", shellWord(r.Dir))
	}
	if r.NoSessionBytes > 0 {
		fmt.Fprintf(w, "NOT RECORDED: %s with %s, of no FIX session or of one too many\n", cli.Bytes(r.NoSessionBytes), cli.Plural(r.NoSession, "message"))
	}
	if r.Abandoned > 0 {
		fmt.Fprintf(w, "claims that were open for too long, and passed: %s\n", cli.Count(r.Abandoned))
	}
	fmt.Fprintf(w, "wrote %s in %s; longest wait until durable %s\n", cli.Bytes(r.FileBytes), cli.Plural(r.Segments, "segment"), cli.Elapsed(r.MaxLag))
	if r.NotWritten > 0 {
		fmt.Fprintf(w, "NOT WRITTEN: %s that had come\n", cli.Plural(r.NotWritten, "record"))
	}
}

// byReason is "; overload 1,230, too large 4".
func byReason(lost capture.Losses) string {
	var parts []string
	for _, reason := range slices.Sorted(maps.Keys(lost)) {
		parts = append(parts, fmt.Sprintf("%s %s", reason, cli.Count(lost[reason])))
	}
	if len(parts) == 0 {
		return ""
	}
	return "; " + strings.Join(parts, ", ")
}

func percent(n, of int) float64 {
	if of == 0 {
		return 0
	}
	return 100 * float64(n) / float64(of)
}
