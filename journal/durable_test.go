package journal

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// Many waiters, slow syncs: the appends made during one sync share the next.
func TestGroupCommit(t *testing.T) {
	fault := vfs.NewFault(nil)
	w := mustOpen(t, t.TempDir(), &Options{Sync: SyncBatch, FS: fault})
	fault.Slow(20*time.Millisecond, vfs.OpSync)
	before := fault.Count(vfs.OpSync)
	const writers, each = 16, 5
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				seq, err := w.Append(Record{Payload: []byte("x")})
				if err == nil {
					err = w.WaitDurable(t.Context(), seq)
				}
				if err != nil {
					t.Error(err)
				}
				if d := w.DurableSeq(); d <= seq {
					t.Errorf("sequence %d acknowledged, durable only below %d", seq, d)
				}
			}
		})
	}
	wg.Wait()
	if syncs := fault.Count(vfs.OpSync) - before; syncs > writers*each/2 {
		t.Errorf("%d syncs for %d appends: not shared", syncs, writers*each)
	}
	fault.SetHook(nil)
	mustClose(t, w)
}

// Exactly: while one sync is under way, however many append, all of them are made durable by the next one, and nobody is let go before it ends.
func TestGroupCommitIsOneSync(t *testing.T) {
	for _, waiters := range []int{1, 8, 64} {
		fault := vfs.NewFault(vfs.NewMem())
		w := mustOpen(t, memDir, &Options{Sync: SyncBatch, FS: fault})
		for w.sync.preparing() {
			time.Sleep(time.Millisecond) // it syncs, too
		}
		begun, gate := make(chan struct{}), make(chan struct{})
		var syncs atomic.Int32
		fault.InSync(func() {
			syncs.Add(1)
			begun <- struct{}{}
			<-gate
		})
		fill(t, w, 1, 1)
		<-begun // the first record's sync, which says nothing of what comes now
		released := make(chan error, waiters)
		for range waiters {
			seq, err := w.Append(testRecord(w.NextSeq()))
			if err != nil {
				t.Fatal(err)
			}
			go func() { released <- w.WaitDurable(t.Context(), seq) }()
		}
		gate <- struct{}{}
		select {
		case err := <-released:
			t.Fatalf("%d waiters: one was released by a sync that began before its record was written: %v", waiters, err)
		case <-begun:
		}
		if d := w.DurableSeq(); d != 1 {
			t.Errorf("durable below %d, want 1", d)
		}
		gate <- struct{}{}
		for range waiters {
			if err := <-released; err != nil {
				t.Error(err)
			}
		}
		if n := syncs.Load(); n != 2 {
			t.Errorf("%d waiters: %d syncs, want 2", waiters, n)
		}
		fault.InSync(nil)
		mustClose(t, w)
	}
}

func TestSyncNoneSyncsOnlyWhenAsked(t *testing.T) {
	fault := vfs.NewFault(nil)
	w := mustOpen(t, t.TempDir(), &Options{Sync: SyncNone, FS: fault})
	for w.sync.preparing() {
		time.Sleep(time.Millisecond) // until the next segment is prepared, which syncs
	}
	before := fault.Count(vfs.OpSync)
	fill(t, w, 100, 3)
	if n := fault.Count(vfs.OpSync) - before; n != 0 {
		t.Errorf("%d syncs, nobody asked", n)
	}
	if st := w.Stats(); st.LagRecords != 100 || st.LagBytes == 0 || st.Lag <= 0 {
		t.Errorf("lag: %+v", st)
	}
	if err := w.WaitDurable(t.Context(), 99); err != nil {
		t.Fatal(err)
	}
	if n := fault.Count(vfs.OpSync) - before; n != 1 {
		t.Errorf("%d syncs, want 1", n)
	}
	if st := w.Stats(); st.LagRecords != 0 || st.LagBytes != 0 || st.Lag != 0 || st.Syncs != 1 {
		t.Errorf("no lag is left, but: %+v", st)
	}
	mustClose(t, w)
}

// preparing reports, for tests, that the next segment is still being made.
func (s *syncState) preparing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next == nil
}

func TestWaitDurableWaitsForWhatIsNotWritten(t *testing.T) {
	for _, policy := range []Sync{SyncInterval, SyncBatch, SyncNone} {
		t.Run(policy.String(), func(t *testing.T) {
			w := mustOpen(t, t.TempDir(), &Options{Sync: policy, SyncEvery: time.Millisecond})
			done := make(chan error, 1)
			go func() { done <- w.WaitDurable(t.Context(), 4) }()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
			defer cancel()
			if err := w.WaitDurable(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("nothing written: %v", err)
			}
			fill(t, w, 5, 1)
			if err := <-done; err != nil {
				t.Error(err)
			}
			mustClose(t, w)
		})
	}
}

// The first failed sync is the last one on that file, and nothing after it is ever acknowledged, although the disk says later that all is
// well: the pages may have been marked clean.
func TestSyncFailureIsSticky(t *testing.T) {
	for _, policy := range []Sync{SyncInterval, SyncBatch, SyncNone} {
		t.Run(policy.String(), func(t *testing.T) {
			fault := vfs.NewFault(nil)
			dir := t.TempDir()
			w := mustOpen(t, dir, &Options{Sync: policy, FS: fault})
			for w.sync.preparing() {
				time.Sleep(time.Millisecond) // it syncs, too
			}
			fill(t, w, 10, 5)
			if err := w.Sync(t.Context()); err != nil {
				t.Fatal(err)
			}
			var once sync.Once
			fault.SetHook(func(_ int, op vfs.Op) (v vfs.Verdict) {
				if op.Kind == vfs.OpSync && strings.HasSuffix(op.Name, segmentExt) {
					once.Do(func() { v.Err = syscall.EIO })
				}
				return v
			})
			fault.Record()
			fill(t, w, 5, 5)
			err := w.WaitDurable(t.Context(), 14)
			var we *WriteError
			if !errors.As(err, &we) || !errors.Is(err, syscall.EIO) || we.Op != "sync" || we.FirstSeq != 10 || we.LastSeq != 14 {
				t.Fatalf("WaitDurable: %v", err)
			}
			if _, err := w.Append(Record{}); !errors.Is(err, syscall.EIO) {
				t.Errorf("Append after: %v", err)
			}
			if err := w.Sync(t.Context()); !errors.Is(err, syscall.EIO) {
				t.Errorf("Sync after: %v", err)
			}
			if err := w.WaitDurable(t.Context(), 9); err != nil {
				t.Errorf("what was durable before is durable: %v", err)
			}
			if st := w.Stats(); st.DurableSeq != 10 || st.SyncErrors != 1 || st.Err == nil {
				t.Errorf("stats: %+v", st)
			}
			if err := w.Close(); !errors.Is(err, syscall.EIO) {
				t.Errorf("Close after: %v", err)
			}
			syncs := 0
			for _, op := range fault.Ops() {
				if op.Kind == vfs.OpSync {
					syncs++
				}
			}
			if syncs != 1 {
				t.Errorf("%d syncs, the failed one included: it was tried again", syncs)
			}
			w = mustOpen(t, dir, nil) // the lock is free again, and what was durable is there
			if w.NextSeq() < 10 {
				t.Errorf("next sequence %d", w.NextSeq())
			}
			mustClose(t, w)
		})
	}
}

// A full disk: what does not fit is cut off again, what was written before can still be made durable, and the error says which is which.
func TestFullDisk(t *testing.T) {
	mem := vfs.NewMem()
	fault := vfs.NewFault(mem)
	w := mustOpen(t, memDir, &Options{FS: fault, Sync: SyncNone})
	fill(t, w, 10, 5)
	if err := w.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	fill(t, w, 7, 7)
	fault.SetHook(func(_ int, op vfs.Op) vfs.Verdict {
		if op.Kind == vfs.OpWrite && op.Len > headLen {
			return vfs.Verdict{Err: syscall.ENOSPC, Short: 100}
		}
		return vfs.Verdict{}
	})
	_, err := w.AppendFrames(frameBuf(17, 3), 3)
	var we *WriteError
	if !errors.As(err, &we) || !errors.Is(err, syscall.ENOSPC) || we.Op != "write" || we.FirstSeq != 10 || we.LastSeq != 16 || we.Offset <= segmentHeaderLen {
		t.Fatalf("AppendFrames: %v", err)
	}
	crashed := mem.Clone()
	if rep, err := Verify(memDir, &VerifyOptions{FS: crashed}); err != nil || rep.Verdict != Clean || rep.NextSeq != 17 {
		t.Errorf("what is there: %+v, %v", rep, err)
	}
	if err := w.WaitDurable(t.Context(), 16); err != nil {
		t.Errorf("what was written before: %v", err)
	}
	if err := w.WaitDurable(t.Context(), 17); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "no sequence in doubt") {
		t.Errorf("what was not written: %v", err)
	}
	if _, err := w.Append(Record{}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Append after: %v", err)
	}
	if err := w.Close(); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "no sequence in doubt") {
		t.Errorf("Close after: %v", err)
	}
	w = mustOpen(t, memDir, &Options{FS: mem})
	fill(t, w, 3, 3)
	mustClose(t, w)
	readAll(t, memDir, &ReaderOptions{FS: mem}, 0, 20)
}

// The order that durability rests on, as seen by the file system.
func TestOrderOfOperations(t *testing.T) {
	fault := vfs.NewFault(nil)
	fault.Record()
	dir := filepath.Join(t.TempDir(), "a")
	w := mustOpen(t, dir, &Options{FS: fault, Sync: SyncBatch})
	seg, seg2 := segmentName(0, 1), segmentName(5, 1)
	checkOrder(t, fault.Ops(), "open", []string{
		"mkdir a", "syncdir done " + filepath.Base(filepath.Dir(dir)),
		"write next.tmp", "synced next.tmp", "rename " + seg, "syncdir done a",
		"create HEAD", "write HEAD", "synced HEAD", "syncdir done a",
	})
	fill(t, w, 5, 5)
	fault.Record()
	w.forceRotate(t)
	fill(t, w, 5, 5)
	if err := w.WaitDurable(t.Context(), 9); err != nil {
		t.Fatal(err)
	}
	checkOrder(t, fault.Ops(), "rotation", []string{
		"write next.tmp", "write " + seg, "rename " + seg2, "synced " + seg, "write " + seg, "synced " + seg, "synced " + seg2, "syncdir done a", "write HEAD",
	})
	fault.Record()
	mustClose(t, w)
	checkOrder(t, fault.Ops(), "close", []string{
		"write " + seg2, "synced " + seg2, "write " + seg2, "synced " + seg2, "write HEAD", "synced HEAD",
	})
}

// checkOrder checks that the steps are among the operations, in that order.
func checkOrder(t *testing.T, ops []vfs.Op, what string, steps []string) {
	t.Helper()
	var got []string
	left := steps
	for _, op := range ops {
		s := string(op.Kind) + " " + op.Name
		got = append(got, s)
		if len(left) > 0 && s == left[0] {
			left = left[1:]
		}
	}
	if len(left) > 0 {
		t.Errorf("%s: %q is missing, or out of order, in:\n%s", what, left[0], strings.Join(got, "\n"))
	}
}

// Whatever position HEAD or a block header calls durable has been written and then synced, in a file whose name has been synced, and so has
// all before it.
func TestDurableClaimsAreTrue(t *testing.T) {
	for _, policy := range []Sync{SyncInterval, SyncBatch, SyncNone} {
		t.Run(policy.String(), func(t *testing.T) {
			fault := vfs.NewFault(vfs.NewMem())
			fault.Record()
			w := mustOpen(t, memDir, &Options{FS: fault, Sync: policy, SyncEvery: time.Millisecond, SegmentSize: minSegmentSize, MaxBlock: minMaxBlock})
			fault.Slow(300*time.Microsecond, vfs.OpSync, vfs.OpSyncDir) // so that appends and rotations fall into syncs
			for i := range 400 {
				fill(t, w, 20, 10)
				if i%50 == 0 {
					if err := w.WaitDurable(t.Context(), w.NextSeq()-1); err != nil {
						t.Fatal(err)
					}
				}
			}
			mustClose(t, w)
			if segments := w.Stats().Segments; segments < 3 {
				t.Errorf("%d segments: says little", segments)
			}
			checkClaims(t, fault.Ops())
		})
	}
}

// claimFile is what the operations so far say about a file.
type claimFile struct {
	base                   uint64
	written, begun, synced int64 // ends of: the writes; those when a sync began; those when one succeeded
	renamed, named         bool
}

func checkClaims(t *testing.T, ops []vfs.Op) {
	files := make(map[string]*claimFile)
	var order []*claimFile
	claims := 0
	for i, op := range ops {
		f := files[op.Name]
		switch op.Kind {
		case vfs.OpCreate:
			files[op.Name] = &claimFile{}
		case vfs.OpRename:
			f = files[op.Old]
			files[op.Name], f.renamed = f, true
			order = append(order, f)
		case vfs.OpWrite:
			if op.Name == headName {
				claims++
				checkClaim(t, i, order, le.Uint64([]byte(op.Data)[32:]))
				continue
			}
			if op.Off == 0 {
				f.base = le.Uint64([]byte(op.Data)[56:])
			}
			if strings.HasPrefix(op.Data, "LBB1") {
				claims++
				checkClaim(t, i, order, le.Uint64([]byte(op.Data)[32:]))
			}
			f.written = max(f.written, op.Off+int64(op.Len))
		case vfs.OpSync:
			if f != nil {
				f.begun = f.written
			}
		case vfs.OpSynced:
			if f != nil {
				f.synced = f.begun
			}
		case vfs.OpDirSync:
			for _, f := range order {
				f.named = f.named || f.renamed
			}
		}
	}
	if claims < 100 {
		t.Errorf("%d claims: says little", claims)
	}
}

func checkClaim(t *testing.T, i int, order []*claimFile, pos uint64) {
	t.Helper()
	for k, f := range order {
		end := f.base + uint64(f.synced)
		if k+1 < len(order) {
			end = min(end, order[k+1].base) // behind it is the footer
		}
		if pos <= f.base {
			return
		}
		if pos <= end && f.named {
			return
		}
		if k+1 == len(order) || end < order[k+1].base {
			t.Fatalf("operation %d calls position %d durable; file %d of %d is synced to %d, named %v", i, pos, k, len(order), end, f.named)
		}
	}
}

// gatedFS does not create a next segment before its gate is open.
type gatedFS struct {
	vfs.FS
	gate chan struct{}
}

func (g *gatedFS) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	if flag&os.O_CREATE != 0 && filepath.Base(name) == nextName {
		<-g.gate
	}
	return g.FS.OpenFile(name, flag, perm)
}

// Creating a file may take for ever: appends go on in the segment there is, up to twice its size, and only then wait.
func TestRotationDoesNotWaitForCreation(t *testing.T) {
	sys := &gatedFS{FS: vfs.NewMem(), gate: make(chan struct{}, 1)}
	sys.gate <- struct{}{} // the first segment
	w := mustOpen(t, memDir, &Options{FS: sys, SegmentSize: minSegmentSize, MaxBlock: minMaxBlock})
	for w.Stats().SegmentSize < 2*minSegmentSize-minMaxBlock {
		fill(t, w, 10, 10) // would hang here
	}
	if st := w.Stats(); st.Segments != 1 {
		t.Fatalf("%+v", st)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for w.Stats().Segments < 2 {
			if _, err := w.AppendFrames(frameBuf(w.NextSeq(), 10), 10); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	select {
	case <-done:
		t.Error("rotated without a next segment")
	case <-time.After(20 * time.Millisecond): // too short a wait can only miss the failure
	}
	if size := w.Stats().SegmentSize; size > 2*minSegmentSize {
		t.Errorf("segment has %d bytes, more than twice its size", size)
	}
	close(sys.gate)
	<-done
	n := w.NextSeq()
	mustClose(t, w)
	readAll(t, memDir, &ReaderOptions{FS: sys.FS}, 0, n)
}

func TestOneWriter(t *testing.T) {
	dir := t.TempDir()
	w := mustOpen(t, dir, nil)
	if _, err := Open(dir, nil); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Errorf("second writer: %v", err)
	}
	mustClose(t, w)
	w = mustOpen(t, dir, nil)
	mustClose(t, w)
}

func TestOpenBadDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file, nil); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a file as directory: %v", err)
	}
	if _, err := OpenReader(file, nil); !errors.Is(err, ErrNotArchive) {
		t.Errorf("reading a file as directory: %v", err)
	}
	for _, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), "none")} {
		if _, err := OpenReader(dir, nil); !errors.Is(err, ErrNotArchive) {
			t.Errorf("reading %s: %v", dir, err)
		}
		if _, err := Verify(dir, nil); !errors.Is(err, ErrNotArchive) {
			t.Errorf("verifying %s: %v", dir, err)
		}
	}
}

func TestOpenReadOnlyDirectory(t *testing.T) {
	if os.Getuid() == 0 || runtime.GOOS == "windows" {
		t.Skip("permissions do not bind here")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, nil); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("a directory that is not writable: %v", err)
	}
}

func TestClosed(t *testing.T) {
	w := mustOpen(t, t.TempDir(), nil)
	fill(t, w, 3, 3)
	mustClose(t, w)
	_, appendErr := w.Append(Record{})
	_, framesErr := w.AppendFrames(nil, 0)
	_, streamErr := w.DefineStream("x")
	for name, err := range map[string]error{
		"Append": appendErr, "AppendFrames": framesErr, "DefineStream": streamErr, "AppendLoss": w.AppendLoss(Loss{}),
		"WaitDurable of what was never written": w.WaitDurable(t.Context(), 3), "Sync": w.Sync(t.Context()), "Close": w.Close(),
	} {
		if !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
	if err := w.WaitDurable(t.Context(), 2); err != nil {
		t.Errorf("WaitDurable of what is durable, after Close: %v", err)
	}
	if st := w.Stats(); st.NextSeq != 3 || st.DurableSeq != 3 {
		t.Errorf("stats after Close: %+v", st)
	}
}

// A writer that fails and is closed still says what had become durable before.
func TestWaitDurableAfterFailureAndClose(t *testing.T) {
	fault := vfs.NewFault(nil)
	w := mustOpen(t, t.TempDir(), &Options{Sync: SyncNone, FS: fault})
	fill(t, w, 3, 3)
	if err := w.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	fill(t, w, 1, 3)
	fault.SetHook(func(_ int, op vfs.Op) (v vfs.Verdict) {
		if op.Kind == vfs.OpSync {
			v.Err = syscall.EIO
		}
		return v
	})
	if err := w.Close(); err == nil {
		t.Error("Close says nothing of the sync that failed")
	}
	if err := w.WaitDurable(t.Context(), 2); err != nil {
		t.Errorf("of what is durable: %v", err)
	}
	if err := w.WaitDurable(t.Context(), 3); !errors.Is(err, syscall.EIO) {
		t.Errorf("of what is not: %v", err)
	}
}
