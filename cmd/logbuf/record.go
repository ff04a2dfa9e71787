package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/capture"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/config"
	"github.com/nexus-logbuf/logbuf/internal/vfs"
	"github.com/spf13/cobra"
)

const recordLong = `Record one or more sources into an archive until they end, the time given by
--for is up, or Ctrl-C.

A source is one of
  ws://HOST/PATH, wss://HOST/PATH   each WebSocket frame is a record; opcode,
                                    direction and fragmentation are kept
  tcp://HOST:PORT                   each line (--frame line) or whatever one
                                    read gives (--frame raw) is a record; or each
                                    message behind its 4-byte length (len32), or
                                    each FIX message (fix)
  tcp-listen://HOST:PORT            accepts connections, up to 512 at a time, and
                                    frames each like that; never ends by itself.
                                    They share a ring, and each has a buffer of
                                    its size (with fix 16 KiB and a message)
  tcp-proxy://HOST:PORT/UP:PORT     accepts connections, connects each to UP:PORT,
                                    forwards both ways and records both; what UP
                                    sends has the outbound flag
  -                                 standard input, framed likewise
and becomes the stream named after its host and path, or NAME in NAME=SOURCE.
Each has a ring of its own: a source that stalls holds up no other.

With --frame fix each FIX session is a stream, such as FIX.4.4:BUYER-SELLER,
whichever connections it comes by: logbuf fix --help.

A proxy forwards what it cannot record, and goes on when the archive has failed,
which it says. Its listener has no password: give it an address that only those
can reach who should.

When the disk falls behind, rings fill up. Live feeds then drop records, count
them, and say in the archive which ones are missing; standard input waits.
--overload sets one of the two for all sources.

A connection that breaks is made again, after pauses that grow to 30 seconds,
and the gap is noted in the archive. A source is over when its peer closes it in
good order: WebSocket close code 1000, end of a TCP stream. When none can be
connected to begin with, the recording ends. With --reconnect always it goes on
trying in both cases.

A frame larger than the ring can take is skipped and counted as lost. A line
longer than that becomes several records, of which only the last has the final
flag: 'cat --format raw' gives the input back byte for byte.

--keep-size and --keep-age remove the oldest files while the recording goes on, but
nothing that a cursor or a hold still wants (logbuf cursor); --compress makes
finished files smaller. Both work in the background.

--metrics serves /metrics for Prometheus, /healthz, which says whether the
recording is keeping up, and /debug/vars, to everybody who reaches the address:
there is no password. See docs/OPERATIONS.md.

Ctrl-C once: say goodbye, write what has come, seal, report. Twice: stop at once
and say which records that cost. SIGTERM is like Ctrl-C; a terminal that goes
(SIGHUP) is like the first.

With --config FILE, sources and settings come from a YAML file, which can say
something else of each source: logbuf help config. Flags override it. --check says
what would be recorded, or everything that is wrong, and records nothing.

Secrets belong into --header-file, --header-env or --subscribe @FILE: anybody on
the machine can read a command line.

Exit codes: 0 recorded as asked, also after Ctrl-C; 1 a source could not be
connected or ended badly, or the archive could not be written; 64 usage.`

const recordExample = `  # a feed to record: logbuf feed, in another terminal
  logbuf record ws://127.0.0.1:8765/BTC-USD ws://127.0.0.1:8765/ETH-USD --dir day1

  # for an hour, with an API key, and a subscription; survive power cuts
  export FEED_AUTH="Bearer …"
  logbuf record btc=wss://feed.example/v1 --dir day1 --for 1h --sync batch \
      --header-env Authorization=FEED_AUTH --subscribe '{"op":"subscribe","ch":"trades"}'

  # any program's output, line by line, and back again
  journalctl -f | logbuf record - --dir syslog
  logbuf cat syslog --format raw

  # for ever, in 100 GiB
  logbuf record wss://feed.example/v1 --dir feed --keep-size 100GiB --compress

  # a service: what it records, and how, is in a file
  logbuf record --config /etc/logbuf/feed.yaml --check
  logbuf record --config /etc/logbuf/feed.yaml

  # a FIX engine's sessions: let it connect to port 9001 here
  logbuf record tcp-proxy://127.0.0.1:9001/exchange.example:9000 --frame fix --dir fix

  # with counters for Prometheus, and whether it is keeping up
  logbuf record wss://feed.example/v1 --dir feed --metrics 127.0.0.1:9464 &
  curl http://127.0.0.1:9464/healthz

  # raw bytes of a TCP stream, and a report that a program can read
  logbuf record tcp://127.0.0.1:9000 --frame raw --dir capture --for 10s --json`

// recordFlags are the flags of record as they were given.
type recordFlags struct {
	config.Recording
	config.Source
	file   string
	check  bool
	status bool
	json   bool

	fs vfs.FS // tests put a disk with faults here; nil: the operating system's
}

// testFS is the file system of every recording in a test binary; nil otherwise.
var testFS vfs.FS

func newRecordCmd() *cobra.Command {
	f := &recordFlags{fs: testFS}
	cmd := &cobra.Command{
		Use:     "record SOURCE... --dir DIR | record --config FILE",
		Short:   "Record WebSocket, TCP and standard input into an archive",
		Long:    recordLong,
		Example: recordExample,
		Args:    f.checkArgs,
		RunE:    func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"ws://", "wss://", "tcp://", "tcp-listen://", "tcp-proxy://", "-"}, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
		},
	}
	flags := cmd.Flags()
	f.Recording.AddFlags(flags)
	f.Source.AddFlags(flags)
	flags.StringVar(&f.file, "config", "", "take sources and settings from this YAML `file`; flags override it")
	flags.BoolVar(&f.check, "check", false, "say what would be recorded, or all that is wrong, and record nothing")
	flags.BoolVar(&f.status, "status", false, "a line of numbers a second on stderr, when it is no terminal")
	flags.BoolVar(&f.json, "json", false, "print the final report to stdout as JSON")
	for name, values := range map[string][]string{
		"sync": {"none", "interval", "batch"}, "overload": {"drop", "wait"}, "frame": {"line", "raw", "fix", "len32", "len32le"}, "reconnect": {"drop", "always", "never"},
		"deflate": {"off", "raw", "inflate"},
	} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
	_ = cmd.MarkFlagDirname("dir")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml")
	return cmd
}

// ofSources are the flags that say what only one source may be told.
var ofSources = []string{"header-file", "header-env", "subprotocol", "subscribe"}

func (f *recordFlags) checkArgs(cmd *cobra.Command, args []string) error {
	switch {
	case f.file == "" && len(args) == 0:
		return cli.Usagef("needs at least one source: ws://…, wss://…, tcp://HOST:PORT, tcp-listen://HOST:PORT, tcp-proxy://HOST:PORT/UPSTREAM:PORT, or - for standard input; or --config FILE")
	case f.file == "":
		return nil
	case len(args) > 0:
		return cli.Usagef("%s: with --config, the sources are those of the file", args[0])
	}
	for _, name := range ofSources {
		if cmd.Flags().Changed(name) {
			return cli.Usagef("--%s: with --config, say it in the file, of the source that it is for", name)
		}
	}
	return nil
}

// settings are those of the file if there is one, otherwise those of the command
// line.
func (f *recordFlags) settings(cmd *cobra.Command, args []string) (*capture.Config, error) {
	if f.file == "" {
		return config.FromArgs(&f.Recording, &f.Source, args, cmd.InOrStdin())
	}
	cfg, warnings, err := config.FromFile(f.file, cmd.Flags(), cmd.InOrStdin())
	for _, w := range warnings {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s: warning: %s\n", cmd.CommandPath(), w)
	}
	return cfg, err
}

func (f *recordFlags) run(cmd *cobra.Command, args []string) error {
	cfg, err := f.settings(cmd, args)
	if f.check && cfg != nil {
		err = errors.Join(err, config.CheckMachine(cfg))
	}
	if err != nil {
		return err
	}
	if f.check {
		return printPlan(cmd.OutOrStdout(), cfg)
	}
	cfg.Journal.FS = f.fs
	ctx, again, stop := cli.Interruptible(cmd.Context())
	defer stop()
	cfg.Force = again
	stopServing, err := serveMetrics(cfg, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	defer stopServing()
	sd, err := openService(cfg)
	if err != nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s: warning: %v; systemd is told nothing\n", cmd.CommandPath(), err)
	}
	rep, err := record(ctx, cfg, cmd.ErrOrStderr(), f.status)
	sd.end(err)
	if rep != nil && (err == nil || rep.Records > 0 || rep.NotWritten > 0) {
		printRecordReport(cmd.ErrOrStderr(), rep)
	}
	if rep != nil && f.json {
		if printErr := printReportJSON(cmd.OutOrStdout(), rep); err == nil {
			err = printErr
		}
	}
	return err
}

func printReportJSON(w io.Writer, rep *capture.Report) error {
	out := cli.NewOutput(w)
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	if err := enc.Encode(rep); err != nil {
		return err
	}
	return out.Flush()
}

// record runs a recording with its status line and warnings on w; lines asks for
// a line a second where w is no terminal.
func record(ctx context.Context, cfg *capture.Config, w io.Writer, lines bool) (*capture.Report, error) {
	line := cli.NewStatus(w)
	cfg.Warn = line.Println
	view := &recordView{line: line, lines: lines, dir: cfg.Dir}
	told := cfg.Watch
	cfg.Watch = func(s *capture.Snapshot) {
		view.show(s)
		if told != nil {
			told(s)
		}
	}
	stopHint := context.AfterFunc(ctx, func() {
		line.Println("stopping: writing what has come; once more stops at once")
	})
	rep, err := capture.Run(ctx, cfg)
	stopHint()
	line.Clear()
	return rep, err
}
