package journal

import (
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// openCounter counts the files that are open.
type openCounter struct {
	vfs.FS
	open map[string]int
}

type leakFile struct {
	vfs.File
	name string
	fs   *openCounter
}

func (c *openCounter) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := c.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	c.open[name]++
	return &leakFile{File: f, name: name, fs: c}, nil
}

func (f *leakFile) Close() error {
	f.fs.open[f.name]--
	return f.File.Close()
}

// Recovery closes every file that it opens, whatever it finds.
func TestRecoveryClosesFiles(t *testing.T) {
	for name, cut := range map[string]int64{"clean": 0, "a segment that hangs in the air": 1000, "a rotation cut short": -segmentHeaderLen} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewMem()
			w, err := openStepped(memDir, &Options{FS: mem, Sync: SyncNone})
			if err != nil {
				t.Fatal(err)
			}
			fill(t, w, 10, 10)
			w.stepPrepare()
			w.mu.Lock()
			next, err := w.takeNext(true)
			if err == nil {
				err = w.rotate(next)
			}
			w.mu.Unlock()
			if err != nil {
				t.Fatal(err)
			}
			img := mem.Clone()
			victim := segmentNames(t, img)[0]
			if cut < 0 {
				victim = segmentNames(t, img)[1]
			}
			path := filepath.Join(memDir, victim)
			b, err := img.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if cut < 0 {
				clear(b[:-cut])
			} else {
				b = b[:int64(len(b))-cut]
			}
			if err := img.Remove(path); err != nil {
				t.Fatal(err)
			}
			if err := img.WriteFile(path, b); err != nil {
				t.Fatal(err)
			}
			mustClose(t, w)

			counter := &openCounter{FS: img, open: make(map[string]int)}
			w, err = openStepped(memDir, &Options{FS: counter})
			if err != nil {
				t.Fatal(err)
			}
			if torn := w.Recovered().TornFile != ""; torn != (cut != 0) {
				t.Errorf("%+v", w.Recovered())
			}
			mustClose(t, w)
			for name, n := range counter.open {
				if n != 0 {
					t.Errorf("%s is open %d times", name, n)
				}
			}
		})
	}
}

// A reserve that a crash has left is given back before anything is repaired: on a full disk there may be no other room, and a writer without
// Options.Reserve would keep it for ever.
func TestReserveLeftByCrash(t *testing.T) {
	for _, reserve := range []int64{0, minReserve} {
		mem := vfs.NewMem()
		w, err := openStepped(memDir, &Options{FS: mem, Sync: SyncNone, Reserve: minReserve})
		if err != nil {
			t.Fatal(err)
		}
		fill(t, w, 10, 10)
		img := mem.Clone()
		mustClose(t, w)
		img.SetLimit(img.Used())
		w = mustOpen(t, memDir, &Options{FS: img, Reserve: reserve})
		if w.NextSeq() != 10 {
			t.Errorf("next sequence %d", w.NextSeq())
		}
		mustClose(t, w)
		if _, err := img.Stat(filepath.Join(memDir, reserveName)); err == nil {
			t.Error("the reserve is still there")
		}
	}
}
