package vfs

import (
	"io"
	"io/fs"
	"os"
)

// osFile is a File over *os.File. writevAt, allocate and syncData differ by system and are in files of their own.
type osFile struct {
	*os.File
	fd uintptr // the descriptor, valid while File is open
}

func newFile(f *os.File) *osFile { return &osFile{File: f, fd: f.Fd()} }

func (f *osFile) Size() (int64, error) {
	fi, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return fi.Size(), nil
}

func (f *osFile) WritevAt(bufs [][]byte, off int64) (int64, error) {
	n, err := f.writevAt(bufs, off)
	if err != nil {
		return n, pathError("write", f.Name(), err)
	}
	return n, nil
}

func (f *osFile) SyncData() error {
	if err := f.syncData(); err != nil {
		return pathError("fdatasync", f.Name(), err)
	}
	return nil
}

func (f *osFile) Allocate(off, n int64) error {
	if err := f.allocate(off, n); err != nil {
		return pathError("fallocate", f.Name(), err)
	}
	return nil
}

// pathError names the operation and the file, unless err does so already.
func pathError(op, name string, err error) error {
	if _, ok := err.(*fs.PathError); ok { //nolint:errorlint // only the outermost form matters
		return err
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// writeEach writes the buffers one by one: the way of systems without a gathering write at an offset.
func writeEach(w io.WriterAt, bufs [][]byte, off int64) (int64, error) {
	var done int64
	for _, b := range bufs {
		n, err := w.WriteAt(b, off+done)
		done += int64(n)
		if err != nil {
			return done, err
		}
		if n < len(b) {
			return done, io.ErrShortWrite
		}
	}
	return done, nil
}
