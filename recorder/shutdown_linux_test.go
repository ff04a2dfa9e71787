package recorder

import (
	"syscall"
	"testing"
)

// mountDisk mounts a disk of its own on dir, where the machine permits it.
func mountDisk(t *testing.T, dir string) {
	t.Helper()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64m"); err != nil {
		t.Skipf("this machine does not let a test mount a disk: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) }) // gone already, if all is well
}

// unmount takes the disk away from those who use it.
func unmount(t *testing.T, dir string) {
	t.Helper()
	if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
}
