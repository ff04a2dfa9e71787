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

// lossBook holds the losses of one lane until the archiver has come to their
// positions and writes them. Producers add, the archiver takes.
//
// The positions never go down. Losses at one position have no record between
// them; there is at most one entry for each reason there (two for reasons with
// both known and unknown numbers), so that the number of entries is bounded by
// the number of records in the lane, however long an overload lasts.
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
	for i := len(b.entries) - 1; i >= 0 && b.entries[i].pos == e.pos; i-- {
		if old := &b.entries[i]; old.reason == e.reason && (old.records == 0) == (e.records == 0) {
			old.records += e.records
			old.bytes += e.bytes
			old.from = min(old.from, e.from)
			old.to = max(old.to, e.to)
			return true
		}
	}
	b.entries = append(b.entries, e)
	b.pending.Store(true)
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
