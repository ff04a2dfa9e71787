// Package queue has lock-free rings for records of bytes of any length: one
// producer or many, one consumer, no allocation, no lock, no system call, and
// never a wait. What is full says so, and the caller decides. (Two things do
// allocate: more than 64 shared claims open at once, and passing a stalled one.)
//
// # The rings
//
// NewSPSC joins one producer and one consumer. NewMPSC lets any goroutine
// produce, in one order for all, at the price of a contended compare-and-swap
// per record. NewFanIn gives each producer a lane of its own: no contention,
// and no order between producers, unless NewFanInByTime merges the lanes by
// timestamp. NewPriority reads several MPSC rings, the urgent one first, and
// NewFanOut sends one goroutine's records on to several workers.
//
//	producers                                     consumer
//	TryClaim(n) · fill Claim.Bytes · Commit       Next: record by record
//	Write(rec)                             ──▶    Drain: a callback per record
//	Append(max, encode)                           Peek, ReleaseTo: whole spans, zero copy
//
// Each ring counts what passes it (Stats). A handle that Clone makes of a shared
// producer counts for itself besides.
//
// # The record
//
// A record is 8-byte aligned and little-endian: int32 length (8 + payload,
// without the padding behind it), int32 type, payload, zeros up to a multiple
// of 8. A length of 0 means that nothing is there yet, a negative one that the
// record is claimed, a positive one that it is committed: storing it is the
// commit. Type -1 is a skip: padding before the end of the buffer, because
// records are contiguous, or a claim that was given back. The layout is that
// of the Agrona ring buffers (RecordDescriptor.java), so that a span can be
// written to disk as it lies in memory.
//
// Positions are free-running 64-bit byte counts; the index is the position
// modulo the capacity, a power of two. One 8-byte word of each ring stays
// free: the largest payload is the capacity less 16 bytes.
//
// # Ownership
//
// The consumer owns what lies before the first header that is not positive,
// the producers the rest. A header's store passes the record, and the zeroed
// word in which the next header will appear, to the consumer; the store of the
// head passes the space back. docs/PROTOCOL.md draws every state and names the
// interleaving that each store prevents.
//
// A consumer that finds nothing polls; package channel has consumers that sleep.
// Who builds such a thing on an SPSC ring, lane or FanOut needs Producer.Fence, or
// FanOut.Fence, between a record and the look whether the consumer sleeps.
//
// # What goes wrong, and what it costs
//
// A forgotten claim of an unshared producer costs nothing: its next claim or
// write takes the same place. An open claim of a shared producer holds up the
// records claimed after it, until it is settled, the producer is closed, or the
// consumer passes it as stalled; its owner may come back at any later time. A
// claim that is settled twice panics or, for Abort, does nothing; it cannot
// settle another's record, however old the copy. What Go cannot prevent is
// writing to a slice after its time. Builds with -race report most of it, and
// with the tag logbuf_invariants a record that is kept too long reads as 0xDB.
package queue
