package journal

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// fillUp appends until the disk is full and returns the error.
func fillUp(t *testing.T, w *Writer) *WriteError {
	t.Helper()
	for {
		n := w.NextSeq()
		_, err := w.AppendFrames(frameBuf(n, 10), 10)
		var we *WriteError
		if errors.As(err, &we) {
			if !we.Full || !errors.Is(err, syscall.ENOSPC) || we.File == "" {
				t.Fatalf("full, but: %v", err)
			}
			if w.NextSeq() != n {
				t.Fatalf("%d records of a block that was not written", w.NextSeq()-n)
			}
			return we
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// A full disk breaks nothing: what was written becomes durable and can be read, what did not fit leaves no trace, and when there is room again
// the writer goes on as if nothing had been. The limit goes through every place of a rotation.
func TestFullDiskAndRoomAgain(t *testing.T) {
	step := int64(136)
	if raceEnabled {
		step *= 11
	}
	for _, policy := range []Sync{SyncBatch, SyncNone} {
		for limit := int64(3*minSegmentSize/2 - 2000); limit < 3*minSegmentSize/2+12000; limit += step {
			mem := vfs.NewMem()
			w, err := openStepped(memDir, &Options{FS: mem, Sync: policy, SegmentSize: minSegmentSize, MaxBlock: minMaxBlock})
			if err != nil {
				t.Fatal(err)
			}
			w.stepPrepare()
			mem.SetLimit(limit)
			we := fillUp(t, w)
			next := w.NextSeq()
			if st := w.Stats(); st.Err != nil || st.Full == nil || st.FullSince.IsZero() || st.FullTimes == 0 {
				t.Fatalf("limit %d: %+v", limit, st)
			}
			if err := w.WaitDurable(t.Context(), next-1); err != nil {
				t.Fatalf("limit %d, full at %v: what is written: %v", limit, we, err)
			}
			if err := w.WaitDurable(t.Context(), next); !errors.As(err, &we) || !we.Full || we.LastSeq+1 != we.FirstSeq {
				t.Fatalf("limit %d: what is not: %v", limit, err)
			}
			if rep, err := Verify(memDir, &VerifyOptions{FS: mem.Clone()}); err != nil || rep.Verdict != Clean || rep.NextSeq != next {
				t.Fatalf("limit %d, full at %v: %+v, %v", limit, we, rep, err)
			}
			fillUp(t, w) // again
			mem.SetLimit(0)
			for w.NextSeq() < next+1000 {
				fill(t, w, 50, 10)
			}
			if st := w.Stats(); st.Full != nil || !st.FullSince.IsZero() || st.FullTimes < 2 {
				t.Fatalf("limit %d: room again: %+v", limit, st)
			}
			n := w.NextSeq()
			mustClose(t, w)
			readAll(t, memDir, &ReaderOptions{FS: mem}, 0, n)
			if rep, err := Verify(memDir, &VerifyOptions{FS: mem}); err != nil || rep.Verdict != Clean || !rep.Sealed {
				t.Fatalf("limit %d: %+v, %v", limit, rep, err)
			}
		}
	}
}

// Close on a full disk says so; all that was written is durable, and the next open has it.
func TestFullDiskAtClose(t *testing.T) {
	for _, reserve := range []int64{0, minReserve} {
		mem := vfs.NewMem()
		w := mustOpen(t, memDir, &Options{FS: mem, Sync: SyncNone, Reserve: reserve})
		mem.SetLimit(mem.Used() + 20000)
		fillUp(t, w)
		mem.SetLimit(max(1, mem.Used()-reserve/2)) // not a byte, even if some is given back
		next := w.NextSeq()
		err := w.Close()
		var we *WriteError
		if !errors.As(err, &we) || !we.Full || we.LastSeq+1 != we.FirstSeq {
			t.Errorf("Close: %v", err)
		}
		if err := w.WaitDurable(t.Context(), next-1); err != nil {
			t.Errorf("after Close: %v", err)
		}
		mem.SetLimit(0)
		w = mustOpen(t, memDir, &Options{FS: mem})
		if w.NextSeq() != next || w.Recovered().Verdict != Clean || !w.Recovered().Unclean {
			t.Errorf("next %d, want %d: %+v", w.NextSeq(), next, w.Recovered())
		}
		mustClose(t, w)
	}
}

// The reserve is given back when the disk is full, but for what sealing takes; it comes back when there is room, and goes with Close.
func TestReserve(t *testing.T) {
	mem := vfs.NewMem()
	w, err := openStepped(memDir, &Options{FS: mem, Sync: SyncNone, Reserve: minReserve, SegmentSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	w.stepPrepare()
	mem.SetLimit(mem.Used() + 30000)
	for w.Stats().Reserve == minReserve {
		fill(t, w, 10, 10)
	}
	if r := w.Stats().Reserve; r != sealReserve {
		t.Errorf("reserve is %d", r)
	}
	fillUp(t, w)
	if used := w.Stats().Bytes; used < minReserve-sealReserve {
		t.Errorf("full after %d bytes: where is the reserve?", used)
	}
	full := mem.Clone()
	mem.SetLimit(1 << 30)
	segments := w.Stats().Segments
	for w.Stats().Segments == segments {
		fill(t, w, 100, 100)
	}
	w.stepSync()
	w.stepPrepare()
	if r := w.Stats().Reserve; r != minReserve {
		t.Errorf("reserve is %d after a rotation with room", r)
	}
	mustClose(t, w)
	if _, err := mem.Stat(filepath.Join(memDir, reserveName)); err == nil || w.Stats().Reserve != 0 {
		t.Error("a closed archive has a reserve")
	}
	if rep, err := Verify(memDir, &VerifyOptions{FS: full}); err != nil || rep.Verdict != Clean || len(rep.Foreign) > 0 {
		t.Errorf("%+v, %v", rep, err)
	}
}

// With a reserve an archive can be closed in good order on a disk without a byte of room.
func TestReserveSealsAtClose(t *testing.T) {
	mem := vfs.NewMem()
	w := mustOpen(t, memDir, &Options{FS: mem, Sync: SyncNone, Reserve: minReserve})
	mem.SetLimit(mem.Used())
	fillUp(t, w)
	n := w.NextSeq()
	mustClose(t, w)
	if rep, err := Verify(memDir, &VerifyOptions{FS: mem}); err != nil || rep.Verdict != Clean || !rep.Sealed || rep.NextSeq != n {
		t.Errorf("%+v, %v", rep, err)
	}
}

// A disk too full for the reserve at Open is no reason not to record.
func TestReserveDoesNotFit(t *testing.T) {
	mem := vfs.NewMem()
	mem.SetLimit(200 << 10)
	w := mustOpen(t, memDir, &Options{FS: mem, Reserve: minReserve})
	if r := w.Stats().Reserve; r != 0 || mem.Used() > 20000 {
		t.Errorf("reserve %d, used %d", r, mem.Used())
	}
	fill(t, w, 10, 10)
	mustClose(t, w)
}

// With Retention.OnFull a full disk costs the oldest segments and stops nobody.
func TestFullDiskDropsTheOldest(t *testing.T) {
	mem := vfs.NewMem()
	w, err := openStepped(memDir, &Options{
		FS: mem, Sync: SyncNone, SegmentSize: minSegmentSize, MaxBlock: minMaxBlock, Retention: Retention{OnFull: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.keepOnce(); err != nil {
		t.Fatal(err)
	}
	mem.SetLimit(6 * minSegmentSize)
	for w.Stats().Segments < 20 {
		fill(t, w, 10, 10)
		w.stepPrepare()
	}
	st := w.Stats()
	if st.Trimmed < 10 || st.FullTimes != 0 {
		t.Errorf("%+v", st)
	}
	n := w.NextSeq()
	mustClose(t, w)
	rep, err := Verify(memDir, &VerifyOptions{FS: mem})
	if err != nil || rep.Verdict != Clean || rep.NextSeq != n || rep.FirstSeq == 0 {
		t.Errorf("%+v, %v", rep, err)
	}
}

// A disk that is so full that not even what rotation left behind can be sealed, which takes one that does not overwrite in place: nobody hangs,
// and everything goes on when there is room.
func TestFullDiskCannotSeal(t *testing.T) {
	mem := vfs.NewMem()
	fault := vfs.NewFault(mem)
	w := mustOpen(t, memDir, &Options{FS: fault, Sync: SyncBatch, SegmentSize: minSegmentSize, MaxBlock: minMaxBlock})
	footer := func(op vfs.Op) bool { // index and trailer are one write, and the only one that is not of a block or of a header
		return onSegment(vfs.OpWrite)(op) && !strings.HasPrefix(op.Data, "LBB1")
	}
	fault.FailOp(footer, syscall.ENOSPC, 10, -1)
	for w.Stats().Segments < 2 {
		fill(t, w, 10, 10)
	}
	next := w.NextSeq()
	var we *WriteError
	for {
		err := w.WaitDurable(t.Context(), next-1)
		if errors.As(err, &we) && we.Full {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		fill(t, w, 10, 10) // it was in the old segment; this one is not
		next = w.NextSeq()
	}
	if st := w.Stats(); st.Full == nil || st.Err != nil || st.DurableSeq == 0 {
		t.Errorf("%+v", st)
	}
	fault.SetHook(nil)
	for errors.As(w.WaitDurable(t.Context(), next-1), &we) {
		time.Sleep(time.Millisecond) // it says so until the syncer has tried again
	}
	fill(t, w, 1000, 10)
	n := w.NextSeq()
	mustClose(t, w)
	readAll(t, memDir, &ReaderOptions{FS: mem}, 0, n)
	if !slices.IsSorted(segmentNames(t, mem)) || w.Stats().Full != nil {
		t.Errorf("%+v", w.Stats())
	}
}

// A directory without room for one more name: the rotation is undone, byte by byte, and the next append tries again.
func TestFullDiskAtRename(t *testing.T) {
	mem := vfs.NewMem()
	fault := vfs.NewFault(mem)
	w, err := openStepped(memDir, &Options{FS: fault, Sync: SyncNone, SegmentSize: minSegmentSize, MaxBlock: minMaxBlock})
	if err != nil {
		t.Fatal(err)
	}
	w.stepPrepare()
	fault.FailOp(rename, syscall.ENOSPC, 0, 3)
	for range 3 {
		_ = fillUp(t, w)
		st := w.Stats()
		fi, err := mem.Stat(filepath.Join(memDir, st.SegmentFile))
		if err != nil || fi.Size() != st.SegmentSize {
			t.Errorf("%d bytes in the file, %d of them are known; %v", fi.Size(), st.SegmentSize, err)
		}
		if rep, err := Verify(memDir, &VerifyOptions{FS: mem.Clone()}); err != nil || rep.Verdict != Clean || rep.NextSeq != st.NextSeq {
			t.Errorf("%+v, %v", rep, err)
		}
	}
	fill(t, w, 100, 10)
	if st := w.Stats(); st.Segments != 2 || st.Full != nil {
		t.Errorf("%+v", st)
	}
	n := w.NextSeq()
	mustClose(t, w)
	readAll(t, memDir, &ReaderOptions{FS: mem}, 0, n)
}
