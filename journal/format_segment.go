package journal

import (
	"fmt"
	"math"
)

const segmentHeaderLen = 4096

var segmentMagic = [8]byte{0x89, 'L', 'B', 'J', '\r', '\n', 0x1a, '\n'}

// Flags about the predecessor, in the header of its successor.
const (
	predFirst     = 1 << 0 // there is none
	predSealed    = 1 << 1 // it was sealed before this segment was begun
	predTorn      = 1 << 2 // its torn tail was cut
	predNotSynced = 1 << 3 // it was not yet synced when this header was written
	predPoisoned  = 1 << 4 // a write or a sync of it failed: what it holds behind predPos is no part of the archive
	predGap       = 1 << 5 // made by salvage: the sequences from predSeq to baseSeq − 1 are lost, and this segment begins behind them
)

// Incompatible features: a reader that does not know one refuses the segment.
const (
	featRewritten = 1 << 0 // its blocks are not those that the writer wrote: origLen and origHcrc say where those ended

	knownFeatures = featRewritten
)

// segmentHeader is the first page of a segment file.
type segmentHeader struct {
	minor     uint16
	uuid      [16]byte // the archive's
	number    uint64   // segment number, +1 each
	epoch     uint64   // +1 at each open for writing
	baseSeq   uint64   // sequence of the first data record
	basePos   uint64   // log position of offset 0
	created   int64    // nanoseconds since the Unix epoch
	salt      uint64   // random; seeds every block header's checksum
	maxBlock  uint32   // largest stored length of a block
	window    uint32   // most bytes ever written and not synced; 0 = no bound
	features  uint32   // incompatible ones
	predPos   uint64   // log position where the predecessor's data ends: equals basePos
	predSeq   uint64   // next sequence there: equals baseSeq, unless predGap
	predHcrc  uint32   // header checksum of its last block, or of its segment header when it has none
	predFlags uint32
	origLen   uint64 // featRewritten: offset where the data ended as it was written; its end is at log position basePos + origLen
	origHcrc  uint32 // featRewritten: header checksum of the last block as it was written, which the successor's predHcrc repeats
	maxBefore int64  // latest data record of all segments before this one; noMaxTime when there is none
	crc       uint32 // of the page; set by encode and decode
}

// encode fills page (4096 bytes) and sets h.crc.
//
//	0        8     10    12     16     32      40     48       56       64       72       80    88
//	┌────────┬─────┬─────┬──────┬──────┬───────┬──────┬────────┬────────┬────────┬────────┬─────┐
//	│ magic  │major│minor│ hdr  │ uuid │number │epoch │base seq│base pos│created │reserved│salt │
//	│\x89LBJ…│ u16 │ u16 │4096  │ 16 B │ u64   │ u64  │ u64    │ u64    │ns i64  │ zero   │ u64 │
//	└────────┴─────┴─────┴──────┴──────┴───────┴──────┴────────┴────────┴────────┴────────┴─────┘
//	88     92      96     100    104    108    112     120     128    132    136      144   188    192       200  4092 4096
//	┌──────┬───────┬──────┬──────┬──────┬──────┬───────┬───────┬──────┬──────┬────────┬─────┬──────┬─────────┬────┬────┐
//	│frame │ block │ max  │window│incom-│compat│pred   │pred   │pred  │pred  │original│resrv│orig. │max time │zero│CRC │
//	│format│ align │ block│ u32  │ pat  │ u32  │end pos│end seq│ hcrc │flags │len u64 │zero │ hcrc │before   │    │32C │
//	└──────┴───────┴──────┴──────┴──────┴──────┴───────┴───────┴──────┴──────┴────────┴─────┴──────┴─────────┴────┴────┘
func (h *segmentHeader) encode(page []byte) {
	clear(page[:segmentHeaderLen])
	copy(page, segmentMagic[:])
	le.PutUint16(page[8:], FormatVersion)
	le.PutUint16(page[10:], versionMinor)
	le.PutUint32(page[12:], segmentHeaderLen)
	copy(page[16:32], h.uuid[:])
	for i, v := range [...]uint64{h.number, h.epoch, h.baseSeq, h.basePos, uint64(h.created), 0, h.salt} {
		le.PutUint64(page[32+8*i:], v)
	}
	for i, v := range [...]uint32{frameFormatTime, blockAlign, h.maxBlock, h.window, h.features, 0} {
		le.PutUint32(page[88+4*i:], v)
	}
	le.PutUint64(page[112:], h.predPos)
	le.PutUint64(page[120:], h.predSeq)
	le.PutUint32(page[128:], h.predHcrc)
	le.PutUint32(page[132:], h.predFlags)
	le.PutUint64(page[136:], h.origLen)
	le.PutUint32(page[188:], h.origHcrc)
	le.PutUint64(page[192:], uint64(h.maxBefore))
	h.crc = crcOf(page[:segmentHeaderLen-4])
	le.PutUint32(page[segmentHeaderLen-4:], h.crc)
}

// decodeSegmentHeader reads a segment header. The error wraps ErrVersion when the page is whole but of a format that this package does
// not know; every other error means that the page is damaged.
func decodeSegmentHeader(page []byte) (segmentHeader, error) {
	var h segmentHeader
	if len(page) < segmentHeaderLen {
		return h, fmt.Errorf("segment header is cut: %d of %d bytes", len(page), segmentHeaderLen)
	}
	if [8]byte(page[:8]) != segmentMagic {
		return h, fmt.Errorf("segment header has wrong magic % x", page[:8])
	}
	h.crc = le.Uint32(page[segmentHeaderLen-4:])
	if c := crcOf(page[:segmentHeaderLen-4]); c != h.crc {
		return h, fmt.Errorf("segment header checksum is %08x, should be %08x", c, h.crc)
	}
	if major := le.Uint16(page[8:]); major != FormatVersion {
		return h, fmt.Errorf("%w: file is version %d.%d, this program reads version %d", ErrVersion, major, le.Uint16(page[10:]), FormatVersion)
	}
	if err := checkFormatFields(page); err != nil {
		return h, err
	}
	h.minor = le.Uint16(page[10:])
	copy(h.uuid[:], page[16:32])
	u64 := func(off int) uint64 { return le.Uint64(page[off:]) }
	h.number, h.epoch, h.baseSeq, h.basePos = u64(32), u64(40), u64(48), u64(56)
	h.created, h.salt = int64(u64(64)), u64(80)
	h.maxBlock, h.window, h.features = le.Uint32(page[96:]), le.Uint32(page[100:]), le.Uint32(page[104:])
	h.predPos, h.predSeq = u64(112), u64(120)
	h.predHcrc, h.predFlags = le.Uint32(page[128:]), le.Uint32(page[132:])
	h.origLen, h.origHcrc, h.maxBefore = u64(136), le.Uint32(page[188:]), int64(u64(192))
	return h, h.check()
}

// checkFormatFields refuses what this version of the package cannot read although the page is whole.
func checkFormatFields(page []byte) error {
	u32 := func(off int) uint32 { return le.Uint32(page[off:]) }
	switch {
	case u32(12) != segmentHeaderLen:
		return fmt.Errorf("%w: segment header of %d bytes, this program reads %d", ErrVersion, u32(12), segmentHeaderLen)
	case u32(88) != frameFormatTime:
		return fmt.Errorf("%w: frame format %d, this program reads %d", ErrVersion, u32(88), frameFormatTime)
	case u32(92) != blockAlign:
		return fmt.Errorf("%w: block alignment %d, this program reads %d", ErrVersion, u32(92), blockAlign)
	case u32(104)&^knownFeatures != 0:
		return fmt.Errorf("%w: incompatible feature bits %#x", ErrVersion, u32(104)&^knownFeatures)
	}
	return nil
}

// check refuses values that no writer makes. They bound what readers allocate and how far sums can go.
func (h *segmentHeader) check() error {
	switch {
	case h.maxBlock < minMaxBlock || h.maxBlock > maxMaxBlock || h.maxBlock%8 != 0:
		return fmt.Errorf("segment header's block limit %d is not from %d to %d", h.maxBlock, minMaxBlock, maxMaxBlock)
	case h.basePos > math.MaxInt64-maxFileSize || h.baseSeq > math.MaxInt64:
		return fmt.Errorf("segment header's position %d or sequence %d is out of range", h.basePos, h.baseSeq)
	case h.epoch == 0 || h.number == 0:
		return fmt.Errorf("segment header's number %d or epoch %d is zero", h.number, h.epoch)
	case h.predPos != h.basePos || h.predSeq > h.baseSeq || h.predSeq < h.baseSeq && h.predFlags&predGap == 0:
		return fmt.Errorf("segment header's base (position %d, sequence %d) is not its predecessor's end (%d, %d)", h.basePos, h.baseSeq, h.predPos, h.predSeq)
	case h.features&featRewritten == 0 && (h.origLen != 0 || h.origHcrc != 0):
		return fmt.Errorf("segment header has an original length %d and is not rewritten", h.origLen)
	case h.features&featRewritten != 0 && (h.origLen < segmentHeaderLen || h.origLen > maxFileSize || h.origLen%blockAlign != 0):
		return fmt.Errorf("segment header's original length %d is not a multiple of 8 from %d to %d", h.origLen, segmentHeaderLen, int64(maxFileSize))
	}
	return nil
}

// endPos returns the log position of the end of the data, which is at offset off of the file: of a rewritten segment where it was when the
// segment was written. That is where its successor begins. All of a rewritten segment is durable, so no position inside it matters.
func (h *segmentHeader) endPos(off int64) uint64 {
	if h.rewritten() {
		return h.basePos + h.origLen
	}
	return h.basePos + uint64(off)
}

// endHcrc returns the header checksum of the last block as the successor repeats it; last is that of the last block in the file.
func (h *segmentHeader) endHcrc(last uint32) uint32 {
	if h.rewritten() {
		return h.origHcrc
	}
	return last
}

// rewritten reports whether the blocks are not those that the writer wrote.
func (h *segmentHeader) rewritten() bool { return h.features&featRewritten != 0 }
