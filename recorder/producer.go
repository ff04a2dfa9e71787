package recorder

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/queue"
)

// Producer is the writing end of a stream: a lane of its own to the archiver.
//
// A Producer is for one goroutine at a time, unless it was made with Shared,
// when any number of goroutines may use it at once. WaitDurable and Stats may
// be called from any goroutine in either case.
type Producer struct {
	rec    *Recorder
	lane   *lane
	ring   *queue.Producer // the lane's; nil when shared
	shared *queue.SharedProducer
	policy Overload
	max    int
	stream uint16

	// Of an unshared producer: the records committed, modulo 2³², and the
	// position behind the last of them.
	records uint32
	last    uint64
}

// Write records a copy of rec with the time of the call, kind
// journal.KindData and no flags: one record per call. It returns len(rec) and
// nil, or 0 and one of WriteAt's errors.
func (p *Producer) Write(rec []byte) (int, error) {
	if err := p.WriteAt(p.rec.clock.now(), journal.KindData, 0, rec); err != nil {
		return 0, err
	}
	return len(rec), nil
}

// WriteAt records a copy of rec with time t, nanoseconds since the Unix epoch.
// kind is 1 to 0x3F; others are the journal's, and WriteAt panics.
//
// The error is nil when the archiver has the record. Otherwise the record is
// not recorded, and the error wraps queue.ErrFull (the lane is full; not under
// OverloadWait), queue.ErrTooLarge (longer than MaxRecord), ErrClosed, or the
// error that stopped the archiver.
func (p *Producer) WriteAt(t int64, kind, flags uint8, rec []byte) error {
	c, err := p.tryClaim(t, kind, flags, len(rec))
	if err != nil {
		if err != queue.ErrFull {
			return err
		}
		if c, err = p.overload(context.Background(), t, kind, flags, len(rec)); err != nil {
			return err
		}
	}
	return p.put(c, t, kind, flags, rec)
}

// put fills and commits a claim of WriteAt's.
func (p *Producer) put(c queue.Claim, t int64, kind, flags uint8, rec []byte) error {
	copy(c.Bytes()[timeLen:], rec)
	switch {
	case c.Commit():
		if p.committed(len(rec)) {
			return nil
		}
	case p.passed():
		// This goroutine stood still for longer than Options.StallLimit since
		// the claim. The record is at hand, so nothing is lost.
		return p.WriteAt(t, kind, flags, rec)
	default:
		p.abandoned(len(rec))
	}
	return p.rec.refusal()
}

// TryClaim reserves n payload bytes, n ≥ 0, for a record of that kind (1 to
// 0x3F) with the time of the call. It never waits: a full lane is
// queue.ErrFull whatever the policy, and under OverloadDrop the record counts
// as lost. Its errors are those of WriteAt otherwise.
//
// The next claim or write of an unshared producer replaces a claim that was
// forgotten. A claim of a shared producer must be settled: the records claimed
// after it wait for it.
func (p *Producer) TryClaim(kind, flags uint8, n int) (Claim, error) {
	return p.TryClaimAt(p.rec.clock.now(), kind, flags, n)
}

// TryClaimAt is TryClaim for a record of time t, nanoseconds since the Unix
// epoch. It reads no clock.
func (p *Producer) TryClaimAt(t int64, kind, flags uint8, n int) (Claim, error) {
	c, err := p.tryClaim(t, kind, flags, n)
	if err == queue.ErrFull {
		err = p.full(t, n)
	}
	return p.claim(c, err)
}

// claim is the result of a call that makes one.
func (p *Producer) claim(c queue.Claim, err error) (Claim, error) {
	if err != nil {
		return Claim{}, err
	}
	return Claim{c: c, p: p}, nil
}

// Claim is TryClaim, except that under OverloadWait it waits until there is
// room, the context is done, or the recorder is closed or fails. It polls: it
// yields, for up to 0.2 ms, and then pauses for up to 1 ms.
func (p *Producer) Claim(ctx context.Context, kind, flags uint8, n int) (Claim, error) {
	return p.ClaimAt(ctx, p.rec.clock.now(), kind, flags, n)
}

// ClaimAt is Claim for a record of time t, nanoseconds since the Unix epoch. It
// reads no clock.
func (p *Producer) ClaimAt(ctx context.Context, t int64, kind, flags uint8, n int) (Claim, error) {
	c, err := p.tryClaim(t, kind, flags, n)
	if err == queue.ErrFull {
		c, err = p.overload(ctx, t, kind, flags, n)
	}
	return p.claim(c, err)
}

// MaxRecord is the longest record, in payload bytes, that a claim can take:
// the lane less 24 bytes or the archive's largest block less 16, whichever is
// smaller.
func (p *Producer) MaxRecord() int { return p.max }

// Overload is the policy that the producer was made with.
func (p *Producer) Overload() Overload { return p.policy }

// Lose says that the source lost records that were never offered: a frame that
// was too large to receive, or a gap while it was disconnected. It is counted,
// and a loss record goes into the archive where the records would have been.
// records 0 means that nobody knows how many; bytes is their payload, 0 if
// unknown. reason is one of the journal's, or Lose panics. It is for the
// goroutine that writes.
func (p *Producer) Lose(records, bytes uint64, reason journal.LossReason) {
	now := p.rec.clock.now()
	p.LoseBetween(records, bytes, reason, now, now)
}

// LoseBetween is Lose for a loss that began at time from and ended at time to,
// in nanoseconds since the Unix epoch.
func (p *Producer) LoseBetween(records, bytes uint64, reason journal.LossReason, from, to int64) {
	if reason-1 >= reasons-1 {
		panic(fmt.Sprintf("recorder: loss for reason %d: must be 1 to %d", reason, reasons-1))
	}
	p.lose(loss{records: records, bytes: bytes, from: from, to: to, reason: reason})
}

// Close retires the lane: later claims and writes fail with ErrClosed, and an
// open claim can not be committed any more, of a shared producer from when the
// archiver has come to it. It does not wait. What was
// committed still goes to the archive; then the lane's memory is given back.
// Close may be called again. Of an unshared producer it is for the goroutine
// that writes.
func (p *Producer) Close() error {
	p.rec.retire(p.lane) // before the ring is closed, see passed
	if p.shared != nil {
		_ = p.shared.Close() // never fails
	} else {
		_ = p.ring.Close() // never fails
	}
	p.rec.parker.Rouse() // the archiver looks whether the lane is drained
	return nil
}

// tryClaim makes a claim with its time set. What it does not find room for it
// returns queue.ErrFull for, itself, uncounted; other errors are counted.
//
// It returns the lane's claim, which is all that WriteAt needs.
func (p *Producer) tryClaim(t int64, kind, flags uint8, n int) (c queue.Claim, err error) {
	if kind-1 >= firstControl-1 {
		panic(fmt.Sprintf("recorder: kind %#x: must be 0x1 to %#x", kind, firstControl-1))
	}
	if p.rec.phase.Load() != running {
		return queue.Claim{}, p.refused(t, n)
	}
	if uint(n) > uint(p.max) {
		return queue.Claim{}, p.tooLarge(t, n)
	}
	if typ := journal.RecordType(kind, flags, p.stream); p.ring != nil {
		c, err = p.ring.TryClaimTyped(typ, n+timeLen)
	} else {
		c, err = p.shared.TryClaimTyped(typ, n+timeLen)
	}
	if err != nil {
		if err == queue.ErrFull {
			// Padding may have been published that the archiver has to step over.
			p.lane.remember(n)
			p.rec.parker.Rouse()
			return queue.Claim{}, err
		}
		return queue.Claim{}, p.refused(t, n)
	}
	binary.LittleEndian.PutUint64(c.Bytes(), uint64(t))
	return c, nil
}

// firstControl is the first kind that is not the caller's.
const firstControl = journal.KindStream

// committed is behind each commit of the ring. It publishes the commit to
// Stats and WaitDurable, and then looks whether the archiver must be woken or
// has gone.
//
// The store (a read-modify-write in a shared lane) and the loads behind it are
// sequentially consistent, as are the archiver's: it arms the parker, or moves
// the phase, and then looks at the lane. So either this call sees that, or the
// archiver sees the record.
func (p *Producer) committed(n int) bool {
	l := p.lane
	if p.ring != nil {
		p.records++
		p.last = p.ring.Position()
		l.committed.Store(uint64(makeMark(p.records, p.last)))
	} else {
		l.committed.Add(oneRecord)
	}
	if p.rec.phase.Load() >= freezing {
		return p.settle(n)
	}
	if p.rec.parker.Asleep() {
		p.nudge(n)
	}
	return true
}

// nudge is behind a call that leaves work for the archiver and finds it asleep.
// It ends a nap only if the lane is crowded: if another record as long as the
// longest one so far would make it more than half full. What the archiver has
// published of its position counts: that word is not written while it naps.
func (p *Producer) nudge(n int) {
	pos := p.last
	if p.shared != nil {
		pos = p.shared.Position()
	}
	if int64(pos-p.lane.drained.pos.Load()) > int64(p.lane.capacity/2-p.lane.remember(n)) {
		p.rec.parker.Rouse()
	} else {
		p.rec.parker.Wake()
	}
}

// settle decides about a record that was committed while, or after, the
// archiver took its last look at the lanes. It waits for the end of that look,
// which does no I/O.
//
// A shared ring is closed by that look: its commits fail or are seen.
func (p *Producer) settle(n int) bool {
	for p.rec.phase.Load() == freezing {
		runtime.Gosched()
	}
	limit := p.lane.limit.Load()
	if p.ring == nil || int64(p.last-limit) <= 0 {
		return true
	}
	p.records--
	p.last = limit
	p.lane.committed.Store(uint64(makeMark(p.records, p.last)))
	return p.abandoned(n)
}

// passed says of a claim whose commit failed that the archiver has passed it
// because it was open for too long. The other cause is that the ring was
// closed, and before that is done, the lane is retired or the phase goes up; a
// claim that was passed, and the ring then closed, counts as the latter.
func (p *Producer) passed() bool {
	return !p.lane.retired.Load() && p.rec.phase.Load() < freezing
}

// abandoned counts a record whose commit came too late.
func (p *Producer) abandoned(n int) bool {
	reason := journal.LossClosed
	switch {
	case p.rec.failure.Load() != nil:
		reason = journal.LossWrite
	case p.passed():
		reason = journal.LossStalled
	}
	p.loseOne(p.rec.clock.now(), n, reason)
	return false
}

// refused counts a record that was offered to a closed or failed recorder, or
// a closed producer, and returns why it is refused.
func (p *Producer) refused(t int64, n int) error {
	if p.policy == OverloadDrop && p.rec.failure.Load() != nil {
		p.loseOne(t, n, journal.LossWrite)
	} else {
		p.lane.refuse()
	}
	return p.rec.refusal()
}

func (p *Producer) tooLarge(t int64, n int) error {
	if n < 0 {
		panic(fmt.Sprintf("recorder: claim of %d bytes", n))
	}
	if p.lane.retired.Load() {
		return p.refused(t, n)
	}
	p.loseOne(t, n, journal.LossTooLarge)
	return fmt.Errorf("recorder: stream %q: record of %d bytes, the largest is %d: %w", p.lane.stream.name, n, p.max, queue.ErrTooLarge)
}

// full applies the policies that do not wait to a record that found no room.
func (p *Producer) full(t int64, n int) error {
	if p.policy == OverloadDrop {
		p.loseOne(t, n, journal.LossOverload)
	} else {
		p.lane.refuse()
	}
	return queue.ErrFull
}

func (p *Producer) loseOne(t int64, n int, reason journal.LossReason) {
	p.lose(loss{records: 1, bytes: uint64(n), from: t, to: t, reason: reason})
}

func (p *Producer) lose(e loss) {
	pos := func() uint64 { return p.last }
	if p.ring == nil {
		pos = p.shared.Position
	}
	if !p.lane.lose(pos, e) {
		p.rec.loseLate(p.lane.stream, e)
	}
	p.rec.parker.Rouse()
}

// overload applies the policy to a record that found no room.
func (p *Producer) overload(ctx context.Context, t int64, kind, flags uint8, n int) (queue.Claim, error) {
	if p.policy != OverloadWait {
		return queue.Claim{}, p.full(t, n)
	}
	c, err := p.await(ctx, t, kind, flags, n)
	if err != nil && errors.Is(err, ctx.Err()) {
		p.lane.refuse()
		err = fmt.Errorf("recorder: stream %q: waiting for room for %d bytes: %w", p.lane.stream.name, n, err)
	}
	return c, err
}

// How await waits. A batch of maxBatch bytes is in the page cache after 50 to
// 100 µs. A pause takes the runtime's timer a millisecond or two, however short
// it is meant to be, and in that time the archiver empties a lane of 2 MiB and
// has nothing to do: then the two of them take turns.
const (
	waitYielding = 200 * time.Microsecond // first it polls, with nothing but yields between,
	waitYields   = 2000                   // and not more of them than this; one takes 0.1 µs or more
	waitFirst    = 20 * time.Microsecond  // then with pauses that double, from this
	waitLongest  = time.Millisecond       // to this
)

// await polls until there is room, the context ends, or the recorder takes no
// more records.
func (p *Producer) await(ctx context.Context, t int64, kind, flags uint8, n int) (queue.Claim, error) {
	start := time.Now()
	for i := 0; i < waitYields && time.Since(start) < waitYielding; i++ {
		runtime.Gosched()
		if c, err := p.tryClaim(t, kind, flags, n); err != queue.ErrFull {
			return c, err
		}
	}
	pause := waitFirst
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return queue.Claim{}, ctx.Err()
		}
		if c, err := p.tryClaim(t, kind, flags, n); err != queue.ErrFull {
			return c, err
		}
		pause = min(2*pause, waitLongest)
		timer.Reset(pause)
	}
}

// WaitDurable waits until everything that was committed with this producer
// before the call is durable: it survives a crash of the process and a power
// cut. Of a shared producer that includes what other goroutines had claimed by
// then, unless that claim is given back, or passed as stalled, see
// Options.StallLimit. Any goroutine may call it, also after Close.
//
// The error names the stream. It wraps the context's error when the records
// may still become durable, and is a *NotWrittenError, or the journal's error,
// when they will not. Records that were refused or lost were not committed;
// Stats counts them.
func (p *Producer) WaitDurable(ctx context.Context) error {
	l := p.lane
	target := l.position()
	// A claim wakes nobody, and may be stalled: the archiver must look, and find
	// that somebody waits.
	l.drained.waiters.Add(1)
	defer l.drained.waiters.Add(-1)
	p.rec.parker.Rouse()
	err := l.drained.wait(ctx, target, p.rec.done)
	if err == errStopped {
		return &NotWrittenError{Streams: []StreamLoss{{
			Name: l.stream.name, Records: l.count.unwritten.Load(), Bytes: l.count.unwrittenBytes.Load(),
		}}, Err: p.rec.stopped()}
	}
	if end := l.endSeq.Load(); err == nil && end > 0 {
		err = p.rec.journal.WaitDurable(ctx, end-1)
	}
	if err != nil {
		return fmt.Errorf("recorder: stream %q: waiting until durable: %w", l.stream.name, err)
	}
	return nil
}

// Stats is a snapshot of the producer's counters. Any goroutine may call it.
func (p *Producer) Stats() ProducerStats {
	q := p.lane.out.Stats()
	lag, lagBytes := p.lane.pending() // before the counters of what has left the lane
	s := p.lane.count.stats()
	s.LagRecords, s.LagBytes = lag, lagBytes
	s.StalledFor, s.Abandoned = p.lane.stalledFor(&p.rec.clock), q.Abandoned
	s.LaneCapacity, s.LaneHighWater = p.lane.capacity, q.HighWater
	return s
}
