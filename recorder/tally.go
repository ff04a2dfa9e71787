package recorder

import (
	"sync/atomic"

	"github.com/nexus-logbuf/logbuf/journal"
)

// LossCount is what a stream or a producer has lost for one reason.
type LossCount struct {
	Reason  journal.LossReason
	Records uint64 // as far as their number is known
	Bytes   uint64 // their payload, bytes, as far as it is known
	Gaps    uint64 // losses of an unknown number of records
}

// reasons is how many values of journal.LossReason there are, with 0, which is
// none.
const reasons = journal.LossDamage + 1

// tally is the counters of a lane and of a stream.
type tally struct {
	records, bytes            atomic.Uint64 // in the journal
	refused                   atomic.Uint64
	unwritten, unwrittenBytes atomic.Uint64 // committed, then lost; included in lost

	lost [reasons]struct{ records, bytes, gaps atomic.Uint64 }
}

// lose counts records that are lost, or a gap if records is 0.
func (t *tally) lose(reason journal.LossReason, records, bytes uint64) {
	l := &t.lost[reason]
	l.bytes.Add(bytes)
	if records == 0 {
		l.gaps.Add(1)
		return
	}
	l.records.Add(records)
}

// stats is the part of ProducerStats that a tally knows. Each counter is read
// once, so that the sums of ByReason are the totals at any moment.
func (t *tally) stats() ProducerStats {
	s := ProducerStats{Records: t.records.Load(), Bytes: t.bytes.Load(), Refused: t.refused.Load()}
	for i := range t.lost {
		l := &t.lost[i]
		c := LossCount{
			Reason:  journal.LossReason(i),
			Records: l.records.Load(), Bytes: l.bytes.Load(), Gaps: l.gaps.Load(),
		}
		if c.Records == 0 && c.Bytes == 0 && c.Gaps == 0 {
			continue
		}
		s.Lost += c.Records
		s.LostBytes += c.Bytes
		s.Gaps += c.Gaps
		s.ByReason = append(s.ByReason, c)
	}
	return s
}
