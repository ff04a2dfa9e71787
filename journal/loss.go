package journal

import (
	"encoding/binary"
	"fmt"
)

// LossReason says why records were lost.
type LossReason uint8

// Reasons. The zero value is none of them.
const (
	LossOverload LossReason = 1 // the ring was full
	LossTooLarge LossReason = 2 // the record did not fit the ring or a block
	LossClosed   LossReason = 3 // it came after the end
	LossSource   LossReason = 4 // the source was disconnected: a gap of unknown size, Records may be 0
	LossWrite    LossReason = 5 // it could not be written
	LossStalled  LossReason = 6 // its claim was open for so long that others went past it, and was committed after that
	LossDamage   LossReason = 7 // the archive had it, and the file was damaged: written by salvage
)

// String returns a word for the reason.
func (r LossReason) String() string {
	switch r {
	case LossOverload:
		return "overload"
	case LossTooLarge:
		return "too large"
	case LossClosed:
		return "closed"
	case LossSource:
		return "source gap"
	case LossWrite:
		return "write error"
	case LossStalled:
		return "stalled"
	case LossDamage:
		return "damage"
	}
	return fmt.Sprintf("reason %d", uint8(r))
}

// MarshalText returns the word that String returns, so that JSON has it.
func (r LossReason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (r *LossReason) UnmarshalText(text []byte) error {
	for i := range 256 {
		if LossReason(i).String() == string(text) {
			*r = LossReason(i)
			return nil
		}
	}
	return fmt.Errorf("journal: no reason for a loss is called %.40q", text)
}

// Loss is what a loss record says: records of a stream that the archive does not have.
type Loss struct {
	Stream  uint16     // the stream they belong to
	First   uint64     // ordinal within the stream of the first one lost, from 0 over the life of the archive, see Writer.StreamOrdinal
	Records uint64     // how many; 0 when nobody knows
	Bytes   uint64     // how many payload bytes; 0 when nobody knows
	From    int64      // time of the first loss, nanoseconds since the Unix epoch
	To      int64      // time of the last
	Reason  LossReason // why
}

const (
	lossVersion = 1
	lossLen     = 48
)

// Append appends the payload of a loss record to dst. The stream is in the frame and in the payload.
//
//	0         1        2         4          8        16        24       32      40     48
//	┌─────────┬────────┬─────────┬──────────┬────────┬─────────┬────────┬───────┬──────┐
//	│ version │ reason │ stream  │ reserved │ first  │ records │ bytes  │ from  │ to   │
//	│ 1       │ u8     │ uint16  │ 0        │ uint64 │ uint64  │ uint64 │ int64 │ int64│
//	└─────────┴────────┴─────────┴──────────┴────────┴─────────┴────────┴───────┴──────┘
func (l Loss) Append(dst []byte) []byte {
	dst = append(dst, lossVersion, uint8(l.Reason))
	dst = binary.LittleEndian.AppendUint16(dst, l.Stream)
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	for _, v := range [...]uint64{l.First, l.Records, l.Bytes, uint64(l.From), uint64(l.To)} {
		dst = binary.LittleEndian.AppendUint64(dst, v)
	}
	return dst
}

// ParseLoss reads the payload of a loss record. Bytes after those it knows are left alone: a later version may add fields.
func ParseLoss(payload []byte) (Loss, error) {
	if len(payload) < lossLen || payload[0] < lossVersion {
		return Loss{}, fmt.Errorf("journal: loss record of %d bytes is not one of version %d or later (%d bytes at least)", len(payload), lossVersion, lossLen)
	}
	u64 := func(off int) uint64 { return binary.LittleEndian.Uint64(payload[off:]) }
	return Loss{
		Reason: LossReason(payload[1]), Stream: binary.LittleEndian.Uint16(payload[2:]),
		First: u64(8), Records: u64(16), Bytes: u64(24), From: int64(u64(32)), To: int64(u64(40)),
	}, nil
}
