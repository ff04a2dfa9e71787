package tracebuf

import "encoding/binary"

// move copies the fields of a value with memory src to the wire.
func (l *layout) move(dst, src []byte) {
	for _, m := range l.moves {
		if m.width == 1 {
			copy(dst[m.dst:m.dst+m.n], src[m.src:])
			continue
		}
		swapWords(dst[m.dst:m.dst+m.n], src[m.src:m.src+m.n], m.width)
	}
}

// swapWords copies words and turns each one round.
func swapWords(dst, src []byte, width int) {
	for i := 0; i < len(src); i += width {
		switch width {
		case 2:
			binary.LittleEndian.PutUint16(dst[i:], binary.BigEndian.Uint16(src[i:]))
		case 4:
			binary.LittleEndian.PutUint32(dst[i:], binary.BigEndian.Uint32(src[i:]))
		case 8:
			binary.LittleEndian.PutUint64(dst[i:], binary.BigEndian.Uint64(src[i:]))
		}
	}
}
