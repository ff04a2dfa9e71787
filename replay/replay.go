package replay

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
)

// Run reads records from r and gives them to sink on schedule, until the journal ends, the sink or the reader returns an error, or ctx is
// done. It starts where r stands and leaves r open. It may be called from any goroutine; r is its own until it returns.
//
// The error is nil at the end of the journal, ctx's cause after a cancellation, and otherwise the reader's (*journal.CorruptionError for
// damage) or the sink's, as it was. A journal with a torn tail ends where its verified records end: see r.Torn. A reader that follows never
// ends by itself.
//
// Run sleeps between records on one timer; it starts no goroutines and allocates nothing per record.
func Run(ctx context.Context, r *journal.Reader, sink Sink, opts *Options) (Report, error) {
	return run(ctx, r, sink, opts)
}

// source is the part of a journal.Reader that a replay needs.
type source interface {
	Next(ctx context.Context) (journal.Record, error)
}

func run(ctx context.Context, src source, sink Sink, opts *Options) (Report, error) {
	p := player{opts: opts.withDefaults(), sink: sink}
	p.schedule.speed, p.schedule.maxGap = p.opts.Speed, p.opts.MaxGap
	err := p.play(ctx, src)
	if p.timer != nil {
		p.timer.Stop()
	}
	return p.finish(), err
}

// firstControl is the first kind that is not numbered.
const firstControl = journal.KindStream

type player struct {
	opts     Options
	sink     Sink
	schedule schedule
	late     histogram
	report   Report
	start    time.Time // T0: the first delivery
	timer    *time.Timer
}

func (p *player) play(ctx context.Context, src source) error {
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		rec, err := src.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if p.past(rec) {
			return nil
		}
		if rec.Kind >= firstControl {
			p.report.Control++
			err = p.sink(rec)
		} else if p.opts.Filter == nil || p.opts.Filter(rec) {
			err = p.deliver(ctx, rec)
		}
		if err != nil {
			return err
		}
		if p.opts.LastSeq > 0 && rec.Kind < firstControl && rec.Seq == p.opts.LastSeq {
			return nil
		}
	}
}

// past tells whether rec lies behind the end that the caller set: a control record has the number of the data record after it.
func (p *player) past(rec journal.Record) bool {
	return p.opts.LastSeq > 0 && rec.Seq > p.opts.LastSeq
}

func (p *player) deliver(ctx context.Context, rec journal.Record) error {
	if p.report.Records == 0 {
		p.start = time.Now()
		p.report.FirstSeq, p.report.FirstTime = rec.Seq, rec.Time
	}
	if p.opts.Speed > 0 {
		if err := p.await(ctx, p.schedule.due(rec.Stream, rec.Time)); err != nil {
			return err
		}
	}
	p.report.Records++
	p.report.Bytes += uint64(len(rec.Payload))
	p.report.LastSeq, p.report.LastTime = rec.Seq, rec.Time
	return p.sink(rec)
}

// await sleeps until due and notes how late it woke.
func (p *player) await(ctx context.Context, due time.Duration) error {
	late := time.Since(p.start) - due
	if late < 0 && p.opts.BeforeWait != nil {
		if err := p.opts.BeforeWait(); err != nil {
			return err
		}
		late = time.Since(p.start) - due
	}
	if late < 0 {
		if err := p.sleep(ctx, -late); err != nil {
			return err
		}
		late = time.Since(p.start) - due
	}
	p.late.add(late)
	return nil
}

func (p *player) sleep(ctx context.Context, d time.Duration) error {
	if p.timer == nil {
		p.timer = time.NewTimer(d)
	} else {
		p.timer.Reset(d)
	}
	select {
	case <-p.timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (p *player) finish() Report {
	r := p.report
	if r.Records > 0 {
		r.Elapsed = time.Since(p.start)
	}
	if p.opts.Speed > 0 {
		r.Lateness = p.late.lateness()
	}
	r.GapsCut, r.GapTime, r.ClockSteps = p.schedule.gapsCut, p.schedule.gapTime, p.schedule.clockSteps
	return r
}
