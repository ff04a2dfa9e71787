package recorder

import (
	"runtime"
	"sync/atomic"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/queue"
)

// lineSize separates words that different cores write.
const lineSize = 128

// lane is one ring and what its two ends tell each other beside it. Who
// writes what:
//
//	losses     producers add, the archiver takes
//	count      lost, refused: producers. records, bytes, unwritten, and lost with them: the archiver
//	committed  producers, behind each commit
//	drained    the archiver: everything before it is in the journal
//	endSeq     the archiver, before drained: the sequence behind the lane's last record
//	settled    records that are in the journal or given up
//	limit      the archiver, once, while it freezes the lanes
//	stalled    the archiver: when it met the open claim that holds it up, by
//	           clock.age; 0: there is none
//	longest    producers, by compare-and-swap, while the archiver naps or there is no room
//	the rest   the archiver alone, or nobody after construction
type lane struct {
	stream   *stream
	ring     *queue.Producer       // nil in a shared lane
	shared   *queue.SharedProducer // nil in an unshared lane
	out      *queue.Consumer
	capacity int
	cost     int           // against Options.MemoryLimit
	urgent   bool          // see archiver.urgent
	gone     chan struct{} // closed when the archiver has let go of the lane
	retired  atomic.Bool   // by Close; set under Recorder.mu

	losses lossBook
	count  tally

	after     []*lane      // retired lanes of the stream whose records come first
	ended     uint64       // End of the last span read
	seenBytes uint64       // of out.Stats().Bytes, already counted
	idleSince time.Time    // when a loss was first seen in the idle lane; zero: none
	frozen    []queue.Span // read, not yet written, once the lanes are frozen
	gaveUp    bool         // records that were read will never be in the journal
	stallAt   uint64       // position of the open claim that was met last
	stallFull uint64       // of out.Stats().Full, when it was met

	_         [lineSize]byte
	committed atomic.Uint64 // a mark
	_         [lineSize]byte
	drained   progress
	endSeq    atomic.Uint64
	settled   atomic.Uint64
	limit     atomic.Uint64
	stalled   atomic.Int64
	longest   atomic.Int64 // record that was committed in a nap, or found no room: what a nap leaves room for
}

// mark packs what a lane's producer has committed into one word, so that one
// store publishes both: the number of records in the upper half, the position
// divided by 8 in the lower, each modulo 2³². They are compared with counts
// that are less than a lane away, so the modulus does no harm. A shared lane
// counts records only; its position is the ring's tail.
type mark uint64

func makeMark(records uint32, pos uint64) mark {
	return mark(records)<<32 | mark(uint32(pos>>3))
}

const oneRecord = 1 << 32 // added to the mark of a shared lane

func (m mark) records() uint32 { return uint32(m >> 32) }

// position is the full position of a mark that is within 16 GiB of near.
func (m mark) position(near uint64) uint64 {
	return near + uint64(int64(int32(uint32(m)-uint32(near>>3))))*8
}

// position is the position behind everything committed so far. Any goroutine.
func (l *lane) position() uint64 {
	if l.shared != nil {
		return l.shared.Position()
	}
	return mark(l.committed.Load()).position(l.drained.pos.Load())
}

// pending is the records, and the bytes of ring memory, that are committed and
// neither archived nor given up. Any goroutine; a snapshot.
func (l *lane) pending() (records, bytes uint64) {
	settled, drained := l.settled.Load(), l.drained.pos.Load()
	m := mark(l.committed.Load())
	if n := int32(m.records() - uint32(settled)); n > 0 {
		records = uint64(n)
	}
	if n := int64(l.position() - drained); n > 0 && records > 0 {
		// Positions jump, by less than three capacities, where a stalled claim
		// was passed.
		bytes = min(uint64(n), uint64(l.capacity))
	}
	return records, bytes
}

// lose counts e, and books it for the archive. It returns false if the lane is
// gone, and somebody else has to book it.
func (l *lane) lose(pos func() uint64, e loss) (booked bool) {
	for _, t := range [...]*tally{&l.count, &l.stream.count} {
		t.lose(e.reason, e.records, e.bytes)
	}
	return l.losses.add(pos, e)
}

// remember returns the longest record that was ever passed to it.
func (l *lane) remember(n int) int {
	for {
		old := l.longest.Load()
		if int64(n) <= old {
			return int(old)
		}
		if l.longest.CompareAndSwap(old, int64(n)) {
			return n
		}
	}
}

func (l *lane) refuse() {
	l.count.refused.Add(1)
	l.stream.count.refused.Add(1)
}

// archived counts records that are in the journal.
func (l *lane) archived(records int, bytes, endSeq uint64) {
	for _, t := range [...]*tally{&l.count, &l.stream.count} {
		t.records.Add(uint64(records))
		t.bytes.Add(bytes)
	}
	if records > 0 {
		l.endSeq.Store(endSeq)
	}
	l.settled.Add(uint64(records))
}

// giveUp counts committed records that will never be in the journal.
func (l *lane) giveUp(reason journal.LossReason, records int, bytes uint64) {
	l.gaveUp = true
	if records == 0 {
		return
	}
	for _, t := range [...]*tally{&l.count, &l.stream.count} {
		t.lose(reason, uint64(records), bytes)
		t.unwritten.Add(uint64(records))
		t.unwrittenBytes.Add(bytes)
	}
	l.settled.Add(uint64(records))
}

// payloadSeen is the payload bytes, times not counted, of the records that
// were released since the last call.
func (l *lane) payloadSeen(records int) uint64 {
	seen := l.out.Stats().Bytes
	n := seen - l.seenBytes - uint64(records)*timeLen
	l.seenBytes = seen
	return n
}

// stalledSince publishes when the archiver met the claim that holds it up.
func (l *lane) stalledSince(age int64) {
	if l.stalled.Load() != age {
		l.stalled.Store(age)
	}
}

// stalledFor is the age of the claim that holds up the lane, 0 if there is
// none. Any goroutine.
func (l *lane) stalledFor(c *clock) time.Duration {
	since := l.stalled.Load()
	if since == 0 {
		return 0
	}
	return time.Duration(max(c.age()-since, 1))
}

// heldUp reports whether anybody waits for the claim that the archiver met.
func (l *lane) heldUp(s queue.Stall) bool {
	full := l.out.Stats().Full
	if l.stallAt != s.Position {
		l.stallAt, l.stallFull = s.Position, full
	}
	end := s.Position + uint64(frameRoom(s.Size))
	return l.position() != end || // claimed behind it
		l.losses.pending.Load() ||
		l.drained.waiters.Load() > 0 ||
		full != l.stallFull // refused since
}

// turn reports whether the lane may be read: not before the lanes that its
// stream had earlier are empty.
func (l *lane) turn() bool {
	for len(l.after) > 0 {
		select {
		case <-l.after[0].gone:
			l.after[0] = nil // or each lane would keep the one before it
			l.after = l.after[1:]
		default:
			return false
		}
	}
	return true
}

// freeze reads all that is committed and says where that ends. What an
// unshared producer commits later, with a claim that was open, it finds to be
// behind limit. A shared ring is closed first, so that its open claims cannot
// be committed any more.
func (l *lane) freeze(batch int) {
	if l.shared != nil {
		_ = l.shared.Close() // never fails
	}
	for {
		span := l.out.Peek(batch)
		if span.Records() > 0 {
			l.frozen = append(l.frozen, span)
			l.ended = span.End()
			continue
		}
		if l.shared == nil || l.out.Drained() {
			break
		}
		runtime.Gosched() // a producer is inside a claim or commit call
	}
	l.limit.Store(l.ended)
}
