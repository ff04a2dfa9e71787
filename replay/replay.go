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
// ends by itself. Where r tells of a gap and goes on behind it, so does the replay; a *journal.ReissueError ends it, and Run may be called
// again with the same reader.
//
// Run starts no goroutines and allocates nothing per record.
func Run(ctx context.Context, r *journal.Reader, sink Sink, opts *Options) (Report, error) {
	p := newPlayer(sink, opts)
	p.reopen = func() (source, error) { return p.opts.Reopen() }
	return p.run(ctx, r)
}

// source is the part of a journal.Reader that a replay needs.
type source interface {
	Next(ctx context.Context) (journal.Record, error)
}

// firstControl is the first kind that is not numbered.
const firstControl = journal.KindStream

type player struct {
	opts     Options
	sink     Sink
	reopen   func() (source, error) // for another pass; closed after it when it is an io.Closer
	paced    bool                   // records are due at some time
	loops    bool                   // there may be another pass
	schedule schedule
	waiter   waiter
	late     histogram
	messages messages
	report   Report

	started bool
	taken   uint64 // data records of this pass, those dropped included
	first   int64  // time of this pass's first record, as delivered
	origin  int64  // the same as recorded
	offset  int64  // added to recorded times in this pass
}

func newPlayer(sink Sink, opts *Options) *player {
	p := &player{opts: opts.withDefaults(), sink: sink}
	p.paced = p.opts.Speed > 0 || p.opts.Rate > 0
	p.loops = p.opts.Loops < 0 || p.opts.Loops > 1
	p.schedule = schedule{speed: p.opts.Speed, rate: p.opts.Rate, maxGap: p.opts.MaxGap}
	if !p.paced { // the schedule is kept for its times, which later passes begin with
		p.schedule.speed, p.schedule.maxGap = 1, 0
	}
	return p
}

func (p *player) run(ctx context.Context, src source) (Report, error) {
	err := p.pass(ctx, src)
	for n := 1; err == nil && p.taken > 0 && (p.opts.Loops < 0 || n < p.opts.Loops); n++ {
		err = p.another(ctx)
	}
	p.waiter.stop()
	return p.finish(), err
}

// another plays one more pass.
func (p *player) another(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	src, err := p.reopen()
	if err != nil {
		return err
	}
	mean := int64(0)
	if p.taken > 1 {
		mean = max(0, subSat(p.schedule.high, p.first)/int64(p.taken-1))
	}
	p.first = int64(addSat(time.Duration(p.schedule.high), time.Duration(mean)))
	p.offset = subSat(p.first, p.origin) // for control records before the first of data
	p.taken = 0
	p.schedule.newPass()
	p.messages = nil
	err = p.pass(ctx, src)
	if c, ok := src.(io.Closer); ok {
		err = errors.Join(err, c.Close())
	}
	return err
}

// pass plays src to its end.
func (p *player) pass(ctx context.Context, src source) error {
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		rec, err := src.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if gap, ok := errors.AsType[*journal.GapError](err); ok {
			if err := p.missing(gap.Gap); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
				err = context.Cause(ctx)
			}
			return err
		}
		if p.past(rec) {
			return nil
		}
		switch {
		case p.opts.Filter != nil && !p.opts.Filter(rec):
		case rec.Kind >= firstControl:
			p.report.Control++
			rec.Time = p.shifted(rec.Time)
			err = p.sink(rec)
		default:
			err = p.take(ctx, rec)
		}
		if err != nil {
			return err
		}
		if p.opts.LastSeq > 0 && rec.Kind < firstControl && rec.Seq == p.opts.LastSeq {
			return nil
		}
	}
}

// missing counts a gap and tells of it.
func (p *player) missing(g journal.Gap) error {
	p.report.Gaps++
	n, _ := g.Lost()
	p.report.Missing += n
	if p.opts.Gap == nil {
		return nil
	}
	return p.opts.Gap(g)
}

// past tells whether rec lies behind the end that the caller set: a control record has the number of the data record after it.
func (p *player) past(rec journal.Record) bool {
	return p.opts.LastSeq > 0 && rec.Seq > p.opts.LastSeq
}

// shifted is a recorded time as this pass delivers it.
func (p *player) shifted(t int64) int64 {
	if p.offset == 0 {
		return t
	}
	return int64(addSat(time.Duration(t), time.Duration(p.offset)))
}

// take delivers a data record when it is due, or drops it.
func (p *player) take(ctx context.Context, rec journal.Record) error {
	p.begin(&rec)
	if p.paced || p.loops {
		due := p.schedule.due(rec.Stream, rec.Time)
		if p.paced {
			late, err := p.await(ctx, due)
			if err != nil {
				return err
			}
			if !p.settle(rec, late) {
				p.report.Dropped++
				p.report.DroppedBytes += uint64(len(rec.Payload))
				return nil
			}
		}
	}
	if p.report.Records == 0 {
		p.report.FirstSeq, p.report.FirstTime = rec.Seq, rec.Time
	}
	p.report.Records++
	p.report.Bytes += uint64(len(rec.Payload))
	p.report.LastSeq, p.report.LastTime = rec.Seq, rec.Time
	return p.sink(rec)
}

// begin counts a record, moves its time, and starts the clock with the first one.
func (p *player) begin(rec *journal.Record) {
	if !p.started {
		p.started = true
		p.waiter.start = time.Now()
		p.first = rec.Time
	}
	if p.taken == 0 {
		p.report.Passes++
		p.origin, p.offset = rec.Time, subSat(p.first, rec.Time)
	}
	p.taken++
	rec.Time = p.shifted(rec.Time)
}

// await waits until due and says by how much that was missed.
func (p *player) await(ctx context.Context, due time.Duration) (late time.Duration, err error) {
	late = p.waiter.late(due)
	if late < 0 && p.opts.BeforeWait != nil {
		if err := p.opts.BeforeWait(); err != nil {
			return 0, err
		}
		late = p.waiter.late(due)
	}
	if late < 0 {
		if err := p.waiter.until(ctx, due); err != nil {
			return 0, err
		}
		late = p.waiter.late(due)
	}
	return late, nil
}

// settle does what Options.Late says about a record that is late, and tells whether to deliver it.
func (p *player) settle(rec journal.Record, late time.Duration) bool {
	over := late > p.opts.Tolerance
	switch p.opts.Late {
	case LateShift:
		if over {
			p.schedule.delay(late)
			p.report.Shifts++
			p.report.ShiftTime = addSat(p.report.ShiftTime, late)
		}
	case LateDrop:
		if p.messages == nil {
			p.messages = make(messages)
		}
		if !p.messages.keep(rec, !over) {
			return false
		}
	}
	p.late.add(late)
	return true
}

func (p *player) finish() Report {
	r := p.report
	if p.started {
		r.Elapsed = time.Since(p.waiter.start)
	}
	if p.paced {
		r.Lateness = p.late.lateness()
		r.GapsCut, r.GapTime, r.ClockSteps = p.schedule.gapsCut, p.schedule.gapTime, p.schedule.clockSteps
	}
	return r
}
