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

const statLong = `Say what is in an archive: time range, records, bytes, rates, sizes, losses, files, and
the same for each stream. With --from-time and the other bounds, only for that part.

The records are read and checked on the way, so that the verdict covers what was
counted. 'logbuf verify' also checks what no record needs, and lists all damage. With
--fast only headers and footers are read, whatever the size of the archive.

--sizing says instead, of each stream, how much came at once, and how large a ring
(record --ring) would have held it while the disk stalled for --stall:

  1ms … 10s   the most that came within any such time. Bytes are those of frames in
              the ring: payload + 16, rounded up to 8. Times are those of the records.
  BURST       the most that came within --stall, plus what was lost to overload then.
              A ring larger by what it lost would have held it, so it counts whole;
              in the columns it counts evenly spread.
  RING        twice the burst, four of the largest frames at least, rounded up to a
              power of two. The half is for what lay in the ring when the stall began,
              and comes while the backlog is written.
  MARGIN      so many times the burst fits into the ring.

A source that waits, as standard input does, needs no ring that holds a stall: it is
held up, and offers what it is let.

--stall is how long the disk may take for one write or sync: 'logbuf bench-disk'
measures it, and 'logbuf record' reports its longest wait until durable. If several
producers of a program write to one stream, each has a ring of its own, and the advice
is for one that offers all. Behind a clock that was set back by more than a second,
time goes on from where it was; each time is reported.`

const statExample = `  logbuf stat day1

  # one minute of one stream
  logbuf stat day1 --from-time 2026-11-21T09:30:00Z --to-time 2026-11-21T09:31:00Z --stream trades

  # a large archive, at once
  logbuf stat day1 --fast

  # how large the rings should be for a disk that may stall for 3 seconds
  logbuf stat day1 --sizing --stall 3s

  # streams that lost something
  logbuf stat day1 --json | jq '.streams[] | select(.lost_records > 0)'`

func newStatCmd() *cobra.Command {
	var (
		sel               selection
		asJSON, utc, fast bool
		size              sizingFlags
	)
	cmd := &cobra.Command{
		Use:               "stat DIR",
		Short:             "Count what is in an archive, by stream",
		Long:              statLong,
		Example:           statExample,
		Args:              oneDir,
		ValidArgsFunction: completeDir,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := sel.check(cmd.Flags()); err != nil {
				return err
			}
			if err := size.check(cmd.Flags(), fast); err != nil {
				return err
			}
			if size.wanted {
				return runSizing(cmd, args[0], &sel, time.Duration(size.stall), asJSON, utc)
			}
			if !fast {
				return runStat(cmd, args[0], &sel, asJSON, utc)
			}
			if sel.any() {
				return cli.Usagef("--fast reads no records: it cannot select any")
			}
			stats, err := fastStats(args[0])
			if err != nil {
				return readError(args[0], err)
			}
			return printStat(cmd.OutOrStdout(), stats, asJSON, utc)
		},
	}
	sel.addFlags(cmd.Flags())
	sel.addLast(cmd.Flags())
	complete(cmd, "stream", completeStream)
	cmd.Flags().BoolVar(&fast, "fast", false, "from headers and footers only: nothing by stream, and nothing is verified")
	size.addFlags(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	cmd.Flags().BoolVar(&utc, "utc", false, "times in UTC (json always is), not in local time")
	return cmd
}

func runStat(cmd *cobra.Command, dir string, sel *selection, asJSON, utc bool) error {
	opts := &journal.ReaderOptions{Control: true}
	a, err := sel.open(dir, opts)
	if err != nil {
		return err
	}
	defer a.close()
	ctx, stop := readContext(cmd)
	defer stop()

	count := newCounting(a, sel, sayOn(cmd))
	ended, err := count.run(ctx, cli.NewStatus(cmd.ErrOrStderr()))
	if errors.Is(err, cli.ErrInterrupted) {
		return errors.New("interrupted before the end: nothing is printed")
	}
	stats, filesErr := count.finish(ended, err)
	if filesErr != nil {
		return readError(dir, filesErr)
	}
	if err := printStat(cmd.OutOrStdout(), stats, asJSON, utc); err != nil {
		return err
	}
	if err == nil && ended {
		a.warnTorn(cmd)
		err = sel.unknownStreams(a.names)
	}
	return err
}

func printStat(w io.Writer, s *archiveStats, asJSON, utc bool) error {
	out := cli.NewOutput(w)
	if asJSON {
		if err := json.NewEncoder(out).Encode(s); err != nil {
			return err
		}
		return out.Flush()
	}
	zone := time.Local
	if utc {
		zone = time.UTC
	}
	printStatText(out, s, zone)
	return out.Flush()
}

// counting reads an archive and counts.
type counting struct {
	*archive
	sel   *selection
	stats *archiveStats
	byID  map[uint16]*streamStats
	say   func(format string, args ...any)

	missing bool // records that were not removed on purpose
}

func newCounting(a *archive, sel *selection, say func(format string, args ...any)) *counting {
	return &counting{archive: a, sel: sel, say: say, stats: &archiveStats{Dir: a.dir}, byID: make(map[uint16]*streamStats)}
}

// progressEvery is how many records are read between two drawings of the progress.
const progressEvery = 1 << 14

func (c *counting) run(ctx context.Context, status *cli.Status) (ended bool, err error) {
	defer status.Clear()
	start := time.Now()
	for n := int64(1); ; n++ {
		rec, err := c.reader.Next(ctx)
		if gap, ok := errors.AsType[*journal.GapError](err); ok {
			c.addGap(gap.Gap)
			continue
		}
		switch {
		case errors.Is(err, io.EOF):
			return true, nil
		case err != nil && ctx.Err() != nil:
			return false, context.Cause(ctx)
		case err != nil:
			return false, readError(c.dir, err)
		case c.sel.past(rec):
			return false, nil
		}
		if c.sel.match(rec, c.names) {
			c.add(rec)
		}
		if n%progressEvery == 0 {
			status.Set("reading: record %s, %s", cli.Count(rec.Seq), cli.Rate(n, time.Since(start)))
		}
	}
}

func (c *counting) add(rec journal.Record) {
	if rec.Kind == journal.KindLoss {
		c.addLoss(rec)
		return
	}
	if isControl(rec) {
		return
	}
	c.stats.add(rec)
	c.stream(rec.Stream).add(rec)
}

func (c *counting) addGap(g journal.Gap) {
	warnGap(c.say, uint64(c.stats.Gaps), g)
	c.stats.Gaps++
	if lost, known := g.Lost(); known {
		c.stats.Missing += lost
	}
	c.missing = c.missing || !g.Trimmed && !g.Declared
}

func (c *counting) addLoss(rec journal.Record) {
	loss, err := journal.ParseLoss(rec.Payload)
	if err != nil {
		loss = journal.Loss{} // a loss that cannot be read is a loss all the same
	}
	c.stats.addLoss(loss)
	c.stream(rec.Stream).addLoss(loss)
}

func (c *counting) stream(id uint16) *streamStats {
	s, ok := c.byID[id]
	if !ok {
		s = &streamStats{ID: id}
		c.byID[id] = s
	}
	return s
}

// describeDamage is the verdict's second half: what is wrong, empty when nothing is.
func describeDamage(err error, torn *journal.TornError) string {
	var corrupt *journal.CorruptionError
	switch {
	case errors.As(err, &corrupt):
		return fmt.Sprintf("%s at offset %d: %s; %s", corrupt.File, corrupt.Offset, corrupt.Reason, lostRange(corrupt.FirstSeq, corrupt.LastSeq))
	case torn != nil:
		return fmt.Sprintf("%s at offset %d: %s after %s: %s", torn.File, torn.Offset, cli.Plural(torn.Bytes, "byte"), afterSeq(torn.NextSeq), torn.Reason)
	}
	return ""
}
