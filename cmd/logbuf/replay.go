package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/replay"
	"github.com/spf13/cobra"
)

const replayLong = `Give out the records of an archive again: at the pace at which they came in, a
multiple of it, at a fixed rate, or without pauses.

--to says where they go:
  -                        standard output, the default
  tcp://HOST:PORT          a TCP connection to that address
  tcp-listen://HOST:PORT   every client that connects by TCP
  ws-listen://HOST:PORT    every client that connects by WebSocket: the recorded
                           frames again, with their opcodes and fragments, pings
                           and close; only what came in, not what went out
Each client gets the replay from the start, on a schedule of its own: one that is
slow or dead holds up no other. A WebSocket client gets one stream: the one whose
name its path is, or ends the name with (/BTC-USD for feed.example:80/BTC-USD), or
?stream=NAME; if there is only one, that.

The default format is raw: payloads byte for byte, for the program that would have
read the live feed. --frame says what goes between them: nothing (raw), a newline
where the payload has none (line), or the payload's length before it, 4 bytes, big
endian (len32).

The schedule is absolute: a record that is late does not delay those after it, so
a replay does not drift. --late says what happens when the receiver falls behind:
  catch-up   what is overdue goes out without pauses (the default)
  shift      the rest of the schedule moves; pauses stay what they were
  drop       records later than --late-after are left out and counted; messages in
             fragments go as a whole
With --max-gap long silences are shortened. With --loop the records are given out
again, their times moved so that they go on. A clock that was stepped back while
recording makes no pause.

Ctrl-C ends it with exit code 0; WebSocket clients are told (close code 1001). At
the end a line on stderr says how much was replayed and how late records were, when
stderr is a terminal or with --summary; with -listen there is one for each client.

Exit codes: 0 all given out, or Ctrl-C; 1 the peer is gone or takes nothing, or the
address cannot be used; 2 corrupt, 3 unreadable archive; 64 usage.`

const replayExample = `  # as it was, into the program under test
  logbuf replay day1 --stream trades | ./strategy

  # a day in 24 minutes, no silence longer than a second
  logbuf replay day1 --speed 60x --max-gap 1s --format text

  # the recorded feed again, for the client that once consumed it
  logbuf replay day1 --to ws-listen://127.0.0.1:8765
  logbuf record ws://127.0.0.1:8765/BTC-USD --dir day1-again

  # 5000 records a second over TCP, over and over
  logbuf replay day1 --to tcp://127.0.0.1:9000 --frame len32 --rate 5000 --loop 0`

// replaying is the flags of replay.
type replaying struct {
	sel       selection
	print     printing
	to        target
	frame     frame
	speed     cli.Speed
	rate      float64
	maxGap    cli.Duration
	loop      int
	late      string
	lateAfter cli.Duration
	patience  cli.Duration
	clients   int
	salvage   bool
	summary   bool

	policy replay.Late // of late
}

var latePolicies = []string{"catch-up", "shift", "drop"} // replay.Late in words

func newReplayCmd() *cobra.Command {
	p := &replaying{speed: 1, to: target{kind: toStdout}, lateAfter: cli.Duration(replay.DefaultTolerance), patience: cli.Duration(30 * time.Second)}
	cmd := &cobra.Command{
		Use:               "replay DIR",
		Short:             "Give records out again, at the pace of the recording or another",
		Long:              replayLong,
		Example:           replayExample,
		Args:              oneDir,
		ValidArgsFunction: completeDir,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := p.check(cmd); err != nil {
				return err
			}
			return p.run(cmd, args[0])
		},
	}
	f := cmd.Flags()
	f.Var(&p.to, "to", "`where` records go: -, tcp://HOST:PORT, tcp-listen://HOST:PORT or ws-listen://HOST:PORT")
	f.Var(&p.frame, "frame", "`how` raw payloads are told apart: raw, line or len32")
	f.Var(&p.speed, "speed", "`speed`: 1x as recorded, 10x, 0.5x, or max for no pauses")
	f.Float64Var(&p.rate, "rate", 0, "records per second, whatever their times; 0 = as --speed says")
	f.Var(&p.maxGap, "max-gap", "shorten pauses to this `duration` of the replay; 0 = no limit")
	f.IntVar(&p.loop, "loop", 1, "give everything out this `number` of times; 0 = until Ctrl-C")
	f.StringVar(&p.late, "late", "catch-up", "what to do (`policy`) when the receiver falls behind: catch-up, shift or drop")
	f.Var(&p.lateAfter, "late-after", "how late a record may be before --late shift and drop see to it")
	f.Var(&p.patience, "peer-timeout", "give up on a peer that takes nothing for this `duration`; 0 = never")
	f.IntVar(&p.clients, "clients", 0, "with -listen: end after this `number` of clients; 0 = at Ctrl-C")
	f.BoolVar(&p.salvage, "salvage", false, "go on behind damage, and say what is missing")
	f.BoolVar(&p.summary, "summary", false, "print the summary on stderr also when that is no terminal")
	p.print.addFlags(cmd, formatRaw)
	p.sel.addFlags(f)
	p.sel.addLast(f)
	p.sel.addOrder(cmd)
	complete(cmd, "stream", completeStream)
	for flag, words := range map[string][]string{
		"speed": {"1x", "10x", "100x", "max"}, "late": latePolicies, "frame": frameNames,
	} {
		complete(cmd, flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
	}
	complete(cmd, "to", cobra.FixedCompletions([]string{"-", "tcp://", "tcp-listen://", "ws-listen://"}, cobra.ShellCompDirectiveNoSpace|cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// check completes the flags after they were read.
func (p *replaying) check(cmd *cobra.Command) error {
	f := cmd.Flags()
	if err := p.sel.check(f); err != nil {
		return err
	}
	switch {
	case !(p.rate >= 0) || p.rate > 1e9:
		return cli.Usagef("--rate %v: must be 0 to 1e9 records per second", p.rate)
	case p.rate > 0 && f.Changed("speed"):
		return cli.Usagef("--rate and --speed are two paces: give one")
	case p.rate > 0 && p.maxGap > 0:
		return cli.Usagef("--max-gap says nothing with --rate: all pauses are the same")
	case p.loop < 0:
		return cli.Usagef("--loop %d: must be 0 (until Ctrl-C) or more", p.loop)
	case p.frame != frameRaw && (p.print.format != formatRaw || p.to.kind == toWebSocket):
		return cli.Usagef("--frame %s is for raw payloads on standard output and TCP", p.frame)
	case p.to.kind == toWebSocket && f.Changed("format"):
		return cli.Usagef("--format says nothing about ws-listen: its clients get the recorded frames")
	case p.clients < 0 || p.clients > 0 && !p.to.listens():
		return cli.Usagef("--clients %d: must be 0 or more, and is for tcp-listen and ws-listen", p.clients)
	}
	for i, word := range latePolicies {
		if p.late == word {
			p.policy = replay.Late(i)
			return nil
		}
	}
	return cli.Usagef("--late %q: must be %s", p.late, strings.Join(latePolicies, ", "))
}

func (p *replaying) run(cmd *cobra.Command, dir string) error {
	ctx, stop := readContext(cmd)
	defer stop()
	switch p.to.kind {
	case toTCP:
		return p.toTCP(ctx, cmd, dir)
	case toTCPClients, toWebSocket:
		return p.serve(ctx, cmd, dir)
	}
	report, err := p.write(ctx, cmd, dir, cli.NewOutput(cmd.OutOrStdout()))
	if p.summary || cli.IsTerminal(cmd.ErrOrStderr()) {
		fmt.Fprintln(cmd.ErrOrStderr(), p.summarize(report))
	}
	return err
}

// write replays into out in the format that is asked for.
func (p *replaying) write(ctx context.Context, cmd *cobra.Command, dir string, out output) (replay.Report, error) {
	opts := &journal.ReaderOptions{Control: p.print.control(), Salvage: p.salvage}
	a, err := p.sel.open(dir, opts)
	if err != nil {
		return replay.Report{}, err
	}
	defer a.close()
	printer := p.print.printer(a.names)
	if p.frame != frameRaw {
		printer = &framedPrinter{frame: p.frame}
	}
	printed := &pass{archive: a, sel: &p.sel, printer: printer, out: out}
	r := &player{replaying: p, archive: a, readerOptions: *opts, sel: &p.sel, flush: out.Flush, say: sayOn(cmd)}
	report, err := r.play(ctx, func(rec journal.Record) error {
		if printed.repeated(rec) {
			return nil
		}
		return printer.print(out, rec)
	})
	return report, printed.finish(cmd, err == nil && !p.sel.endSeq, err)
}

// summarize says how much was replayed and how late it was.
func (p *replaying) summarize(r replay.Report) string {
	var b strings.Builder
	fmt.Fprintf(&b, "replayed %s, %s in %s (recorded in %s; %s, %s)", cli.Plural(r.Records, "record"), cli.Bytes(r.Bytes),
		cli.Elapsed(r.Elapsed), cli.Elapsed(r.Recorded()), cli.Rate(r.Records, r.Elapsed), cli.ByteRate(r.Bytes, r.Elapsed))
	if p.speed > 0 || p.rate > 0 {
		fmt.Fprintf(&b, "; late by %s at most, %s for 50%%, %s for 99%%, %s for 99.9%%", cli.Elapsed(r.Lateness.Max),
			cli.Elapsed(r.Lateness.P50), cli.Elapsed(r.Lateness.P99), cli.Elapsed(r.Lateness.P999))
	}
	if r.GapsCut > 0 {
		fmt.Fprintf(&b, "; %s shortened by %s", cli.Plural(r.GapsCut, "pause"), cli.Elapsed(r.GapTime))
	}
	if r.ClockSteps > 0 {
		fmt.Fprintf(&b, "; clock stepped back %d times", r.ClockSteps)
	}
	if r.Shifts > 0 {
		fmt.Fprintf(&b, "; schedule moved %s by %s", cli.Plural(r.Shifts, "time"), cli.Elapsed(r.ShiftTime))
	}
	if r.Dropped > 0 {
		fmt.Fprintf(&b, "; LEFT OUT: %s, %s, that were late", cli.Plural(r.Dropped, "record"), cli.Bytes(r.DroppedBytes))
	}
	if r.Gaps > 0 {
		fmt.Fprintf(&b, "; MISSING: %s in %s", cli.Plural(r.Missing, "record"), cli.Plural(r.Gaps, "gap"))
	}
	if r.Passes > 1 {
		fmt.Fprintf(&b, "; %d passes", r.Passes)
	}
	return b.String()
}
