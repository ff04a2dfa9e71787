package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/spf13/cobra"
)

const verifyLong = `Read an archive from end to end, check every byte of it, and say what is there, what
is damaged and what was lost. Nothing is changed; a writer may be active.

A torn tail is what a crash leaves behind: bytes that were never promised as
durable. Corruption is damage to bytes that were. A loss is neither: records are
missing that nobody was promised (a power cut between two segments), or the oldest
segments are gone and no note says that they were removed on purpose.

Records that the archive says were lost (a full ring, a reconnect) are listed too, as
is what was trimmed or declared missing by 'logbuf salvage'; that is no damage.

Exit codes: 0 clean, 1 torn tail, 2 corrupt, 3 unreadable, 4 loss, 64 usage.`

const verifyExample = `  logbuf verify day1

  # in a script
  logbuf verify day1 >/dev/null && rsync -a day1/ backup/day1/

  # which sequences are lost?
  logbuf verify day1 --json | jq '.problems[] | {file, first_seq, last_seq}'`

func newVerifyCmd() *cobra.Command {
	var (
		asJSON, utc bool
		workers     int
	)
	cmd := &cobra.Command{
		Use:               "verify DIR",
		Short:             "Check every byte of an archive",
		Long:              verifyLong,
		Example:           verifyExample,
		Args:              oneDir,
		ValidArgsFunction: completeDir,
		RunE: func(cmd *cobra.Command, args []string) error {
			if workers < 0 {
				return cli.Usagef("--workers %d is negative: write how many segments to read at once, or 0 for one per core", workers)
			}
			report, err := runVerify(cmd.ErrOrStderr(), args[0], workers)
			if err != nil {
				return readError(args[0], err)
			}
			if err := printVerify(cmd.OutOrStdout(), args[0], report, asJSON, utc); err != nil {
				return err
			}
			return verdictExit(report.Verdict)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	cmd.Flags().BoolVar(&utc, "utc", false, "times in UTC (json always is), not in local time")
	cmd.Flags().IntVar(&workers, "workers", 0, "read so many segments at once (default one per core); on a rotating disk 1 is best")
	return cmd
}

// runVerify draws a progress bar when stderr is a terminal.
func runVerify(stderr io.Writer, dir string, workers int) (*journal.Report, error) {
	status, start := cli.NewStatus(stderr), time.Now()
	defer status.Clear()
	return journal.Verify(dir, &journal.VerifyOptions{
		Workers:  workers,
		Progress: func(done, total int64) { status.Progress("verifying", done, total, start) },
	})
}

// verdictExit gives the exit code of a verdict. The report has said the rest.
func verdictExit(v journal.Verdict) error {
	switch v {
	case journal.Clean:
		return nil
	case journal.Torn:
		return &cli.ExitError{Code: cli.ExitTorn}
	case journal.Lossy:
		return &cli.ExitError{Code: cli.ExitLoss}
	case journal.Corrupt:
		return &cli.ExitError{Code: cli.ExitCorrupt}
	}
	return cli.Exit(cli.ExitUnreadable, errors.New("the archive has no verdict"))
}

func printVerify(w io.Writer, dir string, r *journal.Report, asJSON, utc bool) error {
	out := cli.NewOutput(w)
	if asJSON {
		if err := json.NewEncoder(out).Encode(newVerifyJSON(dir, r)); err != nil {
			return err
		}
		return out.Flush()
	}
	zone := time.Local
	if utc {
		zone = time.UTC
	}
	v := verifyText{out: out, r: r, at: func(ns int64) string { return time.Unix(0, ns).In(zone).Format(timeLayout) }}
	v.summary(dir)
	v.problems(dir)
	v.losses()
	v.foreign()
	return out.Flush()
}

// verifyText prints a report for people. Errors of the output stick in it and come back from its Flush.
type verifyText struct {
	out *cli.Output
	r   *journal.Report
	at  func(ns int64) string
}

func (v verifyText) printf(format string, args ...any) { fmt.Fprintf(v.out, format+"\n", args...) }

func (v verifyText) summary(dir string) {
	r := v.r
	v.printf("%s: %v", dir, r.Verdict)
	v.printf("  records   %s, %s", seqSpan(r.Records, r.FirstSeq, r.NextSeq), cli.Bytes(r.Bytes))
	if r.MinTime != 0 || r.MaxTime != 0 {
		v.printf("  time      %s to %s, %s", v.at(r.MinTime), v.at(r.MaxTime), cli.Elapsed(time.Duration(r.MaxTime-r.MinTime)))
	}
	v.printf("  files     %s, %s, %s", cli.Plural(r.Segments, "segment"), cli.Plural(r.Blocks, "block"), cli.Bytes(r.FileSize))
	v.printf("  streams   %d", len(r.Streams))
	v.printf("  writer    %s", writerState(r))
}

func writerState(r *journal.Report) string {
	switch {
	case r.Active:
		return "recording now; checked is what it had written when this began"
	case r.Sealed:
		return "closed in good order"
	}
	return "gone without closing"
}

// seqSpan says how many records there are and how they are numbered.
func seqSpan(records, first, next uint64) string {
	if next == first {
		return cli.Count(records)
	}
	return fmt.Sprintf("%s, number %d to %d", cli.Count(records), first, next-1)
}

func (v verifyText) problems(dir string) {
	v.gaps()
	for _, p := range v.r.Problems {
		v.printf("problem: %s at offset %d: %s; %s", p.File, p.Offset, p.Reason, lostRange(p.FirstSeq, p.LastSeq))
	}
	if more := v.r.ProblemCount - len(v.r.Problems); more > 0 {
		v.printf("problem: and %s more", cli.Count(more))
	}
	if t := v.r.Torn; t != nil && v.r.Verdict == journal.Torn {
		v.printf("torn tail: %s at offset %d: %s after %s: %s", t.File, t.Offset, cli.Plural(t.Bytes, "byte"), afterSeq(t.NextSeq), t.Reason)
		v.printf("  nothing that was durable is missing; the next writer, or 'logbuf repair', sets these bytes aside in a .torn file")
	}
	if v.r.Verdict == journal.Corrupt {
		v.printf("  'logbuf cat' reads up to the damage, and behind it with --from-seq; to copy all that can be read:")
		v.printf("  logbuf salvage %s --out NEW", shellWord(dir))
	}
}

// gaps prints what is missing without being damage.
func (v verifyText) gaps() {
	for _, g := range v.r.Gaps {
		what := "missing"
		if g.Trimmed {
			what = "trimmed"
		}
		v.printf("%s: before or in %s at offset %d: %s; %s", what, g.File, g.Offset, g.Reason, goneRange(g))
	}
	if more := v.r.GapCount - len(v.r.Gaps); more > 0 {
		v.printf("missing: and %s more", cli.Count(more))
	}
}

func afterSeq(next uint64) string {
	if next == 0 {
		return "no record"
	}
	return fmt.Sprintf("record %d", next-1)
}

func lostRange(first, last uint64) string { return rangeThat(first, last, "lost") }

// goneRange says which records are missing in a gap: trimmed ones are not called lost.
func goneRange(g journal.Gap) string {
	if g.Trimmed {
		return rangeThat(g.FirstSeq, g.LastSeq, "gone")
	}
	return lostRange(g.FirstSeq, g.LastSeq)
}

func rangeThat(first, last uint64, are string) string {
	switch {
	case last+1 == first:
		return "no record is known to be " + are
	case last == ^uint64(0):
		return fmt.Sprintf("records from %d on are %s", first, are)
	case first == last:
		return fmt.Sprintf("record %d is %s", first, are)
	}
	return fmt.Sprintf("records %d to %d are %s (%s)", first, last, are, cli.Count(last-first+1))
}

func (v verifyText) losses() {
	if len(v.r.Losses) == 0 {
		return
	}
	var records, bytes uint64
	for _, l := range v.r.Losses {
		records, bytes = records+l.Records, bytes+l.Bytes
	}
	more := v.r.LossRecords - len(v.r.Losses)
	atLeast := ""
	if more > 0 {
		atLeast = "at least "
	}
	v.printf("lost, as the archive says: %s%s, %s, in %s:", atLeast, cli.Plural(records, "record"), cli.Bytes(bytes),
		cli.Plural(v.r.LossRecords, "loss record"))
	for _, l := range v.r.Losses {
		v.printf("  before %d  %s  %s", l.Seq, streamLabel(l), describeLoss(l.Loss, v.at))
	}
	if more > 0 {
		v.printf("  and %s more", cli.Count(more))
	}
}

func streamLabel(l journal.LossRecord) string {
	if l.Name == "" {
		return fmt.Sprintf("#%d", l.Stream)
	}
	return string(appendSafe(nil, []byte(l.Name)))
}

func (v verifyText) foreign() {
	for _, name := range v.r.Foreign {
		v.printf("not part of the archive: %s", appendSafe(nil, []byte(name)))
	}
}
