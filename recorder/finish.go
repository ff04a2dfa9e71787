package recorder

import (
	"fmt"
	"math"

	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/queue"
)

// finish ends a recording: one last look at each lane, then what that look
// found is written, or given up if there is no time left or the journal has
// failed, and the archive is sealed.
func (a *archiver) finish() {
	r := a.rec
	r.mu.Lock()
	r.phase.Store(freezing)
	lanes := r.lanes.Load()
	r.mu.Unlock()
	for l := range lanes.all() {
		l.freeze(l.batch())
	}
	r.phase.Store(frozen)

	if r.failure.Load() == nil {
		a.writeClock()
	}
	for l := range lanes.all() {
		a.finishLane(l)
	}
	if r.late.Load() && r.failure.Load() == nil {
		a.writeLate()
	}
	r.closeErr = r.result(r.journal.Close(), a.owed)
	close(r.done)
}

// finishLane writes what was read of a lane, batch by batch, as long as there
// is time and the journal works; then the losses. Lanes that its stream had
// earlier come first: an urgent lane is not before them for being urgent.
func (a *archiver) finishLane(l *lane) {
	for !l.turn() {
		a.finishLane(l.after[0])
	}
	select {
	case <-l.gone:
		return // it was an earlier lane
	default:
	}
	r, written := a.rec, !l.gaveUp
	for i, span := range l.frozen {
		if r.failure.Load() != nil || r.abort.Load() != nil {
			a.giveUpSpans(l, l.frozen[i:])
			written = false
			break
		}
		_, bytes := countFrames(span.Frames())
		frames, records, losses := a.prepare(l, span)
		if !a.writeRecords(l, frames, records, losses) {
			a.giveUpSpans(l, l.frozen[i+1:])
			written = false
			break
		}
		l.out.ReleaseTo(span.End())
		l.archived(records, bytes, a.journal.NextSeq())
		l.drained.publish(span.End())
	}
	l.frozen = nil
	if r.failure.Load() == nil {
		a.losses = l.losses.takeAll(a.losses[:0])
		a.writeLosses(l.stream)
	}
	if written && r.failure.Load() == nil {
		l.drained.publish(l.out.Position())
	}
	r.retire(l)
	r.forget(l)
}

// giveUpSpans counts the records of spans as lost, and books the loss for the
// archive if that can still be written.
func (a *archiver) giveUpSpans(l *lane, spans []queue.Span) {
	if len(spans) == 0 {
		return
	}
	e := loss{reason: journal.LossClosed, from: math.MaxInt64, to: math.MinInt64}
	if a.rec.failure.Load() != nil {
		e.reason = journal.LossWrite
	}
	for _, span := range spans {
		records, bytes := countFrames(span.Frames())
		from, to := frameTimes(span.Frames())
		e.records, e.bytes = e.records+uint64(records), e.bytes+bytes
		e.from, e.to = min(e.from, from), max(e.to, to)
	}
	l.giveUp(e.reason, int(e.records), e.bytes)
	l.losses.add(func() uint64 { return l.ended }, e)
	l.out.ReleaseTo(spans[len(spans)-1].End())
}

// result is what Close returns. owed says why losses are not in the archive; nil:
// they are.
func (r *Recorder) result(sealErr, owed error) error {
	err := sealErr
	if f := r.failure.Load(); f != nil {
		err = *f
	}
	lost, cause := r.notWritten(), r.abort.Load()
	if err == nil && cause != nil && (len(lost) > 0 || owed != nil) {
		err = *cause
		if owed != nil && !diskFull(err) { // out of time, too
			err = fmt.Errorf("%w, and losses are not recorded: %w", err, owed)
		}
	}
	if len(lost) == 0 {
		return err
	}
	return &NotWrittenError{Streams: lost, Err: err}
}
