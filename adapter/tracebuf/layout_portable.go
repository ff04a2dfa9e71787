//go:build logbuf_portable

package tracebuf

import (
	"encoding/binary"
	"fmt"
)

// Without unsafe an event is encoded by encoding/binary, which allocates and
// takes a microsecond. The bytes are the same.

const littleEndian = true // of the moves, which nobody uses here

type frame[T any] struct{ _ [0]T }

func (*frame[T]) fill(l *layout, v *T) []byte {
	b := make([]byte, spanLen+l.size)
	if _, err := binary.Encode(b[spanLen:], binary.LittleEndian, v); err != nil {
		panic(fmt.Sprintf("tracebuf: encoding a type that was checked: %v", err))
	}
	return b
}
