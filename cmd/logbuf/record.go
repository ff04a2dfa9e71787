package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/capture"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/source"
	"github.com/nexus-logbuf/logbuf/internal/vfs"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
	"github.com/spf13/cobra"
)

const recordLong = `Record one or more sources into an archive until they end, the time given by
--for is up, or Ctrl-C.

A source is one of
  ws://HOST/PATH, wss://HOST/PATH   each WebSocket frame is a record; opcode,
                                    direction and fragmentation are kept
  tcp://HOST:PORT                   each line (--frame line) or whatever one
                                    read gives (--frame raw) is a record
  -                                 standard input, framed likewise
and becomes the stream named after its host and path, or NAME in NAME=SOURCE.
Each has a ring of its own: a source that stalls holds up no other.

When the disk falls behind, rings fill up. Live feeds then drop records, count
them, and say in the archive which ones are missing; standard input waits.
--overload sets one of the two for all sources.

A connection that breaks is made again, after pauses that grow to 30 seconds,
and the gap is noted in the archive. A source is over when its peer closes it in
good order: WebSocket close code 1000, end of a TCP stream. See --reconnect.

A frame larger than the ring can take is skipped and counted as lost. A line
longer than that becomes several records, of which only the last has the final
flag: 'cat --format raw' gives the input back byte for byte.

--keep-size and --keep-age remove the oldest files while the recording goes on, but
nothing that a cursor or a hold still wants (logbuf cursor); --compress makes
finished files smaller. Both work in the background.

Ctrl-C once: say goodbye, write what has come, seal, report. Twice: stop at once
and say which records that cost.

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

  # raw bytes of a TCP stream, and a report that a program can read
  logbuf record tcp://127.0.0.1:9000 --frame raw --dir capture --for 10s --json`

// recordFlags are the flags of record as they were given.
type recordFlags struct {
	dir          string
	duration     cli.Duration
	ring         cli.Size
	segment      cli.Size
	maxFrame     cli.Size
	idle         cli.Duration
	sync         string
	syncEvery    cli.Duration
	retain       cli.Size
	failover     string
	reserve      cli.Size
	overload     string
	frame        string
	reconnect    string
	headerFile   string
	headerEnv    []string
	subprotocols []string
	subscribe    []string
	caFile       string
	outbound     bool
	keep         limits
	compress     bool
	status       bool
	json         bool

	fs vfs.FS // tests put a disk with faults here; nil: the operating system's
}

// testFS is the file system of every recording in a test binary; nil otherwise.
var testFS vfs.FS

func newRecordCmd() *cobra.Command {
	f := &recordFlags{ring: recorder.DefaultLaneSize, segment: journal.DefaultSegmentSize, fs: testFS}
	cmd := &cobra.Command{
		Use:     "record SOURCE... --dir DIR",
		Short:   "Record WebSocket, TCP and standard input into an archive",
		Long:    recordLong,
		Example: recordExample,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cli.Usagef("needs at least one source: ws://…, wss://…, tcp://HOST:PORT, or - for standard input")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"ws://", "wss://", "tcp://", "-"}, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.dir, "dir", "", "archive `directory`; made if need be, continued if there is one")
	flags.Var(&f.duration, "for", "stop after this time; 0 = when the sources end")
	flags.Var(&f.ring, "ring", "ring of each source; bridges stalls of the disk")
	flags.Var(&f.segment, "segment-size", "begin a new file after this many bytes")
	flags.Var(&f.keep.size, "keep-size", "remove the oldest segments when there is more than this; 0 = keep all")
	flags.Var(&f.keep.age, "keep-age", "remove segments that were finished longer ago; 0 = keep all")
	flags.BoolVar(&f.compress, "compress", false, "compress finished segments, in the background")
	flags.Var(&f.maxFrame, "max-frame", "largest WebSocket frame to record; 0 = what the ring takes")
	flags.Var(&f.idle, "idle-timeout", "reconnect when no byte came for this time; 0 = never")
	flags.StringVar(&f.sync, "sync", "interval", "when records become durable: `policy` none, interval (10ms or 1 MiB) or batch (each)")
	flags.Var(&f.syncEvery, "sync-every", "--sync interval: longest time between a write and its sync; 0 = 10ms")
	flags.Var(&f.retain, "retain", "keep this much in memory until it is durable, so that a failed disk loses nothing of it; 0 = none")
	flags.StringVar(&f.failover, "failover", "", "`directory` on another disk that takes over when the archive's own fails; needs --retain")
	flags.Var(&f.reserve, "reserve", "keep this much of the disk in a file that is given up when the disk is full; 0 = none")
	flags.StringVar(&f.overload, "overload", "", "when a ring is full: `policy` drop or wait (default drop, wait for -)")
	flags.StringVar(&f.frame, "frame", "line", "records of tcp:// and -: `how` to cut, line or raw")
	flags.StringVar(&f.reconnect, "reconnect", "drop", "`when` to connect again: drop (the connection broke), always, never")
	flags.StringVar(&f.headerFile, "header-file", "", "`file` of \"Name: value\" lines for the WebSocket handshake")
	flags.StringArrayVar(&f.headerEnv, "header-env", nil, "handshake header from the environment: `NAME=ENVVAR`; repeatable")
	flags.StringArrayVar(&f.subprotocols, "subprotocol", nil, "WebSocket subprotocol `name` to offer; repeatable")
	flags.StringArrayVar(&f.subscribe, "subscribe", nil, "text `message`, or @FILE, to send after each handshake; repeatable")
	flags.StringVar(&f.caFile, "ca-file", "", "trust the certificates in this PEM `file`, and no others, for wss://")
	flags.BoolVar(&f.outbound, "outbound", false, "record what is sent, too: subscriptions, pongs, close frames")
	flags.BoolVar(&f.status, "status", false, "a line of numbers a second on stderr, when it is no terminal")
	flags.BoolVar(&f.json, "json", false, "print the final report to stdout as JSON")
	for name, values := range map[string][]string{
		"sync": {"none", "interval", "batch"}, "overload": {"drop", "wait"}, "frame": {"line", "raw"}, "reconnect": {"drop", "always", "never"},
	} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
	_ = cmd.MarkFlagDirname("dir")
	return cmd
}

func (f *recordFlags) run(cmd *cobra.Command, args []string) error {
	cfg, err := f.config(args, cmd.InOrStdin())
	if err != nil {
		return err
	}
	ctx, again, stop := cli.Interruptible(cmd.Context())
	defer stop()
	cfg.Force = again
	rep, err := record(ctx, cfg, cmd.ErrOrStderr(), f.status)
	if rep != nil && (err == nil || rep.Records > 0 || rep.NotWritten > 0) {
		printRecordReport(cmd.ErrOrStderr(), rep)
	}
	if rep != nil && f.json {
		enc := json.NewEncoder(cmd.OutOrStdout())
		enc.SetIndent("", "  ")
		err = errors.Join(err, enc.Encode(rep))
	}
	return err
}

// record runs a recording with its status line and warnings on w; lines asks for
// a line a second where w is no terminal.
func record(ctx context.Context, cfg *capture.Config, w io.Writer, lines bool) (*capture.Report, error) {
	line := cli.NewStatus(w)
	cfg.Warn = line.Println
	view := &recordView{line: line, lines: lines, dir: cfg.Dir}
	cfg.Watch = view.show
	stopHint := context.AfterFunc(ctx, func() {
		line.Println("stopping: writing what has come; once more stops at once")
	})
	rep, err := capture.Run(ctx, cfg)
	stopHint()
	line.Clear()
	return rep, err
}

// config makes sense of the flags. Errors are about the command line.
func (f *recordFlags) config(args []string, stdin io.Reader) (*capture.Config, error) {
	cfg := &capture.Config{
		Dir: f.dir, Lane: int(f.ring), For: time.Duration(f.duration),
		Journal: journal.Options{
			SyncEvery: time.Duration(f.syncEvery), SegmentSize: int64(f.segment),
			Retain: int64(f.retain), Failover: f.failover, Reserve: int64(f.reserve), Compress: f.compress, FS: f.fs,
		},
		Source: source.Options{
			Subprotocols: f.subprotocols, MaxFrame: int(f.maxFrame), Outbound: f.outbound,
			IdleTimeout: time.Duration(f.idle), Stdin: stdin,
		},
	}
	cfg.Journal.Retention, _ = f.keep.retention() // only a number of segments can be wrong, and that is no flag here
	if f.dir == "" {
		return nil, cli.Usagef("needs --dir DIR, the archive's directory")
	}
	const minRing, maxRing = 4 << 10, 1 << 30
	if f.ring < minRing || f.ring > maxRing {
		return nil, cli.Usagef("--ring %v: must be %v to %v", f.ring, cli.Size(minRing), cli.Size(maxRing))
	}
	const maxFrame = 1 << 30
	if f.maxFrame > maxFrame {
		return nil, cli.Usagef("--max-frame %v: must be at most %v", f.maxFrame, cli.Size(maxFrame))
	}
	if f.segment < 64<<10 || f.segment > 1<<40 {
		return nil, cli.Usagef("--segment-size %v: must be 64 KiB to 1 TiB", f.segment)
	}
	if f.syncEvery != 0 && time.Duration(f.syncEvery) < 100*time.Microsecond {
		return nil, cli.Usagef("--sync-every %v: must be at least 100us", f.syncEvery)
	}
	if f.syncEvery != 0 && f.sync != journal.SyncInterval.String() {
		return nil, cli.Usagef("--sync-every %v needs --sync interval, not --sync %s", f.syncEvery, f.sync)
	}
	if err := f.checkDisk(); err != nil {
		return nil, err
	}
	err := errors.Join(
		set(&cfg.Specs, args, source.ParseAll),
		set(&cfg.Journal.Sync, f.sync, parseSync),
		set(&cfg.Overload, f.overload, parseOverload),
		set(&cfg.Source.Frame, f.frame, flagged("--frame", source.ParseFrame)),
		set(&cfg.Source.Reconnect, f.reconnect, flagged("--reconnect", source.ParseReconnect)),
	)
	if err != nil {
		return nil, cli.Exit(cli.ExitUsage, err)
	}
	header, err1 := readHeaders(f.headerFile, f.headerEnv)
	messages, err2 := readMessages(f.subscribe)
	roots, err3 := readRoots(f.caFile)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, cli.Exit(cli.ExitUsage, err)
	}
	cfg.Source.Header, cfg.Source.Subscribe, cfg.Source.TLS = header, messages, roots
	return cfg, nil
}

// checkDisk checks the flags about failing and full disks.
func (f *recordFlags) checkDisk() error {
	const minRetain, maxRetain = 2 << 20, 1 << 30
	const minReserve, maxReserve = 1 << 20, 16 << 30
	switch {
	case f.retain != 0 && (f.retain < minRetain || f.retain > maxRetain):
		return cli.Usagef("--retain %v: must be 0, or %v to %v", f.retain, cli.Size(minRetain), cli.Size(maxRetain))
	case f.failover != "" && f.retain == 0:
		return cli.Usagef("--failover %s needs --retain, such as --retain 64MiB: what is not durable yet is written there again, from memory", f.failover)
	case f.reserve != 0 && (f.reserve < minReserve || f.reserve > maxReserve):
		return cli.Usagef("--reserve %v: must be 0, or %v to %v", f.reserve, cli.Size(minReserve), cli.Size(maxReserve))
	}
	return nil
}

// set parses v into p.
func set[T, V any](p *T, v V, parse func(V) (T, error)) (err error) {
	*p, err = parse(v)
	return err
}

// flagged names the flag in a parser's error.
func flagged[T any](name string, parse func(string) (T, error)) func(string) (T, error) {
	return func(s string) (T, error) {
		v, err := parse(s)
		if err != nil {
			err = fmt.Errorf("%s %w", name, err)
		}
		return v, err
	}
}

func parseSync(s string) (journal.Sync, error) {
	v, err := journal.ParseSync(s)
	if err != nil {
		return v, fmt.Errorf("--sync %q: must be none, interval or batch", s)
	}
	return v, nil
}

func parseOverload(s string) (*recorder.Overload, error) {
	if s == "" {
		return nil, nil
	}
	v, err := recorder.ParseOverload(s)
	if err != nil || v == recorder.OverloadFail {
		return nil, fmt.Errorf("--overload %q: must be drop or wait", s)
	}
	return &v, nil
}
