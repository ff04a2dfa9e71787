package journal

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Kinds of records. 1 to 0x3F carry data and are numbered; 2 to 0x3F are the user's. 0x40 to 0x7F are control records: not numbered, their
// payload begins with a version byte.
const (
	KindData   uint8 = 1    // a record
	KindStream uint8 = 0x40 // defines a stream: its id is the record's stream, its name is in the payload
	KindLoss   uint8 = 0x41 // says that records of a stream were lost, see Loss
	KindClock  uint8 = 0x42 // says that the clock was stepped, see ClockStep
	KindMark   uint8 = 0x43 // a mark set by the user, see AppendMark
	KindClose  uint8 = 0x44 // the writer closed the archive in good order
	KindOpen   uint8 = 0x45 // made by readers where an epoch begins; never on disk

	firstControl uint8 = 0x40
	lastKind     uint8 = 0x7F
)

// Flags of records.
const (
	FlagSourceMask uint8 = 0x0F // source code, such as a WebSocket opcode
	FlagFinal      uint8 = 0x10 // final fragment of a message
	FlagCompressed uint8 = 0x20 // payload is compressed as it was received
	FlagOutbound   uint8 = 0x40 // sent, not received
	FlagTruncated  uint8 = 0x80 // payload was cut by a limit
)

// Sizes of a frame's parts, in bytes.
const (
	FrameHeaderLen = 8 // int32 length, int32 type
	TimeLen        = 8 // int64 nanoseconds since the Unix epoch, first part of the frame's payload
	frameOverhead  = FrameHeaderLen + TimeLen

	// MaxStream is the largest stream id. Ids start at 1.
	MaxStream = math.MaxInt16

	skipType = -1
)

// Record is one record of a journal.
type Record struct {
	Seq     uint64 // number in the archive, from 0. A control record has the number that the next data record will have.
	Time    int64  // nanoseconds since the Unix epoch
	Kind    uint8  // KindData, a user's kind, or one of the control kinds
	Flags   uint8
	Stream  uint16 // 1 to MaxStream, 0 for records of no stream
	Payload []byte // from Reader.Next: valid until the next call
}

// Clone returns a copy of the record with a payload of its own.
func (r Record) Clone() Record {
	r.Payload = append(make([]byte, 0, len(r.Payload)), r.Payload...)
	return r
}

// RecordType returns the type word of a frame: kind in the lowest byte, then flags, then the stream. It is always at least 1 when kind is
// at least 1 and stream at most MaxStream.
func RecordType(kind, flags uint8, stream uint16) int32 {
	return int32(uint32(kind) | uint32(flags)<<8 | uint32(stream)<<16)
}

// SplitType is the inverse of RecordType.
func SplitType(typ int32) (kind, flags uint8, stream uint16) {
	return uint8(typ), uint8(uint32(typ) >> 8), uint16(uint32(typ) >> 16)
}

// FrameLen returns the bytes that a record with a payload of n bytes takes in a ring and on disk: header, time, payload, padding to 8.
func FrameLen(n int) int { return (frameOverhead + n + 7) &^ 7 }

// AppendFrame appends the frame of r to dst, exactly as a ring holds it and as it lies on disk:
//
//	0        4     5      6         8          16
//	┌────────┬─────┬──────┬─────────┬──────────┬───────────┬─────────┐
//	│ length │kind │flags │ stream  │ time     │ payload   │ 0…7     │
//	│ int32  │u8   │u8    │ uint16  │ int64 ns │           │ zeros   │
//	└────────┴─────┴──────┴─────────┴──────────┴───────────┴─────────┘
//
// length = 16 + len(payload), without the zeros. Seq is not part of a frame. Kind 0 counts as KindData.
// A kind above 0x7F, a stream above MaxStream or a payload above 2³¹−17 bytes is a programmer's mistake: AppendFrame panics.
func AppendFrame(dst []byte, r Record) []byte {
	if r.Kind == 0 {
		r.Kind = KindData
	}
	if r.Kind > lastKind || r.Stream > MaxStream || len(r.Payload) > math.MaxInt32-frameOverhead {
		panic(fmt.Sprintf("journal: AppendFrame: kind %#x (limit 0x7f), stream %d (limit %d), payload %d bytes (limit %d)",
			r.Kind, r.Stream, MaxStream, len(r.Payload), math.MaxInt32-frameOverhead))
	}
	dst = binary.LittleEndian.AppendUint32(dst, uint32(frameOverhead+len(r.Payload)))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(RecordType(r.Kind, r.Flags, r.Stream)))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(r.Time))
	dst = append(dst, r.Payload...)
	var zeros [8]byte
	return append(dst, zeros[:FrameLen(len(r.Payload))-frameOverhead-len(r.Payload)]...)
}
