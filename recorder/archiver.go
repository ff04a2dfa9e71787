package recorder

import (
	"math"
	"runtime"
	"slices"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/queue"
)

const (
	maxBatch  = 256 << 10              // bytes that one lane may write in its turn
	idleTurns = 8                      // rounds that find nothing, with a yield behind each, before an archiver that follows its producers sleeps
	dozeFor   = 100 * time.Millisecond // how long the archiver finds nothing, dozing, before it sleeps
	lossDelay = 100 * time.Millisecond // how long a loss waits for the stream's next record
	passDelay = time.Second            // between attempts to pass a stalled claim that cannot be passed yet
)

// archiver is the one goroutine that reads the lanes and writes the journal.
// It goes round the lanes and gives each a batch, urgent ones first, see
// urgent. A panic in it is a defect of this package or the journal and ends the
// program.
type archiver struct {
	rec     *Recorder
	journal archive
	staged  []byte // copies of batches, where one is needed
	losses  []loss // taken from a lane, being written
	full    error  // what a full disk said last while the recorder was being closed
	owed    error  // that, when it has refused losses, which are booked once more
	// The journal's limit for a block: what is appended in one call is written
	// whole or not at all, and so can be tried again.
	maxBlock int
	lead     int         // bytes that urgent lanes have written more than ordinary ones, while both had records
	last     int         // the urgent lane that had its turn last
	asked    int         // turns of urgent lanes since all of them had one
	brisk    bool        // a lane was found a quarter full, and no idleTurns rounds have found nothing since: a nap would take room that it may need
	timer    *time.Timer // of naps and alarms; stopped while the archiver is awake

	// Of the last round:
	alarm   time.Duration // a lane needs a look this soon, though nobody will wake the archiver for it; 0: none does
	behind  bool          // an ordinary lane was half full in its turn
	more    bool          // there is more to do: what was there when the round began is not all written
	awaited bool          // somebody waits for what an open claim holds up
}

func newArchiver(r *Recorder) *archiver {
	timer := time.NewTimer(math.MaxInt64)
	timer.Stop()
	return &archiver{rec: r, journal: r.journal, maxBlock: r.maxBlock(), timer: timer}
}

func (a *archiver) run() {
	r := a.rec
	r.clock.look()
	for r.phase.Load() == running {
		a.follow()
		if r.phase.Load() != running {
			break // no lane has another turn: what the last one could not write is given up
		}
		if r.opts.Linger < 0 || a.awaited || a.doze() {
			a.sleep()
		}
	}
	a.finish()
}

// follow goes round until what was there is written. If lanes fill too fast for
// naps, or there are to be none, it follows the producers until idleTurns rounds
// find nothing.
func (a *archiver) follow() {
	for idle := 0; idle < idleTurns && a.rec.phase.Load() == running; {
		switch found := a.round(); {
		case found && (a.more || a.brisk || a.rec.opts.Linger < 0):
			idle = 0
		case a.brisk || a.rec.opts.Linger < 0:
			idle++
			runtime.Gosched()
		default:
			return
		}
	}
	a.brisk = false
}

// doze writes what is there, and naps for Options.Linger, again and again. It
// returns true if nothing has come for dozeFor, and false if a round was not
// enough, records come too fast, or somebody waits for what a commit may bring at
// any time.
//
// A commit does not end a nap, unless it leaves its lane crowded, see
// Producer.nudge. So a producer pays for a wake-up at most once in dozeFor, and
// the archiver has something worth a write.
func (a *archiver) doze() (quiet bool) {
	r := a.rec
	for last := time.Now(); ; {
		r.parker.Doze()
		found := a.round()
		if a.more || a.brisk || a.awaited || r.phase.Load() != running {
			r.parker.Disarm()
			return false
		}
		if found {
			last = time.Now()
		} else if time.Since(last) >= dozeFor {
			r.parker.Disarm()
			return true
		}
		nap := r.opts.Linger
		if a.alarm > 0 {
			nap = min(nap, a.alarm)
		}
		a.park(nap)
		r.clock.tick()
	}
}

// lookIn makes the archiver sleep no longer than d, more than 0.
func (a *archiver) lookIn(d time.Duration) {
	if a.alarm == 0 || d < a.alarm {
		a.alarm = d
	}
}

// sleep waits for a producer's call, or until a lane needs a look.
func (a *archiver) sleep() {
	p := a.rec.parker
	p.Arm()
	if a.round() || a.rec.phase.Load() != running {
		p.Disarm()
		return
	}
	a.rec.clock.rest()
	a.park(a.alarm)
	a.rec.clock.look()
}

// park parks for d, or without end if d is 0.
func (a *archiver) park(d time.Duration) {
	if d == 0 {
		a.rec.parker.Park(nil, nil)
		return
	}
	a.timer.Reset(d)
	a.rec.parker.Park(nil, a.timer.C)
	a.timer.Stop()
}

// round visits each lane once and reports whether any of them had something.
func (a *archiver) round() (worked bool) {
	a.alarm, a.more, a.awaited = 0, false, false
	a.writeClock()
	if a.rec.late.Load() {
		a.writeLate()
	}
	worked, a.behind = a.urgent(), false
	for _, l := range a.rec.lanes.Load().ordinary {
		if a.rec.phase.Load() != running {
			return true
		}
		if l.turn() && a.visit(l) {
			worked = true
			a.urgent()
		}
	}
	if a.lead > 0 {
		worked = true // urgent lanes were not asked: another round
		if !a.behind {
			a.lead = 0 // nor did anybody need that
		}
		a.more = a.more || a.behind || a.asked < len(a.rec.lanes.Load().urgent)
	}
	if !a.more {
		a.asked = 0
	}
	return worked
}

// urgent writes batches of urgent lanes, one lane after another, until they have
// no records, or have written more than the ordinary ones. It is called before
// each ordinary batch. So, while both have records,
//
//   - each kind gets half of the bytes that are written, to within one batch;
//   - records of an urgent lane, as long as urgent lanes need less than that
//     half, wait for at most one ordinary batch.
//
// What either does not need is the other's: nobody saves up a share, and urgent
// lanes wait for ordinary ones to catch up only while one of those is behind.
func (a *archiver) urgent() (worked bool) {
	for idle := 0; a.lead <= 0; {
		lanes := a.rec.lanes.Load().urgent
		if idle >= len(lanes) {
			a.lead = 0
			return worked
		}
		a.last = (a.last + 1) % len(lanes)
		a.asked++
		if l := lanes[a.last]; !l.turn() || !a.visit(l) {
			idle++
			continue
		}
		worked, idle = true, 0
		if a.rec.phase.Load() != running {
			return worked
		}
	}
	return worked
}

// visit writes the lane's next batch.
func (a *archiver) visit(l *lane) (worked bool) {
	committed := l.position()
	batch := l.batch()
	if int64(committed-l.out.Position()) >= int64(batch) {
		batch = a.journal.Fit(batch)
	}
	span := l.out.Peek(batch)
	if span.Records() == 0 {
		worked = a.idle(l)
		a.more = a.more || worked
		return worked
	}
	a.more = a.more || int64(committed-span.End()) > 0 || l.retired.Load() // drained by now: it goes, and others may have waited for that
	l.idleSince = time.Time{}
	l.stalledSince(0)
	l.ended = span.End()
	start := span.End() - uint64(len(span.Frames()))
	if int64(committed-start) >= int64(l.capacity/4) {
		a.brisk = true
	}
	if !l.urgent && int64(l.position()-start) >= int64(l.capacity/2) {
		a.behind = true // a lane that is ever full is half full in each turn
	}
	frames, records, losses := a.prepare(l, span)
	a.count(l, len(frames))
	if a.rec.opts.Stage {
		l.out.ReleaseTo(span.End()) // frames is a copy
	}
	if !a.writeRecords(l, frames, records, losses) {
		return true
	}
	if !a.rec.opts.Stage {
		l.out.ReleaseTo(span.End())
	}
	l.archived(records, l.payloadSeen(records), a.journal.NextSeq())
	l.drained.publish(l.out.Position())
	a.more = a.more || l.losses.pending.Load() // behind the span: lossDelay begins
	return true
}

// count counts n bytes that are written for l against the share of its kind.
func (a *archiver) count(l *lane, n int) {
	if l.urgent {
		a.lead += n
	} else {
		a.lead -= n
	}
}

// batch is a quarter of the lane, so that producers get room while the next
// batch is written.
func (l *lane) batch() int { return min(l.capacity/4, maxBatch) }

// idle looks after a lane that has no records: a claim that holds it up for too
// long is passed, skips at its end count as drained, losses are written when
// they have waited long enough, and the lane of a closed producer goes.
func (a *archiver) idle(l *lane) (worked bool) {
	if a.pass(l) {
		return true
	}
	pos := l.out.Position()
	if pos != l.drained.pos.Load() {
		l.drained.publish(pos)
	}
	if l.drained.waiters.Load() > 0 && l.position() != pos {
		a.awaited = true
	}
	drained := l.out.Drained()
	switch {
	case l.losses.pending.Load():
		// Losses behind pos wait for what lies between: an open claim, or a
		// record that was committed since the lane looked empty.
		if drained || l.lossesDue() {
			a.losses = l.losses.takeBefore(a.losses[:0], pos+1)
		} else {
			a.losses = a.losses[:0]
		}
		if len(a.losses) == 0 {
			a.lookIn(lossDelay)
			return false
		}
		l.idleSince = time.Time{}
		a.writeLosses(l.stream)
		a.count(l, len(a.staged))
	case drained:
		a.rec.forget(l)
	default:
		// A closed lane that is not drained: some goroutine is inside a claim
		// or commit call, and need not wake anybody when it is through.
		if l.retired.Load() {
			a.lookIn(lossDelay)
		}
		return false
	}
	return true
}

// pass looks for an open claim that the lane cannot be read past, and passes it
// if it holds up others and is older than Options.StallLimit: then it returns
// true. Whatever makes a claim hold up others wakes the archiver.
//
// The owner commits at any time, before or after. Package queue decides, with
// one compare-and-swap, whether the record is there or Commit returns false.
func (a *archiver) pass(l *lane) (worked bool) {
	stall, ok := l.out.Stalled()
	if !ok {
		l.stalledSince(0)
		return false
	}
	l.stalledSince(max(1, a.rec.clock.age()-int64(stall.Age)))
	limit := a.rec.opts.StallLimit
	switch {
	case limit < 0 || !l.heldUp(stall):
		return false
	case stall.Age < limit:
		a.lookIn(limit - stall.Age)
		return false
	case l.out.PassStalled(limit):
		return true
	}
	a.lookIn(passDelay) // there may be room for one more buffer then
	return false
}

// lossesDue reports whether the losses of an idle lane have waited long enough
// for a record to follow them.
func (l *lane) lossesDue() bool {
	if l.idleSince.IsZero() {
		l.idleSince = time.Now()
	}
	return time.Since(l.idleSince) >= lossDelay
}

// prepare returns the frames to write for a span: its own where they lie, or a
// copy if the options ask for one, or a copy with the loss records that belong
// between the records. losses is the number of those.
func (a *archiver) prepare(l *lane, span queue.Span) (frames []byte, records, losses int) {
	frames, records = span.Frames(), span.Records()
	if l.losses.pending.Load() {
		a.losses = l.losses.takeBefore(a.losses[:0], span.End())
		if len(a.losses) > 0 {
			a.weave(l.stream, frames, span.End()-uint64(len(frames)))
			return a.staged, records, len(a.losses)
		}
	}
	l.stream.ordinal += uint64(records)
	if a.rec.opts.Stage {
		a.staged = append(a.staged[:0], frames...)
		frames = a.staged
	}
	return frames, records, 0
}

// weave copies frames, which begin at position start, and puts a.losses where
// they belong.
//
// A loss in front of start comes first: another goroutine committed start's
// record while the loss was being booked, so that either order is right.
func (a *archiver) weave(st *stream, frames []byte, start uint64) {
	a.staged = a.staged[:0]
	done := 0
	for _, e := range a.losses {
		records, at := 0, done
		for ; int64(e.pos-start) > int64(at); at += frameStride(frames[at:]) {
			if !frameIsSkip(frames[at:]) {
				records++
			}
		}
		st.ordinal += uint64(records)
		a.staged = append(a.staged, frames[done:at]...)
		a.staged = e.frame(a.staged, st.id, st.ordinal)
		st.ordinal += e.records
		done = at
	}
	records, _ := countFrames(frames[done:])
	st.ordinal += uint64(records)
	a.staged = append(a.staged, frames[done:]...)
}

// writeLosses writes a.losses, which no records of the stream follow yet.
func (a *archiver) writeLosses(st *stream) {
	a.staged = a.staged[:0]
	for _, e := range a.losses {
		a.staged = e.frame(a.staged, st.id, st.ordinal)
		st.ordinal += e.records
	}
	if len(a.losses) == 0 {
		return
	}
	if rest := a.write(a.staged, len(a.losses)); len(rest) > 0 && a.rec.failure.Load() == nil {
		a.rebook(st, rest)
	}
}

// writeLate writes the losses of lanes that are gone, and those that a full disk
// has refused.
func (a *archiver) writeLate() {
	r := a.rec
	r.late.Store(false)
	a.owed = nil
	r.mu.Lock()
	streams := slices.Clone(r.streams)
	r.mu.Unlock()
	for _, st := range streams {
		a.losses = st.late.takeAll(a.losses[:0])
		a.writeLosses(st)
	}
}

// writeRecords hands frames to the journal: records of the lane, with losses
// among them. If that fails, the records that the journal did not take are
// lost; they are booked in case the journal still takes a loss record.
func (a *archiver) writeRecords(l *lane, frames []byte, records, losses int) (ok bool) {
	before := a.journal.NextSeq()
	rest := a.write(frames, records+losses)
	if len(rest) == 0 {
		return true
	}
	next := a.journal.NextSeq()
	taken := min(int(next-before), records)
	part, bytes := splitPayload(frames, taken)
	if taken > 0 {
		l.archived(taken, part, next)
	}
	l.giveUp(journal.LossWrite, records-taken, bytes)
	if a.rec.failure.Load() == nil {
		a.rebook(l.stream, rest)
	}
	return false
}
