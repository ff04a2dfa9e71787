package queue

import "sync/atomic"

// Stats is a snapshot of a ring's counters since its construction. Any
// goroutine may take one at any time.
//
// The counters cost the hot path nothing: the consumer adds up in private and
// shows the sums when it gives space back, which it does at the latest when it
// finds the ring empty. Until then Records and Bytes may lag by an eighth of
// the capacity. Clones of a SharedProducer count for themselves, at once; see
// SharedProducer.Stats.
//
// For HighWater, an SPSC producer looks every 1/16 of the capacity, the consumer of
// an MPSC ring whenever it gives an eighth of it back, and every 64th time it
// gives back less.
type Stats struct {
	Records   uint64 // records that the consumer has read; of a clone: that it has committed
	Bytes     uint64 // their payload, in bytes
	Full      uint64 // claims and writes refused with ErrFull
	Aborts    uint64 // claims given back with Abort
	Abandoned uint64 // claims that the consumer passed over; their Commit returns false
	Padding   uint64 // bytes lost to padding before the end of the buffer
	Late      uint64 // records that a FanIn by time delivered behind a later one; 0 for other rings
	HighWater int    // the most bytes in use that either side has seen, headers included; see below how often they look
}

// counters holds what Stats shows. Each has one kind of writer: records,
// bytes, abandoned and readMark the consumer; full, aborts and padding
// producers, off their fast path; writeMark the producer of an SPSC ring.
type counters struct {
	records, bytes, abandoned atomic.Uint64
	readMark                  atomic.Uint64
	_                         [lineSize]byte
	full, aborts, padding     atomic.Uint64
	writeMark                 atomic.Uint64
}

func (c *counters) snapshot() Stats {
	return Stats{
		Records:   c.records.Load(),
		Bytes:     c.bytes.Load(),
		Full:      c.full.Load(),
		Aborts:    c.aborts.Load(),
		Abandoned: c.abandoned.Load(),
		Padding:   c.padding.Load(),
		HighWater: c.highWater(),
	}
}

func (c *counters) highWater() int { return int(max(c.readMark.Load(), c.writeMark.Load())) }

// add sums the counters of two rings; the larger high-water mark stays.
func (s Stats) add(o Stats) Stats {
	s.Records += o.Records
	s.Bytes += o.Bytes
	s.Full += o.Full
	s.Aborts += o.Aborts
	s.Abandoned += o.Abandoned
	s.Padding += o.Padding
	s.Late += o.Late
	s.HighWater = max(s.HighWater, o.HighWater)
	return s
}

// raise lifts a mark that has one writer.
func raise(mark *atomic.Uint64, v uint64) {
	if v > mark.Load() {
		mark.Store(v)
	}
}
