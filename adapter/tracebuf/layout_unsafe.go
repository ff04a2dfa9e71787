//go:build !logbuf_portable

package tracebuf

import "unsafe"

// unsafe rests on two rules. A value of a type that layoutOf has accepted holds
// no pointers, so its memory is plain bytes, which may be read as such for as
// long as the value is there; and bytesOf is only given variables of the caller's
// frame, from which nothing keeps a slice. The bytes between fields are read by
// nobody: a type that has some is not dense, and its moves leave them out.

// littleEndian says that memory has the wire's byte order.
var littleEndian = func() bool {
	one := uint16(1)
	return bytesOf(&one)[0] == 1
}()

// frame is a record on its way: what is before the body, for which there is
// room for the longest, and the body, which follows without a gap because no
// type is aligned to more than 8 bytes.
type frame[T any] struct {
	_    [spanLen]byte
	body T
}

// fill puts v into the frame. The bytes are the head's 16, not yet set, and
// the body on the wire, valid as long as the frame.
func (f *frame[T]) fill(l *layout, v *T) []byte {
	b := bytesOf(f)[: spanLen+l.size : spanLen+l.size]
	if l.dense {
		f.body = *v
		return b
	}
	l.move(b[spanLen:], bytesOf(v))
	return b
}

func bytesOf[T any](v *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))
}
