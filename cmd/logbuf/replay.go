package main

import (
	"fmt"
	"io"
	"time"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/replay"
	"github.com/spf13/cobra"
)

const replayLong = `Print the records of an archive at the pace at which they came in, a multiple of it,
or without pauses.

The schedule is absolute: a record that is late does not delay those after it. With
--max-gap long silences are shortened. The default format is raw: payloads byte for
byte, for the program that would have read the live feed.

Ctrl-C ends it with exit code 0. At the end a line on stderr says how much was
replayed and how late records were, when stderr is a terminal or with --summary.`

const replayExample = `  # as it was, into the program under test
  logbuf replay day1 --stream trades | ./strategy

  # a day in 24 minutes, no silence longer than a second
  logbuf replay day1 --speed 60x --max-gap 1s --format text

  # as fast as the reader takes it
  logbuf replay day1 --speed max > /dev/null`

// replaying is the flags of replay.
type replaying struct {
	sel     selection
	print   printing
	speed   cli.Speed
	maxGap  cli.Duration
	summary bool
}

func newReplayCmd() *cobra.Command {
	p := replaying{speed: 1}
	cmd := &cobra.Command{
		Use:               "replay DIR",
		Short:             "Print records at the pace of the recording, or faster",
		Long:              replayLong,
		Example:           replayExample,
		Args:              oneDir,
		ValidArgsFunction: completeDir,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := p.sel.check(cmd.Flags()); err != nil {
				return err
			}
			return p.run(cmd, args[0])
		},
	}
	cmd.Flags().Var(&p.speed, "speed", "`speed`: 1x as recorded, 10x, 0.5x, or max for no pauses")
	cmd.Flags().Var(&p.maxGap, "max-gap", "shorten pauses to this `duration` of the replay (default no limit)")
	cmd.Flags().BoolVar(&p.summary, "summary", false, "print the summary on stderr also when that is no terminal")
	p.print.addFlags(cmd, formatRaw)
	p.sel.addFlags(cmd.Flags())
	complete(cmd, "stream", completeStream)
	complete(cmd, "speed", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return []string{"1x", "10x", "100x", "max"}, cobra.ShellCompDirectiveNoFileComp
	})
	return cmd
}

func (p *replaying) run(cmd *cobra.Command, dir string) error {
	opts := &journal.ReaderOptions{Control: p.print.control()}
	p.sel.narrow(opts)
	a, err := openArchive(dir, opts)
	if err != nil {
		return err
	}
	defer a.close()
	ctx, stop := readContext(cmd)
	defer stop()
	out := cli.NewOutput(cmd.OutOrStdout())
	printed := &pass{archive: a, sel: &p.sel, printer: p.print.printer(a.names), out: out}

	report, err := replay.Run(ctx, a.reader, p.sink(printed), p.options(printed))
	ended := err == nil && !p.sel.endSeq
	if err != nil {
		err = printed.nextError(ctx, err)
	}
	err = printed.finish(cmd, ended, err)
	if p.summary || cli.IsTerminal(cmd.ErrOrStderr()) {
		p.printSummary(cmd.ErrOrStderr(), report)
	}
	return err
}

// options gives the player its schedule. A --to-seq of 0 is left to the filter.
func (p *replaying) options(printed *pass) *replay.Options {
	opts := &replay.Options{
		Speed:      float64(p.speed),
		MaxGap:     time.Duration(p.maxGap),
		Filter:     func(rec journal.Record) bool { return p.sel.match(rec, printed.names) },
		BeforeWait: printed.out.Flush,
	}
	if p.sel.endSeq {
		opts.LastSeq = p.sel.toSeq
	}
	return opts
}

// sink prints records. Control records have passed no filter yet.
func (p *replaying) sink(printed *pass) replay.Sink {
	return func(rec journal.Record) error {
		if isControl(rec) && (!p.sel.match(rec, printed.names) || printed.repeated(rec)) {
			return nil
		}
		return printed.printer.print(printed.out, rec)
	}
}

func (p *replaying) printSummary(w io.Writer, r replay.Report) {
	fmt.Fprintf(w, "replayed %s, %s in %s (recorded in %s; %s, %s)", cli.Plural(r.Records, "record"), cli.Bytes(r.Bytes),
		cli.Elapsed(r.Elapsed), cli.Elapsed(r.Recorded()), cli.Rate(r.Records, r.Elapsed), cli.ByteRate(r.Bytes, r.Elapsed))
	if p.speed > 0 {
		fmt.Fprintf(w, "; late by %s at most, %s for 50%%, %s for 99%%",
			cli.Elapsed(r.Lateness.Max), cli.Elapsed(r.Lateness.P50), cli.Elapsed(r.Lateness.P99))
	}
	if r.GapsCut > 0 {
		fmt.Fprintf(w, "; %s shortened by %s", cli.Plural(r.GapsCut, "pause"), cli.Elapsed(r.GapTime))
	}
	if r.ClockSteps > 0 {
		fmt.Fprintf(w, "; clock stepped back %d times", r.ClockSteps)
	}
	fmt.Fprintln(w)
}
