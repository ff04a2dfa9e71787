package soak

import (
	"fmt"

	"github.com/nexus-logbuf/logbuf/queue"
)

// told is what a producer knows of what it has offered: how often, and what
// became of it.
type told struct {
	offered   int // records tried: every call that writes or claims, but for those of a closed end
	refused   int // ErrFull
	committed int
	bytes     int
	aborted   int // given back with Abort, by a deferred one or by Append
	abandoned int // Commit returned false
	leaked    int
}

func (t *told) add(o told) {
	t.offered += o.offered
	t.refused += o.refused
	t.committed += o.committed
	t.bytes += o.bytes
	t.aborted += o.aborted
	t.abandoned += o.abandoned
	t.leaked += o.leaked
}

// settled notes the answer of Commit or Write for a record of n bytes.
func (t *told) settled(committed bool, n int) {
	if !committed {
		t.abandoned++
		return
	}
	t.committed++
	t.bytes += n
}

// checkCounts compares the counters with what was told and delivered.
func (r *rig) checkCounts() error {
	delivered := 0
	for _, d := range r.readers {
		delivered += len(d.delivered)
	}
	if n := r.total().Records; n != uint64(delivered) {
		return fmt.Errorf("%d records delivered, %d counted", delivered, n)
	}
	for i, p := range r.producers {
		t := p.all()
		if t.offered != t.refused+t.committed+t.aborted+t.abandoned+t.leaked {
			return fmt.Errorf("producer %d: this does not add up: %+v", i, t)
		}
	}
	return r.counts()
}

// countsOfLanes is for SPSC rings and lanes, whose consumer counts the records:
// what it has not read is not there.
func (r *rig) countsOfLanes() error {
	for i, p := range r.producers {
		t, s := p.all(), p.end.stats()
		switch {
		case s.Aborts != uint64(t.aborted), s.Abandoned != 0:
		case s.Full != uint64(t.refused) && (p.exact() || s.Full < uint64(t.refused)):
		case !r.closedEarly && (s.Records != uint64(t.committed) || s.Bytes != uint64(t.bytes)):
		default:
			continue
		}
		return fmt.Errorf("producer %d was told %+v, counted is %+v", i, t, s)
	}
	return nil
}

// countsOfClones is for clones of shared handles, whose ring, or rings, has
// counted what all shows. An Abort or a Write does not tell that its claim had
// been passed: it is counted as abandoned, and the sum over all handles says
// that this happened as often as the consumer has passed something.
func (r *rig) countsOfClones(all interface{ Stats() queue.Stats }) error {
	var sum queue.Stats
	leaked := 0
	for i, p := range r.producers {
		t, s := p.all(), p.end.stats()
		switch {
		case s.Records != uint64(t.committed), s.Bytes != uint64(t.bytes):
		case s.Full != uint64(t.refused) && (p.exact() || s.Full < uint64(t.refused)):
		case s.Aborts > uint64(t.aborted), s.Abandoned < uint64(t.abandoned):
		case s.Aborts+s.Abandoned < uint64(t.aborted+t.abandoned):
		default:
			leaked += t.leaked
			sum.Records += s.Records
			sum.Bytes += s.Bytes
			sum.Full += s.Full
			sum.Aborts += s.Aborts
			sum.Abandoned += s.Abandoned
			sum.Padding += s.Padding
			sum.HighWater = max(sum.HighWater, s.HighWater)
			continue
		}
		return fmt.Errorf("producer %d was told %+v, its handle has counted %+v", i, t, s)
	}
	total := all.Stats()
	sum.Abandoned += uint64(leaked)
	if r.closedEarly {
		sum.Records, sum.Bytes, sum.Abandoned = total.Records, total.Bytes, total.Abandoned
	}
	if sum != total {
		return fmt.Errorf("the handles have counted %+v with %d leaked, the ring %+v", sum, leaked, total)
	}
	return nil
}
