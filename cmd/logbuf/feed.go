package main

import (
	"fmt"
	"math"
	"net"
	"time"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/feed"
	"github.com/spf13/cobra"
)

const feedLong = `Serve a synthetic exchange over WebSocket, for trying things out and for tests.

Each connection gets the frames of one symbol, which is the path (or the query
parameter "symbol"): trades and book updates as text, binary deltas, snapshots,
heartbeats, empty frames, pings, fragmented messages with pings between the
fragments, from 0 bytes to 64 KiB, in bursts. The same --seed and symbol give
the same frames, byte for byte, in every run.

Frames are due on an absolute schedule. A consumer that reads slowly is held up
by TCP, and gets what is due as fast as it can take it once it reads again.

The feed ends with Ctrl-C (close code 1001), or with --for or --frames (close
code 1000), and prints what it sent.

Exit codes: 0 ended as asked; 1 the address cannot be listened on; 64 usage.`

const feedExample = `  # two symbols, recorded in another terminal
  logbuf feed --listen 127.0.0.1:8765
  logbuf record ws://127.0.0.1:8765/BTC-USD ws://127.0.0.1:8765/ETH-USD --dir day1

  # as fast as the consumer reads, a million frames, then a normal close
  logbuf feed --listen 127.0.0.1:8765 --rate 0 --frames 1000000

  # a free port; the first line of the output names it
  logbuf feed --listen 127.0.0.1:0`

type feedFlags struct {
	listen   string
	rate     float64
	seed     uint64
	frames   uint64
	duration cli.Duration
}

func newFeedCmd() *cobra.Command {
	f := &feedFlags{}
	cmd := &cobra.Command{
		Use:     "feed",
		Short:   "Serve a synthetic exchange over WebSocket",
		Long:    feedLong,
		Example: feedExample,
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.listen, "listen", "127.0.0.1:8765", "`address` to listen on, HOST:PORT; port 0 = any free one")
	flags.Float64Var(&f.rate, "rate", 1000, "frames per second on each connection; 0 = as fast as it is read")
	flags.Uint64Var(&f.seed, "seed", 1, "seed of the generator")
	flags.Uint64Var(&f.frames, "frames", 0, "end each connection after this many frames; 0 = never")
	flags.Var(&f.duration, "for", "end the feed after this time; 0 = never")
	return cmd
}

func (f *feedFlags) run(cmd *cobra.Command) error {
	if f.rate < 0 || math.IsNaN(f.rate) || math.IsInf(f.rate, 0) {
		return cli.Usagef("--rate %v: must be 0 or more frames per second", f.rate)
	}
	if _, _, err := net.SplitHostPort(f.listen); err != nil {
		return cli.Usagef("--listen %q: must be HOST:PORT, as in 127.0.0.1:8765", f.listen)
	}
	ctx, _, stop := cli.Interruptible(cmd.Context())
	defer stop()
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", f.listen)
	if err != nil {
		return fmt.Errorf("cannot listen: %w", err)
	}
	srv := feed.NewServer(&feed.Options{Seed: f.seed, Rate: f.rate, Frames: f.frames})
	if f.duration > 0 {
		t := time.AfterFunc(time.Duration(f.duration), srv.Finish)
		defer t.Stop()
	}
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "listening on ws://%s/%s (any symbol as the path); Ctrl-C ends it\n", ln.Addr(), feed.DefaultSymbol)
	start := time.Now()
	err = srv.Serve(ctx, ln)
	printFeedStats(cmd, srv.Stats(), time.Since(start))
	return err
}

func printFeedStats(cmd *cobra.Command, s feed.Stats, d time.Duration) {
	fmt.Fprintf(cmd.OutOrStdout(), "sent %s, %s to %s in %s (%s); received %s\n",
		cli.Plural(s.Frames, "frame"), cli.Bytes(s.Bytes), cli.Plural(s.Conns, "connection"), cli.Elapsed(d), cli.Rate(s.Frames, d), cli.Plural(s.Received, "frame"))
	if s.Failed > 0 {
		fmt.Fprintf(cmd.OutOrStdout(), "%s ended without a close handshake\n", cli.Plural(s.Failed, "connection"))
	}
}
