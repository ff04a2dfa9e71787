package vfs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

// simRun does things to a Sim, failing the test when one fails.
type simRun struct {
	t   *testing.T
	sim *Sim
	f   map[string]File
}

func newSimRun(t *testing.T) *simRun {
	r := &simRun{t: t, sim: NewSim(), f: make(map[string]File)}
	r.ok(r.sim.MkdirAll("d", 0o700))
	r.ok(r.sim.SyncDir("."))
	return r
}

func (r *simRun) ok(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *simRun) open(name string) File {
	r.t.Helper()
	f, err := r.sim.OpenFile("d/"+name, os.O_RDWR|os.O_CREATE, 0o600)
	r.ok(err)
	r.f[name] = f
	return f
}

func (r *simRun) write(name, data string, off int64) {
	r.t.Helper()
	_, err := r.f[name].WriteAt([]byte(data), off)
	r.ok(err)
}

// after returns the files that a crash now leaves.
func (r *simRun) after(m Model, seed uint64) map[string]string {
	return r.sim.Crash(Crash{After: r.sim.Total(), Model: m, Seed: seed}).Files("d")
}

// is checks the files that a crash now leaves.
func (r *simRun) is(what string, m Model, seed uint64, want map[string]string) {
	r.t.Helper()
	if got := r.after(m, seed); fmt.Sprint(got) != fmt.Sprint(want) {
		r.t.Errorf("%s, %s %b: %.200q, want %.200q", what, m, seed, got, want)
	}
}

type files = map[string]string

// What was not synced is lost, what was synced stays; a file's name and its data are synced apart from each other.
func TestSimSyncs(t *testing.T) {
	r := newSimRun(t)
	r.open("a")
	r.write("a", "hello", 0)
	r.is("nothing synced", CrashDrop, 0, files{})
	r.is("nothing synced", CrashKeep, 0, files{"a": "hello"})
	r.ok(r.f["a"].Sync())
	r.is("only the data synced", CrashDrop, 0, files{})
	r.ok(r.sim.SyncDir("d"))
	r.is("both", CrashDrop, 0, files{"a": "hello"})
	r.open("b")
	r.write("b", "x", 0)
	r.ok(r.sim.SyncDir("d"))
	r.is("only the name", CrashDrop, 0, files{"a": "hello", "b": ""})
	r.ok(r.f["b"].SyncData())
	r.is("the data later", CrashDrop, 0, files{"a": "hello", "b": "x"})
	r.write("b", "yz", 1)
	r.ok(r.f["b"].Truncate(2))
	r.is("more", CrashDrop, 0, files{"a": "hello", "b": "x"})
	r.is("more", CrashKeep, 0, files{"a": "hello", "b": "xy"})
	r.ok(r.f["b"].Sync())
	r.is("more", CrashDrop, 0, files{"a": "hello", "b": "xy"})
	if d := r.sim.Disk(); d.Unsynced() != 0 || d.After() != 0 {
		t.Error("a new Disk is not at the start")
	}
}

func TestSimRenameAndRemove(t *testing.T) {
	r := newSimRun(t)
	r.open("tmp")
	r.write("tmp", "new", 0)
	r.ok(r.f["tmp"].Sync())
	r.open("x")
	r.write("x", "old", 0)
	r.ok(r.f["x"].Sync())
	r.ok(r.sim.SyncDir("d"))
	r.ok(r.sim.Rename("d/tmp", "d/x"))
	r.is("renamed", CrashDrop, 0, files{"tmp": "new", "x": "old"})
	r.is("renamed", CrashKeep, 0, files{"x": "new"})
	r.write("tmp", "er", 3) // the open file goes with its inode
	r.is("written after", CrashSubset, 1, files{"x": "new"})
	r.is("written after", CrashSubset, 2, files{"tmp": "newer", "x": "old"})
	r.ok(r.sim.SyncDir("d"))
	r.is("synced", CrashDrop, 0, files{"x": "new"})
	r.ok(r.sim.Remove("d/x"))
	r.is("removed", CrashDrop, 0, files{"x": "new"})
	r.is("removed", CrashKeep, 0, files{})
	r.ok(r.sim.SyncDir("d"))
	r.is("removed, synced", CrashDrop, 0, files{})
}

// A sync covers what was there when it began.
func TestSimSyncCoversWhatWasThere(t *testing.T) {
	r := newSimRun(t)
	r.open("a")
	r.write("a", "1", 0)
	r.sim.InSync(func(name string) {
		if name == "a" {
			r.write("a", "2", 1)
		} else {
			r.open("b")
		}
	})
	r.ok(r.f["a"].Sync())
	r.ok(r.sim.SyncDir("d"))
	r.is("written during the sync", CrashDrop, 0, files{"a": "1"})
	r.is("written during the sync", CrashKeep, 0, files{"a": "12", "b": ""})
	r.sim.InSync(nil)
	names := ""
	r.sim.InSync(func(name string) { names += name + " " })
	r.ok(r.sim.Rename("d/b", "d/c"))
	r.ok(r.f["b"].Sync())
	r.ok(r.sim.Rename("d/c", "d/b"))
	r.ok(r.f["b"].Sync())
	if names != "c b " {
		t.Errorf("synced %q", names)
	}
	r.sim.InSync(nil)
	r.ok(r.f["a"].Sync())
	r.ok(r.sim.SyncDir("d"))
	r.is("synced again", CrashDrop, 0, files{"a": "12", "b": ""})
}

// After a sync that failed the data can be read, the next sync says that all is well, and the power cut takes it.
func TestSimFailedSync(t *testing.T) {
	r := newSimRun(t)
	r.open("a")
	r.write("a", "1", 0)
	r.ok(r.f["a"].Sync())
	r.ok(r.sim.SyncDir("d"))
	r.write("a", "2", 1)
	r.sim.FailSync(func(string) error { return syscall.EIO })
	if err := r.f["a"].SyncData(); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	r.sim.FailSync(nil)
	r.ok(r.f["a"].SyncData())
	if got := content(t, r.f["a"]); got != "12" {
		t.Errorf("before the power cut: %q", got)
	}
	r.is("after it", CrashKeep, 0, files{"a": "1\x00"})
	r.write("a", "2", 1) // written again it is as good as new
	r.ok(r.f["a"].SyncData())
	r.is("written again", CrashDrop, 0, files{"a": "12"})
}

// Writes reach the disk in any order, sector by sector; a sector has all that was written to it before.
func TestSimReordersSectors(t *testing.T) {
	r := newSimRun(t)
	r.open("a")
	r.ok(r.sim.SyncDir("d"))
	one, two := strings.Repeat("1", Sector), strings.Repeat("2", Sector)
	r.write("a", one, 0)
	r.write("a", two, Sector)
	r.write("a", "3", 2*Sector)
	r.write("a", "4", 2*Sector+1)
	r.is("the second alone", CrashSubset, 0b0010, files{"a": strings.Repeat("\x00", Sector) + two})
	r.is("the third missing", CrashSubset, 0b1011, files{"a": one + two + "34"})
	r.is("the third alone", CrashSubset, 0b0100, files{"a": strings.Repeat("\x00", 2*Sector) + "3"})
	r.ok(r.f["a"].Sync())
	r.ok(r.f["a"].Truncate(10))
	r.write("a", "56", 10)
	r.is("cut, but the end not written", CrashSubset, 0b01, files{"a": one[:10]})
	r.is("written, but not cut", CrashSubset, 0b10, files{"a": one[:10] + "56" + strings.Repeat("\x00", Sector-12) + two + "34"})
}

// The models do what they say, and each of them differs from the others.
func TestSimModels(t *testing.T) {
	r := newSimRun(t)
	r.open("gone")
	r.write("gone", strings.Repeat("g", 4*Sector), 0)
	r.ok(r.f["gone"].Sync())
	r.ok(r.sim.SyncDir("d"))
	r.ok(r.sim.Remove("d/gone"))
	r.ok(r.sim.SyncDir("d"))
	r.open("a")
	r.write("a", strings.Repeat("a", 10), 0)
	r.ok(r.f["a"].Sync())
	r.ok(r.sim.SyncDir("d"))
	r.write("a", strings.Repeat("b", 4*Sector), 10)
	whole := 4*Sector + 10
	seen := make(map[string]bool)
	for seed := range uint64(200) {
		for _, m := range []Model{CrashTorn, CrashZeros, CrashGarbage, CrashStale, CrashRandom} {
			got := r.after(m, seed)["a"]
			if !strings.HasPrefix(got, strings.Repeat("a", 10)) {
				t.Fatalf("%s %d: durable bytes changed: %.20q", m, seed, got)
			}
			rest := got[10:]
			switch {
			case len(got) > whole, m != CrashTorn && m != CrashRandom && len(got) != whole:
				t.Fatalf("%s %d: %d bytes", m, seed, len(got))
			case m == CrashZeros && strings.Trim(rest, "b\x00") != "", m == CrashStale && strings.Trim(rest, "bg\x00") != "":
				t.Fatalf("%s %d: holds something else", m, seed)
			}
			for _, c := range []string{"b", "g", "\x00"} {
				if strings.Contains(rest, c) {
					seen[string(m)+c] = true
				}
			}
			seen[fmt.Sprint(m, len(got) == whole)] = true
			if strings.Trim(rest, "bg\x00") != "" {
				seen[string(m)+"?"] = true
			}
			if r.after(m, seed)["a"] != got {
				t.Fatalf("%s %d: not the same again", m, seed)
			}
		}
	}
	for _, s := range []string{"torn" + "b", "tornfalse", "torn\x00", "zeros\x00", "zerosb", "garbage?", "garbageb", "staleg", "staleb", "randomfalse", "randomtrue", "random?", "randomg"} {
		if !seen[s] {
			t.Errorf("%q never happened in 200 seeds", s)
		}
	}
}

// A crash image is a disk itself, and can be crashed again.
func TestSimCrashAgain(t *testing.T) {
	r := newSimRun(t)
	r.open("a")
	r.write("a", "1", 0)
	r.ok(r.f["a"].Sync())
	r.ok(r.sim.SyncDir("d"))
	r.write("a", "2", 1)
	img := r.sim.Crash(Crash{After: r.sim.Total(), Model: CrashKeep})
	f, err := img.OpenFile("d/a", os.O_RDWR, 0)
	r.ok(err)
	_, err = f.WriteAt([]byte("3"), 2)
	r.ok(err)
	b, err := img.OpenFile("d/b", os.O_RDWR|os.O_CREATE, 0)
	r.ok(err)
	_, err = b.WriteAt([]byte("b"), 0)
	r.ok(err)
	if got := img.Crash(Crash{After: img.Total(), Model: CrashDrop}).Files("d"); fmt.Sprint(got) != fmt.Sprint(files{"a": "12"}) {
		t.Errorf("dropped: %q", got)
	}
	if got := img.Crash(Crash{After: img.Total(), Model: CrashKeep}).Files("d"); fmt.Sprint(got) != fmt.Sprint(files{"a": "123", "b": "b"}) {
		t.Errorf("kept: %q", got)
	}
	if got, err := r.sim.ReadFile("d/a"); err != nil || !bytes.Equal(got, []byte("12")) {
		t.Errorf("the first disk has %q, %v", got, err)
	}
}

// Crashes lists every subset of few operations, and never more than it says of many.
func TestSimCrashes(t *testing.T) {
	r := newSimRun(t)
	r.open("a")
	for i := range 4 {
		r.write("a", fmt.Sprint(i), int64(i*Sector))
	}
	d := r.sim.Disk()
	if n := len(d.Crashes(5, 2)); n != 1 {
		t.Errorf("%d crashes before anything", n)
	}
	d.StepTo(r.sim.Total())
	if d.Unsynced() != 5 {
		t.Fatalf("%d operations are open", d.Unsynced())
	}
	images := make(map[string]bool)
	list := d.Crashes(5, 2)
	for _, c := range list {
		images[fmt.Sprint(d.Crash(c.Model, c.Seed).Files("d"))] = true
		if !strings.Contains(c.String(), "After: 7") {
			t.Errorf("%v", c)
		}
	}
	if len(list) != 2+(1<<5-2)+2*5 || len(images) < 17 {
		t.Errorf("%d crashes, %d images", len(list), len(images))
	}
	if n := len(d.Crashes(4, 2)); n != 2+4*2+2*5 {
		t.Errorf("%d crashes", n)
	}
}

// A Fault over a Sim: an error takes nothing away, a short write is there in part.
func TestFaultOverSim(t *testing.T) {
	r := newSimRun(t)
	fault := NewFault(r.sim)
	f, err := fault.OpenFile("d/a", os.O_RDWR|os.O_CREATE, 0o600)
	r.ok(err)
	r.ok(fault.SyncDir("d"))
	fault.SetHook(func(_ int, op Op) Verdict {
		return Verdict{Err: syscall.EIO, Short: 2}
	})
	if n, err := f.WriteAt([]byte("abc"), 0); n != 2 || !errors.Is(err, syscall.EIO) {
		t.Errorf("%d, %v", n, err)
	}
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Error(err)
	}
	r.is("not synced", CrashDrop, 0, files{"a": ""})
	r.is("not synced", CrashKeep, 0, files{"a": "ab"})
	fault.SetHook(nil)
	r.ok(f.Sync())
	r.is("synced", CrashDrop, 0, files{"a": "ab"})
}
