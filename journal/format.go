package journal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
)

// The structures of a segment file have a codec file each: format_segment.go, format_block.go, format_footer.go, format_head.go. All
// integers are little-endian. In every structure the zero value is invalid.

// FormatVersion is the version of the archive format that this package writes, and the only one that it reads: the major version in the
// header of each segment.
const FormatVersion = 1

const (
	versionMinor = 0

	frameFormatTime = 1 // frames are 8 bytes of header, 8 bytes of time, payload
	blockAlign      = 8
	codecRaw        = 0
	codecZstd       = 2 // only in rewritten segments

	headName = "HEAD"
	lockName = "LOCK"
	nextName = "next.tmp"

	takeoverName = "takeover.tmp"
	reserveName  = "reserve"
	failoverName = "FAILOVER"

	segmentExt  = ".lbj"
	tornExt     = ".torn"
	maxFileSize = 1 << 42 // 2 × the largest SegmentSize, and room: offsets above are never believed
)

var (
	le         = binary.LittleEndian
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// crcOf returns the CRC32C of b.
func crcOf(b []byte) uint32 { return crc32.Update(0, castagnoli, b) }

// crcSeed returns the state that a salt leaves behind. crcWith(crcSeed(salt), b) is the CRC32C of the salt's 8 bytes followed by b.
func crcSeed(salt uint64) uint32 {
	var b [8]byte
	le.PutUint64(b[:], salt)
	return crcOf(b[:])
}

func crcWith(seed uint32, b []byte) uint32 { return crc32.Update(seed, castagnoli, b) }

// segmentName returns the file name of a segment: first sequence in 20 decimal digits, epoch in at least 8 hexadecimal ones.
func segmentName(baseSeq, epoch uint64) string {
	return fmt.Sprintf("%020d-%08x%s", baseSeq, epoch, segmentExt)
}

// parseSegmentName is the inverse of segmentName. It accepts only what a writer makes, numbers below 2⁶³, so that foreign files are never
// taken for segments.
func parseSegmentName(name string) (baseSeq, epoch uint64, ok bool) {
	stem, found := strings.CutSuffix(name, segmentExt)
	seqPart, epochPart, cut := strings.Cut(stem, "-")
	if !found || !cut || len(seqPart) != 20 || len(epochPart) < 8 {
		return 0, 0, false
	}
	baseSeq, err1 := strconv.ParseUint(seqPart, 10, 64)
	epoch, err2 := strconv.ParseUint(epochPart, 16, 64)
	exact := (len(epochPart) == 8 || epochPart[0] != '0') && !strings.ContainsAny(epochPart, "ABCDEF")
	return baseSeq, epoch, err1 == nil && err2 == nil && baseSeq>>63 == 0 && epoch>>63 == 0 && exact
}
