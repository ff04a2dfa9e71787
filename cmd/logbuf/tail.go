package main

import (
	"context"
	"errors"
	"io"
	"math"
	"time"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/spf13/cobra"
)

// followFlush is how long a record may wait in the buffer while following: less than an eye sees.
const followFlush = 20 * time.Millisecond

const tailLong = `Print the last records of an archive, and with --follow go on as more are written.

Following goes on across segments and when the writer is closed and started again;
Ctrl-C ends it with exit code 0. With --durable only what is known to be safe from
a power cut is printed: that lags behind the writer by one sync.

With --from-seq or --from-time everything from there is printed, not the last -n.`

const tailExample = `  # the last 20 records
  logbuf tail day1 -n 20

  # watch one stream of a recording in progress
  logbuf tail day1 -f --stream trades

  # feed a program with what is durable, from where it stopped
  logbuf tail day1 -f --durable --from-seq 48213 --format json | consumer`

// tailing is the flags of tail.
type tailing struct {
	sel     selection
	print   printing
	last    uint64
	follow  bool
	durable bool
}

func newTailCmd() *cobra.Command {
	var t tailing
	cmd := &cobra.Command{
		Use:               "tail DIR",
		Short:             "Print the last records of an archive, or follow it",
		Long:              tailLong,
		Example:           tailExample,
		Args:              oneDir,
		ValidArgsFunction: completeDir,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := t.sel.check(cmd.Flags()); err != nil {
				return err
			}
			return t.run(cmd, args[0])
		},
	}
	t.print.addFlags(cmd, formatText)
	t.sel.addFlags(cmd.Flags())
	t.sel.addMessages(cmd.Flags())
	t.sel.addOrder(cmd)
	complete(cmd, "stream", completeStream)
	cmd.Flags().Uint64VarP(&t.last, "lines", "n", 10, "print the last `number` of records")
	cmd.Flags().BoolVarP(&t.follow, "follow", "f", false, "go on as records are written, until Ctrl-C")
	cmd.Flags().BoolVar(&t.durable, "durable", false, "only what is known to be durable")
	return cmd
}

func (t *tailing) run(cmd *cobra.Command, dir string) error {
	ctx, stop := readContext(cmd)
	defer stop()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	opts := &journal.ReaderOptions{Follow: t.follow, Durable: t.durable, Control: t.print.control() && (t.last > 0 || t.follow)}
	if !cmd.Flags().Changed("from-seq") && !t.sel.from.Given {
		if err := t.startAt(ctx, dir); err != nil {
			return interruptIsFine(err)
		}
	}
	a, err := t.sel.open(dir, opts)
	if err != nil {
		return err
	}
	defer a.close()
	out := cli.NewOutput(cmd.OutOrStdout())
	if t.follow {
		defer out.FlushEvery(followFlush, func(err error) { cancel(err) })()
	}
	p := &pass{archive: a, sel: &t.sel, printer: t.print.printer(a.names), out: out, say: sayOn(cmd)}
	ended, err := p.run(ctx)
	return p.finish(cmd, ended, err)
}

func interruptIsFine(err error) error {
	if errors.Is(err, cli.ErrInterrupted) {
		return nil
	}
	return err
}

// startAt finds the record that the last t.last records of the selection begin with, and makes the selection start there. The end is where the archive ends now: what is written while this searches is printed on top.
func (t *tailing) startAt(ctx context.Context, dir string) error {
	end, err := openArchive(dir, &journal.ReaderOptions{End: true, Durable: t.durable})
	if err != nil {
		return err
	}
	first, next := end.reader.FirstSeq(), end.reader.NextSeq()
	end.close()
	if t.sel.endSeq && t.sel.toSeq < next {
		next = t.sel.toSeq + 1
	}
	first = min(first, next)
	t.last = min(t.last, next-first, math.MaxInt32) // their sequences are kept in memory
	start := next - t.last
	if t.last > 0 && (len(t.sel.streams) > 0 || t.sel.to.Given || t.sel.level.given) {
		if start, err = t.search(ctx, dir, first, next); err != nil {
			return err
		}
	}
	t.sel.fromSeq = start
	return nil
}

// search goes back from next in windows that grow fourfold, until one holds t.last matching records or begins at first,
// and gives the sequence of the t.last'th from the end.
func (t *tailing) search(ctx context.Context, dir string, first, next uint64) (uint64, error) {
	window := max(t.last, 1024)
	for {
		from := max(first, next-min(next, window))
		found, err := t.lastMatches(ctx, dir, from, next)
		if err != nil {
			return 0, err
		}
		if uint64(len(found)) >= t.last || from == first {
			if len(found) == 0 {
				return next, nil
			}
			return found[len(found)-min(len(found), int(t.last))], nil
		}
		window = min(window*4, next)
	}
}

// lastMatches gives the sequences of matching records in [from, next), in order, all or the last t.last of them.
func (t *tailing) lastMatches(ctx context.Context, dir string, from, next uint64) ([]uint64, error) {
	a, err := openArchive(dir, &journal.ReaderOptions{FromSeq: from, Durable: t.durable})
	if err != nil {
		return nil, err
	}
	defer a.close()
	var found []uint64
	for {
		rec, err := a.reader.Next(ctx)
		if _, ok := errors.AsType[*journal.GapError](err); ok {
			continue // told when it is printed
		}
		switch {
		case errors.Is(err, io.EOF) || err == nil && rec.Seq >= next:
			return found, nil
		case err != nil && ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err != nil:
			return nil, readError(dir, err)
		case !t.sel.match(rec, a.names):
			continue
		}
		found = append(found, rec.Seq)
		if keep := int(t.last); len(found) >= 2*keep {
			found = append(found[:0], found[len(found)-keep:]...)
		}
	}
}
