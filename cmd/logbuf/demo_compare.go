package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/audit"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/capture"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/feed"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/replay"
)

// compare replays the archive as fast as it goes and holds it against the
// ledgers.
func (d *demo) compare(again <-chan struct{}, line *cli.Status, verified *journal.Report, ledgers []*feed.Ledger) (played replay.Report, result audit.Result, err error) {
	want := map[string][]audit.Frame{}
	for _, l := range ledgers {
		if l.Err != nil {
			return played, result, fmt.Errorf("the feed's connection for %s ended badly: %w", l.Symbol, l.Err)
		}
		if _, ok := want[l.Symbol]; ok {
			return played, result, fmt.Errorf("the feed had two connections for %s", l.Symbol)
		}
		if want[l.Symbol], err = audit.Expected(l); err != nil {
			return played, result, err
		}
	}
	r, err := journal.OpenReader(d.dir, &journal.ReaderOptions{Control: true})
	if err != nil {
		return played, result, err
	}
	defer r.Close()
	ctx, cancel := interruptedBy(again)
	defer cancel()
	a := audit.New(want)
	start, bytes := time.Now(), int64(0)
	played, err = replay.Run(ctx, r, func(rec journal.Record) error {
		bytes += int64(len(rec.Payload))
		if rec.Seq%1024 == 0 {
			line.Progress("replaying", bytes, int64(verified.Bytes), start)
		}
		return a.Record(r.StreamName(rec.Stream), rec)
	}, nil)
	if err != nil {
		return played, result, err
	}
	result, err = a.Finish()
	return played, result, err
}

// printDemo prints the summary, and what to try next.
func printDemo(w io.Writer, dir string, rep *capture.Report, verified *journal.Report, played replay.Report, result audit.Result) {
	share, high := rep.HighWater()
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-10s %s\n", name, fmt.Sprintf(format, args...))
	}
	row("recorded", "%s, %s in %s (%s, %s) over %s", cli.Plural(rep.Records, "frame"), cli.Bytes(rep.Bytes), cli.Elapsed(rep.Elapsed),
		cli.Rate(rep.Records, rep.Elapsed), cli.ByteRate(rep.Bytes, rep.Elapsed), cli.Plural(len(rep.Streams), "WebSocket connection"))
	row("ring", "high-water mark %.0f%% (%s of %s)", 100*share, cli.Bytes(high), cli.Bytes(demoRing))
	row("dropped", "%s, %s", cli.Plural(rep.Lost, "frame"), cli.Bytes(rep.LostBytes))
	row("durable", "after %s at most, in %s", cli.Elapsed(rep.MaxLag), cli.Plural(rep.Syncs, "sync"))
	row("archive", "%s, %s in %s", cli.Plural(verified.Segments, "file"), cli.Bytes(verified.FileSize), dir)
	row("verified", "%v: every checksum of %s is right", verified.Verdict, cli.Plural(verified.Blocks, "block"))
	row("replayed", "%s in %s (%s)", cli.Plural(played.Records, "frame"), cli.Elapsed(played.Elapsed), cli.Rate(played.Records, played.Elapsed))
	row("compared", "%s equal to what the feed sent, %s declared lost, none missing, none different", cli.Plural(result.Frames, "frame"), cli.Count(result.Lost))
	name := shellWord(dir)
	fmt.Fprintf(w, "\nTry next:\n")
	fmt.Fprintf(w, "  go run ./cmd/logbuf stat %s\n", name)
	fmt.Fprintf(w, "  go run ./cmd/logbuf cat %s --stream BTC-USD --limit 5\n", name)
	fmt.Fprintf(w, "  go run ./cmd/logbuf replay %s --speed 10x --stream ETH-USD\n", name)
}

// shellWord makes the name of a file one word of a POSIX shell, and no flag.
func shellWord(s string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:=@%+,-"
	if strings.HasPrefix(s, "-") {
		s = "./" + s
	}
	if s != "" && strings.Trim(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
