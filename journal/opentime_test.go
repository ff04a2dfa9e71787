package journal

import (
	"io/fs"
	"sync/atomic"
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// tallyFS counts what is opened and read.
type tallyFS struct {
	vfs.FS
	opens, reads, lists, stats atomic.Int64
}

func (c *tallyFS) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	c.opens.Add(1)
	f, err := c.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &tallyFile{File: f, fs: c}, nil
}

func (c *tallyFS) ReadDir(name string) ([]fs.DirEntry, error) {
	c.lists.Add(1)
	return c.FS.ReadDir(name)
}

func (c *tallyFS) Stat(name string) (fs.FileInfo, error) {
	c.stats.Add(1)
	return c.FS.Stat(name)
}

type tallyFile struct {
	vfs.File
	fs *tallyFS
}

func (f *tallyFile) ReadAt(b []byte, off int64) (int, error) {
	f.fs.reads.Add(1)
	return f.File.ReadAt(b, off)
}

// Open looks at the directory and at the last two segments, however many there are.
func TestOpenTimeDoesNotDependOnSize(t *testing.T) {
	type counts struct{ opens, reads, lists, stats int64 }
	ends := map[string]func(t *testing.T, w *Writer){
		"closed": func(t *testing.T, w *Writer) { mustClose(t, w) },
		"crashed": func(t *testing.T, w *Writer) {
			if err := w.unlock(); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			measure := func(segments int) counts {
				mem := vfs.NewMem()
				w, err := openStepped(memDir, &Options{FS: mem, Sync: SyncNone, MaxBlock: minMaxBlock})
				if err != nil {
					t.Fatal(err)
				}
				for range segments - 1 {
					fill(t, w, 4, 2)
					w.forceRotate(t)
				}
				fill(t, w, 4, 2)
				end(t, w)
				c := &tallyFS{FS: mem}
				if w, err = openStepped(memDir, &Options{FS: c}); err != nil {
					t.Fatal(err)
				}
				got := counts{c.opens.Load(), c.reads.Load(), c.lists.Load(), c.stats.Load()}
				mustClose(t, w)
				return got
			}
			few, many := measure(3), measure(300)
			if few != many || many.reads > 40 || many.lists > 4 {
				t.Errorf("with 3 segments %+v, with 300 %+v", few, many)
			}
		})
	}
}
