package fixbuf

import (
	"bytes"
	"encoding/binary"
)

// Part is what a piece of a byte stream is.
type Part uint8

// Parts of a stream.
const (
	// More is none: more bytes are needed to tell.
	More Part = iota
	// Message is a whole message with the right CheckSum.
	Message
	// BadSum is a whole message, by its BodyLength, whose CheckSum is wrong.
	BadSum
	// Skipped is bytes that are no message, up to where the next may begin.
	Skipped
	// TooLarge is Skipped that begins with a message whose BodyLength is beyond
	// the limit. Its BodyLength is not believed: the next message is looked for
	// right behind its header.
	TooLarge
)

// String returns a word for the part.
func (p Part) String() string {
	return [...]string{"more", "message", "bad checksum", "skipped", "too large"}[p]
}

const (
	soh = 0x01 // ends each field

	begin        = "8=FIX"
	maxBegin     = 16 // longest BeginString, bytes: FIX.4.2, FIXT.1.1, and room
	maxLengthLen = 9  // most digits of BodyLength
	trailerLen   = 7  // 10=ddd and the SOH

	// MinMessage is less than the length of the shortest message there can be.
	MinMessage = len("8=FIX\x019=5\x0135=0\x0110=000\x01")
)

// next tells what buf begins with, and the length of that. For More it is the
// length that buf must have at least before asking again makes sense. limit is
// the longest message, in bytes; final says that nothing follows buf.
func next(buf []byte, limit int, final bool) (part Part, n int) {
	part, n = candidate(buf, limit)
	switch {
	case part == More && !final, part == Message, part == BadSum, len(buf) == 0:
		return part, n
	case part == More:
		part = Skipped
	}
	return part, 1 + start(buf[1:], final)
}

// start is the offset of the first place where a message may begin, or the
// length of b when there is none.
func start(b []byte, final bool) int {
	if i := bytes.Index(b, []byte(begin)); i >= 0 {
		return i
	}
	if final {
		return len(b)
	}
	for n := min(len(begin)-1, len(b)); n > 0; n-- {
		if string(b[len(b)-n:]) == begin[:n] {
			return len(b) - n
		}
	}
	return len(b)
}

// candidate looks at the message that buf may begin with. Skipped and TooLarge
// say that it is none, and their length means nothing.
//
//	8=FIX.4.4 ␁ 9=65 ␁ 35=… ␁ … ␁ 10=123 ␁
//	│           │     └─ 65 bytes ─┘└ trailer
//	└───── sum of these bytes ────┘  = 123 modulo 256
func candidate(buf []byte, limit int) (part Part, n int) {
	length, body, part := header(buf)
	if part != Message {
		return part, len(buf) + 1
	}
	if length > limit-body-trailerLen {
		return TooLarge, 0
	}
	end := body + length
	if len(buf) < end+trailerLen {
		return More, end + trailerLen
	}
	want, ok := trailer(buf[end : end+trailerLen])
	switch {
	case !ok || buf[end-1] != soh:
		return Skipped, 0
	case want != sum(buf[:end]):
		return BadSum, end + trailerLen
	}
	return Message, end + trailerLen
}

// header reads BeginString and BodyLength. body is the offset of the byte behind
// them. The part is Message when they are there, Skipped when they are not, and
// More when that is open.
func header(buf []byte) (length, body int, part Part) {
	if n := min(len(buf), len(begin)); string(buf[:n]) != begin[:n] {
		return 0, 0, Skipped
	}
	i := bytes.IndexByte(buf[:min(len(buf), len("8=")+maxBegin+1)], soh)
	if i < 0 {
		if len(buf) > len("8=")+maxBegin {
			return 0, 0, Skipped
		}
		return 0, 0, More
	}
	for _, c := range []byte("9=") {
		if i++; i == len(buf) {
			return 0, 0, More
		} else if buf[i] != c {
			return 0, 0, Skipped
		}
	}
	digits := 0
	for i++; i < len(buf); i++ {
		switch c := buf[i]; {
		case c == soh && digits > 0 && length > 0:
			return length, i + 1, Message
		case c < '0' || c > '9' || digits == maxLengthLen:
			return 0, 0, Skipped
		default:
			length = 10*length + int(c-'0')
			digits++
		}
	}
	return 0, 0, More
}

// trailer reads 10=ddd and the SOH.
func trailer(b []byte) (want byte, ok bool) {
	if string(b[:3]) != "10=" || b[6] != soh {
		return 0, false
	}
	n := 0
	for _, c := range b[3:6] {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return byte(n), n < 256
}

// sum adds up the bytes modulo 256, eight at a time: the even and the odd bytes
// of each word in 16-bit fields, which take 257 bytes before they overflow.
func sum(b []byte) byte {
	const even, words = 0x00ff00ff00ff00ff, 128
	var total uint64
	for len(b) >= 8 {
		var s uint64
		for range min(words, len(b)/8) {
			w := binary.LittleEndian.Uint64(b)
			s += w&even + w>>8&even
			b = b[8:]
		}
		total += s + s>>16 + s>>32 + s>>48 // modulo 256 the carries between fields do not count
	}
	for _, c := range b {
		total += uint64(c)
	}
	return byte(total)
}

// Checksum is the CheckSum (10) of a message whose bytes before that field are
// b: their sum modulo 256.
func Checksum(b []byte) byte { return sum(b) }
