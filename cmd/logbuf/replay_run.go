package main

import (
	"context"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/replay"
)

// player is one replay to one receiver.
type player struct {
	*replaying
	*archive
	readerOptions journal.ReaderOptions
	sel           *selection
	wanted        func(journal.Record) bool // further filter; nil: all
	flush         func() error
	say           func(format string, args ...any) // a line on stderr

	gaps        uint64
	receiverErr error // of the receiver, as opposed to the archive
}

// play replays. Errors of the archive have their exit codes; those of the receiver are as they were; the end of ctx is its cause.
func (r *player) play(ctx context.Context, sink replay.Sink) (replay.Report, error) {
	opts := &replay.Options{
		Speed: float64(r.speed), Rate: r.rate, MaxGap: time.Duration(r.maxGap), Late: r.policy, Tolerance: time.Duration(r.lateAfter),
		Loops: r.loop, Reopen: r.reopen, Filter: r.filter, Gap: r.gap,
		BeforeWait: func() error { return r.received(r.flush()) },
	}
	if opts.Loops == 0 {
		opts.Loops = -1
	}
	if r.rate > 0 {
		opts.Speed = 0
	}
	if r.sel.endSeq && !r.sel.byTime() { // a --to-seq of 0 is left to the filter
		opts.LastSeq = r.sel.toSeq
	}
	report, err := replay.Run(ctx, r.reader, func(rec journal.Record) error { return r.received(sink(rec)) }, opts)
	switch {
	case err == nil:
		return report, nil
	case ctx.Err() != nil:
		return report, context.Cause(ctx)
	case r.receiverErr != nil:
		return report, r.receiverErr
	}
	return report, readError(r.dir, err)
}

func (r *player) filter(rec journal.Record) bool {
	return r.sel.match(rec, r.names) && (r.wanted == nil || r.wanted(rec))
}

func (r *player) gap(g journal.Gap) error {
	warnGap(r.say, r.gaps, g)
	r.gaps++
	return nil
}

func (r *player) reopen() (*journal.Reader, error) {
	return journal.OpenReader(r.dir, &r.readerOptions)
}

// received keeps the receiver's error.
func (r *player) received(err error) error {
	if err != nil {
		r.receiverErr = err
	}
	return err
}
