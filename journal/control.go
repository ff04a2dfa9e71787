package journal

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// MaxStreamName is the longest name of a stream, in bytes.
const MaxStreamName = 1024

const (
	streamVersion = 1
	clockVersion  = 1
	markVersion   = 1
	closeVersion  = 1

	streamNameAt = 16 // where a stream definition's name begins
	clockLen     = 24
)

// appendStream appends the payload of a stream definition. The stream's id is in the frame. next is the ordinal of the stream's next record:
// so many were delivered or lost before it in the life of the archive.
//
//	0         1          8          16
//	┌─────────┬──────────┬──────────┬──────────────────────┐
//	│ version │ reserved │ next     │ name, UTF-8          │
//	│ 1       │ 0        │ uint64   │ 1…1024 bytes         │
//	└─────────┴──────────┴──────────┴──────────────────────┘
func appendStream(dst []byte, next uint64, name string) []byte {
	dst = append(dst, streamVersion, 0, 0, 0, 0, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint64(dst, next)
	return append(dst, name...)
}

// ParseStream reads the payload of a stream definition (KindStream): the stream's name, and the ordinal of its next record, which is how
// many of its records the archive had delivered or lost before, over its life.
func ParseStream(payload []byte) (name string, next uint64, err error) {
	if len(payload) < streamNameAt || payload[0] != streamVersion {
		return "", 0, fmt.Errorf("journal: stream definition of %d bytes is not one of version %d", len(payload), streamVersion)
	}
	if next = binary.LittleEndian.Uint64(payload[8:]); next > maxOrdinal {
		return "", 0, fmt.Errorf("journal: stream definition's next ordinal %d is above %d", next, uint64(maxOrdinal))
	}
	name = string(payload[streamNameAt:])
	return name, next, checkStreamName(name)
}

func checkStreamName(name string) error {
	if len(name) == 0 || len(name) > MaxStreamName || !utf8.ValidString(name) {
		return fmt.Errorf("journal: stream name %.40q: must be 1 to %d bytes of UTF-8, is %d bytes", name, MaxStreamName, len(name))
	}
	return nil
}

// ClockStep is what a clock record (KindClock) says: the wall clock was set. Both times are nanoseconds since the Unix epoch.
type ClockStep struct {
	Before int64 // what the clock would have said at the step, had it not been set
	After  int64 // what it said instead
}

// Append appends the payload of a clock record to dst.
//
//	0         1          8        16      24
//	┌─────────┬──────────┬────────┬───────┐
//	│ version │ reserved │ before │ after │
//	│ 1       │ 0        │ int64  │ int64 │
//	└─────────┴──────────┴────────┴───────┘
func (c ClockStep) Append(dst []byte) []byte {
	dst = append(dst, clockVersion, 0, 0, 0, 0, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(c.Before))
	return binary.LittleEndian.AppendUint64(dst, uint64(c.After))
}

// ParseClock reads the payload of a clock record. Bytes after those it knows are left alone: a later version may add fields.
func ParseClock(payload []byte) (ClockStep, error) {
	if len(payload) < clockLen || payload[0] < clockVersion {
		return ClockStep{}, fmt.Errorf("journal: clock record of %d bytes is not one of version %d or later (%d bytes at least)", len(payload), clockVersion, clockLen)
	}
	u64 := func(off int) uint64 { return binary.LittleEndian.Uint64(payload[off:]) }
	return ClockStep{Before: int64(u64(8)), After: int64(u64(16))}, nil
}

// AppendMark appends the payload of a mark (KindMark) to dst: a version byte, then text, which may be any bytes.
//
//	0         1
//	┌─────────┬──────────────────────┐
//	│ version │ the user's bytes     │
//	│ 1       │                      │
//	└─────────┴──────────────────────┘
func AppendMark(dst, text []byte) []byte {
	return append(append(dst, markVersion), text...)
}

// ParseMark reads the payload of a mark. The text it returns is part of payload.
func ParseMark(payload []byte) (text []byte, err error) {
	if len(payload) < 1 || payload[0] != markVersion {
		return nil, fmt.Errorf("journal: mark of %d bytes is not one of version %d", len(payload), markVersion)
	}
	return payload[1:], nil
}

// checkControl refuses the payload of a control record of a known kind that its own reader would refuse.
func checkControl(kind uint8, payload []byte) (err error) {
	switch kind {
	case KindLoss:
		_, err = ParseLoss(payload)
	case KindClock:
		_, err = ParseClock(payload)
	case KindMark:
		_, err = ParseMark(payload)
	}
	return err
}
