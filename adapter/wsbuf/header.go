package wsbuf

import (
	"encoding/binary"
	"fmt"

	"github.com/gobwas/ws"
	"github.com/nexus-logbuf/logbuf/journal"
)

// headerSize tells the size of a header from its second byte, and the 7-bit
// length code in it.
func headerSize(b byte) (size int, code byte) {
	size, code = ws.MinHeaderSize, b&0x7F
	switch code {
	case 126:
		size += 2
	case 127:
		size += 8
	}
	if b&0x80 != 0 {
		size += 4
	}
	return size, code
}

// parseHeader reads a header from the front of b, RFC 6455 section 5.2:
//
//	 0               1               2 … 4, or 10      … 14
//	┌─┬─┬─┬─┬───────┬─┬─────────────┬────────────────┬──────────────┐
//	│F│R│R│R│opcode │M│ length      │ 126: uint16    │ M: mask, 4 B │
//	│I│1│2│3│4 bits │ │ 7 bits      │ 127: uint64    │              │
//	│N│ │ │ │       │ │             │ big-endian     │              │
//	└─┴─┴─┴─┴───────┴─┴─────────────┴────────────────┴──────────────┘
//
// size is 0 when b does not hold the header whole. A length with its sign bit
// set comes out negative; whether the header may be as it is, check says.
func parseHeader(b []byte) (h ws.Header, size int) {
	if len(b) < ws.MinHeaderSize {
		return h, 0
	}
	size, code := headerSize(b[1])
	if len(b) < size {
		return h, 0
	}
	h.Fin, h.Rsv, h.OpCode, h.Masked = b[0]&0x80 != 0, b[0]>>4&7, ws.OpCode(b[0]&0x0F), b[1]&0x80 != 0
	switch code {
	case 126:
		h.Length = int64(binary.BigEndian.Uint16(b[2:]))
	case 127:
		h.Length = int64(binary.BigEndian.Uint64(b[2:]))
	default:
		h.Length = int64(code)
	}
	if h.Masked {
		copy(h.Mask[:], b[size-4:size])
	}
	return h, size
}

// expected is what the header of the next frame of one direction depends on.
type expected struct {
	masked  bool // frames come from the client
	deflate bool // permessage-deflate was negotiated
	open    bool // a fragmented message has begun and not ended
}

const rsv1 = 4 // the first of the three reserved bits: the message is compressed

// check names what is wrong with a header of size bytes, or nothing.
func (e expected) check(h ws.Header, size int) string {
	op := OpName(h.OpCode)
	if h.Masked {
		size -= 4
	}
	switch {
	case h.OpCode.IsReserved():
		return fmt.Sprintf("reserved opcode %#x", uint8(h.OpCode))
	case h.Rsv != 0 && !e.deflate:
		return fmt.Sprintf("%s frame with reserved bits %03b set; no extension was negotiated", op, h.Rsv)
	case h.Rsv&^rsv1 != 0, h.Rsv != 0 && (h.OpCode.IsControl() || h.OpCode == ws.OpContinuation):
		return fmt.Sprintf("%s frame with reserved bits %03b set; permessage-deflate gives a meaning to the first one only, in the first frame of a message", op, h.Rsv)
	case h.Masked && !e.masked:
		return op + " frame is masked; a server must not mask"
	case !h.Masked && e.masked:
		return op + " frame is not masked; a client must mask"
	case h.Length < 0:
		return "length field with its sign bit set"
	case size == 4 && h.Length < 126, size == 10 && h.Length <= 0xFFFF:
		return fmt.Sprintf("%s frame with its length of %d in a longer form than it needs", op, h.Length)
	case h.OpCode.IsControl() && !h.Fin:
		return "fragmented " + op + " frame; control frames must be whole"
	case h.OpCode.IsControl() && h.Length > ws.MaxControlFramePayloadSize:
		return fmt.Sprintf("%s frame of %d bytes; control frames have at most %d", op, h.Length, ws.MaxControlFramePayloadSize)
	case h.OpCode == ws.OpContinuation && !e.open:
		return "continuation frame without a message to continue"
	case h.OpCode.IsData() && h.OpCode != ws.OpContinuation && e.open:
		return op + " frame in the middle of a fragmented message"
	}
	return ""
}

// flagsOf are the record's flags for a frame.
func flagsOf(op ws.OpCode, final bool) uint8 {
	f := uint8(op) & journal.FlagSourceMask
	if final {
		f |= journal.FlagFinal
	}
	return f
}

// OpName is the word for an opcode: continuation, text, binary, close, ping,
// pong, or "opcode 0x3" for one that is reserved.
func OpName(op ws.OpCode) string {
	switch op {
	case ws.OpContinuation:
		return "continuation"
	case ws.OpText:
		return "text"
	case ws.OpBinary:
		return "binary"
	case ws.OpClose:
		return "close"
	case ws.OpPing:
		return "ping"
	case ws.OpPong:
		return "pong"
	}
	return fmt.Sprintf("opcode %#x", uint8(op))
}
