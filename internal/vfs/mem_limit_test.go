package vfs

import (
	"errors"
	"os"
	"syscall"
	"testing"
)

// A full Mem writes what there is room for, lets files be overwritten in place, and has room again when something is removed.
func TestMemLimit(t *testing.T) {
	m := NewMem()
	open := func(name string) File {
		f, err := m.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	a, b := open("a"), open("b")
	m.SetLimit(10)
	check := func(f File, s string, off int64, want int, full bool) {
		t.Helper()
		if n, err := f.WriteAt([]byte(s), off); n != want || errors.Is(err, syscall.ENOSPC) != full {
			t.Errorf("%d bytes, %v; want %d", n, err, want)
		}
	}
	check(a, "123456", 0, 6, false)
	check(b, "123456", 0, 4, true)
	check(b, "xyz", 1, 3, false)
	check(b, "xyz", 3, 1, true)
	check(a, "x", 100, 0, true)
	if size, _ := a.Size(); size != 6 || m.Used() != 10 {
		t.Errorf("size %d, used %d", size, m.Used())
	}
	if err := a.Truncate(2); err != nil {
		t.Fatal(err)
	}
	check(b, "56789", 4, 4, true)
	if err := m.Remove("a"); err != nil {
		t.Fatal(err)
	}
	check(b, "9", 8, 1, false)
	m.SetLimit(0)
	check(b, "0123456789", 9, 10, false)
}
