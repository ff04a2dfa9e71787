package journal

import (
	"fmt"
	"math"
)

const (
	blockHeaderLen = 64
	blockMagic     = uint32('L') | uint32('B')<<8 | uint32('B')<<16 | uint32('1')<<24
)

// Flags of blocks.
const (
	blockSyncMark    = 1 << 0 // no frames: the header is there for its durable position
	blockLossInside  = 1 << 1 // holds a loss record
	blockControlOnly = 1 << 2 // holds no data record
	blockLast        = 1 << 3 // last block before the footer
	blockTable       = 1 << 4 // part of the stream table at the start of a segment
	blockTableEnd    = 1 << 5 // its last part
)

// Neutral times of blocks and segments without a data record.
const (
	noMinTime = math.MaxInt64
	noMaxTime = math.MinInt64
)

// blockHeader stands before each block of frames.
type blockHeader struct {
	stored     uint32 // bytes after the header
	raw        uint32 // bytes of frames; equals stored unless they are compressed
	payloadCRC uint32 // CRC32C of the stored bytes
	count      uint32 // data records inside
	baseSeq    uint64 // sequence of the first of them
	durablePos uint64 // log position known durable before this block was written
	minTime    int64  // earliest data record, nanoseconds; noMinTime when there is none
	maxTime    int64  // latest data record of the segment up to and with this block; noMaxTime when there is none
	codec      uint16
	flags      uint16
	prevHcrc   uint32 // header checksum of the block before, or of the segment header
	hcrc       uint32 // checksum of this header; set by encode and decode
}

// append takes in bytes that come behind those that the header speaks of.
func (h *blockHeader) append(b []byte) {
	h.stored += uint32(len(b))
	h.raw += uint32(len(b))
	h.payloadCRC = crcWith(h.payloadCRC, b)
}

// encode fills b (64 bytes) and sets h.hcrc. seed is crcSeed of the segment's salt.
//
//	0      4      8      12     16      20     24       32       40       48       56     58     60     64
//	┌──────┬──────┬──────┬──────┬───────┬──────┬────────┬────────┬────────┬────────┬──────┬──────┬──────┐
//	│ LBB1 │header│stored│ raw  │payload│count │base seq│durable │ min    │ max    │codec │flags │ prev │
//	│      │CRC32C│ u32  │ u32  │CRC32C │ u32  │ u64    │pos u64 │time i64│time i64│ u16  │ u16  │ hcrc │
//	└──────┴──────┴──────┴──────┴───────┴──────┴────────┴────────┴────────┴────────┴──────┴──────┴──────┘
//
// header CRC32C = CRC32C(salt, bytes 8 to 63).
func (h *blockHeader) encode(b []byte, seed uint32) {
	_ = b[blockHeaderLen-1]
	le.PutUint32(b[0:], blockMagic)
	le.PutUint32(b[8:], h.stored)
	le.PutUint32(b[12:], h.raw)
	le.PutUint32(b[16:], h.payloadCRC)
	le.PutUint32(b[20:], h.count)
	le.PutUint64(b[24:], h.baseSeq)
	le.PutUint64(b[32:], h.durablePos)
	le.PutUint64(b[40:], uint64(h.minTime))
	le.PutUint64(b[48:], uint64(h.maxTime))
	le.PutUint16(b[56:], h.codec)
	le.PutUint16(b[58:], h.flags)
	le.PutUint32(b[60:], h.prevHcrc)
	h.hcrc = crcWith(seed, b[8:blockHeaderLen])
	le.PutUint32(b[4:], h.hcrc)
}

// decodeBlockHeader reads a block header. No field is looked at before the checksum has been found right; bad says what is wrong, empty
// when nothing is. It allocates only to say so.
func decodeBlockHeader(b []byte, seed, maxBlock uint32) (h blockHeader, bad string) {
	if len(b) < blockHeaderLen {
		return h, "block header is cut"
	}
	if le.Uint32(b) != blockMagic {
		return h, "block header has wrong magic"
	}
	h.hcrc = le.Uint32(b[4:])
	if crcWith(seed, b[8:blockHeaderLen]) != h.hcrc {
		return h, "block header checksum is wrong"
	}
	h.stored = le.Uint32(b[8:])
	h.raw = le.Uint32(b[12:])
	h.payloadCRC = le.Uint32(b[16:])
	h.count = le.Uint32(b[20:])
	h.baseSeq = le.Uint64(b[24:])
	h.durablePos = le.Uint64(b[32:])
	h.minTime = int64(le.Uint64(b[40:]))
	h.maxTime = int64(le.Uint64(b[48:]))
	h.codec = le.Uint16(b[56:])
	h.flags = le.Uint16(b[58:])
	h.prevHcrc = le.Uint32(b[60:])
	return h, h.check(maxBlock)
}

// check refuses values that no writer makes.
func (h *blockHeader) check(maxBlock uint32) string {
	switch {
	case h.codec != codecRaw && h.codec != codecZstd:
		return fmt.Sprintf("block codec %d is not known to this program", h.codec)
	case h.codec == codecRaw && (h.stored > maxBlock || h.stored%blockAlign != 0 || h.raw != h.stored):
		return fmt.Sprintf("block lengths %d and %d: must be equal, a multiple of 8 and at most %d", h.stored, h.raw, maxBlock)
	case h.codec == codecZstd && (h.raw > maxBlock || h.raw%blockAlign != 0 || h.stored%blockAlign != 0 || h.stored == 0 || h.stored >= h.raw):
		return fmt.Sprintf("compressed block lengths %d and %d: must be multiples of 8, the first the lower one, the second at most %d", h.stored, h.raw, maxBlock)
	case h.count > h.raw/frameOverhead:
		return fmt.Sprintf("block of %d bytes cannot hold %d records", h.raw, h.count)
	case h.baseSeq > math.MaxInt64 || h.durablePos > math.MaxInt64:
		return "block sequence or position is out of range"
	}
	return ""
}

// size returns the bytes of header and frames.
func (h *blockHeader) size() int64 { return blockHeaderLen + int64(h.stored) }

// nextSeq returns the sequence after the block.
func (h *blockHeader) nextSeq() uint64 { return h.baseSeq + uint64(h.count) }
