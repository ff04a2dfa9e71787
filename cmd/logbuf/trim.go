package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/spf13/cobra"
)

const trimLong = `Remove the oldest segments of an archive: down to a size, an age, a number of segments
or records, or before a sequence or a time. Where several are given, each is kept.

Whole segments go, oldest first; never the last one, and never one that a cursor or a
hold still wants (logbuf cursor list). Records keep their numbers. The archive notes what
was removed before it goes, so that verify can tell it from a loss, and a crash in
between does no harm.

--keep-age goes by when a segment was finished, on this machine's clock; --before-time
by the times of the records: a segment goes when all of its records are earlier.

The archive must be at rest. A running recording trims itself: logbuf record --keep-size,
--keep-age. With --dry-run nothing is removed.

Exit codes: 0 trimmed, or nothing to do; 1 failed, or a writer has the archive open;
2 the archive's end is corrupt, nothing was removed; 3 unreadable; 64 usage.`

const trimExample = `  # what would go?
  logbuf trim day1 --keep-size 10GiB --dry-run

  # the last seven days, and no more than 100 GiB
  logbuf trim day1 --keep-age 7d --keep-size 100GiB

  # all before a record or a moment
  logbuf trim day1 --before-seq 5000000
  logbuf trim day1 --before-time 2026-11-21`

func newTrimCmd() *cobra.Command {
	var (
		keep        limits
		beforeSeq   uint64
		beforeTime  cli.When
		dryRun, utc bool
	)
	cmd := &cobra.Command{
		Use:               "trim DIR",
		Short:             "Remove the oldest segments of an archive",
		Long:              trimLong,
		Example:           trimExample,
		Args:              oneDir,
		ValidArgsFunction: completeDir,
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := keep.retention()
			if err != nil {
				return err
			}
			if r == (journal.Retention{}) && beforeSeq == 0 && !beforeTime.Given {
				return cli.Usagef("needs a limit: --keep-size, --keep-age, --keep-segments, --keep-records, --before-seq or --before-time")
			}
			gone, err := journal.Trim(args[0], &journal.TrimOptions{Retention: r, BeforeSeq: beforeSeq, BeforeTime: beforeTime.Nanos, DryRun: dryRun})
			if len(gone) > 0 || err == nil || errors.Is(err, journal.ErrHeld) {
				printTrim(cmd.OutOrStdout(), args[0], gone, dryRun, zoned(utc))
			}
			if errors.Is(err, journal.ErrHeld) {
				sayOn(cmd)("%v; see 'logbuf cursor list %s'", err, shellWord(args[0]))
				return nil
			}
			return workError(args[0], err)
		},
	}
	f := cmd.Flags()
	f.Var(&keep.size, "keep-size", "keep at most this `size` of segments: 500MiB, 10GiB")
	f.Var(&keep.age, "keep-age", "keep segments that were finished within this `time`: 12h, 7d")
	f.IntVar(&keep.segs, "keep-segments", 0, "keep at most this `number` of segments")
	f.Uint64Var(&keep.records, "keep-records", 0, "keep at most this `number` of records")
	f.Uint64Var(&beforeSeq, "before-seq", 0, "remove segments whose records are all below this sequence `number`")
	f.Var(&beforeTime, "before-time", "remove segments whose records are all before this `time`")
	f.BoolVar(&dryRun, "dry-run", false, "only say what would be removed")
	f.BoolVar(&utc, "utc", false, "times in UTC, not in local time")
	return cmd
}

func printTrim(w io.Writer, dir string, gone []journal.SegmentInfo, dryRun bool, at func(int64) string) {
	verb := "removed"
	if dryRun {
		verb = "would remove"
	}
	if len(gone) == 0 {
		fmt.Fprintf(w, "%s: %s nothing\n", dir, verb)
		return
	}
	var size int64
	for _, s := range gone {
		size += s.Size
	}
	fmt.Fprintf(w, "%s: %s %s, %s, %s\n", dir, verb, cli.Plural(len(gone), "segment"), cli.Bytes(size), recordSpan(gone[0].FirstSeq, gone[len(gone)-1].NextSeq))
	for _, s := range gone {
		until := ""
		if s.Records > 0 {
			until = ", until " + at(s.MaxTime)
		}
		fmt.Fprintf(w, "  %s  %s, %s%s\n", s.File, cli.Bytes(s.Size), recordSpan(s.FirstSeq, s.NextSeq), until)
	}
}
