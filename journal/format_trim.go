package journal

const (
	trimLen   = 64
	trimMagic = uint32('L') | uint32('B')<<8 | uint32('T')<<16 | uint32('1')<<24
	trimName  = "TRIM"
)

// trimReason says why the oldest segments were removed.
type trimReason uint32

const (
	trimBytes    trimReason = 1 // the archive was larger than the limit
	trimAge      trimReason = 2 // they were older than the limit
	trimSegments trimReason = 3 // there were more segments than the limit
	trimRecords  trimReason = 4 // there were more records than the limit
	trimByHand   trimReason = 5 // Trim was asked to, by sequence or time
	trimFull     trimReason = 6 // the disk was full
	trimNothing  trimReason = 7 // nothing was removed: the note was made so that there is room for it when the disk is full
)

func (r trimReason) String() string {
	switch r {
	case trimBytes:
		return "limit of bytes"
	case trimAge:
		return "limit of age"
	case trimSegments:
		return "limit of segments"
	case trimRecords:
		return "limit of records"
	case trimByHand:
		return "trimmed by hand"
	case trimFull:
		return "full disk"
	case trimNothing:
		return "nothing removed"
	}
	return "reason not known"
}

// trimNote is the content of the file TRIM: where the archive begins since its oldest segments were removed. It is durable before the first
// of them is removed, so that what is missing because it was trimmed differs from what is lost.
type trimNote struct {
	firstSeq uint64     // base sequence of the first segment kept
	segment  uint64     // its number
	epoch    uint64     // its epoch
	firstPos uint64     // its base position
	when     int64      // nanoseconds since the Unix epoch
	why      trimReason // why
}

// encode fills b (64 bytes). seed is the CRC32C of the archive's UUID, so that the note of another archive is not believed.
//
//	0      4      8         16        24      32          40     48    52              64
//	┌──────┬──────┬─────────┬─────────┬───────┬───────────┬──────┬─────┬───────────────┐
//	│ LBT1 │CRC32C│first seq│ segment │ epoch │first pos  │ when │ why │ reserved      │
//	│      │      │ u64     │ u64     │ u64   │ u64       │i64 ns│ u32 │ zero          │
//	└──────┴──────┴─────────┴─────────┴───────┴───────────┴──────┴─────┴───────────────┘
//
// CRC32C = CRC32C(UUID, bytes 8 to 63).
func (n *trimNote) encode(b []byte, seed uint32) {
	clear(b[:trimLen])
	le.PutUint32(b[0:], trimMagic)
	for i, v := range [...]uint64{n.firstSeq, n.segment, n.epoch, n.firstPos, uint64(n.when)} {
		le.PutUint64(b[8+8*i:], v)
	}
	le.PutUint32(b[48:], uint32(n.why))
	le.PutUint32(b[4:], crcWith(seed, b[8:trimLen]))
}

// decodeTrim reads a TRIM. ok is false when it is not whole or not of this archive: then it says nothing.
func decodeTrim(b []byte, seed uint32) (n trimNote, ok bool) {
	if len(b) != trimLen || le.Uint32(b) != trimMagic || le.Uint32(b[4:]) != crcWith(seed, b[8:trimLen]) {
		return trimNote{}, false
	}
	u64 := func(off int) uint64 { return le.Uint64(b[off:]) }
	return trimNote{
		firstSeq: u64(8), segment: u64(16), epoch: u64(24), firstPos: u64(32), when: int64(u64(40)), why: trimReason(le.Uint32(b[48:])),
	}, true
}

// removed reports whether the note says that a segment of that name is no part of the archive any more. Epochs never fall from one segment
// to the next, so one with a lower epoch than the first one kept is older, too, or was left behind by a takeover.
func (n *trimNote) removed(s segmentFile) bool {
	return s.baseSeq < n.firstSeq || s.epoch < n.epoch
}
