//go:build !logbuf_portable

package tracebuf

import (
	"bytes"
	"reflect"
	"testing"
	"unsafe"
)

// What lies between fields never gets to the wire.
func TestGapsStayBehind(t *testing.T) {
	t.Run("gaps", func(t *testing.T) { checkGaps[gaps](t) })
	t.Run("blank", func(t *testing.T) { checkGaps[blank](t) })
}

func checkGaps[T any](t *testing.T) {
	t.Helper()
	l, err := layoutOf(reflect.TypeFor[T]())
	must(t, err)
	var clean, dirty T
	for i := range bytesOf(&dirty) {
		bytesOf(&dirty)[i] = 0xff
	}
	zeroFields(reflect.ValueOf(&dirty).Elem())
	if bytes.Equal(bytesOf(&dirty), bytesOf(&clean)) {
		t.Fatal("the type has no gaps to be dirty")
	}
	var f, g frame[T]
	if got, want := f.fill(l, &dirty), g.fill(l, &clean); !bytes.Equal(got, want) {
		t.Errorf("memory between the fields is on the wire: %x", got)
	}
}

func zeroFields(v reflect.Value) {
	for i := range v.NumField() {
		if v.Field(i).CanSet() {
			v.Field(i).SetZero()
		}
	}
}

// Nothing lies between head and body.
func TestFrameHasNoGap(t *testing.T) {
	check := func(name string, offset, align uintptr) {
		if offset != spanLen {
			t.Errorf("%s: the body is at %d, want %d (aligned to %d)", name, offset, spanLen, align)
		}
	}
	check("dense", unsafe.Offsetof(frame[dense]{}.body), unsafe.Alignof(dense{}))
	check("bytes", unsafe.Offsetof(frame[inner8]{}.body), unsafe.Alignof(inner8{}))
	check("nothing", unsafe.Offsetof(frame[struct{}]{}.body), 1)
	if n := unsafe.Sizeof(frame[dense]{}); n != spanLen+24 {
		t.Errorf("the frame of 24 bytes has %d", n)
	}
}
