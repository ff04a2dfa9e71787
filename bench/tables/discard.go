package main

import (
	"io/fs"
	"strings"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// discard is the operating system's files, but what is written to segments
// beyond their header goes nowhere: what a recording costs without the disk.
type discard struct{ vfs.FS }

func (d discard) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := d.FS.OpenFile(name, flag, perm)
	if err != nil || !strings.HasSuffix(name, ".lbj") && !strings.HasSuffix(name, ".tmp") {
		return f, err
	}
	return discardFile{f}, nil
}

type discardFile struct{ vfs.File }

// headerLen is what the journal writes first, and reads back.
const headerLen = 4096

func (f discardFile) WriteAt(b []byte, off int64) (int, error) {
	if off >= headerLen {
		return len(b), nil
	}
	return f.File.WriteAt(b, off)
}

func (f discardFile) WritevAt(bufs [][]byte, off int64) (n int64, err error) {
	if off < headerLen {
		return f.File.WritevAt(bufs, off)
	}
	for _, b := range bufs {
		n += int64(len(b))
	}
	return n, nil
}
