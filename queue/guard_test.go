//go:build linux || darwin

package queue

import (
	"bytes"
	"runtime/debug"
	"syscall"
	"testing"
)

// Short records are copied in pieces that overlap: none of them may reach beyond
// the caller's slice, which here begins or ends at memory that cannot be read.
func TestWriteReadsTheCallersSliceOnly(t *testing.T) {
	page := syscall.Getpagesize()
	all, err := syscall.Mmap(-1, 0, 3*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Skip(err)
	}
	defer syscall.Munmap(all)
	mid := all[page : 2*page]
	for i := range mid {
		mid[i] = byte(i%251 + 1)
	}
	for _, p := range []struct {
		mem  []byte
		prot int
	}{{all[:page], syscall.PROT_NONE}, {mid, syscall.PROT_READ}, {all[2*page:], syscall.PROT_NONE}} {
		if err := syscall.Mprotect(p.mem, p.prot); err != nil {
			t.Fatal(err)
		}
	}
	forKinds(t, func(t *testing.T, shared bool) {
		defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // else it would end the tests
		w, c := newRingAt(t, shared, 4096, 0)
		for n := range 200 {
			for where, rec := range map[string][]byte{"begins": mid[:n:n], "ends": mid[page-n:]} {
				mustWrite(t, w, nil) // may make room
				mustWrite(t, w, rec)
				wantNext(t, c, 1, nil)
				if got, ok := c.Next(); !ok || !bytes.Equal(got, rec) {
					t.Fatalf("%d bytes, memory %s with them: %v, %x", n, where, ok, got)
				}
				c.Release()
			}
		}
	})
}
