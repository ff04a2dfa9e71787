//go:build !linux || logbuf_portable

package vfs

import "errors"

// writevAt writes buffer by buffer: a journal block is a 64-byte header and one span, so that is two calls.
func (f *osFile) writevAt(bufs [][]byte, off int64) (int64, error) {
	return writeEach(f.File, bufs, off)
}

// syncData is os.File.Sync: F_FULLFSYNC on darwin (where a bare fsync stops at the drive's cache), FlushFileBuffers on Windows.
func (f *osFile) syncData() error { return f.File.Sync() }

func (f *osFile) allocate(int64, int64) error { return errors.ErrUnsupported }
