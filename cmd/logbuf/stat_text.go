package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
)

// printStatText prints what stat found, for people. Errors of w stick in it.
func printStatText(w io.Writer, s *archiveStats, zone *time.Location) {
	fmt.Fprintf(w, "%s: %s\n", s.Dir, s.Verdict)
	if s.Damage != "" {
		fmt.Fprintf(w, "  %s\n", s.Damage)
	}
	fmt.Fprintf(w, "  records   %s%s\n", cli.Count(s.Records), numbered(&s.counts))
	if s.Records > 0 {
		at := func(ns int64) string { return time.Unix(0, ns).In(zone).Format(timeLayout) }
		fmt.Fprintf(w, "  time      %s to %s, %s\n", at(s.minTime), at(s.maxTime), cli.Elapsed(s.span()))
		if s.Verdict != fastVerdict {
			fmt.Fprintf(w, "  payload   %s; %s to %s, %s on average\n", cli.Bytes(s.Bytes), sizeOf(s.MinSize), sizeOf(s.MaxSize), sizeOf(int(s.Bytes/s.Records)))
			fmt.Fprintf(w, "  rate      %s, %s\n", cli.Rate(s.Records, s.span()), cli.ByteRate(s.Bytes, s.span()))
		} else {
			fmt.Fprintf(w, "  rate      %s\n", cli.Rate(s.Records, s.span()))
		}
	}
	if s.Verdict != fastVerdict {
		fmt.Fprintf(w, "  lost      %s\n", lost(&s.counts))
	} else {
		fmt.Fprintf(w, "  lost      %s\n", lostRecords(s.LostRecords))
	}
	if s.Gaps > 0 {
		fmt.Fprintf(w, "  missing   %s in %s\n", cli.Plural(s.Missing, "record"), cli.Plural(s.Gaps, "gap"))
	}
	if s.Trimmed > 0 {
		fmt.Fprintf(w, "  trimmed   %s, the oldest\n", cli.Plural(s.Trimmed, "record"))
	}
	fmt.Fprintf(w, "  files     %s, %s, %s\n", cli.Plural(len(s.Segments), "segment"), cli.Bytes(s.FileBytes), cli.Plural(s.Epochs, "epoch"))
	if len(s.Streams) == 0 {
		return
	}
	fmt.Fprintln(w)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "STREAM\tRECORDS\tBYTES\tRATE\tSIZES\tLOST")
	for _, t := range s.Streams {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s to %s\t%s\n", appendSafe(nil, []byte(t.Name)), cli.Count(t.Records), cli.Bytes(t.Bytes),
			cli.Rate(t.Records, t.span()), sizeOf(t.MinSize), sizeOf(t.MaxSize), lost(&t.counts))
	}
	table.Flush()
}

func numbered(c *counts) string {
	if c.Records == 0 {
		return ""
	}
	return fmt.Sprintf(", number %d to %d", c.FirstSeq, c.LastSeq)
}

func sizeOf(n int) string { return cli.Bytes(n) }

func lostRecords(n uint64) string {
	if n == 0 {
		return "nothing"
	}
	return cli.Plural(n, "record")
}

func lost(c *counts) string {
	if c.Losses == 0 {
		return "nothing"
	}
	return fmt.Sprintf("%s, %s (%s)", cli.Plural(c.LostRecords, "record"), cli.Bytes(c.LostBytes), cli.Plural(c.Losses, "loss record"))
}
