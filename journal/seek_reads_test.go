package journal

import (
	"context"
	"io/fs"
	"sync/atomic"
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// bytesFS counts the bytes that are read.
type bytesFS struct {
	vfs.FS
	read atomic.Int64
}

func (c *bytesFS) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := c.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &bytesFile{File: f, fs: c}, nil
}

type bytesFile struct {
	vfs.File
	fs *bytesFS
}

func (f *bytesFile) ReadAt(b []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(b, off)
	f.fs.read.Add(int64(n))
	return n, err
}

// A seek hops from header to header, and does not read what is between. Reading on reads each byte once, in ever larger steps.
func TestSeekReadsLittle(t *testing.T) {
	mem := vfs.NewMem()
	w := mustOpen(t, memDir, &Options{FS: mem, Sync: SyncNone})
	frames, n := benchFrames(20 << 10)
	const blocks = 100
	for range blocks {
		if _, err := w.AppendFrames(frames, n); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, w)
	for _, block := range []int{0, 30, 51, 70, 99} { // an entry of the index leads to block 0, 51 and 102 or so
		c := &bytesFS{FS: mem}
		r, err := OpenReader(memDir, &ReaderOptions{FS: c, FromSeq: uint64(block*n + n/2)})
		if err != nil {
			t.Fatal(err)
		}
		if rec, err := r.Next(context.Background()); err != nil || rec.Seq != uint64(block*n+n/2) {
			t.Fatal(rec.Seq, err)
		}
		if got := c.read.Load(); got > 400<<10 {
			t.Errorf("a record in block %d of %d KiB each: %d KiB were read", block, len(frames)>>10, got>>10)
		}
		before, left := c.read.Load(), int64((blocks-block)*(len(frames)+blockHeaderLen))
		for _, err := range r.All() {
			if err != nil {
				t.Fatal(err)
			}
		}
		if got := c.read.Load() - before; got > left+16<<10 {
			t.Errorf("from block %d on there are %d KiB, %d KiB were read", block, left>>10, got>>10)
		}
		mustClose(t, r)
	}
}
