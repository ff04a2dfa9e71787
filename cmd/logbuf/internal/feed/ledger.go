package feed

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/gobwas/ws"
	"github.com/nexus-logbuf/logbuf/adapter/wsbuf"
)

// Digest identifies one frame: its opcode, final bit, length and contents.
type Digest struct {
	Sum  uint64 // the first 8 bytes of SHA-256 of the payload
	Len  uint32 // payload bytes
	Head uint8  // opcode in the low 4 bits, 0x80 for final
}

// DigestOf makes the digest of a frame.
func DigestOf(op ws.OpCode, final bool, payload []byte) Digest {
	sum := sha256.Sum256(payload)
	d := Digest{Sum: binary.LittleEndian.Uint64(sum[:]), Len: uint32(len(payload)), Head: uint8(op) & 0x0F}
	if final {
		d.Head |= 0x80
	}
	return d
}

// Op is the frame's opcode.
func (d Digest) Op() ws.OpCode { return ws.OpCode(d.Head & 0x0F) }

// Final reports whether the frame had its FIN bit.
func (d Digest) Final() bool { return d.Head&0x80 != 0 }

// String is what an error message says of a frame.
func (d Digest) String() string {
	fin := "final"
	if !d.Final() {
		fin = "not final"
	}
	return fmt.Sprintf("%s, %s, %d bytes, sha256 %016x…", wsbuf.OpName(d.Op()), fin, d.Len, swap(d.Sum))
}

// swap makes the sum print as the first bytes of the hash in their usual order.
func swap(v uint64) uint64 {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], v)
	return binary.BigEndian.Uint64(b[:])
}

// Ledger is what one connection sent and received, in order. It is complete,
// and may be read, once the server has returned.
type Ledger struct {
	Symbol   string
	Sent     []Digest
	Received []Digest
	Clean    bool  // both sides sent a close frame
	Err      error // why the connection ended otherwise
}
