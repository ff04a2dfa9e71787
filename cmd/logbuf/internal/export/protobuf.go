package export

import (
	"encoding/binary"
	"math"
	"strings"
)

// message is a protocol buffer being written: https://protobuf.dev/programming-guides/encoding. Fields are appended in the order of the calls.
type message []byte

// Wire types.
const (
	wireVarint = 0
	wireI64    = 1
	wireLen    = 2
)

func (m *message) tag(field int, wire uint64) {
	*m = binary.AppendUvarint(*m, uint64(field)<<3|wire)
}

// varint writes a field of type uint64, uint32, an enum, and of int64 and int32 as two's complement.
func (m *message) varint(field int, v uint64) {
	m.tag(field, wireVarint)
	*m = binary.AppendUvarint(*m, v)
}

func (m *message) boolean(field int, v bool) {
	n := uint64(0)
	if v {
		n = 1
	}
	m.varint(field, n)
}

func (m *message) double(field int, v float64) {
	m.tag(field, wireI64)
	*m = binary.LittleEndian.AppendUint64(*m, math.Float64bits(v))
}

// str writes a string, which is UTF-8: what is not becomes U+FFFD.
func (m *message) str(field int, s string) {
	s = strings.ToValidUTF8(s, "\uFFFD")
	m.tag(field, wireLen)
	*m = binary.AppendUvarint(*m, uint64(len(s)))
	*m = append(*m, s...)
}

// sub writes a message within. It must be complete.
func (m *message) sub(field int, inner message) {
	m.tag(field, wireLen)
	*m = binary.AppendUvarint(*m, uint64(len(inner)))
	*m = append(*m, inner...)
}
