package journal

import "math"

const (
	headLen   = 64
	headMagic = uint32('L') | uint32('B')<<8 | uint32('H')<<16 | uint32('1')<<24
)

// head is the content of the file HEAD: how far the writer is.
type head struct {
	epoch      uint64
	segment    uint64 // number of the segment being written
	writtenPos uint64 // log position written
	durablePos uint64 // log position known durable: only ever a true statement
	nextSeq    uint64 // sequence at writtenPos
	lastTime   int64  // latest record, nanoseconds since the Unix epoch
	heartbeat  int64  // time of this write, nanoseconds since the Unix epoch
}

// encode fills b (64 bytes). seed is the CRC32C of the archive's UUID, so that the HEAD of another archive is not believed.
//
//	0      4      8       16        24          32          40        48         56         64
//	┌──────┬──────┬───────┬─────────┬───────────┬───────────┬─────────┬──────────┬──────────┐
//	│ LBH1 │CRC32C│ epoch │ segment │written pos│durable pos│next seq │last time │heartbeat │
//	│      │      │ u64   │ u64     │ u64       │ u64       │ u64     │ i64 ns   │ i64 ns   │
//	└──────┴──────┴───────┴─────────┴───────────┴───────────┴─────────┴──────────┴──────────┘
//
// CRC32C = CRC32C(UUID, bytes 8 to 63).
func (h *head) encode(b []byte, seed uint32) {
	_ = b[headLen-1]
	le.PutUint32(b[0:], headMagic)
	for i, v := range [...]uint64{h.epoch, h.segment, h.writtenPos, h.durablePos, h.nextSeq, uint64(h.lastTime), uint64(h.heartbeat)} {
		le.PutUint64(b[8+8*i:], v)
	}
	le.PutUint32(b[4:], crcWith(seed, b[8:headLen]))
}

// decodeHead reads a HEAD. ok is false when it is not whole, not of this archive or says what no writer does: then it says nothing.
func decodeHead(b []byte, seed uint32) (h head, ok bool) {
	if len(b) < headLen || le.Uint32(b) != headMagic || le.Uint32(b[4:]) != crcWith(seed, b[8:headLen]) {
		return head{}, false
	}
	u64 := func(off int) uint64 { return le.Uint64(b[off:]) }
	h = head{
		epoch: u64(8), segment: u64(16), writtenPos: u64(24), durablePos: u64(32), nextSeq: u64(40),
		lastTime: int64(u64(48)), heartbeat: int64(u64(56)),
	}
	return h, max(h.writtenPos, h.durablePos, h.nextSeq) <= math.MaxInt64
}
