package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"os"
	"time"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/capture"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/feed"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/source"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/spf13/cobra"
)

const demoLong = `Show the whole path at work on this machine, and check it.

The demo starts the synthetic exchange of 'logbuf feed' on loopback and records
several symbols over real WebSocket connections, with the code that 'logbuf
record' runs. Then it verifies the archive, replays it, and compares what comes
out, frame by frame, with the digests that the feed made of what it sent: opcode,
fragmentation and every byte. Frames that the archive declares lost are counted
as that; one byte that differs, or one frame that is missing without being
declared lost, ends the demo with exit code 1.

Exit codes: 0 everything that was sent is accounted for; 1 it is not, or the
recording failed; 64 usage.`

const demoExample = `  logbuf demo
  logbuf demo --for 30s --rate 100000 --dir ./demo-archive
  logbuf demo --rate 0    # as fast as it goes; frames may be dropped, and are accounted for`

// demoSymbols are recorded side by side, each with a ring of its own.
var demoSymbols = []string{"BTC-USD", "ETH-USD", "SOL-USD", "XRP-USD"}

const (
	demoRing      = 1 << 20     // bytes of each ring: bridges about a second of the default rate
	demoMaxFrames = 100_000_000 // 16 bytes of digest for each
	demoFastest   = 1_000_000   // frames per second that --rate 0 is taken for in that limit
)

// demo is one run; its flags, and what tests put in its way.
type demo struct {
	dir      string
	rate     float64
	duration cli.Duration
	seed     uint64

	frames uint64                                   // of each symbol, and then the feed has ended; 0: it ends when the time is up
	tamper func(dir string, ledgers []*feed.Ledger) // between recording and checking; nil: nothing
}

func newDemoCmd() *cobra.Command {
	d := &demo{duration: cli.Duration(5 * time.Second), seed: 1}
	cmd := &cobra.Command{
		Use:     "demo",
		Short:   "Feed, record, verify, replay and compare, on this machine",
		Long:    demoLong,
		Example: demoExample,
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return d.run(cmd) },
	}
	flags := cmd.Flags()
	flags.Var(&d.duration, "for", "how long to record")
	flags.StringVar(&d.dir, "dir", "", "archive `directory`, new or empty (default a new one for temporary files; it is kept)")
	flags.Float64Var(&d.rate, "rate", 20_000, "frames per second of all symbols together; 0 = as fast as they are read")
	flags.Uint64Var(&d.seed, "seed", 1, "seed of the feed's generator")
	_ = cmd.MarkFlagDirname("dir")
	return cmd
}

func (d *demo) run(cmd *cobra.Command) error {
	if err := d.check(); err != nil {
		return err
	}
	if err := d.makeDir(); err != nil {
		return err
	}
	ctx, again, stop := cli.Interruptible(cmd.Context())
	defer stop()
	rep, ledgers, err := d.record(ctx, cmd, again)
	if err != nil {
		return err
	}
	if d.tamper != nil {
		d.tamper(d.dir, ledgers)
	}
	line := cli.NewStatus(cmd.ErrOrStderr())
	defer line.Clear()
	verified, err := d.verify(line)
	if err != nil {
		return err
	}
	played, result, err := d.compare(again, line, verified, ledgers)
	if err != nil {
		return fmt.Errorf("the archive in %s is not what the feed sent: %w", d.dir, err)
	}
	line.Clear()
	printDemo(cmd.OutOrStdout(), d.dir, rep, verified, played, result)
	return nil
}

func (d *demo) check() error {
	if d.rate < 0 || math.IsNaN(d.rate) || math.IsInf(d.rate, 0) {
		return cli.Usagef("--rate %v: must be 0 or more frames per second", d.rate)
	}
	if d.duration <= 0 {
		return cli.Usagef("--for %v: must be more than 0", d.duration)
	}
	rate := d.rate
	if rate == 0 {
		rate = demoFastest
	}
	if n := rate * time.Duration(d.duration).Seconds(); n > demoMaxFrames {
		return cli.Usagef("--for %v at this rate makes %.3g frames; a digest of each is kept, and the limit is %.3g", d.duration, n, float64(demoMaxFrames))
	}
	return nil
}

// makeDir makes a directory for temporary files, or sees to it that the one
// given has nothing in it: what another run recorded is not what this feed sent.
func (d *demo) makeDir() (err error) {
	if d.dir == "" {
		d.dir, err = os.MkdirTemp("", "logbuf-demo-")
		return err
	}
	entries, err := os.ReadDir(d.dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // the recorder makes it
	case err != nil:
		return fmt.Errorf("--dir: %w", err)
	case len(entries) > 0:
		return fmt.Errorf("--dir %s: not empty (%s …); the demo needs a directory of its own", d.dir, entries[0].Name())
	}
	return nil
}

// record runs the feed and the recording of it until the time is up. Ctrl-C ends
// it early, and the check goes on with what there is.
func (d *demo) record(ctx context.Context, cmd *cobra.Command, again <-chan struct{}) (*capture.Report, []*feed.Ledger, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, fmt.Errorf("cannot listen on loopback: %w", err)
	}
	srv := feed.NewServer(&feed.Options{Seed: d.seed, Rate: d.rate / float64(len(demoSymbols)), Frames: d.frames, Ledger: true})
	serveCtx, stopServing := context.WithCancel(context.Background())
	defer stopServing()
	served := make(chan error, 1)
	go func() { served <- srv.Serve(serveCtx, ln) }()

	cfg, err := demoConfig(d.dir, ln.Addr().String())
	if err != nil {
		return nil, nil, err
	}
	cfg.Force = again
	recorded := make(chan struct{})
	defer close(recorded)
	go d.finish(srv, recorded)
	defer context.AfterFunc(ctx, srv.Finish)()

	// Not ctx: Ctrl-C stops the feed, and the recording ends with it.
	rep, err := record(context.Background(), cfg, cmd.ErrOrStderr(), false)
	if err != nil {
		return nil, nil, err
	}
	srv.Finish()
	if err := <-served; err != nil {
		return nil, nil, err
	}
	return rep, srv.Ledgers(), nil
}

// finish ends the feed when its time is up, or the recording is over. The time
// begins when all symbols are connected.
func (d *demo) finish(srv *feed.Server, recorded <-chan struct{}) {
	defer srv.Finish()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for srv.Stats().Conns < len(demoSymbols) {
		select {
		case <-look.C:
		case <-recorded:
			return
		}
	}
	select {
	case <-time.After(time.Duration(d.duration)):
	case <-recorded:
	}
}

func demoConfig(dir, addr string) (*capture.Config, error) {
	cfg := &capture.Config{Dir: dir, Journal: journal.Options{FS: testFS}}
	how := source.Options{Outbound: true, Reconnect: source.Never}
	for _, symbol := range demoSymbols {
		spec, err := source.Parse(symbol + "=ws://" + addr + "/" + symbol)
		if err != nil {
			return nil, err
		}
		cfg.Sources = append(cfg.Sources, capture.Source{Spec: spec, Options: how, Ring: demoRing})
	}
	return cfg, nil
}

func (d *demo) verify(line *cli.Status) (*journal.Report, error) {
	start := time.Now()
	rep, err := journal.Verify(d.dir, &journal.VerifyOptions{Progress: func(done, total int64) {
		line.Progress("verifying", done, total, start)
	}})
	if err != nil {
		return nil, err
	}
	if rep.Verdict == journal.Clean {
		return rep, nil
	}
	err = fmt.Errorf("the archive in %s is %v, right after it was written", d.dir, rep.Verdict)
	for _, p := range rep.Problems {
		err = errors.Join(err, fmt.Errorf("%s, offset %d, sequences %d to %d: %s", p.File, p.Offset, p.FirstSeq, p.LastSeq, p.Reason))
	}
	return nil, err
}

// interruptedBy makes a context that again ends.
func interruptedBy(again <-chan struct{}) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(context.Background())
	go func() {
		select {
		case <-again:
			cancel(cli.ErrInterrupted)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}
