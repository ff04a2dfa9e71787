package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// More runs to crash: what goes on when the disk fails, and what maintenance does.

// failOnce has the run go on on a file system of which the n-th operation that pick chooses fails as v says.
func (r *crashRun) failOnce(n int, v vfs.Verdict, pick func(op vfs.Op) bool) {
	fault := vfs.NewFault(r.sim)
	fault.SetHook(func(_ int, op vfs.Op) vfs.Verdict {
		if pick(op) {
			if n--; n == -1 {
				r.begin = r.sim.Total()
				return v
			}
		}
		return vfs.Verdict{}
	})
	r.opts.FS = fault
}

// process is a run over two rotations and a close, which goes on as long as the writer does.
func (r *crashRun) process() {
	r.open()
	r.append(2)
	r.sync()
	r.append(1)
	r.rotate()
	r.append(2)
	r.sync()
	r.append(1)
	r.w.stepPrepare()
	r.rotate()
	r.append(1)
	r.close()
}

// A sync that fails, of a writer that retains what is not durable: a new segment takes over. The data that the failed sync was for may be gone
// from the disk, or it may be there.
func TestCrashTakeoverAfterSync(t *testing.T) {
	for _, n := range variants(12) {
		for _, gone := range []bool{true, false} {
			t.Run(fmt.Sprint(n, gone), func(t *testing.T) {
				t.Parallel()
				crashScript(t, func(r *crashRun) {
					r.opts.Retain = 64 << 10
					if gone {
						r.failSync(n, r.process)
					} else {
						r.failOnce(n, vfs.Verdict{Err: syscall.EIO}, func(op vfs.Op) bool { return op.Kind == vfs.OpSync && op.Name != headName })
						r.untilFailure(r.process)
						r.opts.FS = r.sim
					}
					r.open()
					r.append(1)
					r.close()
				})
			})
		}
	}
}

// A write that fails in the middle, likewise.
func TestCrashTakeoverAfterWrite(t *testing.T) {
	for _, n := range variants(14) {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			crashScript(t, func(r *crashRun) {
				r.failOnce(n, vfs.Verdict{Err: syscall.EIO, Short: 90}, func(op vfs.Op) bool { return op.Kind == vfs.OpWrite && op.Name != headName })
				r.opts.Retain = 64 << 10
				r.untilFailure(r.process)
				r.opts.FS = r.sim
				r.open()
				r.append(1)
				r.close()
			})
		})
	}
}

// A disk that is full for a while: nothing breaks, and the same process goes on.
func TestCrashFullDisk(t *testing.T) {
	for _, n := range variants(14) {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			crashScript(t, func(r *crashRun) {
				r.failOnce(n, vfs.Verdict{Err: syscall.ENOSPC, Short: 90}, func(op vfs.Op) bool { return op.Kind == vfs.OpWrite })
				r.retry = true
				r.untilFailure(r.process)
				r.opts.FS, r.retry = r.sim, false
				r.open()
				r.append(1)
				r.close()
			})
		})
	}
}

// Retention, in the background and offline.
func TestCrashRetention(t *testing.T) {
	keep := func(r *crashRun) {
		for r.w.stepKeep() {
		}
		segs, _, err := archive{fs: r.sim, dir: memDir}.list()
		r.must(err)
		r.trimmed = max(r.trimmed, segs[0].baseSeq)
	}
	t.Run("background", func(t *testing.T) {
		t.Parallel()
		crashScript(t, func(r *crashRun) {
			r.opts.Retention.MaxSegments, r.light = 2, true
			r.open()
			for range 4 {
				r.append(3)
				r.rotate()
				r.append(1)
				r.sync()
				keep(r)
			}
			r.close()
			r.open()
			keep(r)
			r.close()
		})
	})
	t.Run("offline", func(t *testing.T) {
		t.Parallel()
		crashScript(t, func(r *crashRun) {
			r.open()
			for range 5 {
				r.append(3)
				r.rotate()
				r.append(1)
			}
			r.close()
			r.begin = r.sim.Total()
			for _, before := range []uint64{9, 14} {
				_, err := Trim(memDir, &TrimOptions{FS: r.sim, BeforeSeq: before})
				r.must(err)
				r.trimmed = before
			}
		})
	})
}

// Compression of sealed segments.
func TestCrashCompact(t *testing.T) {
	t.Parallel()
	crashScript(t, func(r *crashRun) {
		r.open()
		for range 3 {
			for range 4 {
				r.append(10)
			}
			r.rotate()
			r.append(2)
		}
		r.close()
		r.begin = r.sim.Total()
		rep, err := Compact(memDir, &CompactOptions{FS: r.sim})
		r.must(err)
		if rep.Segments == 0 {
			t.Errorf("nothing was compressed: %+v", rep)
		}
	})
}

// A cursor is where it was saved last or before, and once saved it is never lost nor damaged.
func TestCrashCursor(t *testing.T) {
	t.Parallel()
	crashScript(t, func(r *crashRun) {
		var saved []crashMark
		r.extra = func(k *crashCheck, img *vfs.Sim, after int) {
			low, high := uint64(0), uint64(0)
			there := false
			for _, m := range saved {
				if m.after <= after {
					low, there = m.seq, true
				}
				high = max(high, m.seq)
			}
			list, err := Cursors(memDir, img)
			switch {
			case err != nil && !errors.Is(err, ErrNotArchive) && !errors.Is(err, fs.ErrNotExist):
				k.errorf("cursors: %v", err)
			case len(list) == 0 && !there:
			case len(list) != 1 || list[0].Err != nil || list[0].Seq < low || list[0].Seq > high:
				k.errorf("cursors: %+v, want one from %d to %d", list, low, high)
			}
		}
		r.open()
		r.append(5)
		r.sync()
		c, err := OpenCursor(memDir, "c", &CursorOptions{FS: r.sim, Seq: 1})
		r.must(err)
		saved = append(saved, crashMark{r.sim.Total(), 1})
		for seq := uint64(2); seq < 5; seq++ {
			r.must(c.Save(seq, 1))
			saved = append(saved, crashMark{r.sim.Total(), seq})
		}
		r.close()
	})
}

// Salvage makes its copy all at once, or not at all.
func TestCrashSalvage(t *testing.T) {
	sim := vfs.NewSim()
	r := newCrashRun(t, sim)
	r.open()
	r.append(6)
	r.append(2)
	r.rotate()
	r.append(4)
	r.close()
	name := filepath.Join(memDir, segmentName(0, 1))
	f, err := sim.OpenFile(name, 2, 0)
	r.must(err)
	_, err = f.WriteAt([]byte("damage"), segmentHeaderLen+blockHeaderLen+200)
	r.must(err)
	begun := sim.Total()
	rep, err := Salvage(memDir, "out", &SalvageOptions{FS: sim})
	r.must(err)
	want := rep.Records
	d := sim.Disk()
	d.StepTo(begun)
	for d.Step() {
		for _, crash := range d.Crashes(4, 1) {
			img := d.Crash(crash.Model, crash.Seed)
			if _, err := img.Stat("out"); errors.Is(err, fs.ErrNotExist) && d.After() < sim.Total() {
				continue
			}
			rep, err := Verify("out", &VerifyOptions{FS: img})
			if err != nil || rep.Verdict != Clean || rep.Records != want {
				t.Fatalf("%v (%s): %+v, %v; want %d records", crash, sim.OpString(d.After()-1), rep, err, want)
			}
		}
	}
}
