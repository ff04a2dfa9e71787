package vfs

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// What is allocated behind the end is not seen in the file, and goes when the file is set to the size that it has.
func TestAllocate(t *testing.T) {
	f, err := OS.OpenFile(filepath.Join(t.TempDir(), "f"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("abc"), 0); err != nil {
		t.Fatal(err)
	}
	const room = 1 << 20
	switch err := f.Allocate(3, room); {
	case errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.ENOSPC):
		t.Skip(err)
	case err != nil:
		t.Fatal(err)
	}
	if got := content(t, f); got != "abc" {
		t.Errorf("the file has %d bytes after Allocate", len(got))
	}
	if got := onDisk(t, f); got < room {
		t.Errorf("%d bytes on the disk after Allocate, want %d at least", got, room)
	}
	if err := f.Truncate(3); err != nil {
		t.Fatal(err)
	}
	if got := onDisk(t, f); got >= room {
		t.Errorf("%d bytes on the disk after Truncate", got)
	}
	if got := content(t, f); got != "abc" {
		t.Errorf("the file has %q after Truncate", got)
	}
}

// onDisk returns how much disk the file takes, after a sync: data that is not written yet takes none.
func onDisk(t *testing.T, f File) int64 {
	t.Helper()
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	var st syscall.Stat_t
	if err := syscall.Stat(f.Name(), &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}
