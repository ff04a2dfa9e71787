package journal

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// The worst bugs that other logs have had, and the tests that would have found them here. Those that no other test is about are below.
var bugClasses = []struct {
	class string
	tests []string // in this package, or directory:name
}{
	{"B1: a sync that failed is tried again, says that all is well, and the data is gone", []string{
		"TestSyncFailureIsSticky", "TestCrashAfterFailedSync", "TestCrashTakeoverAfterSync", "TestTakeover"}},
	{"B2: the error of a sync in the background is dropped", []string{"TestSyncFailureIsSticky", "TestWaitDurableAfterFailureAndClose", "TestFaultAtEveryOperation"}},
	{"B3: acknowledged before it is synced, or without", []string{"TestCrash", "TestDurableClaimsAreTrue", "TestGroupCommit"}},
	{"B4: the directory of a new file is not synced", []string{"TestCrash", "TestOrderOfOperations", "TestDurableClaimsAreTrue"}},
	{"B5: a full disk leaves a log that cannot be opened, or is shortened", []string{
		"TestFullDisk", "TestCrashFullDisk", "TestFaultAtEveryOperation", "../recorder:TestDiskFullAtEveryOperation"}},
	{"B6: damage in the middle is taken for the end, and the rest is dropped", []string{
		"TestVerdicts", "TestEveryBitFlip", "TestEveryBitFlipUnsealed", "TestOpenRefusesCorruption", "TestSalvageReaderAgainstModel"}},
	{"B7: a torn tail is taken for corruption, and the log does not open", []string{
		"TestVerdicts", "TestCrash", "TestEveryTruncationUnsealed", "TestRecoverTornTail"}},
	{"B8: stale bytes come back to life", []string{"TestStaleTail", "TestBlocksTransplanted", "TestCrash"}},
	{"B9: a reader that follows skips, stalls, or shows what is lost later", []string{
		"TestFollow", "TestFollowIsBoundedByHead", "TestFollowOverRecovery", "TestSecondLookBeforeCorruption", "TestListingThatLacksASegment", "TestReissue",
		"../cmd/logbuf:TestKilled"}},
	{"B10: a copy of a log that is written looks corrupt", []string{"TestBackupWhileWriting", "TestBackupIsBoundedByDurability", "TestPlainCopyIsAnArchive"}},
	{"B11: files that were left over break the sequence", []string{"TestBugs_B11_LeftoverFiles", "TestForeignFilesAndVersions"}},
	{"B12: an index is trusted over the data", []string{"TestLyingIndex", "TestForgedFooter", "TestForgedHead"}},
	{"B13: the clock jumps", []string{"TestBugs_B13_ClockJumps", "TestSeekTimeAgainstModel", "TestSeekEveryTime"}},
	{"B14: rotation holds the writer up", []string{"TestRotationDoesNotWaitForCreation"}},
	{"B15: a short write is taken for a whole one", []string{"TestFaultAtEveryOperation", "TestCrashFullDisk", "../internal/vfs:TestFault"}},
	{"B16: a reader trusts a length", []string{"TestForgedBlockHeaders", "TestDecompressHostile", "FuzzArchive", "FuzzOpenHostile"}},
	{"B17: preallocated space is taken for data, or for a promise of space", []string{"TestBugs_B17_ZerosAtTheEnd", "TestCrash", "TestFullDisk"}},
	{"B18: two writers", []string{"TestOneWriter", "../cmd/logbuf:TestKilled"}},
	{"B19: the system's sync that does not reach the disk", []string{"TestBugs_B19_PlatformSync"}},
	{"B20: the watermark is computed wrongly", []string{"TestBugs_B20_WatermarkIsTight", "TestDurableClaimsAreTrue"}},
}

// The tests that the table names are there.
func TestBugClasses(t *testing.T) {
	sources := make(map[string]string)
	source := func(dir string) string {
		if _, ok := sources[dir]; !ok {
			files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				b, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				sources[dir] += string(b)
			}
		}
		return sources[dir]
	}
	for _, c := range bugClasses {
		for _, name := range c.tests {
			dir, test, ok := strings.Cut(name, ":")
			if !ok {
				dir, test = ".", name
			}
			if src := source(dir); src != "" && !strings.Contains(src, "\nfunc "+test+"(") {
				t.Errorf("%s: there is no %s in %s", c.class, test, dir)
			}
		}
	}
}

// Files that an interrupted rotation, takeover, trim, compression, recovery or backup leaves, with anything in them, disturb nobody.
func TestBugs_B11_LeftoverFiles(t *testing.T) {
	src := newScene(t).write(8).rotate().write(4).close()
	segment := mustRead(t, src.mem, filepath.Join(memDir, src.names[0]))
	for _, name := range []string{
		nextName, takeoverName, failoverName + ".tmp", trimName + ".tmp", src.names[0] + tornExt, src.names[1] + tornExt, src.names[0] + ".tmp", "~" + src.names[0],
		segmentName(99, 1) + ".part", reserveName,
	} {
		for what, b := range map[string][]byte{"empty": nil, "zeros": make([]byte, 5000), "a segment": segment, "half a segment": segment[:4200]} {
			mem := src.mem.Clone()
			mustWrite(t, mem, filepath.Join(memDir, name), b)
			if rep, err := Verify(memDir, &VerifyOptions{FS: mem}); err != nil || rep.Verdict != Clean || rep.NextSeq != 12 {
				t.Errorf("%s, %s: verify: %+v, %v", name, what, rep, err)
			}
			readAll(t, memDir, &ReaderOptions{FS: mem}, 0, 12)
			w, err := Open(memDir, &Options{FS: mem, SegmentSize: minSegmentSize, MaxBlock: minMaxBlock})
			if err != nil || w.NextSeq() != 12 {
				t.Fatalf("%s, %s: open: %v", name, what, err)
			}
			fill(t, w, 8, 2)
			w.forceRotate(t)
			fill(t, w, 2, 2)
			mustClose(t, w)
			readAll(t, memDir, &ReaderOptions{FS: mem}, 0, 22)
		}
	}
}

// Times that jump by years, back and forth, to both ends of what there is: order is by sequence, and a seek by time finds the first record that
// has reached it.
func TestBugs_B13_ClockJumps(t *testing.T) {
	const far = int64(1) << 62
	times := []int64{10, 20, -far, 30, far, 15, -1, 1<<63 - 1, 40, -1 << 63, 41}
	mem := vfs.NewMem()
	w, err := openStepped(memDir, &Options{FS: mem, Sync: SyncNone})
	if err != nil {
		t.Fatal(err)
	}
	for i, at := range times {
		if i == 6 {
			w.forceRotate(t)
		}
		if _, err := w.Append(Record{Time: at, Payload: []byte{byte(i)}}); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, w)
	if rep, err := Verify(memDir, &VerifyOptions{FS: mem}); err != nil || rep.Verdict != Clean || rep.MinTime != -1<<63 || rep.MaxTime != 1<<63-1 {
		t.Errorf("verify: %+v, %v", rep, err)
	}
	for _, from := range append([]int64{1, 11, 21, 31, far + 1}, times...) {
		if from == 0 {
			continue
		}
		want := 0
		for want < len(times) && times[want] < from {
			want++
		}
		r, err := OpenReader(memDir, &ReaderOptions{FS: mem, FromTime: from})
		if err != nil {
			t.Fatal(err)
		}
		for i := want; i < len(times); i++ {
			rec, err := r.Next(t.Context())
			if err != nil || rec.Seq != uint64(i) || rec.Time != times[i] {
				t.Errorf("from %d: %+v, %v; want record %d", from, rec, err, i)
				break
			}
		}
		mustClose(t, r)
	}
}

// Zeros behind the data, as preallocation and file systems that make a file longer before they write to it leave them: they are no data, no
// damage, and in nobody's way.
func TestBugs_B17_ZerosAtTheEnd(t *testing.T) {
	for _, n := range []int{1, 7, 8, 63, 64, 65, 511, 512, 4096, 100000} {
		s := newScene(t).write(6).sync().write(2).die()
		s.edit(0, func(b []byte) []byte { return append(b, make([]byte, n)...) })
		rep, err := Verify(memDir, &VerifyOptions{FS: s.mem})
		if err != nil || rep.Verdict != Torn || rep.NextSeq != 8 || rep.Torn.Bytes != int64(n) {
			t.Errorf("%d zeros: %+v, %v", n, rep, err)
		}
		readAll(t, memDir, &ReaderOptions{FS: s.mem}, 0, 8)
		w := mustOpen(t, memDir, &Options{FS: s.mem})
		if rec := w.Recovered(); rec.NextSeq != 8 || rec.TornBytes != int64(n) {
			t.Errorf("%d zeros: %+v", n, rec)
		}
		mustClose(t, w)
	}
}

// Only where fdatasync reaches the disk is it called: everywhere else a sync of data is os.File.Sync, which is F_FULLFSYNC on darwin and
// FlushFileBuffers on Windows.
func TestBugs_B19_PlatformSync(t *testing.T) {
	files, err := filepath.Glob("../internal/vfs/*.go")
	if err != nil || len(files) == 0 {
		t.Skip("no sources here")
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		base := filepath.Base(f)
		if raw := strings.Contains(string(b), "Fdatasync(") || strings.Contains(string(b), "syscall.Fsync("); raw && base != "file_linux.go" {
			t.Errorf("%s syncs by a call of its own", base)
		}
		if base == "file_other.go" && !strings.Contains(string(b), ".Sync()") {
			t.Errorf("%s does not sync by os.File.Sync", base)
		}
	}
}

// The watermark is not only safe but exact: after a sync, blocks and HEAD say that all that was written before the sync began is durable, to the
// byte, and nothing more.
func TestBugs_B20_WatermarkIsTight(t *testing.T) {
	sim := vfs.NewSim()
	r := newCrashRun(t, sim)
	r.open()
	r.w.stepPrepare()
	promised := func() uint64 {
		h, ok := r.w.a.readHead(r.w.uuid)
		if !ok {
			t.Fatal("no HEAD")
		}
		return h.durablePos
	}
	for i := range 40 {
		r.append(1 + i%3)
		if i%5 == 3 {
			r.rotate()
			r.append(1)
		}
		written := r.w.seg.pos()
		var during uint64
		r.duringSync(func() {
			if i%2 == 0 {
				during = 1
				r.append(1)
			}
		})
		r.w.stepSync()
		sim.InSync(nil)
		r.append(1)
		header := lastHeader(t, r.w)
		if got := promised(); got != written || header.durablePos != written {
			t.Fatalf("round %d, %d written during the sync: HEAD says %d, the next block %d; %d was written", i, during, got, header.durablePos, written)
		}
		r.w.stepSync()
		r.w.stepPrepare()
	}
	r.close()
}

// lastHeader returns the header of the last block of the segment being written.
func lastHeader(t *testing.T, w *Writer) blockHeader {
	t.Helper()
	k := &walker{}
	k.reset(w.seg.file, w.seg.hdr)
	var b, last block
	for {
		bad, err := k.next(w.seg.off, &b)
		if err != nil {
			t.Fatal(err)
		}
		if bad != "" {
			return last.blockHeader
		}
		last = b
	}
}
