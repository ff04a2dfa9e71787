package journal

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// brokenArchive is a small archive with a block of its second segment damaged: 11 records, of which 6 and 7 are lost.
func brokenArchive(t testing.TB) *vfs.Mem {
	t.Helper()
	mem := smallArchive(t)
	for _, p := range places(t, mem, memDir) {
		if p.seq == 6 && p.count == 2 {
			path := filepath.Join(memDir, p.name)
			b := mustRead(t, mem, path)
			b[p.end-1] ^= 1
			mustWrite(t, mem, path, b)
			return mem
		}
	}
	t.Fatal("no block with records 6 and 7")
	return nil
}

var brokenLeft = upTo(11, [2]uint64{6, 8})

// An error at every operation of a salvage: it is returned, the archive is as it was, there is no out, and the next salvage works.
func TestSalvageFails(t *testing.T) {
	for k := 0; ; k++ {
		mem := brokenArchive(t)
		before := filesIn(t, mem, memDir)
		fault := vfs.NewFault(mem)
		fault.FailFrom(k, syscall.EIO)
		_, err := Salvage(memDir, salvageDir, &SalvageOptions{FS: fault})
		done := err == nil
		if !done && !errors.Is(err, syscall.EIO) {
			t.Fatalf("operation %d fails: %v", k, err)
		}
		after := filesIn(t, mem, memDir)
		for name, b := range before {
			if after[name] != b {
				t.Fatalf("operation %d fails: %s was changed", k, name)
			}
		}
		if !wholeOrNothing(t, mem, k) {
			if _, err := Salvage(memDir, salvageDir, &SalvageOptions{FS: mem}); err != nil {
				t.Fatalf("after operation %d failed: %v", k, err)
			}
			checkSalvaged(t, mem, salvageDir, 11, brokenLeft)
		}
		if done {
			if k < 20 {
				t.Errorf("only %d operations", k)
			}
			return
		}
	}
}

// wholeOrNothing checks that out is either not there, or a whole archive, and reports whether it is there.
func wholeOrNothing(t *testing.T, mem *vfs.Mem, k int) bool {
	t.Helper()
	if _, err := mem.Stat(salvageDir); err != nil {
		return false
	}
	entries, err := mem.ReadDir(salvageDir)
	if err != nil || len(entries) == 0 {
		return false
	}
	t.Logf("operation %d: out is there", k)
	checkSalvaged(t, mem, salvageDir, 11, brokenLeft)
	return true
}

// A power cut at every operation of a salvage, with whatever it may leave.
func TestSalvageCrash(t *testing.T) {
	sim := vfs.NewSim()
	copyInto(t, sim, brokenArchive(t), memDir)
	start := sim.Total()
	if _, err := Salvage(memDir, salvageDir, &SalvageOptions{FS: sim}); err != nil {
		t.Fatal(err)
	}
	seeds := 2
	if testing.Short() || raceEnabled {
		seeds = 1
	}
	there := 0
	disk := sim.Disk()
	for disk.StepTo(start); ; {
		for _, c := range disk.Crashes(4, seeds) {
			img := disk.Crash(c.Model, c.Seed)
			mem := img.Mem()
			if wholeOrNothing(t, mem, c.After) {
				there++
				continue
			}
			if _, err := Salvage(memDir, salvageDir, &SalvageOptions{FS: mem}); err != nil {
				t.Fatalf("after %v: %v", c, err)
			}
			checkSalvaged(t, mem, salvageDir, 11, brokenLeft)
			if t.Failed() {
				t.Fatalf("after %v", c)
			}
		}
		if !disk.Step() {
			break
		}
	}
	if there == 0 {
		t.Error("out was never there")
	}
}

// copyInto copies the files of a directory to another file system, durably.
func copyInto(t testing.TB, to vfs.FS, mem *vfs.Mem, dir string) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(to.MkdirAll(dir, 0o700))
	for name, b := range filesIn(t, mem, dir) {
		f, err := to.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE, 0o600)
		check(err)
		_, err = f.WriteAt([]byte(b), 0)
		check(err)
		check(f.Sync())
		check(f.Close())
	}
	check(to.SyncDir(dir))
	check(to.SyncDir("."))
}

func TestSalvageRefuses(t *testing.T) {
	for _, test := range []struct {
		name, out string
		make      func(t *testing.T, mem *vfs.Mem)
		want      string
		exists    bool
	}{
		{"a target in use", "out", func(t *testing.T, mem *vfs.Mem) { writeIn(t, mem, "out", "x") }, "out is not empty (x)", true},
		{"the archive itself", memDir, func(*testing.T, *vfs.Mem) {}, "lies in the archive", false},
		{"a directory in the archive", filepath.Join(memDir, "out"), func(*testing.T, *vfs.Mem) {}, "lies in the archive", false},
		{"somebody's files beside it", "out", func(t *testing.T, mem *vfs.Mem) { writeIn(t, mem, "out.partial", "x") }, "out.partial holds x", true},
		{"no archive", "out", func(t *testing.T, mem *vfs.Mem) {
			for _, name := range segmentNames(t, mem) {
				mustRemove(t, mem, name)
			}
		}, "not an archive", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			mem := brokenArchive(t)
			test.make(t, mem)
			_, err := Salvage(memDir, test.out, &SalvageOptions{FS: mem})
			if err == nil || !strings.Contains(err.Error(), test.want) || errors.Is(err, fs.ErrExist) != test.exists {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

func writeIn(t testing.TB, mem *vfs.Mem, dir, name string) {
	t.Helper()
	if err := mem.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, mem, filepath.Join(dir, name), []byte("mine"))
}

// Two salvages into one target: the second is refused while the first is under way.
func TestSalvageTwice(t *testing.T) {
	mem := brokenArchive(t)
	var second error
	rep, err := Salvage(memDir, salvageDir, &SalvageOptions{FS: mem, Progress: func(int64, int64) {
		if second == nil {
			_, second = Salvage(memDir, salvageDir, &SalvageOptions{FS: mem})
		}
	}})
	if err != nil || rep.Lost != 2 {
		t.Errorf("%+v, %v", rep, err)
	}
	if !errors.Is(second, ErrLocked) {
		t.Errorf("the second: %v", second)
	}
	checkSalvaged(t, mem, salvageDir, 11, brokenLeft)
}

// A salvage into an empty directory, and into one whose parents are not there.
func TestSalvageTargets(t *testing.T) {
	mem := brokenArchive(t)
	if err := mem.MkdirAll("empty", 0o700); err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{"empty", filepath.Join("deep", "er", "out"), "slash" + string(filepath.Separator)} {
		if _, err := Salvage(memDir, out, &SalvageOptions{FS: mem}); err != nil {
			t.Fatal(err)
		}
		checkSalvaged(t, mem, out, 11, brokenLeft)
		if _, err := mem.Stat(filepath.Clean(out) + partialExt); err == nil {
			t.Errorf("%s%s is still there", out, partialExt)
		}
	}
}

// When it is stopped, at whatever time, a salvage leaves nothing.
func TestSalvageInterrupted(t *testing.T) {
	for n := 1; ; n++ {
		mem := brokenArchive(t)
		stop := make(chan struct{})
		calls := 0
		_, err := Salvage(memDir, salvageDir, &SalvageOptions{FS: mem, Stop: stop, Progress: func(int64, int64) {
			if calls++; calls == n {
				close(stop)
			}
		}})
		if calls < n {
			if err != nil || n < 4 {
				t.Errorf("%d calls: %v", calls, err)
			}
			return
		}
		entries, _ := mem.ReadDir(".")
		if done := err == nil; done && len(entries) != 2 || !done && (!errors.Is(err, context.Canceled) || len(entries) != 1) {
			t.Fatalf("interrupted at call %d: %v; left: %v", n, err, entries)
		}
	}
}

// An archive whose oldest segments were trimmed stays one: trimmed is told from lost in the copy, too.
func TestSalvageTrimmed(t *testing.T) {
	src := longArchive(t)
	names := segmentNames(t, src)
	if _, err := Trim(memDir, &TrimOptions{FS: src, BeforeSeq: 110}); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		do   func(t *testing.T, mem *vfs.Mem)
		gaps [][2]uint64 // lost
		trim uint64      // first sequence that is not trimmed
	}{
		{"undamaged", func(*testing.T, *vfs.Mem) {}, nil, 100},
		{"its first header lost", func(t *testing.T, mem *vfs.Mem) { clearHeader(t, mem, names[2]) }, nil, 100},
		{"and its first segment lost", func(t *testing.T, mem *vfs.Mem) { mustRemove(t, mem, names[2]) }, [][2]uint64{{100, 150}}, 100},
		{"and the note lost", func(t *testing.T, mem *vfs.Mem) { mustRemove(t, mem, trimName) }, [][2]uint64{{0, 100}}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			mem := src.Clone()
			test.do(t, mem)
			rep, err := Salvage(memDir, salvageDir, &SalvageOptions{FS: mem})
			if err != nil {
				t.Fatal(err)
			}
			lost := uint64(0)
			for _, g := range test.gaps {
				lost += g[1] - g[0]
			}
			first := uint64(100)
			if len(test.gaps) > 0 {
				first = test.gaps[0][1]
			}
			if rep.Lost != lost || rep.FirstSeq != test.trim || rep.Records != 400-first {
				t.Errorf("%+v", rep)
			}
			v, err := Verify(salvageDir, &VerifyOptions{FS: mem})
			if err != nil || v.Verdict != Clean || v.FirstSeq != first || v.Records != 400-first {
				t.Fatalf("%+v, %v", v, err)
			}
			for _, g := range v.Gaps {
				if g.Trimmed && (g.FirstSeq != 0 || g.LastSeq != test.trim-1) || !g.Trimmed && (g.FirstSeq != test.gaps[0][0] || g.LastSeq != test.gaps[0][1]-1) {
					t.Errorf("gap %+v", g)
				}
			}
			if want := len(test.gaps) + min(1, int(test.trim)); v.GapCount != want {
				t.Errorf("gaps %+v, want %d", v.Gaps, want)
			}
			w := mustOpen(t, salvageDir, &Options{FS: mem})
			mustClose(t, w)
		})
	}
}

func clearHeader(t testing.TB, mem *vfs.Mem, name string) {
	t.Helper()
	path := filepath.Join(memDir, name)
	b := mustRead(t, mem, path)
	clear(b[:segmentHeaderLen])
	mustWrite(t, mem, path, b)
}

// A file that was given another segment's place by renaming it is put where its header says.
func TestSalvageRenamed(t *testing.T) {
	mem := longArchive(t)
	names := segmentNames(t, mem)
	b := mustRead(t, mem, filepath.Join(memDir, names[2]))
	mustRemove(t, mem, names[2])
	mustWrite(t, mem, filepath.Join(memDir, segmentName(999, 9)), b)
	rep := checkSalvage(t, mem, 400, upTo(400))
	if rep.GapCount > 0 {
		t.Errorf("%+v", rep.Gaps)
	}
}

// A segment of another archive says nothing, and its own place is a gap.
func TestSalvageForeignSegment(t *testing.T) {
	mem := longArchive(t)
	other := longArchive(t)
	name := segmentNames(t, mem)[0]
	mustWrite(t, mem, filepath.Join(memDir, name), mustRead(t, other, filepath.Join(memDir, name)))
	rep := checkSalvage(t, mem, 400, upTo(400, [2]uint64{0, 50}))
	if !strings.Contains(rep.Gaps[0].Reason, "another archive") {
		t.Errorf("%+v", rep.Gaps)
	}
}

// While a writer is active, a salvage goes up to what was written when it began, and finds no damage.
func TestSalvageLive(t *testing.T) {
	mem := vfs.NewMem()
	w := mustOpen(t, memDir, &Options{FS: mem})
	fill(t, w, 40, 4)
	w.forceRotate(t)
	fill(t, w, 20, 4)
	rep, err := Salvage(memDir, salvageDir, &SalvageOptions{FS: mem})
	if err != nil || rep.Records != 60 || rep.GapCount != 0 || rep.Torn != nil {
		t.Fatalf("%+v, %v", rep, err)
	}
	checkSalvaged(t, mem, salvageDir, 60, upTo(60))
	mustClose(t, w)
}

// A torn tail is left out, and what is whole behind a torn place is not.
func TestSalvageTorn(t *testing.T) {
	mem := tornArchive(t)
	rep, err := Salvage(memDir, salvageDir, &SalvageOptions{FS: mem})
	if err != nil || rep.Torn == nil || rep.Records != 20 || rep.NextSeq != 20 || rep.GapCount != 0 {
		t.Fatalf("%+v, %v", rep, err)
	}
	checkSalvaged(t, mem, salvageDir, 20, upTo(20))

	src := crashedArchive(t)
	mem = src.Clone()
	p := places(t, src, memDir)[3]
	path := filepath.Join(memDir, p.name)
	b := mustRead(t, mem, path)
	b[p.off+100] ^= 1
	mustWrite(t, mem, path, b)
	mustRemove(t, mem, headName)
	if v, err := Verify(memDir, &VerifyOptions{FS: mem}); err != nil || v.Verdict != Torn {
		t.Fatalf("%+v, %v", v, err)
	}
	rep, err = Salvage(memDir, salvageDir+"2", &SalvageOptions{FS: mem})
	if err != nil || rep.Lost != p.count || rep.Records != 20-p.count || rep.NextSeq != 20 {
		t.Fatalf("%+v, %v", rep, err)
	}
	checkSalvaged(t, mem, salvageDir+"2", 20, upTo(20, [2]uint64{p.seq, p.seq + p.count}))
}

// Blocks that lie in records' payloads are not taken for the archive's own, wherever the damage is.
func TestSalvageCopiesInPayloads(t *testing.T) {
	mem := vfs.NewMem()
	w := mustOpen(t, memDir, &Options{FS: mem})
	var seqs uint64
	path := ""
	for range 12 {
		if err := w.AppendLoss(Loss{Stream: 1, Records: 2, Reason: LossOverload}); err != nil {
			t.Fatal(err)
		}
		path = filepath.Join(memDir, w.Stats().SegmentFile)
		b := mustRead(t, mem, path)
		if _, err := w.Append(Record{Time: 1, Stream: 1, Payload: append(make([]byte, 8), b[max(0, len(b)-6000)&^7:]...)}); err != nil {
			t.Fatal(err)
		}
		seqs++
	}
	mustClose(t, w)
	src := mem.Clone()
	list := places(t, src, memDir)
	for i, p := range list {
		for _, at := range []int64{p.off + 9, p.end - 1} {
			if p.count == 0 && at > p.off+9 {
				continue
			}
			mem := src.Clone()
			b := mustRead(t, mem, path)
			b[at] ^= 4
			mustWrite(t, mem, path, b)
			rep, err := Salvage(memDir, "", &SalvageOptions{FS: mem})
			if err != nil {
				t.Fatal(err)
			}
			control := uint64(len(list)) - seqs - 1 // without the table
			if p.count == 0 && !p.table {
				control--
			}
			if rep.Records != seqs-p.count || rep.Control != control || rep.Lost != p.count || rep.NextSeq != seqs {
				t.Errorf("block %d of %d damaged at %d: %+v", i, len(list), at, rep)
			}
		}
	}
}
