//go:build !logbuf_portable

package vfs

import (
	"errors"
	"io"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxIovecs is the kernel's IOV_MAX.
const maxIovecs = 1024

// writevAt is pwritev(2): one call for all buffers in the usual case. The offset is explicit, so going on after a short write is safe,
// which it is not with O_APPEND.
func (f *osFile) writevAt(bufs [][]byte, off int64) (int64, error) {
	defer runtime.KeepAlive(f.File)
	var want int64
	for _, b := range bufs {
		want += int64(len(b))
	}
	if len(bufs) > maxIovecs {
		return writeEach(f.File, bufs, off)
	}
	var done int64
	for done < want {
		n, err := f.pwritev(bufs, done, off)
		done += int64(n)
		switch {
		case err == unix.EINTR || err == unix.EAGAIN: //nolint:errorlint // Pwritev returns a bare Errno
			continue
		case err != nil:
			return done, err
		case n == 0:
			return done, io.ErrShortWrite
		}
	}
	return done, nil
}

// pwritev writes what is left of bufs after the first done bytes. The rest of a short write goes out buffer by buffer: short writes to
// files are rare, and a call per buffer keeps the caller's slice untouched.
func (f *osFile) pwritev(bufs [][]byte, done, off int64) (int, error) {
	if done == 0 {
		return unix.Pwritev(int(f.fd), bufs, off)
	}
	skip := done
	for _, b := range bufs {
		if skip < int64(len(b)) {
			return unix.Pwrite(int(f.fd), b[skip:], off+done)
		}
		skip -= int64(len(b))
	}
	return 0, syscall.EINVAL
}

// syncData is fdatasync(2): it makes the data and, if it changed, the size durable, not the times.
func (f *osFile) syncData() error {
	defer runtime.KeepAlive(f.File)
	for {
		err := unix.Fdatasync(int(f.fd))
		if err != unix.EINTR { //nolint:errorlint // a bare Errno
			return err
		}
	}
}

// allocate is fallocate(2) on ext4, where a block that is written to for the first time costs the kernel as much as the copy of the data
// into it. Elsewhere it is not known to help, and where files are copied on write it does harm.
func (f *osFile) allocate(off, n int64) error {
	defer runtime.KeepAlive(f.File)
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.fd), &st); err != nil {
		return err
	}
	if st.Type != unix.EXT4_SUPER_MAGIC {
		return errors.ErrUnsupported
	}
	return unix.Fallocate(int(f.fd), unix.FALLOC_FL_KEEP_SIZE, off, n)
}
