package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// systems are the file systems that must behave alike.
func systems(t *testing.T) map[string]FS {
	return map[string]FS{"OS": OS, "Mem": NewMem(), "Sim": NewSim(), "Fault over OS": NewFault(nil), "Fault over Mem": NewFault(NewMem())}
}

func eachSystem(t *testing.T, test func(t *testing.T, sys FS, dir string)) {
	for name, sys := range systems(t) {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "a", "b")
			if err := sys.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			test(t, sys, dir)
		})
	}
}

func content(t *testing.T, f File) string {
	t.Helper()
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, size+10)
	n, err := f.ReadAt(b, 0)
	if !errors.Is(err, io.EOF) || n != int(size) {
		t.Fatalf("read %d of %d bytes: %v", n, size, err)
	}
	return string(b[:n])
}

func TestWritevAt(t *testing.T) {
	tests := []struct {
		name string
		bufs []string
		off  int64
		want string
	}{
		{"nothing", nil, 0, ""},
		{"one", []string{"abc"}, 0, "abc"},
		{"two at an offset", []string{"ab", "cd"}, 2, "\x00\x00abcd"},
		{"empty ones among them", []string{"", "a", "", "b", ""}, 0, "ab"},
		{"nine", strings.Split("a,b,c,d,e,f,g,h,i", ","), 0, "abcdefghi"},
		{"more than the kernel takes", strings.Split(strings.Repeat("x,", 1500)+"y", ","), 0, strings.Repeat("x", 1500) + "y"},
	}
	eachSystem(t, func(t *testing.T, sys FS, dir string) {
		for _, tc := range tests {
			f, err := sys.OpenFile(filepath.Join(dir, "f"), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			var bufs [][]byte
			total := 0
			for _, s := range tc.bufs {
				bufs = append(bufs, []byte(s))
				total += len(s)
			}
			n, err := f.WritevAt(bufs, tc.off)
			if err != nil || n != int64(total) {
				t.Errorf("%s: wrote %d of %d: %v", tc.name, n, total, err)
			}
			if got := content(t, f); got != tc.want {
				t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
			}
			if err := errors.Join(f.Sync(), f.SyncData(), f.Truncate(1), f.Truncate(3), f.Close()); err != nil {
				t.Errorf("%s: %v", tc.name, err)
			}
			if err := f.Close(); !errors.Is(err, fs.ErrClosed) {
				t.Errorf("%s: second Close: %v", tc.name, err)
			}
		}
	})
}

func TestDirectories(t *testing.T) {
	eachSystem(t, func(t *testing.T, sys FS, dir string) {
		path := func(name string) string { return filepath.Join(dir, name) }
		for _, name := range []string{"b", "a", "c"} {
			f, err := sys.OpenFile(path(name), os.O_RDWR|os.O_CREATE, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			if name == "a" { // renamed while it is open, as the journal does
				if err := sys.Rename(path("a"), path("z")); err != nil {
					t.Fatal(err)
				}
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(sys.Remove(path("c")), sys.SyncDir(dir)); err != nil {
			t.Fatal(err)
		}
		entries, err := sys.ReadDir(dir)
		if err != nil || len(entries) != 2 || entries[0].Name() != "b" || entries[1].Name() != "z" {
			t.Errorf("entries %v, %v", entries, err)
		}
		if _, err := sys.OpenFile(path("none"), os.O_RDWR, 0); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("opening what is not there: %v", err)
		}
		if _, err := sys.ReadDir(path("b")); err == nil {
			t.Error("listing a file: no error")
		}
		if err := sys.MkdirAll(path("b"), 0o700); err == nil {
			t.Error("a directory where a file is: no error")
		}
		if fi, err := sys.Stat(path("z")); err != nil || fi.IsDir() || fi.Size() != 0 {
			t.Errorf("stat: %v, %v", fi, err)
		}
	})
}

func TestLock(t *testing.T) {
	eachSystem(t, func(t *testing.T, sys FS, dir string) {
		name := filepath.Join(dir, "LOCK")
		if sys.Locked(name) {
			t.Error("locked before there is a file")
		}
		l, err := sys.Lock(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.SetContent([]byte("pid 1\n")); err != nil {
			t.Fatal(err)
		}
		if !sys.Locked(name) {
			t.Error("not locked")
		}
		if _, err := sys.Lock(name); !errors.Is(err, ErrLocked) {
			t.Errorf("second lock: %v", err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if sys.Locked(name) {
			t.Error("still locked")
		}
		if l, err = sys.Lock(name); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestFault(t *testing.T) {
	mem := NewMem()
	fault := NewFault(mem)
	f, err := fault.OpenFile("f", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	fault.Record()
	fault.SetHook(func(_ int, op Op) Verdict {
		if op.Kind == OpWrite && op.Len == 6 {
			return Verdict{Err: syscall.ENOSPC, Short: 4}
		}
		return Verdict{}
	})
	n, err := f.WritevAt([][]byte{[]byte("abc"), []byte("def")}, 0)
	if n != 4 || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("short write: %d, %v", n, err)
	}
	if got := content(t, f); got != "abcd" {
		t.Errorf("content %q", got)
	}
	fault.FailFrom(fault.Total()+1, syscall.EIO)
	if _, err := f.WriteAt([]byte("x"), 0); err != nil {
		t.Error(err)
	}
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Errorf("sync: %v", err)
	}
	want := []Op{{Kind: OpWrite, Name: "f", Path: "f", Len: 6, Data: "abcdef"}, {Kind: OpWrite, Name: "f", Path: "f", Len: 1, Data: "x"}, {Kind: OpSync, Name: "f", Path: "f"}}
	ops := fault.Ops()
	if len(ops) != len(want) {
		t.Fatalf("ops %v", ops)
	}
	for i := range want {
		if ops[i] != want[i] {
			t.Errorf("op %d is %v, want %v", i, ops[i], want[i])
		}
	}
	if fault.Count(OpWrite) != 2 || fault.Count(OpSync) != 1 {
		t.Error("counts")
	}
}

func TestWritevAtDoesNotAllocate(t *testing.T) {
	f, err := OS.OpenFile(filepath.Join(t.TempDir(), "f"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	bufs := [][]byte{make([]byte, 64), make([]byte, 4096)}
	if n := testing.AllocsPerRun(100, func() { _, _ = f.WritevAt(bufs, 0) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A directory takes what is in it along, in Mem, in Sim and in what a power cut leaves.
func TestRenameDirectory(t *testing.T) {
	sim := NewSim()
	disk := t.TempDir()
	for _, test := range []struct {
		name, dir string
		fs        FS
	}{{"Mem", "", NewMem()}, {"Sim", "", sim}, {"OS", disk, OS}} {
		t.Run(test.name, func(t *testing.T) {
			fsys, in := test.fs, func(p ...string) string { return filepath.Join(append([]string{test.dir, "top"}, p...)...) }
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			must(fsys.MkdirAll(in("a"), 0o700))
			must(fsys.MkdirAll(in("b"), 0o700))
			for _, name := range []string{"a", "b"} {
				f, err := fsys.OpenFile(in(name, "f"), os.O_RDWR|os.O_CREATE, 0o600)
				must(err)
				_, err = f.WriteAt([]byte(name), 0)
				must(err)
				must(f.Sync())
				must(f.Close())
				must(fsys.SyncDir(in(name)))
			}
			must(fsys.SyncDir(in()))
			if err := fsys.Rename(in("a"), in("b")); err == nil {
				t.Error("a directory with a file in it was replaced")
			}
			if err := fsys.Remove(in("a")); err == nil {
				t.Error("a directory with a file in it was removed")
			}
			must(fsys.Rename(in("a"), in("c")))
			if _, err := fsys.Stat(in("c", "f")); err != nil {
				t.Error(err)
			}
			if _, err := fsys.Stat(in("a", "f")); err == nil {
				t.Error("the file is still under the old name")
			}
		})
	}
	for model, want := range map[Model]string{CrashDrop: "a", CrashKeep: "c"} {
		img := sim.Crash(Crash{After: sim.Total(), Model: model})
		for _, dir := range []string{"a", "c"} {
			b, err := img.ReadFile(filepath.Join("top", dir, "f"))
			if there := err == nil && string(b) == "a"; there != (dir == want) {
				t.Errorf("%s: %s/f is there: %v", model, dir, there)
			}
		}
	}
}
