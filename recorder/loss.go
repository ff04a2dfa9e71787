package recorder

import (
	"sync"
	"sync/atomic"

	"github.com/nexus-logbuf/logbuf/journal"
)

// loss is records that a producer offered and the lane does not have. pos is
// the lane position where they would have been: everything before it was
// offered before them, everything behind it after them.
type loss struct {
	pos            uint64
	records, bytes uint64 // records 0: nobody knows how many
	from, to       int64  // Unix nanoseconds
	reason         journal.LossReason
}

// maxLosses is how many entries a lossBook takes before losses share them: 56
// KiB.
const maxLosses = 1024

// lossBook holds the losses of one lane until the archiver has come to their
// positions and writes them. Producers add, the archiver takes.
//
// The positions never go down. Losses at one position have no record between
// them, and there is at most one entry for each reason there (two for reasons
// with both known and unknown numbers), however long an overload lasts. An
// unshared producer's position moves with its records only; that of a shared
// lane also with claims that are aborted, so that losses between those make
// entries without end until the archiver comes by.
//
// So there are maxLosses entries, and then one more for each reason at most: a
// loss beyond them joins the last entry of its reason, at that one's position.
// What stays exact: the number of records and bytes lost for each reason, their
// times, and the ordinals of the records before that entry and of those after
// the losses that joined it. What does not: where in between the records were
// lost. The archive has them all at the entry, so that up to there the ordinals
// of the records in between are too high.
type lossBook struct {
	pending atomic.Bool // there are entries; set before the record behind them is committed
	mu      sync.Mutex
	entries []loss
	shut    bool // the archiver does not look any more
}

// add books e at the position that pos returns, or returns false if the book
// is shut. pos is called under the book's lock, so that the entries of a
// shared lane are in order.
func (b *lossBook) add(pos func() uint64, e loss) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.shut {
		return false
	}
	e.pos = pos()
	full := len(b.entries) >= maxLosses
	for i := len(b.entries) - 1; i >= 0 && (full || b.entries[i].pos == e.pos); i-- {
		if b.entries[i].joins(e) {
			return true
		}
	}
	b.entries = append(b.entries, e)
	b.pending.Store(true)
	return true
}

// joins adds n to e if they are losses of the same kind.
func (e *loss) joins(n loss) bool {
	if e.reason != n.reason || (e.records == 0) != (n.records == 0) {
		return false
	}
	e.records += n.records
	e.bytes += n.bytes
	e.from = min(e.from, n.from)
	e.to = max(e.to, n.to)
	return true
}

// close shuts the book and returns what is still in it.
func (b *lossBook) close() []loss {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shut = true
	return b.take(nil, len(b.entries))
}

// takeBefore appends to dst the entries whose position is before end, and
// forgets them.
func (b *lossBook) takeBefore(dst []loss, end uint64) []loss {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for n < len(b.entries) && int64(b.entries[n].pos-end) < 0 {
		n++
	}
	return b.take(dst, n)
}

// takeAll is takeBefore without a limit.
func (b *lossBook) takeAll(dst []loss) []loss {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.take(dst, len(b.entries))
}

func (b *lossBook) take(dst []loss, n int) []loss {
	dst = append(dst, b.entries[:n]...)
	b.entries = b.entries[:copy(b.entries, b.entries[n:])]
	b.pending.Store(len(b.entries) > 0)
	return dst
}

// frame is the loss record of e as it goes into the archive: first is the
// ordinal of the first record lost.
func (e loss) frame(dst []byte, stream uint16, first uint64) []byte {
	var payload [64]byte
	return journal.AppendFrame(dst, journal.Record{
		Time: e.to, Kind: journal.KindLoss, Stream: stream,
		Payload: journal.Loss{
			Stream: stream, First: first, Records: e.records, Bytes: e.bytes,
			From: e.from, To: e.to, Reason: e.reason,
		}.Append(payload[:0]),
	})
}
