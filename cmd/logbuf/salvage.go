package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/spf13/cobra"
)

const salvageLong = `Read an archive past every damage, say exactly which records are missing, and with --out
copy what is left into a new archive. Nothing in DIR is changed; it may be read-only.

The unit of damage is the block: one with a wrong checksum is lost as a whole, and no
byte of it is copied. Everything else is found again, also behind missing files, and in
segments whose first page is destroyed, as long as their footer or their first blocks
are whole.

The copy has the same sequence numbers, streams, times and kinds. Where records are
missing it says so itself, in a loss record with the reason "damage" and in the
segment's header: 'logbuf verify' finds it clean and lists what is missing. It is
written to OUT.partial, read back and checked, and gets the name OUT when it is whole.
OUT must not exist, or be empty.

Exit codes: 0 all that can be read was read (and copied), however much is missing; 1
OUT cannot be written, or Ctrl-C (nothing is left behind); 3 unreadable; 64 usage.`

const salvageExample = `  # what is left, and what is not?
  logbuf salvage day1

  # copy it, and go on with the copy
  logbuf salvage day1 --out day1.good
  logbuf verify day1.good

  # the sequences that are gone
  logbuf salvage day1 --json | jq -c '.gaps[] | [.first_seq, .last_seq, .what]'`

func newSalvageCmd() *cobra.Command {
	var (
		out    string
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:               "salvage DIR",
		Short:             "Copy what is left of a damaged archive",
		Long:              salvageLong,
		Example:           salvageExample,
		Args:              oneDir,
		ValidArgsFunction: completeDir,
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("out") && out == "" {
				return cli.Usagef("--out is empty: write the directory of the new archive")
			}
			rep, err := runSalvage(cmd, args[0], out)
			if err != nil {
				return salvageError(args[0], out, err)
			}
			return printSalvage(cmd.OutOrStdout(), args[0], out, rep, asJSON)
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "write the new archive to this `directory`")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	complete(cmd, "out", completeDir)
	return cmd
}

// runSalvage draws a progress bar when stderr is a terminal.
func runSalvage(cmd *cobra.Command, dir, out string) (*journal.SalvageReport, error) {
	ctx, stop := readContext(cmd)
	defer stop()
	status, start := cli.NewStatus(cmd.ErrOrStderr()), time.Now()
	defer status.Clear()
	return journal.Salvage(dir, out, &journal.SalvageOptions{
		Stop:     ctx.Done(),
		Progress: func(done, total int64) { status.Progress("salvaging", done, total, start) },
	})
}

// salvageError gives an error of Salvage its exit code.
func salvageError(dir, out string, err error) error {
	switch {
	case errors.Is(err, context.Canceled) && out != "":
		return fmt.Errorf("interrupted: nothing is left of %s", out)
	case errors.Is(err, context.Canceled):
		return errors.New("interrupted before the end: nothing is printed")
	case errors.Is(err, journal.ErrNotArchive), errors.Is(err, journal.ErrVersion):
		return readError(dir, err)
	case out == "":
		return cli.Exit(cli.ExitUnreadable, err)
	}
	return err
}

// salvageJSON is what `salvage --json` prints. Fields are stable; new ones may be added.
type salvageJSON struct {
	Dir      string        `json:"dir"`
	Out      string        `json:"out,omitempty"`
	Segments int           `json:"segments"` // files found
	Records  uint64        `json:"records"`  // that can be read
	Control  uint64        `json:"control_records"`
	Bytes    uint64        `json:"payload_bytes"`
	FirstSeq uint64        `json:"first_seq"` // that there should be
	NextSeq  uint64        `json:"next_seq"`
	Lost     uint64        `json:"lost_records"` // those of the gaps that are known
	Gaps     []problemJSON `json:"gaps"`         // the first 10000
	GapN     int           `json:"gap_count"`
	Known    []gapJSON     `json:"known_before"` // trimmed, or declared by an earlier salvage
	Torn     *tornJSON     `json:"torn,omitempty"`
	OutFiles int           `json:"out_segments,omitempty"`
	OutBytes int64         `json:"out_bytes,omitempty"`
}

func newSalvageJSON(dir, out string, r *journal.SalvageReport) salvageJSON {
	j := salvageJSON{
		Dir: dir, Out: out, Segments: r.Segments, Records: r.Records, Control: r.Control, Bytes: r.Bytes, FirstSeq: r.FirstSeq, NextSeq: r.NextSeq,
		Lost: r.Lost, Gaps: []problemJSON{}, GapN: r.GapCount, Known: []gapJSON{}, OutFiles: r.OutSegments, OutBytes: r.OutSize,
	}
	for _, g := range r.Gaps {
		j.Gaps = append(j.Gaps, newProblemJSON(g))
	}
	for _, g := range r.Known {
		j.Known = append(j.Known, gapJSON{problemJSON: newProblemJSON(g), Trimmed: g.Trimmed})
	}
	if t := r.Torn; t != nil {
		j.Torn = &tornJSON{File: t.File, Offset: t.Offset, Bytes: t.Bytes, NextSeq: t.NextSeq, Reason: t.Reason}
	}
	return j
}

func printSalvage(w io.Writer, dir, out string, r *journal.SalvageReport, asJSON bool) error {
	o := cli.NewOutput(w)
	if asJSON {
		if err := json.NewEncoder(o).Encode(newSalvageJSON(dir, out, r)); err != nil {
			return err
		}
		return o.Flush()
	}
	printf := func(format string, args ...any) { fmt.Fprintf(o, format+"\n", args...) }
	printf("%s: %s in %s can be read, %s", dir, cli.Plural(r.Records, "record"), cli.Plural(r.Segments, "segment"), cli.Bytes(r.Bytes))
	for _, g := range r.Known {
		printf("known before: %s: %s; %s", g.File, g.Reason, lostRange(g.FirstSeq, g.LastSeq))
	}
	for _, g := range r.Gaps {
		printf("gap: %s at offset %d, %s: %s; %s", g.File, g.Offset, cli.Plural(g.Bytes, "byte"), g.Reason, lostRange(g.FirstSeq, g.LastSeq))
	}
	if more := r.GapCount - len(r.Gaps); more > 0 {
		printf("gap: and %s more", cli.Count(more))
	}
	if t := r.Torn; t != nil {
		printf("torn tail: %s at offset %d: %s after %s: %s; they were never promised and are left out",
			t.File, t.Offset, cli.Plural(t.Bytes, "byte"), afterSeq(t.NextSeq), t.Reason)
	}
	if r.GapCount > 0 {
		printf("lost: %s in %s", cli.Plural(r.Lost, "record"), cli.Plural(r.GapCount, "place"))
	} else {
		printf("lost: nothing")
	}
	if out != "" {
		printf("%s: written and read back: %s, %s", out, cli.Plural(r.OutSegments, "segment"), cli.Bytes(r.OutSize))
	} else if r.GapCount > 0 {
		printf("  to copy what can be read: logbuf salvage %s --out NEW", shellWord(dir))
	}
	return o.Flush()
}
