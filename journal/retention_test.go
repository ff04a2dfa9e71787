package journal

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// segmented makes an archive of n segments with per records each, the last one sealed by Close.
func segmented(t testing.TB, fsys vfs.FS, n, per int) {
	t.Helper()
	w, err := openStepped(memDir, &Options{FS: fsys, MaxBlock: minMaxBlock})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.DefineStream("one"); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		fill(t, w, per, 4)
		if i < n-1 {
			w.forceRotate(t)
		}
	}
	mustClose(t, w)
}

// verdictOf verifies an archive, and returns its verdict and the first sequence it has.
func verdictOf(t testing.TB, fsys vfs.FS) (Verdict, uint64) {
	t.Helper()
	rep, err := Verify(memDir, &VerifyOptions{FS: fsys})
	if err != nil {
		t.Fatal(err)
	}
	if rep.Verdict != Clean {
		t.Logf("%v: %+v", rep.Verdict, rep)
	}
	return rep.Verdict, rep.FirstSeq
}

func sizeOf(t testing.TB, fsys vfs.FS) (total int64, sizes []int64) {
	t.Helper()
	infos, err := Segments(memDir, &ReaderOptions{FS: fsys})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range infos {
		sizes = append(sizes, i.Size)
		total += i.Size
	}
	return total, sizes
}

func TestTrim(t *testing.T) {
	base := vfs.NewMem()
	segmented(t, base, 5, 10) // sequences 0 to 49
	total, sizes := sizeOf(t, base)
	for _, tc := range []struct {
		name string
		opts TrimOptions
		want int // segments that go
	}{
		{"nothing is over the limits", TrimOptions{Retention: Retention{MaxSegments: 5, MaxBytes: total, MaxRecords: 50, MaxAge: time.Hour}}, 0},
		{"segments", TrimOptions{Retention: Retention{MaxSegments: 3}}, 2},
		{"the last segment stays", TrimOptions{Retention: Retention{MaxSegments: 1, MaxBytes: 1, MaxRecords: 1, MaxAge: 1}}, 4},
		{"bytes, one over", TrimOptions{Retention: Retention{MaxBytes: total - 1}}, 1},
		{"bytes, exactly", TrimOptions{Retention: Retention{MaxBytes: total - sizes[0]}}, 1},
		{"bytes, one more", TrimOptions{Retention: Retention{MaxBytes: total - sizes[0] - 1}}, 2},
		{"records", TrimOptions{Retention: Retention{MaxRecords: 40}}, 1},
		{"records, one over", TrimOptions{Retention: Retention{MaxRecords: 39}}, 2},
		{"age", TrimOptions{Retention: Retention{MaxAge: time.Nanosecond}}, 4},
		{"the strictest limit counts", TrimOptions{Retention: Retention{MaxRecords: 40, MaxSegments: 2, MaxBytes: total}}, 3},
		{"before a sequence inside a segment", TrimOptions{BeforeSeq: 29}, 2},
		{"before the first of a segment", TrimOptions{BeforeSeq: 30}, 3},
		{"before a sequence that is not there yet", TrimOptions{BeforeSeq: 1000}, 4},
		{"before a time", TrimOptions{BeforeTime: timeOf(20)}, 2},
		{"before the latest time of a segment", TrimOptions{BeforeTime: timeOf(19)}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			mem := base.Clone()
			tc.opts.FS = mem
			tc.opts.DryRun = true
			dry, err := Trim(memDir, &tc.opts)
			if err != nil || len(dry) != tc.want {
				t.Fatalf("dry run: %d segments, %v; want %d", len(dry), err, tc.want)
			}
			if n := len(segmentNames(t, mem)); n != 5 {
				t.Fatalf("a dry run has left %d segments of 5", n)
			}
			tc.opts.DryRun = false
			gone, err := Trim(memDir, &tc.opts)
			if err != nil || len(gone) != tc.want {
				t.Fatalf("%d segments, %v; want %d", len(gone), err, tc.want)
			}
			for i, info := range gone {
				if info.Number != uint64(i+1) || info.Records != 10 {
					t.Errorf("segment %d of those removed is %+v", i, info)
				}
			}
			first := uint64(10 * tc.want)
			if v, seq := verdictOf(t, mem); v != Clean || seq != first {
				t.Errorf("verdict %v, first sequence %d; want clean, %d", v, seq, first)
			}
			readAll(t, memDir, &ReaderOptions{FS: mem}, first, 50)
			w := mustOpen(t, memDir, &Options{FS: mem}) // sequences go on
			fill(t, w, 5, 5)
			mustClose(t, w)
			readAll(t, memDir, &ReaderOptions{FS: mem}, first, 55)
		})
	}
}

func TestTrimRefuses(t *testing.T) {
	mem := vfs.NewMem()
	segmented(t, mem, 3, 4)
	for _, tc := range []struct {
		name string
		opts *TrimOptions
		want string
	}{
		{"no limit", nil, "no limit is given"},
		{"only OnFull", &TrimOptions{Retention: Retention{OnFull: true}}, "no limit is given"},
		{"negative bytes", &TrimOptions{Retention: Retention{MaxBytes: -1}}, "TrimOptions.Retention.MaxBytes is -1"},
		{"negative age", &TrimOptions{Retention: Retention{MaxAge: -1}}, "MaxAge is -1ns"},
		{"negative segments", &TrimOptions{Retention: Retention{MaxSegments: -2}}, "MaxSegments is -2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.opts != nil {
				tc.opts.FS = mem
			}
			if _, err := Trim(memDir, tc.opts); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v; want %q", err, tc.want)
			}
		})
	}
	if _, err := Open(memDir, &Options{FS: mem, Retention: Retention{MaxAge: -1}}); err == nil || !strings.Contains(err.Error(), "Options.Retention.MaxAge is -1ns") {
		t.Errorf("Open: %v", err)
	}
	if _, err := Trim("nowhere", &TrimOptions{BeforeSeq: 1, FS: mem}); !errors.Is(err, ErrNotArchive) {
		t.Errorf("no archive: %v", err)
	}
	w := mustOpen(t, memDir, &Options{FS: mem})
	if _, err := Trim(memDir, &TrimOptions{BeforeSeq: 100, FS: mem}); !errors.Is(err, ErrLocked) {
		t.Errorf("with a writer: %v", err)
	}
	mustClose(t, w)
	name := segmentNames(t, mem)[3] // the footer of the last one: evidence of what it held
	whole, err := mem.ReadFile(filepath.Join(memDir, name))
	if err != nil {
		t.Fatal(err)
	}
	whole[segmentHeaderLen+3] ^= 1
	if err := mem.WriteFile(filepath.Join(memDir, name), whole); err != nil {
		t.Fatal(err)
	}
	var c *CorruptionError
	if gone, err := Trim(memDir, &TrimOptions{BeforeSeq: 100, FS: mem}); !errors.As(err, &c) || len(gone) != 0 || len(segmentNames(t, mem)) != 4 {
		t.Errorf("corrupt: %v, %d removed", err, len(gone))
	}
}

// What the repair of the archive's end depends on stays, whatever the limits say.
func TestTrimKeepsWhatRepairNeeds(t *testing.T) {
	sim := vfs.NewSim()
	w, err := openStepped(memDir, &Options{FS: sim, MaxBlock: minMaxBlock})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		fill(t, w, 10, 4)
		w.forceRotate(t) // the one before is sealed, the one that is left is not
	}
	fill(t, w, 10, 4)
	mem := sim.Mem() // killed: four segments, the third without a footer
	gone, err := Trim(memDir, &TrimOptions{Retention: Retention{MaxSegments: 1}, FS: mem})
	if err != nil || len(gone) != 2 {
		t.Fatalf("removed %d segments, %v; want 2", len(gone), err)
	}
	w2 := mustOpen(t, memDir, &Options{FS: mem})
	if r := w2.Recovered(); r.NextSeq != 40 || r.Verdict != Clean {
		t.Errorf("%+v", r)
	}
	mustClose(t, w2)
	readAll(t, memDir, &ReaderOptions{FS: mem}, 20, 40)
	mustClose(t, w)
}

// A crash at any operation of a trim leaves a clean archive that begins at the old place or at the new one, and the next trim finishes the work.
func TestTrimCrash(t *testing.T) {
	sim := vfs.NewSim()
	segmented(t, sim, 4, 10)
	from := sim.Total()
	if _, err := Trim(memDir, &TrimOptions{BeforeSeq: 20, FS: sim}); err != nil {
		t.Fatal(err)
	}
	middle := sim.Total()
	if _, err := Trim(memDir, &TrimOptions{BeforeSeq: 30, FS: sim}); err != nil {
		t.Fatal(err)
	}
	images := 0
	eachCrash(t, sim, from, 3, func(t *testing.T, c vfs.Crash, after *vfs.Sim) {
		images++
		v, first := verdictOf(t, after)
		if v != Clean || first%10 != 0 || first > 30 || c.After < middle && first > 20 || c.After >= middle && first < 20 {
			t.Fatalf("verdict %v, first sequence %d", v, first)
		}
		if gap := gapBefore(t, after); first > 0 && !gap.Trimmed {
			t.Fatalf("the archive begins at %d, and nothing says why: %+v", first, gap)
		}
		readAll(t, memDir, &ReaderOptions{FS: after}, first, 40)
		if _, err := Trim(memDir, &TrimOptions{BeforeSeq: 30, FS: after}); err != nil {
			t.Fatal(err)
		}
		onlySegments(t, after, 1)
		readAll(t, memDir, &ReaderOptions{FS: after}, 30, 40)
	})
	t.Logf("%d images of %d operations", images, sim.Total()-from)
}

// eachCrash calls check with power cuts after every operation from number from on.
func eachCrash(t *testing.T, sim *vfs.Sim, from, seeds int, check func(t *testing.T, c vfs.Crash, after *vfs.Sim)) {
	t.Helper()
	d := sim.Disk()
	d.StepTo(from)
	for {
		for _, c := range d.Crashes(6, seeds) {
			after := d.Crash(c.Model, c.Seed)
			ok := t.Run("", func(t *testing.T) {
				defer func() {
					if t.Failed() {
						t.Logf("%v, after %q", c, sim.OpString(max(0, c.After-1)))
					}
				}()
				check(t, c, after)
			})
			if !ok {
				t.FailNow()
			}
		}
		if !d.Step() {
			return
		}
	}
}

// onlySegments checks that there are n segment files, leftovers included, and no file that is being made.
func onlySegments(t testing.TB, fsys vfs.FS, n int) {
	t.Helper()
	entries, err := fsys.ReadDir(memDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if _, _, ok := parseSegmentName(e.Name()); ok {
			n--
		}
		if strings.HasSuffix(e.Name(), tmpExt) && e.Name() != nextName && e.Name() != trimName+tmpExt {
			t.Errorf("%s is left", e.Name())
		}
	}
	if n != 0 {
		t.Errorf("%d segment files too few", n)
	}
}

// Every operation of a trim fails once: the error comes back, the archive is clean, and nothing is reported as removed that is there.
func TestTrimErrors(t *testing.T) {
	base := vfs.NewMem()
	segmented(t, base, 4, 10)
	for k := 0; ; k++ {
		mem := base.Clone()
		fault := vfs.NewFault(mem)
		fault.FailFrom(k, errTest)
		gone, err := Trim(memDir, &TrimOptions{BeforeSeq: 30, FS: fault})
		if err == nil {
			if len(gone) != 3 || k < 5 {
				t.Fatalf("no error at operation %d, %d removed", k, len(gone))
			}
			return
		}
		if !errors.Is(err, errTest) {
			t.Fatalf("operation %d: %v", k, err)
		}
		v, first := verdictOf(t, mem)
		if v != Clean {
			t.Fatalf("operation %d: %v", k, v)
		}
		readAll(t, memDir, &ReaderOptions{FS: mem}, first, 40)
		for _, info := range gone {
			if _, err := mem.Stat(filepath.Join(memDir, info.File)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("operation %d: %s was reported as removed, and is there", k, info.File)
			}
		}
	}
}

var errTest = errors.New("test error")

func TestRetentionOfTheWriter(t *testing.T) {
	for _, tc := range []struct {
		name string
		r    Retention
		want func(s Stats, files int) bool
	}{
		{"segments", Retention{MaxSegments: 3}, func(s Stats, files int) bool { return files == 3 && s.Trimmed == 3 }},
		{"records", Retention{MaxRecords: 25}, func(s Stats, files int) bool { return files == 3 && s.Trimmed == 3 }}, // 20, and those being written
		{"age", Retention{MaxAge: time.Nanosecond}, func(s Stats, files int) bool { return files == 1 && s.Trimmed == 5 }},
		{"bytes", Retention{MaxBytes: 1}, func(s Stats, files int) bool { return files == 1 && s.Trimmed == 5 }},
		{"none", Retention{}, func(s Stats, files int) bool { return files == 6 && s.Trimmed == 0 }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			mem := vfs.NewMem()
			w, err := openStepped(memDir, &Options{FS: mem, MaxBlock: minMaxBlock, Retention: tc.r})
			if err != nil {
				t.Fatal(err)
			}
			for range 5 {
				fill(t, w, 10, 4)
				w.forceRotate(t)
			}
			w.stepSync() // seals the fifth and syncs the sixth
			w.stepKeep()
			st := w.Stats()
			if files := len(segmentNames(t, mem)); !tc.want(st, files) || st.KeepErr != nil {
				t.Errorf("%d files, %d trimmed, %v", files, st.Trimmed, st.KeepErr)
			}
			mustClose(t, w)
			if v, first := verdictOf(t, mem); v != Clean || first != 10*st.Trimmed {
				t.Errorf("verdict %v, first sequence %d", v, first)
			}
		})
	}
}

// The segment that rotation has left behind, and its successor, stay until both are durable.
func TestRetentionWaitsForTheSync(t *testing.T) {
	mem := vfs.NewMem()
	w, err := openStepped(memDir, &Options{FS: mem, MaxBlock: minMaxBlock, Retention: Retention{MaxSegments: 1}})
	if err != nil {
		t.Fatal(err)
	}
	fill(t, w, 10, 4)
	w.forceRotate(t)
	w.askKeeper()
	w.stepKeep()
	if n := len(segmentNames(t, mem)); n != 2 {
		t.Errorf("%d segments, the first is not sealed yet", n)
	}
	if !w.sealOld(w.sync.sealing, w.sync.sealingAt) {
		t.Fatal(w.failure())
	}
	w.askKeeper()
	w.stepKeep()
	if n := len(segmentNames(t, mem)); n != 2 {
		t.Errorf("%d segments, the second is not synced yet", n)
	}
	w.stepSync()
	w.stepKeep()
	if n := len(segmentNames(t, mem)); n != 1 {
		t.Errorf("%d segments after the sync", n)
	}
	mustClose(t, w)
}

// Retention with everything at work: it is enforced while recording goes on, and what is left is clean.
func TestRetentionInTheBackground(t *testing.T) {
	dir := t.TempDir()
	w := mustOpen(t, dir, &Options{SegmentSize: minSegmentSize, MaxBlock: minMaxBlock, Retention: Retention{MaxSegments: 3}})
	for w.Stats().Segments < 12 {
		fill(t, w, 100, 20)
	}
	if err := w.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	for w.Stats().Segments-w.Stats().Trimmed > 3 {
		time.Sleep(time.Millisecond)
		if err := w.Stats().KeepErr; err != nil {
			t.Fatal(err)
		}
	}
	next := w.NextSeq()
	mustClose(t, w)
	rep, err := Verify(dir, nil)
	if err != nil || rep.Verdict != Clean || rep.Segments != 3 {
		t.Fatalf("%v, %+v", err, rep)
	}
	readAll(t, dir, nil, rep.FirstSeq, next)
}

// An error of the keeper stops nothing, is shown, and goes away when the work can be done.
func TestRetentionErrorIsShown(t *testing.T) {
	fault := vfs.NewFault(vfs.NewMem())
	w, err := openStepped(memDir, &Options{FS: fault, MaxBlock: minMaxBlock, Retention: Retention{MaxSegments: 1}})
	if err != nil {
		t.Fatal(err)
	}
	fill(t, w, 10, 4)
	w.forceRotate(t)
	w.stepSync()
	fault.SetHook(func(_ int, op vfs.Op) (v vfs.Verdict) {
		if op.Kind == vfs.OpRemove {
			v.Err = errTest
		}
		return v
	})
	w.stepKeep()
	if st := w.Stats(); !errors.Is(st.KeepErr, errTest) || st.Err != nil || st.Trimmed != 0 {
		t.Errorf("%+v", st)
	}
	fault.SetHook(nil)
	fill(t, w, 10, 4)
	w.askKeeper()
	w.stepKeep()
	if st := w.Stats(); st.KeepErr != nil {
		t.Errorf("%+v", st)
	}
	onlySegments(t, fault, 1) // what the note had named already was left over, and is removed
	mustClose(t, w)
}

func TestTrimForSpace(t *testing.T) {
	for _, on := range []bool{true, false} {
		mem := vfs.NewMem()
		full := vfs.NewFault(mem)
		w, err := openStepped(memDir, &Options{FS: full, MaxBlock: minMaxBlock, Retention: Retention{OnFull: on}})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			fill(t, w, 10, 4)
			w.forceRotate(t)
			w.stepSync()
			w.stepKeep()
		}
		full.SetHook(func(_ int, op vfs.Op) (v vfs.Verdict) { // no room for a new file, but for writing over an old one
			if op.Kind == vfs.OpCreate || op.Kind == vfs.OpWrite && op.Name != trimName {
				v.Err = syscall.ENOSPC
			}
			return v
		})
		freed, err := w.trimForSpace()
		if freed != on || err != nil {
			t.Errorf("OnFull %v: %v, %v", on, freed, err)
		}
		full.SetHook(nil)
		mustClose(t, w)
		want := uint64(0)
		if on {
			want = 10
		}
		if v, first := verdictOf(t, mem); v != Clean || first != want {
			t.Errorf("OnFull %v: verdict %v, first %d", on, v, first)
		}
	}
}

// Trimmed is told from lost.
func TestBeforeFirst(t *testing.T) {
	for _, tc := range []struct {
		name    string
		prepare func(t *testing.T, mem *vfs.Mem, a archive)
		want    Gap
		missing bool
	}{
		{"nothing is missing", func(*testing.T, *vfs.Mem, archive) {}, Gap{}, false},
		{"trimmed", func(t *testing.T, mem *vfs.Mem, _ archive) { trimBefore(t, mem, 20) }, Gap{LastSeq: 19, Trimmed: true}, true},
		{"removed by somebody", func(t *testing.T, mem *vfs.Mem, _ archive) { removeSegments(t, mem, 2) }, Gap{LastSeq: 19}, true},
		{"trimmed, then more removed by somebody", func(t *testing.T, mem *vfs.Mem, _ archive) {
			trimBefore(t, mem, 20)
			removeSegments(t, mem, 1)
		}, Gap{FirstSeq: 20, LastSeq: 29}, true},
		{"a note that is damaged", func(t *testing.T, mem *vfs.Mem, a archive) {
			trimBefore(t, mem, 20)
			if err := mem.WriteFile(a.path(trimName), make([]byte, trimLen)); err != nil {
				t.Fatal(err)
			}
		}, Gap{LastSeq: 19}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			mem := vfs.NewMem()
			segmented(t, mem, 5, 10)
			a := archive{fs: mem, dir: memDir}
			tc.prepare(t, mem, a)
			gap := gapBefore(t, mem)
			t.Log(gap.Reason)
			if missing := gap.Reason != ""; missing != tc.missing || gap.FirstSeq != tc.want.FirstSeq || gap.LastSeq != tc.want.LastSeq || gap.Trimmed != tc.want.Trimmed {
				t.Errorf("%+v, %v; want %+v", gap, missing, tc.want)
			}
		})
	}
}

// gapBefore returns what is missing before the first segment.
func gapBefore(t testing.TB, fsys vfs.FS) Gap {
	t.Helper()
	a := archive{fs: fsys, dir: memDir}
	segs, _, err := a.list()
	if err != nil {
		t.Fatal(err)
	}
	f, hdr, err := a.openSegment(segs[0])
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, f)
	gap, _ := a.beforeFirst(hdr)
	return gap
}

func trimBefore(t testing.TB, fsys vfs.FS, seq uint64) {
	t.Helper()
	if _, err := Trim(memDir, &TrimOptions{BeforeSeq: seq, FS: fsys}); err != nil {
		t.Fatal(err)
	}
}

// removeSegments deletes the first n segments behind the archive's back.
func removeSegments(t testing.TB, mem *vfs.Mem, n int) {
	t.Helper()
	for _, name := range segmentNames(t, mem)[:n] {
		if err := mem.Remove(filepath.Join(memDir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// A note of another archive hides nothing, and neither does one that would hide everything.
func TestTrimNoteIsNotBelieved(t *testing.T) {
	mem := vfs.NewMem()
	segmented(t, mem, 3, 10)
	a := archive{fs: mem, dir: memDir}
	segs, _, _ := a.list()
	uuid, _ := a.uuidOf(segs)
	for _, tc := range []struct {
		name string
		note trimNote
		uuid [16]byte
		want int
	}{
		{"its own", trimNote{firstSeq: 20, segment: 3, epoch: 1}, uuid, 1},
		{"another archive's", trimNote{firstSeq: 20, segment: 3, epoch: 1}, [16]byte{1}, 3},
		{"everything", trimNote{firstSeq: 1000, segment: 30, epoch: 1}, uuid, 3},
	} {
		b := make([]byte, trimLen)
		tc.note.encode(b, crcOf(tc.uuid[:]))
		if err := mem.WriteFile(a.path(trimName), b); err != nil {
			t.Fatal(err)
		}
		if n := len(segmentNames(t, mem)); n != tc.want {
			t.Errorf("%s: %d segments, want %d", tc.name, n, tc.want)
		}
	}
}

func TestTrimNoteCodec(t *testing.T) {
	n := trimNote{firstSeq: 1, segment: 2, epoch: 3, firstPos: 4, when: -5, why: trimAge}
	b := make([]byte, trimLen)
	n.encode(b, 7)
	if got, ok := decodeTrim(b, 7); !ok || got != n {
		t.Errorf("%+v, %v", got, ok)
	}
	if _, ok := decodeTrim(b, 8); ok {
		t.Error("another archive's note is believed")
	}
	for bit := range trimLen * 8 {
		b[bit/8] ^= 1 << (bit % 8)
		if _, ok := decodeTrim(b, 7); ok {
			t.Errorf("bit %d flipped: still believed", bit)
		}
		b[bit/8] ^= 1 << (bit % 8)
	}
	for n := range trimLen {
		if _, ok := decodeTrim(b[:n], 7); ok {
			t.Errorf("cut to %d bytes: still believed", n)
		}
	}
}
