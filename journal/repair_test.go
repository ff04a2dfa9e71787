package journal

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// repairCase is an archive of 20 records whose end needs repair, or does not.
type repairCase struct {
	name string
	make func(testing.TB) *vfs.Mem
	want Recovery // without names and sizes
}

var repairCases = []repairCase{
	{"closed", func(t testing.TB) *vfs.Mem {
		mem := vfs.NewMem()
		w := mustOpen(t, memDir, &Options{FS: mem})
		fill(t, w, 20, 4)
		mustClose(t, w)
		return mem
	}, Recovery{Verdict: Clean, Segments: 1}},
	{"no footer", crashedArchive, Recovery{Verdict: Clean, Unclean: true, Segments: 1}},
	{"torn tail", tornArchive, Recovery{Verdict: Torn, Unclean: true, Segments: 1, TornFirst: 20, TornLast: 19}},
	{"torn before a segment that hangs", tornPredecessor, Recovery{}},
}

// What a dry run says is what a repair does, and a second repair finds nothing to do.
func TestRepair(t *testing.T) {
	for _, c := range repairCases {
		t.Run(c.name, func(t *testing.T) {
			mem := c.make(t)
			before := filesIn(t, mem, memDir)
			dry, err := Repair(memDir, &RepairOptions{FS: noWrites{mem}, DryRun: true})
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(filesIn(t, mem, memDir), before) {
				t.Fatal("a dry run changed something")
			}
			rep, err := Repair(memDir, &RepairOptions{FS: mem})
			if err != nil || !reflect.DeepEqual(rep, dry) {
				t.Fatalf("%+v, %v; the dry run said %+v", rep, err, dry)
			}
			if rep.NextSeq != 20 && rep.Verdict != Lossy {
				t.Errorf("%+v", rep)
			}
			if w := c.want; w.Verdict != 0 && (rep.Verdict != w.Verdict || rep.Unclean != w.Unclean || rep.Segments != w.Segments ||
				rep.TornFirst != w.TornFirst || rep.TornLast != w.TornLast || (rep.TornBytes > 0) != (w.Verdict == Torn)) {
				t.Errorf("%+v, want %+v", rep, w)
			}
			after, aside := filesIn(t, mem, memDir), 0
			for name, b := range after {
				if strings.HasSuffix(name, tornExt) {
					aside += len(b)
				}
			}
			if _, there := after[rep.TornFile]; int64(aside) != rep.TornBytes || there != (rep.TornFile != "") {
				t.Errorf("%d bytes set aside: %+v", aside, rep)
			}
			again, err := Repair(memDir, &RepairOptions{FS: mem})
			if err != nil || again.Unclean || again.Verdict != Clean && again.Verdict != Lossy || again.TornBytes != 0 || again.NextSeq != rep.NextSeq {
				t.Errorf("again: %+v, %v", again, err)
			}
			if !reflect.DeepEqual(filesIn(t, mem, memDir), after) {
				t.Error("the second repair changed something")
			}
			v, err := Verify(memDir, &VerifyOptions{FS: mem})
			if err != nil || !v.Sealed || v.Verdict != again.Verdict || v.NextSeq != rep.NextSeq {
				t.Errorf("%+v, %v", v, err)
			}
			if n := len(segmentNames(t, mem)); n > rep.Segments {
				t.Errorf("%d segments: one was begun", n)
			}
			w := mustOpen(t, memDir, &Options{FS: mem})
			if w.NextSeq() != rep.NextSeq {
				t.Errorf("an open goes on at %d", w.NextSeq())
			}
			mustClose(t, w)
		})
	}
}

// A repair refuses what is corrupt, says what to do, and has changed nothing.
func TestRepairRefuses(t *testing.T) {
	mem := brokenArchive(t)
	name := segmentNames(t, mem)[2]
	b := mustRead(t, mem, filepath.Join(memDir, name))
	mustWrite(t, mem, filepath.Join(memDir, name), b[:segmentHeaderLen+100])
	before := filesIn(t, mem, memDir)
	delete(before, lockName)
	for _, dry := range []bool{true, false} {
		_, err := Repair(memDir, &RepairOptions{FS: mem, DryRun: dry})
		var c *CorruptionError
		if !errors.As(err, &c) || c.File != name || !strings.Contains(err.Error(), "nothing was changed") || !strings.Contains(err.Error(), "salvage") {
			t.Errorf("dry %v: %v", dry, err)
		}
		after := filesIn(t, mem, memDir)
		delete(after, lockName)
		if !reflect.DeepEqual(after, before) {
			t.Errorf("dry %v: something was changed", dry)
		}
	}
	if _, err := Repair("nowhere", &RepairOptions{FS: mem}); !errors.Is(err, ErrNotArchive) {
		t.Errorf("nowhere: %v", err)
	}
	if _, err := mem.Stat("nowhere"); err == nil {
		t.Error("a directory was made")
	}
	w := mustOpen(t, "b", &Options{FS: mem})
	defer w.Close()
	for _, dry := range []bool{true, false} {
		if _, err := Repair("b", &RepairOptions{FS: mem, DryRun: dry}); !errors.Is(err, ErrLocked) {
			t.Errorf("while it is written, dry %v: %v", dry, err)
		}
	}
}

// An error at every operation of a repair: the next one comes to the same end.
func TestRepairFails(t *testing.T) {
	for _, c := range repairCases {
		t.Run(c.name, func(t *testing.T) {
			good := c.make(t)
			want, err := Repair(memDir, &RepairOptions{FS: good})
			if err != nil {
				t.Fatal(err)
			}
			for k := 0; ; k++ {
				mem := c.make(t)
				fault := vfs.NewFault(mem)
				fault.SetHook(func(n int, _ vfs.Op) vfs.Verdict {
					if n >= k {
						return vfs.Verdict{Err: syscall.EIO, Short: 40}
					}
					return vfs.Verdict{}
				})
				_, err := Repair(memDir, &RepairOptions{FS: fault})
				if err == nil {
					return
				}
				repaired(t, mem, want.NextSeq)
				if t.Failed() {
					t.Fatalf("operation %d failed", k)
				}
			}
		})
	}
}

// repaired repairs an archive and checks that it is sealed and has all records up to next.
func repaired(t *testing.T, mem *vfs.Mem, next uint64) {
	t.Helper()
	rep, err := Repair(memDir, &RepairOptions{FS: mem})
	if err != nil || rep.NextSeq != next {
		t.Errorf("%+v, %v; want next sequence %d", rep, err, next)
		return
	}
	v, err := Verify(memDir, &VerifyOptions{FS: mem})
	if err != nil || v.Verdict != Clean && v.Verdict != Lossy || !v.Sealed || v.NextSeq != next {
		t.Errorf("%+v, %v", v, err)
	}
}

// A power cut at every operation of a repair, with whatever it may leave.
func TestRepairCrash(t *testing.T) {
	seeds := 2
	if testing.Short() || raceEnabled {
		seeds = 1
	}
	for _, c := range repairCases {
		t.Run(c.name, func(t *testing.T) {
			sim := vfs.NewSim()
			copyInto(t, sim, c.make(t), memDir)
			start := sim.Total()
			want, err := Repair(memDir, &RepairOptions{FS: sim})
			if err != nil {
				t.Fatal(err)
			}
			disk := sim.Disk()
			for disk.StepTo(start); ; {
				for _, crash := range disk.Crashes(4, seeds) {
					repaired(t, disk.Crash(crash.Model, crash.Seed).Mem(), want.NextSeq)
					if t.Failed() {
						t.Fatalf("after %v", crash)
					}
				}
				if !disk.Step() {
					return
				}
			}
		})
	}
}

// noWrites is a file system that can only be read: no file is opened for writing, none is made, nothing is synced.
type noWrites struct{ vfs.FS }

func (noWrites) refuse(op, name string) error {
	return &fs.PathError{Op: op, Path: name, Err: syscall.EROFS}
}

func (n noWrites) MkdirAll(path string, _ fs.FileMode) error { return n.refuse("mkdir", path) }
func (n noWrites) Rename(_, to string) error                 { return n.refuse("rename", to) }
func (n noWrites) Remove(name string) error                  { return n.refuse("remove", name) }
func (n noWrites) SyncDir(name string) error                 { return n.refuse("sync", name) }
func (n noWrites) Lock(name string) (vfs.Lock, error)        { return nil, n.refuse("lock", name) }

func (n noWrites) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	if flag != os.O_RDONLY {
		return nil, n.refuse("open", name)
	}
	f, err := n.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return noWriteFile{f, n}, nil
}

type noWriteFile struct {
	vfs.File
	n noWrites
}

func (f noWriteFile) WriteAt([]byte, int64) (int, error) { return 0, f.n.refuse("write", f.Name()) }
func (f noWriteFile) WritevAt([][]byte, int64) (int64, error) {
	return 0, f.n.refuse("write", f.Name())
}
func (f noWriteFile) Truncate(int64) error { return f.n.refuse("truncate", f.Name()) }
func (f noWriteFile) Sync() error          { return f.n.refuse("sync", f.Name()) }
func (f noWriteFile) SyncData() error      { return f.n.refuse("sync", f.Name()) }

// Everything that reads works on an archive that cannot be written to, has no HEAD and no LOCK.
func TestReadOnly(t *testing.T) {
	for _, c := range append(repairCases, repairCase{"damaged", brokenArchive, Recovery{}}) {
		t.Run(c.name, func(t *testing.T) {
			mem := c.make(t)
			full, err := Verify(memDir, &VerifyOptions{FS: mem})
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{headName, lockName} {
				if err := mem.Remove(filepath.Join(memDir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
					t.Fatal(err)
				}
			}
			before := filesIn(t, mem, memDir)
			ro := noWrites{mem}
			rep, err := Verify(memDir, &VerifyOptions{FS: ro})
			if err != nil || rep.Verdict != full.Verdict || rep.Records != full.Records {
				t.Errorf("Verify: %+v, %v; with HEAD %+v", rep, err, full)
			}
			infos, err := Segments(memDir, &ReaderOptions{FS: ro})
			if err != nil || len(infos) != full.Segments {
				t.Errorf("Segments: %+v, %v", infos, err)
			}
			sal, err := Salvage(memDir, "", &SalvageOptions{FS: ro})
			if err != nil || sal.Records < full.Records {
				t.Errorf("Salvage: %+v, %v", sal, err)
			}
			if _, err := Cursors(memDir, ro); err != nil {
				t.Errorf("Cursors: %v", err)
			}
			n := uint64(0)
			r, err := OpenReader(memDir, &ReaderOptions{FS: ro, Salvage: true})
			if err != nil {
				t.Fatal(err)
			}
			for {
				_, err := r.Next(t.Context())
				if err != nil && !passing(err) {
					break
				}
				if err == nil {
					n++
				}
			}
			mustClose(t, r)
			if n != full.Records {
				t.Errorf("read %d records, want %d", n, full.Records)
			}
			if !reflect.DeepEqual(filesIn(t, mem, memDir), before) {
				t.Error("something was changed")
			}
		})
	}
}

// On every scene of the table of verdicts: a dry run foretells the repair, the repair comes to what an open comes to, and where that refuses
// it refuses too; and what can be read is salvaged.
func TestRepairAndSalvageScenes(t *testing.T) {
	for _, s := range scenes {
		t.Run(s.name, func(t *testing.T) {
			mem := s.scene(t).mem
			salvageScene(t, mem)
			before := filesIn(t, mem, memDir)
			dry, dryErr := Repair(memDir, &RepairOptions{FS: noWrites{mem}, DryRun: true})
			opened := mem.Clone()
			rep, err := Repair(memDir, &RepairOptions{FS: mem})
			if (err == nil) != (dryErr == nil) || err == nil && !reflect.DeepEqual(rep, dry) {
				t.Errorf("%+v, %v; the dry run said %+v, %v", rep, err, dry, dryErr)
			}
			w, openErr := Open(memDir, &Options{FS: opened})
			if (openErr == nil) != (err == nil) {
				t.Fatalf("repair: %v; open: %v", err, openErr)
			}
			if err != nil {
				after := filesIn(t, mem, memDir)
				delete(after, lockName)
				delete(before, lockName)
				if !reflect.DeepEqual(after, before) {
					t.Errorf("%v, and something was changed", err)
				}
				return
			}
			if rec := w.Recovered(); !reflect.DeepEqual(&rec, rep) {
				t.Errorf("%+v, an open %+v", rep, rec)
			}
			mustClose(t, w)
			again, err := Repair(memDir, &RepairOptions{FS: mem})
			if err != nil || again.Unclean || again.NextSeq != rep.NextSeq || again.TornBytes > 0 {
				t.Errorf("again: %+v, %v", again, err)
			}
		})
	}
}

// salvageScene checks that a salvage leaves nothing out that Verify has found whole.
func salvageScene(t *testing.T, mem *vfs.Mem) {
	t.Helper()
	v, err := Verify(memDir, &VerifyOptions{FS: mem})
	if errors.Is(err, ErrNotArchive) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	foreign := false // Verify counts those records
	for _, p := range v.Problems {
		foreign = foreign || strings.Contains(p.Reason, "another archive")
	}
	rep, err := Salvage(memDir, salvageDir, &SalvageOptions{FS: mem})
	if err != nil || rep.Records < v.Records && !foreign || v.Verdict == Corrupt && rep.GapCount == 0 || v.Verdict == Clean && rep.GapCount > 0 {
		t.Fatalf("%+v, %v; Verify says %+v", rep, err, v)
	}
	out, err := Verify(salvageDir, &VerifyOptions{FS: mem})
	if err != nil || out.Verdict != Clean || out.Records != rep.Records || out.NextSeq != rep.NextSeq {
		t.Fatalf("%+v, %v; salvaged %+v", out, err, rep)
	}
}
