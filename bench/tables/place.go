package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
	"github.com/nexus-logbuf/logbuf/journal"
)

// place is where files go: a directory, and whether what is written to them is
// kept at all.
type place struct {
	dir     string
	discard bool
}

type syncedFile interface {
	io.WriteCloser
	Sync() error
}

// file is a file of the place.
func (p place) file() (syncedFile, error) {
	if p.discard {
		return nowhere{}, nil
	}
	return os.Create(filepath.Join(p.dir, "log"))
}

// journal is the options of an archive in the place.
func (p place) journal() journal.Options {
	opts := journal.Options{Sync: journal.SyncNone, SegmentSize: 1 << 30, FS: vfs.OS}
	if p.discard {
		opts.FS = discard{vfs.OS}
	}
	return opts
}

// openJournal is an archive in the place, and the one stream in it.
func (p place) openJournal() (*journal.Writer, uint16, error) {
	opts := p.journal()
	w, err := journal.Open(p.dir, &opts)
	if err != nil {
		return nil, 0, err
	}
	id, err := w.DefineStream("bench")
	return w, id, err
}

type nowhere struct{}

func (nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (nowhere) Sync() error                 { return nil }
func (nowhere) Close() error                { return nil }

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

func (f discardFile) Allocate(int64, int64) error { return errors.ErrUnsupported }

func (f discardFile) WritevAt(bufs [][]byte, off int64) (n int64, err error) {
	if off < headerLen {
		return f.File.WritevAt(bufs, off)
	}
	for _, b := range bufs {
		n += int64(len(b))
	}
	return n, nil
}
