package queue

import (
	"sync/atomic"
)

// account counts for one clone of a SharedProducer what its calls have
// answered. Every counter is written by the goroutines that use the clone, and
// by nobody else, on lines that nothing else shares: an atomic add that does
// not wait for another core.
//
// Full, aborts and padding are counted in the ring's counters besides, so that
// those stay the sum of all. Records and bytes are not: the ring's are counted
// by the consumer, when it reads.
type account struct {
	_                                                [lineSize]byte
	records, bytes, full, aborts, abandoned, padding atomic.Uint64
	_                                                [lineSize]byte
}

// The methods may be called on a nil account, which is that of the handle that
// NewMPSC returned: it counts nothing of its own.

func (a *account) committed(payload int) {
	if a != nil {
		a.records.Add(1)
		a.bytes.Add(uint64(payload))
	}
}

func (a *account) refused() {
	if a != nil {
		a.full.Add(1)
	}
}

func (a *account) aborted() {
	if a != nil {
		a.aborts.Add(1)
	}
}

// passed counts a claim that its owner settled after the consumer had passed
// it.
func (a *account) passed() {
	if a != nil {
		a.abandoned.Add(1)
	}
}

func (a *account) padded(n uint64) {
	if a != nil {
		a.padding.Add(n)
	}
}

// snapshot is the account's counters, beside the high-water mark of the ring,
// which no handle has for itself.
func (a *account) snapshot(highWater int) Stats {
	return Stats{
		Records:   a.records.Load(),
		Bytes:     a.bytes.Load(),
		Full:      a.full.Load(),
		Aborts:    a.aborts.Load(),
		Abandoned: a.abandoned.Load(),
		Padding:   a.padding.Load(),
		HighWater: highWater,
	}
}
