package tracebuf

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Type is the type of a field, as the archive spells it.
type Type uint8

// Types.
const (
	Bool Type = 1 + iota
	Int8
	Int16
	Int32
	Int64
	Uint8
	Uint16
	Uint32
	Uint64
	Float32
	Float64
	Text // an array of bytes that holds UTF-8 up to the first zero
)

var types = [...]struct {
	name string
	size int
}{
	Bool: {"bool", 1}, Int8: {"int8", 1}, Int16: {"int16", 2}, Int32: {"int32", 4}, Int64: {"int64", 8},
	Uint8: {"uint8", 1}, Uint16: {"uint16", 2}, Uint32: {"uint32", 4}, Uint64: {"uint64", 8},
	Float32: {"float32", 4}, Float64: {"float64", 8}, Text: {"text", 1},
}

// String is the name of the Go type, or text.
func (t Type) String() string {
	if t == 0 || int(t) >= len(types) {
		return fmt.Sprintf("Type(%d)", uint8(t))
	}
	return types[t].name
}

// Size is the size of an element in bytes, 0 for a type that is none.
func (t Type) Size() int {
	if int(t) >= len(types) {
		return 0
	}
	return types[t].size
}

// Field is a field of an event, as its definition in the archive has it.
type Field struct {
	Name   string
	Unit   string // "" if none was given
	Type   Type
	Offset int // in the body, bytes
	Len    int // elements of an array; 0: one value that is no array
}

// size is how many bytes of the body the field takes.
func (f Field) size() int { return max(f.Len, 1) * f.Type.Size() }

// Int is element i, or the value with i 0, of a field of a signed type; 0 for
// other types. body is Entry.Body.
func (f Field) Int(body []byte, i int) int64 {
	b := body[f.Offset+i*f.Type.Size():]
	switch f.Type {
	case Int8:
		return int64(int8(b[0]))
	case Int16:
		return int64(int16(binary.LittleEndian.Uint16(b)))
	case Int32:
		return int64(int32(binary.LittleEndian.Uint32(b)))
	case Int64:
		return int64(binary.LittleEndian.Uint64(b))
	}
	return 0
}

// Uint is Int for an unsigned type, and for a bool 0 or 1.
func (f Field) Uint(body []byte, i int) uint64 {
	b := body[f.Offset+i*f.Type.Size():]
	switch f.Type {
	case Bool:
		return uint64(min(b[0], 1))
	case Uint8, Text:
		return uint64(b[0])
	case Uint16:
		return uint64(binary.LittleEndian.Uint16(b))
	case Uint32:
		return uint64(binary.LittleEndian.Uint32(b))
	case Uint64:
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// Float is Int for a floating-point type.
func (f Field) Float(body []byte, i int) float64 {
	b := body[f.Offset+i*f.Type.Size():]
	switch f.Type {
	case Float32:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
	case Float64:
		return math.Float64frombits(binary.LittleEndian.Uint64(b))
	}
	return 0
}

// Text is the text of a Text field. Bytes that are no UTF-8 are replaced by
// U+FFFD.
func (f Field) Text(body []byte) string {
	b := body[f.Offset : f.Offset+f.Len]
	if end := bytes.IndexByte(b, 0); end >= 0 {
		b = b[:end]
	}
	if utf8.Valid(b) {
		return string(b)
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}

// Append appends the value in words to dst: numbers as strconv writes them,
// true and false, the text as it is, an array in brackets with spaces between
// its elements.
func (f Field) Append(dst, body []byte) []byte {
	if f.Type == Text {
		return append(dst, f.Text(body)...)
	}
	if f.Len == 0 {
		return f.appendOne(dst, body, 0)
	}
	dst = append(dst, '[')
	for i := range f.Len {
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = f.appendOne(dst, body, i)
	}
	return append(dst, ']')
}

func (f Field) appendOne(dst, body []byte, i int) []byte {
	switch {
	case f.Type == Bool:
		return strconv.AppendBool(dst, f.Uint(body, i) != 0)
	case f.Type >= Uint8 && f.Type <= Uint64:
		return strconv.AppendUint(dst, f.Uint(body, i), 10)
	case f.Type == Float32:
		return strconv.AppendFloat(dst, f.Float(body, i), 'g', -1, 32)
	case f.Type == Float64:
		return strconv.AppendFloat(dst, f.Float(body, i), 'g', -1, 64)
	}
	return strconv.AppendInt(dst, f.Int(body, i), 10)
}
