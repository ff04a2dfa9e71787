package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// ahead is a file system that gives files disk space ahead, or says why not.
type ahead struct {
	vfs.FS
	err error

	mu    sync.Mutex
	files []*aheadFile
	wrong []string
}

// aheadFile is a file and what it has been given: all from the first to the end of the last allocation.
type aheadFile struct {
	vfs.File
	fs     *ahead
	from   int64
	to     int64 // 0: nothing
	asked  int
	most   int64 // bytes ahead of what was written, at any time
	shrunk int64 // by Truncate; −1: it was not
	size   int64 // when it was closed
}

func (a *ahead) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := a.FS.OpenFile(name, flag, perm)
	if err != nil || !strings.HasSuffix(name, segmentExt) && filepath.Base(name) != nextName {
		return f, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	af := &aheadFile{File: f, fs: a, shrunk: -1}
	a.files = append(a.files, af)
	return af, nil
}

func (a *ahead) complain(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.wrong = append(a.wrong, fmt.Sprintf(format, args...))
}

func (f *aheadFile) Allocate(off, n int64) error {
	f.asked++
	if n <= 0 || f.to != 0 && off != f.to {
		f.fs.complain("allocation of %d bytes at %d, behind one up to %d", n, off, f.to)
	}
	if f.to == 0 {
		f.from = off
	}
	f.to = off + n
	return f.fs.err
}

func (f *aheadFile) WritevAt(bufs [][]byte, off int64) (int64, error) {
	n, err := f.File.WritevAt(bufs, off)
	if end := off + n; f.to > 0 {
		if end > f.to && n > 1<<10 { // less has the last block, with room for the footer
			f.fs.complain("a write ends at %d, behind what is allocated, %d to %d", end, f.from, f.to)
		}
		f.most = max(f.most, f.to-off)
	} else if end > allocateFrom {
		f.fs.complain("a write ends at %d, and nothing is allocated", end)
	}
	return n, err
}

func (f *aheadFile) Truncate(size int64) error {
	f.shrunk = size
	return f.File.Truncate(size)
}

func (f *aheadFile) Close() (err error) {
	if f.size, err = f.Size(); err != nil {
		return err
	}
	return f.File.Close()
}

// A segment that grows large has disk space ahead of its data, within bounds, and gives it back when it is sealed. Where there is none, it
// does without.
func TestAllocate(t *testing.T) {
	for _, tc := range []struct {
		name string
		err  error
		back bool // something may have to be given back
	}{
		{"given", nil, true},
		{"full disk", syscall.ENOSPC, true},
		{"unsupported", fmt.Errorf("fallocate: %w", errors.ErrUnsupported), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := &ahead{FS: vfs.NewMem(), err: tc.err}
			const segment = 6 << 20
			w := mustOpen(t, memDir, &Options{FS: a, Sync: SyncNone, SegmentSize: segment})
			frames, n := benchFrames(200 << 10)
			const blocks = 100
			for range blocks {
				if _, err := w.AppendFrames(frames, n); err != nil {
					t.Fatal(err)
				}
			}
			mustClose(t, w)
			a.check(t, segment, len(frames), tc.back)
			if rep, err := Verify(memDir, &VerifyOptions{FS: a.FS}); err != nil || rep.Verdict != Clean || rep.Records != uint64(blocks*n) {
				t.Errorf("%+v, %v", rep, err)
			}
		})
	}
}

// check looks at the segments that were written, in blocks of the given size.
func (a *ahead) check(t *testing.T, segment, block int, back bool) {
	t.Helper()
	for _, s := range a.wrong {
		t.Error(s)
	}
	large := 0
	for i, f := range a.files {
		if f.asked == 0 {
			continue
		}
		large++
		if f.from < allocateFrom-int64(block)-blockHeaderLen || f.asked > segment/allocateFrom {
			t.Errorf("file %d: allocated from %d on, in %d calls", i, f.from, f.asked)
		}
		if limit := int64(allocateAhead + block + blockHeaderLen); f.most > limit {
			t.Errorf("file %d: %d bytes ahead of the data, at most %d are wanted", i, f.most, limit)
		}
		size := int64(-1)
		if back {
			size = f.size
		}
		if f.shrunk != size {
			t.Errorf("file %d was set to %d bytes at its end, want %d", i, f.shrunk, size)
		}
	}
	if large < 3 {
		t.Errorf("%d segments had something allocated", large)
	}
}

// After a crash nobody knows what a segment has been given. The next open gives it back.
func TestAllocateBackAfterACrash(t *testing.T) {
	a := &ahead{FS: vfs.NewMem()}
	w, err := openStepped(memDir, &Options{FS: a, Sync: SyncNone})
	if err != nil {
		t.Fatal(err)
	}
	frames, n := benchFrames(200 << 10)
	for range 10 {
		if _, err := w.AppendFrames(frames, n); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.unlock(); err != nil {
		t.Fatal(err)
	}
	seg := w.seg.name
	b := &ahead{FS: a.FS}
	mustClose(t, mustOpen(t, memDir, &Options{FS: b}))
	fi, err := a.FS.Stat(filepath.Join(memDir, seg))
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, f := range b.files {
		found = found || filepath.Base(f.Name()) == seg && f.shrunk == fi.Size()
	}
	if !found {
		t.Errorf("%s, of %d bytes, was not set to its size", seg, fi.Size())
	}
}
