package journal

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

func mustCursor(t testing.TB, fsys vfs.FS, name string, opts CursorOptions) *Cursor {
	t.Helper()
	opts.FS = fsys
	c, err := OpenCursor(memDir, name, &opts)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCursor(t *testing.T) {
	mem := vfs.NewMem()
	segmented(t, mem, 3, 10)
	c := mustCursor(t, mem, "a.b-C_9", CursorOptions{})
	if c.Name() != "a.b-C_9" || c.Seq() != 0 || c.Epoch() != 0 {
		t.Errorf("new: %q at %d, epoch %d", c.Name(), c.Seq(), c.Epoch())
	}
	if err := c.Save(17, 1); err != nil {
		t.Fatal(err)
	}
	if again := mustCursor(t, mem, "a.b-C_9", CursorOptions{Seq: 3, Hold: true}); again.Seq() != 17 || again.Epoch() != 1 {
		t.Errorf("opened again: at %d, epoch %d: one that is there is left as it is", again.Seq(), again.Epoch())
	}
	if err := c.Save(1<<63, 1); err == nil {
		t.Error("a sequence of 2⁶³ was saved")
	}
	reset := mustCursor(t, mem, "a.b-C_9", CursorOptions{Seq: 5, Reset: true})
	if reset.Seq() != 5 || reset.Epoch() != 0 {
		t.Errorf("reset: at %d, epoch %d", reset.Seq(), reset.Epoch())
	}
	hold := mustCursor(t, mem, "hold", CursorOptions{Seq: 12, Hold: true})
	if err := hold.Save(20, 1); err == nil || !strings.Contains(err.Error(), "is a hold") || hold.Seq() != 12 {
		t.Errorf("a hold was moved to %d: %v", hold.Seq(), err)
	}
	infos, err := Cursors(memDir, mem)
	if err != nil || len(infos) != 2 || infos[0].Name != "a.b-C_9" || infos[0].Seq != 5 || infos[0].Hold || infos[1].Name != "hold" || infos[1].Seq != 12 || !infos[1].Hold || infos[1].Saved == 0 {
		t.Errorf("%+v, %v", infos, err)
	}
	for _, c := range []*Cursor{hold, reset} {
		if err := c.Remove(); err != nil {
			t.Fatal(err)
		}
		if err := c.Save(1, 1); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Save after Remove: %v", err)
		}
	}
	if infos, err := Cursors(memDir, mem); err != nil || len(infos) != 0 {
		t.Errorf("%+v, %v", infos, err)
	}
	if _, err := OpenCursor("nowhere", "x", &CursorOptions{FS: mem}); !errors.Is(err, ErrNotArchive) {
		t.Errorf("no archive: %v", err)
	}
}

func TestCursorNames(t *testing.T) {
	mem := vfs.NewMem()
	segmented(t, mem, 1, 1)
	for _, name := range []string{"", ".", "..", ".x", "x.", "a/b", `a\b`, "a b", "ü", "x.tmp", strings.Repeat("x", 101), "con", "COM1", "lpt9.txt", "a:b", "a\x00"} {
		if _, err := OpenCursor(memDir, name, &CursorOptions{FS: mem}); err == nil {
			t.Errorf("%q was taken", name)
		}
	}
	for _, name := range []string{"a", strings.Repeat("x", 100), "common", "com10", "A.1-_z"} {
		if _, err := OpenCursor(memDir, name, &CursorOptions{FS: mem}); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// Retention keeps every segment that holds the cursor's sequence or a later one, and goes on when the cursor does.
func TestCursorHoldsRetentionBack(t *testing.T) {
	for _, tc := range []struct {
		seq  uint64
		left int
	}{{0, 5}, {9, 5}, {10, 4}, {11, 4}, {39, 2}, {40, 1}, {49, 1}, {50, 1}, {1000, 1}} {
		mem := vfs.NewMem()
		segmented(t, mem, 5, 10)
		c := mustCursor(t, mem, "c", CursorOptions{})
		if err := c.Save(tc.seq, 1); err != nil {
			t.Fatal(err)
		}
		_, err := Trim(memDir, &TrimOptions{Retention: Retention{MaxSegments: 1}, FS: mem})
		if n := len(segmentNames(t, mem)); n != tc.left || errors.Is(err, ErrHeld) != (tc.left > 1) {
			t.Errorf("cursor at %d: %d segments, want %d; %v", tc.seq, n, tc.left, err)
		}
		if tc.left > 1 && !strings.Contains(err.Error(), `cursor "c"`) {
			t.Errorf("the error does not name the cursor: %v", err)
		}
		if err := c.Remove(); err != nil {
			t.Fatal(err)
		}
		if _, err := Trim(memDir, &TrimOptions{Retention: Retention{MaxSegments: 1}, FS: mem}); err != nil || len(segmentNames(t, mem)) != 1 {
			t.Errorf("cursor removed: %v", err)
		}
	}
}

// The lowest of several counts; in a writer that runs it is shown, and let go when the cursor moves.
func TestCursorHoldsTheWriterBack(t *testing.T) {
	mem := vfs.NewMem()
	w, err := openStepped(memDir, &Options{FS: mem, MaxBlock: minMaxBlock, Retention: Retention{MaxSegments: 1}})
	if err != nil {
		t.Fatal(err)
	}
	a, b := mustCursor(t, mem, "a", CursorOptions{}), mustCursor(t, mem, "b", CursorOptions{})
	for range 4 {
		fill(t, w, 10, 4)
		w.forceRotate(t)
	}
	w.stepSync()
	check := func(seqA, seqB uint64, left int) {
		t.Helper()
		if err := errors.Join(a.Save(seqA, 1), b.Save(seqB, 1)); err != nil {
			t.Fatal(err)
		}
		w.askKeeper()
		w.stepKeep()
		if n, err := len(segmentNames(t, mem)), w.Stats().KeepErr; n != left || errors.Is(err, ErrHeld) != (left > 1) {
			t.Errorf("cursors at %d and %d: %d segments, want %d; %v", seqA, seqB, n, left, err)
		}
	}
	check(0, 40, 5)
	check(10, 40, 4)
	check(40, 25, 3)
	check(40, 40, 1)
	mustClose(t, w)
}

// A cursor that cannot be read keeps everything.
func TestCursorDamaged(t *testing.T) {
	base := vfs.NewMem()
	segmented(t, base, 3, 10)
	mustCursor(t, base, "good", CursorOptions{Seq: 30})
	mustCursor(t, base, "bad", CursorOptions{Seq: 30})
	file := filepath.Join(memDir, cursorsName, "bad")
	whole, err := base.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	damages := [][]byte{nil, whole[:63], append(slices.Clone(whole), 0), make([]byte, cursorLen)}
	for i := range whole {
		b := slices.Clone(whole)
		b[i] ^= 1
		damages = append(damages, b)
	}
	for i, b := range damages {
		mem := base.Clone()
		if err := mem.WriteFile(file, b); err != nil {
			t.Fatal(err)
		}
		var c *CorruptionError
		if _, err := OpenCursor(memDir, "bad", &CursorOptions{FS: mem}); !errors.As(err, &c) || c.File != "cursors/bad" {
			t.Fatalf("damage %d: %v", i, err)
		}
		if gone, err := Trim(memDir, &TrimOptions{Retention: Retention{MaxSegments: 1}, FS: mem}); !errors.As(err, &c) || len(gone) != 0 || len(segmentNames(t, mem)) != 3 {
			t.Fatalf("damage %d: trimmed %d segments, %v", i, len(gone), err)
		}
		infos, err := Cursors(memDir, mem)
		if err != nil || len(infos) != 2 || infos[0].Err == nil || infos[1].Err != nil {
			t.Fatalf("damage %d: %+v, %v", i, infos, err)
		}
	}
	mem := base.Clone()
	if err := mem.WriteFile(file, nil); err != nil {
		t.Fatal(err)
	}
	mustCursor(t, mem, "bad", CursorOptions{Seq: 30, Reset: true})
	if gone, err := Trim(memDir, &TrimOptions{Retention: Retention{MaxSegments: 1}, FS: mem}); err != nil || len(gone) != 2 {
		t.Errorf("after a reset: %d segments, %v", len(gone), err)
	}
}

// A cursor of another archive is not taken for one of this one.
func TestCursorOfAnotherArchive(t *testing.T) {
	mem, other := vfs.NewMem(), vfs.NewMem()
	segmented(t, mem, 2, 10)
	segmented(t, other, 2, 10)
	mustCursor(t, other, "c", CursorOptions{Seq: 20})
	mustCursor(t, mem, "c", CursorOptions{})
	file := filepath.Join(memDir, cursorsName, "c")
	b, err := other.ReadFile(file)
	if err == nil {
		err = mem.WriteFile(file, b)
	}
	if err != nil {
		t.Fatal(err)
	}
	var c *CorruptionError
	if _, err := OpenCursor(memDir, "c", &CursorOptions{FS: mem}); !errors.As(err, &c) {
		t.Error(err)
	}
}

// A power cut at any operation of a Save leaves the old place or the new one; after Save has returned, the new one.
func TestCursorCrash(t *testing.T) {
	sim := vfs.NewSim()
	segmented(t, sim, 3, 10)
	start := sim.Total()
	c := mustCursor(t, sim, "c", CursorOptions{Seq: 3})
	made := sim.Total()
	var ends []int
	for i := range uint64(3) {
		if err := c.Save(10*i+5, 1); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, sim.Total())
	}
	eachCrash(t, sim, start, 2, func(t *testing.T, crash vfs.Crash, after *vfs.Sim) {
		infos, err := Cursors(memDir, after)
		if err != nil || len(infos) > 1 || len(infos) == 1 && infos[0].Err != nil || len(infos) == 0 && crash.After >= made {
			t.Fatalf("%+v, %v", infos, err)
		}
		if crash.After < made {
			return
		}
		done := uint64(0) // Saves that have returned
		for _, e := range ends {
			if crash.After >= e {
				done++
			}
		}
		old, next := uint64(3), 10*done+5
		if done > 0 {
			old = 10*done - 5
		}
		if s := infos[0].Seq; s != old && s != next {
			t.Fatalf("at %d after %d Saves", s, done)
		}
	})
}

// Every operation of a Save fails once: the cursor in memory says what the file says, or the file has the new place.
func TestCursorErrors(t *testing.T) {
	for k := 0; ; k++ {
		mem := vfs.NewMem()
		segmented(t, mem, 1, 10)
		fault := vfs.NewFault(mem)
		c := mustCursor(t, fault, "c", CursorOptions{})
		from := fault.Total()
		fault.SetHook(func(n int, _ vfs.Op) (v vfs.Verdict) {
			if n == from+k {
				v.Err = errTest
			}
			return v
		})
		err := c.Save(5, 1)
		if err == nil {
			if k < 4 {
				t.Fatalf("no error at operation %d", k)
			}
			return
		}
		got := mustCursor(t, mem, "c", CursorOptions{}).Seq()
		if !errors.Is(err, errTest) || c.Seq() != 0 || got != 0 && got != 5 {
			t.Fatalf("operation %d: %v; %d in memory, %d in the file", k, err, c.Seq(), got)
		}
		if err := c.Save(5, 1); err != nil || c.Seq() != 5 {
			t.Fatalf("operation %d, tried again: %v", k, err)
		}
	}
}

// A cursor that is made while retention is about to remove what it wants: one of the two gives way.
func TestCursorMadeDuringTrim(t *testing.T) {
	trimOps := func() int {
		mem := vfs.NewMem()
		segmented(t, mem, 3, 10)
		f := vfs.NewFault(mem)
		trimBefore(t, f, 20)
		return f.Total()
	}()
	both := map[bool]int{}
	for k := range trimOps {
		mem := vfs.NewMem()
		segmented(t, mem, 3, 10)
		fault := vfs.NewFault(mem)
		var made *Cursor
		fault.SetHook(func(n int, _ vfs.Op) (v vfs.Verdict) {
			if n == k {
				made = mustCursor(t, mem, "c", CursorOptions{Seq: 5})
			}
			return v
		})
		gone, err := Trim(memDir, &TrimOptions{BeforeSeq: 20, FS: fault})
		v, first := verdictOf(t, mem)
		if v != Clean || made.Seq() < first {
			t.Errorf("cursor made at operation %d: it begins at %d, the archive at %d (%v); %d removed, %v", k, made.Seq(), first, v, len(gone), err)
		}
		if err != nil && !errors.Is(err, ErrHeld) {
			t.Errorf("operation %d: %v", k, err)
		}
		both[err == nil]++
	}
	if both[true] == 0 || both[false] == 0 {
		t.Errorf("the cursor always or never won: %v", both)
	}
}
