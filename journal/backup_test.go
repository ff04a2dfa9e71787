package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// backupDir is where the backups of memDir are.
const backupDir = "b"

func mustBackup(t testing.TB, fsys vfs.FS) *BackupReport {
	t.Helper()
	rep, err := Backup(memDir, backupDir, &BackupOptions{FS: fsys, Verify: true})
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

// recordsIn returns the data records of an archive.
func recordsIn(t testing.TB, fsys vfs.FS, dir string) []keptRecord {
	t.Helper()
	r, err := OpenReader(dir, &ReaderOptions{FS: fsys})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var list []keptRecord
	for {
		rec, err := r.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return list
		}
		if passing(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		rec.Payload = bytes.Clone(rec.Payload)
		list = append(list, keptRecord{rec, r.StreamName(rec.Stream)})
	}
}

// backupVerdict verifies the backup. An archive that does not exist yet is clean.
func backupVerdict(t testing.TB, fsys vfs.FS) (v Verdict, next uint64) {
	t.Helper()
	rep, err := Verify(backupDir, &VerifyOptions{FS: fsys})
	if errors.Is(err, ErrNotArchive) {
		return Clean, 0
	}
	if err != nil {
		t.Fatal(err)
	}
	if rep.Verdict != Clean {
		t.Logf("%+v", rep)
	}
	return rep.Verdict, rep.NextSeq
}

// grow appends to the archive in a new open, with a rotation in the middle. How it ends is up to the caller.
func grow(t testing.TB, fsys vfs.FS, opts Options) *Writer {
	t.Helper()
	opts.FS, opts.MaxBlock = fsys, minMaxBlock
	w, err := openStepped(memDir, &opts)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, w, 10, 4)
	w.forceRotate(t)
	fill(t, w, 10, 4)
	w.stepSync()
	return w
}

func TestBackup(t *testing.T) {
	for _, tc := range []struct {
		name string
		make func(t *testing.T) *vfs.Mem
		next uint64
	}{
		{"closed", func(t *testing.T) *vfs.Mem {
			mem := vfs.NewMem()
			segmented(t, mem, 3, 10)
			return mem
		}, 30},
		{"everything there is", func(t *testing.T) *vfs.Mem {
			mem := vfs.NewMem()
			motley(t, mem)
			return mem
		}, 3391},
		{"the writer was killed", func(t *testing.T) *vfs.Mem {
			mem := vfs.NewMem()
			w := grow(t, mem, Options{})
			fill(t, w, 10, 4)
			killed := mem.Clone()
			mustClose(t, w)
			return killed
		}, 30},
		{"killed between rotation and seal", func(t *testing.T) *vfs.Mem {
			mem := vfs.NewMem()
			w := grow(t, mem, Options{})
			w.forceRotate(t)
			fill(t, w, 10, 4)
			killed := mem.Clone()
			mustClose(t, w)
			return killed
		}, 30},
		{"a torn tail", func(t *testing.T) *vfs.Mem {
			mem := vfs.NewMem()
			w := grow(t, mem, Options{})
			fill(t, w, 10, 10)
			torn := mem.Clone()
			mustClose(t, w)
			path := filepath.Join(memDir, segmentNames(t, torn)[1])
			b := mustRead(t, torn, path)
			mustWrite(t, torn, path, b[:len(b)-5])
			return torn
		}, 20},
		{"trimmed", func(t *testing.T) *vfs.Mem {
			mem := vfs.NewMem()
			segmented(t, mem, 4, 10)
			trimBefore(t, mem, 20)
			return mem
		}, 40},
		{"compressed", func(t *testing.T) *vfs.Mem {
			mem := vfs.NewMem()
			motley(t, mem)
			compactAll(t, mem)
			return mem
		}, 3391},
	} {
		t.Run(tc.name, func(t *testing.T) {
			mem := tc.make(t)
			rep := mustBackup(t, mem)
			if v, next := backupVerdict(t, mem); v != Clean || next != tc.next || rep.NextSeq != tc.next || rep.Live || rep.Segments == 0 || rep.Bytes == 0 {
				t.Errorf("%v up to %d, want %d: %+v", v, next, tc.next, rep)
			}
			want := recordsIn(t, mem, memDir)
			sameRecords(t, "the backup", recordsIn(t, mem, backupDir), want)
			if again := mustBackup(t, mem); again.Segments != 0 || again.Kept != rep.Segments || again.NextSeq != tc.next || again.FirstSeq != rep.FirstSeq {
				t.Errorf("again: %+v", again)
			}
			if gap := gapBefore(t, mem); gap.Trimmed != (want[0].Seq > 0) {
				t.Errorf("%+v", gap)
			}
			mustClose(t, grow(t, mem, Options{})) // goes on behind whatever recovery makes of the end
			rep = mustBackup(t, mem)
			if v, next := backupVerdict(t, mem); v != Clean || next != tc.next+20 {
				t.Errorf("grown: %v up to %d: %+v", v, next, rep)
			}
			sameRecords(t, "the grown backup", recordsIn(t, mem, backupDir), recordsIn(t, mem, memDir))
			w := mustOpen(t, backupDir, &Options{FS: mem}) // a backup is an archive
			if r := w.Recovered(); r.NextSeq != tc.next+20 || r.Verdict != Clean {
				t.Errorf("%+v", r)
			}
			mustClose(t, w)
		})
	}
}

// A writer at full speed, rotating, trimming and compressing: each backup is clean, and has all that was durable before it began.
func TestBackupWhileWriting(t *testing.T) {
	for _, opts := range []Options{
		{},
		{Sync: SyncBatch},
		{Compress: true},
		{Retention: Retention{MaxSegments: 8}, Compress: true},
	} {
		t.Run(fmt.Sprintf("%v,compress=%v,segments=%d", opts.Sync, opts.Compress, opts.Retention.MaxSegments), func(t *testing.T) {
			src, dst := t.TempDir(), filepath.Join(t.TempDir(), "backup")
			opts.SegmentSize, opts.MaxBlock = minSegmentSize, minMaxBlock
			w := mustOpen(t, src, &opts)
			stop := make(chan struct{})
			var wg sync.WaitGroup
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						fill(t, w, 40, 20)
					}
				}
			})
			var before uint64
			for range 8 {
				for w.DurableSeq() < before+200 {
					if err := w.Sync(t.Context()); err != nil {
						t.Error(err)
					}
				}
				before = w.DurableSeq()
				rep, err := Backup(src, dst, nil)
				if err != nil {
					if errors.Is(err, ErrDiverged) && opts.Retention.MaxSegments > 0 && strings.Contains(err.Error(), "trimmed past") {
						continue // the writer was that much faster
					}
					t.Error(err)
					break
				}
				v, err := Verify(dst, nil)
				if err != nil || v.Verdict != Clean || v.NextSeq != rep.NextSeq || rep.NextSeq < before || !rep.Live {
					t.Errorf("%v, %+v, %+v; %d was durable before", err, v, rep, before)
				}
			}
			close(stop)
			wg.Wait()
			mustClose(t, w)
			if t.Failed() || opts.Retention.MaxSegments > 0 {
				return
			}
			rep, err := Backup(src, dst, &BackupOptions{Verify: true})
			if err != nil || rep.Live || rep.NextSeq != w.NextSeq() {
				t.Errorf("%v, %+v", err, rep)
			}
			readAll(t, dst, nil, 0, w.NextSeq())
		})
	}
}

// What the writer has not synced is not in the backup.
func TestBackupIsBoundedByDurability(t *testing.T) {
	mem := vfs.NewMem()
	w, err := openStepped(memDir, &Options{FS: mem, MaxBlock: minMaxBlock})
	if err != nil {
		t.Fatal(err)
	}
	fill(t, w, 10, 4)
	w.stepSync()
	fill(t, w, 10, 4)
	check := func(what string, next uint64) {
		t.Helper()
		rep := mustBackup(t, mem)
		if v, n := backupVerdict(t, mem); v != Clean || n != next || rep.NextSeq != next || !rep.Live {
			t.Errorf("%s: %v up to %d, want %d: %+v", what, v, n, next, rep)
		}
	}
	check("half is durable", 10)
	w.forceRotate(t)
	fill(t, w, 10, 4)
	check("rotated, nothing synced", 10)
	noHead := mem.Clone()
	lock, err := noHead.Lock(filepath.Join(memDir, lockName))
	if err == nil {
		err = noHead.Remove(filepath.Join(memDir, headName))
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Backup(memDir, "c", &BackupOptions{FS: noHead}); err == nil || !strings.Contains(err.Error(), "nothing in it is known to be durable") {
		t.Errorf("without HEAD: %v", err)
	}
	mustClose(t, lock)
	w.stepSync()
	check("all is durable", 30)
	mustClose(t, w)
	check2 := mustBackup(t, mem)
	if check2.Live || check2.NextSeq != 30 || check2.Segments != 1 {
		t.Errorf("closed: %+v", check2)
	}
}

// A backup is clean at whatever moment of a rotation, of the sealing behind it, or of Close it is made.
func TestBackupBeforeEveryOperation(t *testing.T) {
	mem := vfs.NewMem()
	fault := vfs.NewFault(mem)
	w, err := openStepped(memDir, &Options{FS: fault, MaxBlock: minMaxBlock})
	if err != nil {
		t.Fatal(err)
	}
	fill(t, w, 10, 4)
	w.stepSync()
	ops := 0
	fault.SetHook(func(n int, op vfs.Op) vfs.Verdict {
		ops++
		dir := fmt.Sprintf("%s%d", backupDir, n)
		durable := w.DurableSeq()
		for range 2 { // the second one finds what the first one has made
			rep, err := Backup(memDir, dir, &BackupOptions{FS: mem, Verify: true})
			if err != nil || rep.NextSeq < durable {
				t.Errorf("before %+v: %+v, %v; %d is durable", op, rep, err, durable)
				return vfs.Verdict{}
			}
			if v, err := Verify(dir, &VerifyOptions{FS: mem}); err != nil || v.Verdict != Clean || v.NextSeq != rep.NextSeq {
				t.Errorf("before %+v: %+v, %v", op, v, err)
			}
		}
		return vfs.Verdict{}
	})
	fill(t, w, 10, 4)
	w.forceRotate(t)
	fill(t, w, 10, 4)
	w.stepSync()
	fill(t, w, 10, 4)
	w.stepSync()
	mustClose(t, w)
	fault.SetHook(nil)
	if ops < 20 {
		t.Errorf("%d operations; the test proves little", ops)
	}
	if rep := mustBackup(t, mem); rep.NextSeq != 40 {
		t.Errorf("%+v", rep)
	}
}

func TestBackupRefuses(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(t *testing.T, mem *vfs.Mem) // after a first backup
		want   string
	}{
		{"the backup was opened for writing", func(t *testing.T, mem *vfs.Mem) {
			w := mustOpen(t, backupDir, &Options{FS: mem})
			fill(t, w, 1, 1)
			mustClose(t, w)
		}, "no such segment"},
		{"both were opened for writing, and have the same names", func(t *testing.T, mem *vfs.Mem) {
			for _, dir := range []string{backupDir, memDir} {
				w := mustOpen(t, dir, &Options{FS: mem})
				fill(t, w, 1, 1)
				mustClose(t, w)
			}
		}, "its header is not that"},
		{"trimmed past the end of the backup", func(t *testing.T, mem *vfs.Mem) {
			mustClose(t, grow(t, mem, Options{}))
			trimBefore(t, mem, 40)
		}, "trimmed past it"},
		{"another archive", func(t *testing.T, mem *vfs.Mem) {
			removeAll(t, mem, memDir)
			segmented(t, mem, 3, 10)
		}, "its header is not that"},
		{"the source has lost its last segment", func(t *testing.T, mem *vfs.Mem) {
			for _, name := range []string{segmentNames(t, mem)[2], headName} {
				if err := mem.Remove(filepath.Join(memDir, name)); err != nil {
					t.Fatal(err)
				}
			}
		}, "no such segment"},
		{"a segment of the backup was replaced", func(t *testing.T, mem *vfs.Mem) {
			other := vfs.NewMem()
			segmented(t, other, 3, 10)
			mustWrite(t, mem, filepath.Join(backupDir, segmentNames(t, mem)[0]), mustRead(t, other, filepath.Join(memDir, segmentNames(t, other)[0])))
		}, "its header is not that"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			mem := vfs.NewMem()
			segmented(t, mem, 3, 10)
			mustBackup(t, mem)
			tc.change(t, mem)
			before := backupFiles(t, mem, backupDir)
			_, err := Backup(memDir, backupDir, &BackupOptions{FS: mem})
			if !errors.Is(err, ErrDiverged) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v; want %q", err, tc.want)
			}
			if after := backupFiles(t, mem, backupDir); !slices.Equal(after, before) {
				t.Errorf("the backup was changed: %q, was %q", after, before)
			}
		})
	}
}

// backupFiles returns names and contents of the files in a directory, but for the lock.
func backupFiles(t testing.TB, mem *vfs.Mem, dir string) (list []string) {
	t.Helper()
	entries, err := mem.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !e.IsDir() && e.Name() != lockName {
			list = append(list, e.Name()+": "+string(mustRead(t, mem, filepath.Join(dir, e.Name()))))
		}
	}
	return list
}

func removeAll(t testing.TB, mem *vfs.Mem, dir string) {
	t.Helper()
	entries, err := mem.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := mem.Remove(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBackupArguments(t *testing.T) {
	mem := vfs.NewMem()
	segmented(t, mem, 1, 10)
	opts := &BackupOptions{FS: mem}
	if _, err := Backup("nowhere", backupDir, opts); !errors.Is(err, ErrNotArchive) {
		t.Error(err)
	}
	if _, err := Backup(memDir, "./"+memDir, opts); err == nil || !strings.Contains(err.Error(), "into itself") {
		t.Error(err)
	}
	if err := mem.MkdirAll("home", 0o700); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, mem, "home/letter.txt", []byte("x"))
	if _, err := Backup(memDir, "home", opts); err == nil || !strings.Contains(err.Error(), "letter.txt") {
		t.Error(err)
	}
	mustBackup(t, mem)
	w := mustOpen(t, backupDir, &Options{FS: mem})
	if _, err := Backup(memDir, backupDir, opts); !errors.Is(err, ErrLocked) {
		t.Errorf("the backup is open for writing: %v", err)
	}
	mustClose(t, w)
}

// The source is trimmed and compressed between backups. Segments that went stay in the backup; those that were compressed are not copied again,
// but for the last one, which has grown.
func TestBackupOfAChangingSource(t *testing.T) {
	mem := vfs.NewMem()
	segmented(t, mem, 4, 10) // 0 to 39
	w := grow(t, mem, Options{})
	if rep := mustBackup(t, mem); rep.Segments != 6 || rep.NextSeq != 60 {
		t.Fatalf("%+v", rep)
	}
	fill(t, w, 10, 4)
	mustClose(t, w)
	trimBefore(t, mem, 30)
	compactAll(t, mem)
	rep := mustBackup(t, mem)
	if rep.Segments != 1 || rep.Kept != 2 || rep.FirstSeq != 0 || rep.NextSeq != 70 {
		t.Errorf("%+v", rep)
	}
	if v, next := backupVerdict(t, mem); v != Clean || next != 70 {
		t.Errorf("%v up to %d", v, next)
	}
	got := recordsIn(t, mem, backupDir)
	if len(got) != 70 {
		t.Fatalf("%d records", len(got))
	}
	sameRecords(t, "what both have", got[30:], recordsIn(t, mem, memDir))
	mustClose(t, grow(t, mem, Options{}))
	if _, err := Compact(backupDir, &CompactOptions{FS: mem}); err != nil { // and now the backup
		t.Fatal(err)
	}
	if _, err := Trim(backupDir, &TrimOptions{FS: mem, BeforeSeq: 20}); err != nil {
		t.Fatal(err)
	}
	if rep := mustBackup(t, mem); rep.FirstSeq != 20 || rep.NextSeq != 90 || rep.Segments != 2 || rep.Kept != 3 {
		t.Errorf("%+v", rep)
	}
	sameRecords(t, "what both have", recordsIn(t, mem, backupDir)[10:], recordsIn(t, mem, memDir))
}

// Damage in the source: what is before it is copied, and the error says where it is.
func TestBackupOfADamagedSource(t *testing.T) {
	base := vfs.NewMem()
	segmented(t, base, 4, 10)
	path := filepath.Join(memDir, segmentNames(t, base)[1])
	whole := mustRead(t, base, path)
	for at := segmentHeaderLen; at < int(le.Uint64(whole[len(whole)-trailerLen+48:])); at += 1 + at%5 {
		mem := base.Clone()
		b := slices.Clone(whole)
		b[at] ^= 4
		mustWrite(t, mem, path, b)
		_, err := Backup(memDir, backupDir, &BackupOptions{FS: mem})
		var c *CorruptionError
		if !errors.As(err, &c) || c.File != filepath.Base(path) || c.FirstSeq < 10 || c.FirstSeq > 20 {
			t.Fatalf("byte %d: %v", at, err)
		}
		if v, next := backupVerdict(t, mem); v != Clean || next != 10 {
			t.Fatalf("byte %d: %v up to %d", at, v, next)
		}
	}
}

// A power cut at any operation of a backup, of the first one and of later ones: the destination is a clean archive with at least what the backup
// before it had, and the next run completes it.
func TestBackupCrash(t *testing.T) {
	sim := vfs.NewSim()
	segmented(t, sim, 2, 10)
	w := grow(t, sim, Options{})
	type run struct {
		from, to int
		next     uint64
	}
	var runs []run
	back := func() {
		from := sim.Total()
		rep := mustBackup(t, sim)
		runs = append(runs, run{from, sim.Total(), rep.NextSeq})
	}
	back() // the last segment in part
	fill(t, w, 10, 4)
	w.stepSync()
	back() // it has grown
	fill(t, w, 5, 4)
	mustClose(t, w)
	compactAll(t, sim)
	back() // and is compressed
	mustClose(t, grow(t, sim, Options{}))
	back()
	images := 0
	for i, r := range runs {
		least := uint64(0)
		if i > 0 {
			least = runs[i-1].next
		}
		d := sim.Disk()
		d.StepTo(r.from)
		for d.After() < r.to {
			for _, c := range d.Crashes(6, 1) {
				if images++; raceEnabled && images%8 != 0 {
					continue
				}
				after := d.Crash(c.Model, c.Seed)
				v, next := backupVerdict(t, after)
				if v != Clean || next < least || next > r.next {
					t.Fatalf("run %d, %v after %q: %v up to %d, had %d", i, c, sim.OpString(max(0, c.After-1)), v, next, least)
				}
				rep, err := Backup(memDir, backupDir, &BackupOptions{FS: after, Verify: true})
				if err != nil || rep.NextSeq != r.next && rep.NextSeq != r.next+uint64(5) {
					t.Fatalf("run %d, %v after %q: the next run: %v, %+v; want %d", i, c, sim.OpString(max(0, c.After-1)), err, rep, r.next)
				}
			}
			if !d.Step() {
				break
			}
		}
	}
	t.Logf("%d images", images)
}

// Every operation fails once, with a part of a write done: the error comes back, the destination is clean, the next run completes it.
func TestBackupErrors(t *testing.T) {
	base := vfs.NewMem()
	segmented(t, base, 3, 10)
	mustBackup(t, base)
	mustClose(t, grow(t, base, Options{}))
	for k := 0; ; k++ {
		mem := base.Clone()
		fault := vfs.NewFault(mem)
		hit := false
		fault.SetHook(func(n int, op vfs.Op) (v vfs.Verdict) {
			if n == k {
				v.Err, v.Short, hit = errTest, 5000, true
			}
			return v
		})
		_, err := Backup(memDir, backupDir, &BackupOptions{FS: fault})
		if !hit {
			if err != nil || k < 10 {
				t.Fatalf("%v after %d operations", err, k)
			}
			return
		}
		if !errors.Is(err, errTest) {
			t.Fatalf("operation %d: %v", k, err)
		}
		if v, next := backupVerdict(t, mem); v != Clean || next < 30 {
			t.Fatalf("operation %d: %v up to %d", k, v, next)
		}
		if rep := mustBackup(t, mem); rep.NextSeq != 50 {
			t.Fatalf("operation %d, the next run: %+v", k, rep)
		}
	}
}

func TestBackupStops(t *testing.T) {
	mem := vfs.NewMem()
	segmented(t, mem, 4, 60)
	stop := make(chan struct{})
	_, err := Backup(memDir, backupDir, &BackupOptions{FS: mem, Stop: stop, Progress: func(done, total int64) {
		if done > total/2 {
			select {
			case <-stop:
			default:
				close(stop)
			}
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if v, next := backupVerdict(t, mem); v != Clean || next == 0 || next == 240 {
		t.Errorf("%v up to %d", v, next)
	}
	if _, err := mem.Stat(filepath.Join(backupDir, backupName)); err == nil {
		t.Error("a file is left")
	}
	if rep := mustBackup(t, mem); rep.NextSeq != 240 || rep.Kept == 0 {
		t.Errorf("%+v", rep)
	}
}

// A plain copy of the files of an archive at rest is an archive, with and without the files that are no segments.
func TestPlainCopyIsAnArchive(t *testing.T) {
	src := t.TempDir()
	w := mustOpen(t, src, &Options{SegmentSize: minSegmentSize, MaxBlock: minMaxBlock, Compress: true, Retention: Retention{MaxSegments: 5}})
	for w.Stats().Segments < 8 || w.Stats().Trimmed == 0 {
		fill(t, w, 100, 20)
	}
	next := w.NextSeq()
	mustClose(t, w)
	if _, err := OpenCursor(src, "c", nil); err != nil {
		t.Fatal(err)
	}
	for _, all := range []bool{true, false} {
		dst := filepath.Join(t.TempDir(), "copy")
		if err := os.CopyFS(dst, os.DirFS(src)); err != nil {
			t.Fatal(err)
		}
		if !all {
			for _, name := range []string{lockName, headName} {
				if err := os.Remove(filepath.Join(dst, name)); err != nil {
					t.Fatal(err)
				}
			}
		}
		rep, err := Verify(dst, nil)
		if err != nil || rep.Verdict != Clean || rep.NextSeq != next || len(rep.Foreign) != 0 {
			t.Fatalf("all files %v: %v, %+v", all, err, rep)
		}
		readAll(t, dst, nil, rep.FirstSeq, next)
		mustClose(t, mustOpen(t, dst, nil))
	}
}

// A source whose last segment has lost records that the backup has is found out, although the segment's header is the same.
func TestBackupOfAShorterSource(t *testing.T) {
	mem := vfs.NewMem()
	w := grow(t, mem, Options{})
	mustBackup(t, mem)
	short := mem.Clone()
	mustClose(t, w)
	name := segmentNames(t, short)[1]
	ends := blockEnds(t, short, name)
	size := slices.Max(slices.Collect(maps.Keys(ends))) // without the last block
	path := filepath.Join(memDir, name)
	mustWrite(t, short, path, mustRead(t, short, path)[:size])
	if err := short.Remove(filepath.Join(memDir, headName)); err != nil {
		t.Fatal(err)
	}
	before := backupFiles(t, short, backupDir)
	_, err := Backup(memDir, backupDir, &BackupOptions{FS: short})
	if !errors.Is(err, ErrDiverged) || !strings.Contains(err.Error(), "not the beginning") {
		t.Error(err)
	}
	if after := backupFiles(t, short, backupDir); !slices.Equal(after, before) {
		t.Error("the backup was changed")
	}
}

// The source is trimmed while its segments are copied: Backup begins again with what is left, or says that it was trimmed past the backup's end.
func TestBackupWhileTrimmed(t *testing.T) {
	for _, tc := range []struct {
		at   int // segments copied before
		seq  uint64
		want string
	}{{0, 10, ""}, {0, 20, "trimmed past"}, {1, 20, ""}, {2, 20, ""}, {1, 30, "trimmed past"}} {
		mem := vfs.NewMem()
		segmented(t, mem, 5, 10)
		fault := vfs.NewFault(mem)
		n := 0
		fault.SetHook(func(_ int, op vfs.Op) (v vfs.Verdict) {
			if op.Kind == vfs.OpCreate && op.Name == backupName {
				if n == tc.at { // its source is open already, unless it is gone
					trimBefore(t, mem, tc.seq)
				}
				n++
			}
			return v
		})
		rep, err := Backup(memDir, backupDir, &BackupOptions{FS: fault, Verify: true})
		if tc.want != "" {
			if !errors.Is(err, ErrDiverged) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%+v: %v", tc, err)
			}
			continue
		}
		if err != nil || rep.NextSeq != 50 {
			t.Errorf("%+v: %v, %+v", tc, err, rep)
		}
		if v, next := backupVerdict(t, mem); v != Clean || next != 50 {
			t.Errorf("%+v: %v up to %d", tc, v, next)
		}
	}
}
