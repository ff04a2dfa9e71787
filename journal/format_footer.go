package journal

import (
	"fmt"
	"math"
)

const (
	indexEntryLen = 32
	trailerLen    = 128

	trailerVersion = 1
	trailerEnd     = uint32('L') | uint32('B')<<8 | uint32('J')<<16 | uint32('E')<<24

	indexEveryBytes  = 1 << 20 // a block gets an index entry when so many bytes went by since the last entry,
	indexEveryBlocks = 64      // or so many blocks

	// maxIndexLen bounds what a reader allocates for an index. Longer ones are left alone: the headers are walked instead.
	maxIndexLen = 32 << 20
)

var trailerMagic = [8]byte{'L', 'B', 'J', 'F', 'O', 'O', 'T', '1'}

// Flags of trailers: how the segment came to be sealed.
const (
	sealClose   = 1 << 0 // by Close
	sealRotate  = 1 << 1 // by rotation
	sealRecover = 1 << 2 // by the open after a crash
	sealTorn    = 1 << 3 // after a torn tail was cut
	sealLoss    = 1 << 4 // before the end that the successor states: what is between them was lost
)

// indexEntry points to a block.
type indexEntry struct {
	firstSeq uint64 // the block's base sequence
	maxTime  int64  // the block's running maximum
	offset   uint64 // of the block's header
	hcrc     uint32 // the block's header checksum
	count    uint32 // data records in the block
}

// appendIndexEntry appends the 32 bytes of an entry.
//
//	0           8          16       24     28      32
//	┌───────────┬──────────┬────────┬──────┬───────┐
//	│ first seq │ max time │ offset │ hcrc │ count │
//	│ u64       │ i64      │ u64    │ u32  │ u32   │
//	└───────────┴──────────┴────────┴──────┴───────┘
func appendIndexEntry(dst []byte, e indexEntry) []byte {
	dst = le.AppendUint64(dst, e.firstSeq)
	dst = le.AppendUint64(dst, uint64(e.maxTime))
	dst = le.AppendUint64(dst, e.offset)
	dst = le.AppendUint32(dst, e.hcrc)
	return le.AppendUint32(dst, e.count)
}

func decodeIndexEntry(b []byte) indexEntry {
	return indexEntry{
		firstSeq: le.Uint64(b), maxTime: int64(le.Uint64(b[8:])), offset: le.Uint64(b[16:]),
		hcrc: le.Uint32(b[24:]), count: le.Uint32(b[28:]),
	}
}

// trailer is the last 128 bytes of a sealed segment.
type trailer struct {
	flags    uint16
	firstSeq uint64
	nextSeq  uint64
	minTime  int64
	maxTime  int64
	dataEnd  uint64 // offset after the last block; the index begins here
	records  uint64 // data records
	rawBytes uint64 // bytes of frames
	lost     uint64 // records that loss records in this segment speak of
	indexLen uint32
	indexCRC uint32
	lastHcrc uint32 // header checksum of the last block, or of the segment header
	blocks   uint32
}

// append appends the 128 bytes of a trailer. seed is crcSeed of the segment's salt.
//
//	0        8       10    12       16       24      32      40      48      56      64       72
//	┌────────┬───────┬─────┬────────┬────────┬───────┬───────┬───────┬───────┬───────┬────────┬──────┐
//	│LBJFOOT1│version│flags│reserved│first   │next   │min    │max    │data   │records│raw     │lost  │
//	│        │ 1     │ u16 │ 0      │seq u64 │seq u64│time   │time   │end u64│ u64   │bytes   │ u64  │
//	└────────┴───────┴─────┴────────┴────────┴───────┴───────┴───────┴───────┴───────┴────────┴──────┘
//	80       88     92     96     100    104             120    124   128
//	┌────────┬──────┬──────┬──────┬──────┬───────────────┬──────┬──────┐
//	│index   │index │index │ last │blocks│ content hash  │ CRC  │ LBJE │
//	│off u64 │len   │CRC32C│ hcrc │ u32  │ 16 B, zero    │ 32C  │      │
//	└────────┴──────┴──────┴──────┴──────┴───────────────┴──────┴──────┘
//
// CRC32C = CRC32C(salt, bytes 0 to 119).
func (t *trailer) append(dst []byte, seed uint32) []byte {
	start := len(dst)
	dst = append(dst, trailerMagic[:]...)
	dst = le.AppendUint16(dst, trailerVersion)
	dst = le.AppendUint16(dst, t.flags)
	dst = le.AppendUint32(dst, 0)
	for _, v := range [...]uint64{t.firstSeq, t.nextSeq, uint64(t.minTime), uint64(t.maxTime), t.dataEnd, t.records, t.rawBytes, t.lost, t.dataEnd} {
		dst = le.AppendUint64(dst, v)
	}
	for _, v := range [...]uint32{t.indexLen, t.indexCRC, t.lastHcrc, t.blocks, 0, 0, 0, 0} {
		dst = le.AppendUint32(dst, v)
	}
	dst = le.AppendUint32(dst, crcWith(seed, dst[start:]))
	return le.AppendUint32(dst, trailerEnd)
}

// decodeTrailer reads a trailer that ends a file of size bytes. bad says what is wrong, empty when nothing is.
func decodeTrailer(b []byte, seed uint32, size int64) (t trailer, bad string) {
	if len(b) < trailerLen || [8]byte(b[:8]) != trailerMagic || le.Uint32(b[124:]) != trailerEnd {
		return t, "no footer"
	}
	if crcWith(seed, b[:120]) != le.Uint32(b[120:]) {
		return t, "footer checksum is wrong"
	}
	if v := le.Uint16(b[8:]); v != trailerVersion {
		return t, fmt.Sprintf("footer version %d is not known to this program", v)
	}
	u64 := func(off int) uint64 { return le.Uint64(b[off:]) }
	u32 := func(off int) uint32 { return le.Uint32(b[off:]) }
	t = trailer{
		flags: le.Uint16(b[10:]), firstSeq: u64(16), nextSeq: u64(24), minTime: int64(u64(32)), maxTime: int64(u64(40)),
		dataEnd: u64(48), records: u64(56), rawBytes: u64(64), lost: u64(72),
		indexLen: u32(88), indexCRC: u32(92), lastHcrc: u32(96), blocks: u32(100),
	}
	want := uint64(size) - trailerLen - uint64(t.indexLen)
	if t.dataEnd < segmentHeaderLen || t.dataEnd != want || u64(80) != want || t.indexLen%indexEntryLen != 0 {
		return t, fmt.Sprintf("footer says data ends at %d and the index has %d bytes: not in a file of %d bytes", t.dataEnd, t.indexLen, size)
	}
	if t.nextSeq < t.firstSeq || t.nextSeq > math.MaxInt64 {
		return t, fmt.Sprintf("footer says that sequences go from %d to %d: out of range", t.firstSeq, t.nextSeq)
	}
	return t, ""
}
