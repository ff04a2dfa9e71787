package journal

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// A fail-over disk that is not mounted at the next open leaves a directory that is empty, or none. Neither may be taken for the one that
// holds the end of the archive, whether Options.Failover names it or not.
func TestFailoverNotMounted(t *testing.T) {
	for _, mountPoint := range []bool{false, true} {
		for _, again := range []bool{false, true} {
			mem := vfs.NewMem()
			fault := vfs.NewFault(mem)
			opts := takeoverOptions(fault)
			opts.Failover = filepath.Join(t.TempDir(), "b")
			w := mustOpen(t, memDir, opts)
			feed(t, w, 200)
			fault.FailOp(func(op vfs.Op) bool { return inDir(op, memDir) }, syscall.EIO, 0, -1)
			feed(t, w, 400)
			n := w.NextSeq()
			mustClose(t, w)

			mounted := mem.Clone()
			entries, err := mem.ReadDir(opts.Failover)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if err := mem.Remove(filepath.Join(opts.Failover, e.Name())); err != nil {
					t.Fatal(err)
				}
			}
			if !mountPoint {
				if err := mem.Remove(opts.Failover); err != nil {
					t.Fatal(err)
				}
			}
			next := Options{FS: mem}
			if again {
				next = *opts
				next.FS = mem
			}
			w, err = Open(memDir, &next)
			if err == nil {
				t.Fatalf("mount point %v, option %v: opened at %d, %d were durable", mountPoint, again, w.NextSeq(), n)
			}
			if !strings.Contains(err.Error(), opts.Failover) {
				t.Error(err)
			}
			if _, err := OpenReader(memDir, &ReaderOptions{FS: mem}); err == nil {
				t.Errorf("mount point %v: a reader sees nothing amiss", mountPoint)
			}
			checkTakenOver(t, mounted, n)
		}
	}
}

// Two archives that were given the same fail-over directory, one after the other, are not mixed up, and neither removes the other's segments.
func TestFailoverShared(t *testing.T) {
	mem := vfs.NewMem()
	fault := vfs.NewFault(mem)
	opts := takeoverOptions(fault)
	opts.Failover = filepath.Join(t.TempDir(), "b")
	w := mustOpen(t, memDir, opts)
	feed(t, w, 50)
	mustClose(t, w)

	const second = "second"
	w = mustOpen(t, second, opts)
	feed(t, w, 200)
	fault.FailOp(func(op vfs.Op) bool { return inDir(op, second) }, syscall.EIO, 0, -1)
	feed(t, w, 400)
	n := w.NextSeq()
	mustClose(t, w)
	fault.SetHook(nil)

	for _, o := range []*Options{opts, {FS: mem}, {FS: mem, Retention: Retention{MaxSegments: 1}}} {
		w, err := Open(memDir, o)
		if err == nil {
			t.Fatalf("opened with the segments of another archive: next sequence %d, 50 were written", w.NextSeq())
		}
		if !strings.Contains(err.Error(), "another archive") {
			t.Error(err)
		}
	}
	readAll(t, second, &ReaderOptions{FS: mem}, 0, n)
}

// An archive that was copied to its fail-over directory, because its own is gone, is whole there: FAILOVER names the directory it lies in.
func TestFailoverNamesItself(t *testing.T) {
	mem, other, next := spread(t)
	entries, err := mem.ReadDir(memDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := mem.Rename(filepath.Join(memDir, e.Name()), filepath.Join(other, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	readAll(t, other, &ReaderOptions{FS: mem}, 0, next)
	w := mustOpen(t, other, &Options{FS: mem})
	if w.NextSeq() != next {
		t.Errorf("next sequence %d, want %d", w.NextSeq(), next)
	}
	mustClose(t, w)
}
