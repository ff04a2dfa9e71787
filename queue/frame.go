package queue

const (
	// headerLen is the size of a record's header in bytes; records are
	// aligned to it, so that any gap before the end of the buffer can hold
	// at least one header.
	headerLen = 8

	// reserved is the part of a ring that records never occupy: one header.
	// A producer may always write the header behind the record it publishes,
	// and the consumer's cursor never meets a header that is a lap old.
	reserved = headerLen

	// smallSkip is the largest skip, in bytes, that a Span may contain. What
	// is larger ends the span, so that slack does not go to disk.
	smallSkip = 256

	typeSkip    = -1 // wrap padding, or a claim that was given back
	typeDefault = 1
)

// header is the first word of a record, read and written as one:
//
//	 63            32 31             0
//	┌────────────────┬────────────────┐
//	│   type int32   │  length int32  │   little-endian in memory
//	└────────────────┴────────────────┘
//
// length 0: nothing here yet. Negative: claimed, not committed. Positive:
// committed, 8 + payload bytes, without the alignment behind it. The type is
// the user's (at least 1) or -1 for a skip; while the length is negative it
// holds the lap stamp of the claim.
type header uint64

func makeHeader(typ int32, length int) header {
	return header(uint32(typ))<<32 | header(uint32(int32(length)))
}

// makeSkip is the header of n bytes that readers step over. n counts the
// header itself.
func makeSkip(n uint64) header { return makeHeader(typeSkip, int(n)) }

func (h header) committed() bool { return int32(h) > 0 }
func (h header) record() bool    { return h.committed() && !h.skip() }
func (h header) claimed() bool   { return int32(h) < 0 && h&0xffffffff != settlingLength }
func (h header) skip() bool      { return h>>63 != 0 }
func (h header) typ() int32      { return int32(h >> 32) }
func (h header) length() uint64  { return uint64(uint32(h)) }
func (h header) payload() int    { return int(int32(h)) - headerLen }

// stride is the distance from a committed header to the next one.
func (h header) stride() uint64 { return align(h.length()) }

// settlingLength marks a shared claim whose owner is inside CommitN: nobody
// else may settle it any more, and the record is not yet published.
const settlingLength = 1 << 31

// claimMark is the header of a shared claim of length bytes (header
// included) that is open: the negated length, and in the type word the number
// of the lap it was claimed in, which tells it from every other claim at the
// same place until the stamp repeats after 2³² laps.
func claimMark(lap uint64, length uint64) header {
	return header(uint32(lap))<<32 | header(uint32(-int32(length)))
}

func settlingMark(lap uint64) header {
	return header(uint32(lap))<<32 | settlingLength
}

func align(n uint64) uint64 { return (n + headerLen - 1) &^ (headerLen - 1) }
