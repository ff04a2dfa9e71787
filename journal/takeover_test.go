package journal

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// Which operations fail.
func onSegment(kind vfs.OpKind) func(vfs.Op) bool {
	return func(op vfs.Op) bool { return op.Kind == kind && strings.HasSuffix(op.Name, segmentExt) }
}

func onFile(kind vfs.OpKind, name string) func(vfs.Op) bool {
	return func(op vfs.Op) bool { return op.Kind == kind && op.Name == name }
}

func rename(op vfs.Op) bool { return op.Kind == vfs.OpRename }

// diskFailures are failures, each of one operation, that cost the file that is being written.
var diskFailures = []struct {
	name  string
	match func(vfs.Op) bool
	err   error
	short int
}{
	{"sync", onSegment(vfs.OpSync), syscall.EIO, 0},
	{"sync, full", onSegment(vfs.OpSync), syscall.ENOSPC, 0}, // late allocation: the data is gone all the same
	{"write", onSegment(vfs.OpWrite), syscall.EIO, 0},
	{"short write", onSegment(vfs.OpWrite), syscall.EIO, 100},
	{"read-only", onSegment(vfs.OpWrite), syscall.EROFS, 0},
	{"HEAD", onFile(vfs.OpWrite, headName), syscall.EIO, 10},
	{"rename at rotation", rename, syscall.EIO, 0},
	{"header at rotation", func(op vfs.Op) bool {
		return op.Kind == vfs.OpWrite && op.Name == nextName && strings.HasPrefix(op.Data, string(segmentMagic[:]))
	}, syscall.EIO, 50},
	{"sync of the directory at rotation", func(op vfs.Op) bool { return op.Kind == vfs.OpSyncDir }, syscall.EIO, 0},
	{"create for ever", onFile(vfs.OpCreate, nextName), syscall.EROFS, 0},
}

// takeoverOptions make rotations and small blocks.
func takeoverOptions(fs vfs.FS) *Options {
	return &Options{FS: fs, Sync: SyncBatch, SegmentSize: minSegmentSize, MaxBlock: minMaxBlock, Retain: 64 << 10}
}

// feed appends until n records are written and waits for every tenth batch to be durable.
func feed(t *testing.T, w *Writer, n uint64) {
	t.Helper()
	for i := 0; w.NextSeq() < n; i++ {
		fill(t, w, 10, 10)
		if i%10 == 9 {
			if err := w.WaitDurable(t.Context(), w.NextSeq()-1); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// With Retain one failure of any sort is got over: no caller hears of it, all records are there, with the same sequences, and the file that
// has failed is never written or synced again.
func TestTakeover(t *testing.T) {
	for _, f := range diskFailures {
		for _, after := range []int{0, 1, 2, 5, 30} {
			t.Run(f.name, func(t *testing.T) {
				mem := vfs.NewMem()
				fault := vfs.NewFault(mem)
				opts := takeoverOptions(fault)
				if after%2 == 1 { // so that appends wait for syncs, also right behind a takeover
					opts.Retain = minMaxBlock + blockHeaderLen
				}
				w := mustOpen(t, memDir, opts)
				if _, err := w.DefineStream("a"); err != nil {
					t.Fatal(err)
				}
				feed(t, w, 300)
				var victim string
				skip := after
				times := 1
				if strings.Contains(f.name, "for ever") {
					times = -1
				}
				fault.FailOp(func(op vfs.Op) bool {
					if !f.match(op) || times == 0 {
						return false
					}
					if skip--; skip >= 0 {
						return false
					}
					times--
					victim = op.Name
					return true
				}, f.err, f.short, -1)
				fault.Record()
				for w.Stats().Takeovers == 0 {
					feed(t, w, w.NextSeq()+100)
					if _, err := w.DefineStream("b"); err != nil {
						t.Fatal(err)
					}
					if w.NextSeq() > 100000 {
						t.Fatal("no takeover")
					}
				}
				feed(t, w, w.NextSeq()+300)
				n := w.NextSeq()
				st := w.Stats()
				if st.Err != nil || st.Epoch < 2 || st.DurableSeq != n || st.LagBytes != 0 {
					t.Errorf("%+v", st)
				}
				mustClose(t, w)
				if strings.HasSuffix(victim, segmentExt) && f.match(vfs.Op{Kind: vfs.OpSync, Name: victim}) || strings.Contains(f.name, "write") {
					checkUntouched(t, fault.Ops(), victim)
				}
				checkTakenOver(t, mem, n)
			})
		}
	}
}

// checkUntouched checks that a file was neither written nor synced after its failure, which is the last operation on it.
func checkUntouched(t *testing.T, ops []vfs.Op, victim string) {
	t.Helper()
	last := 0
	for i, op := range ops {
		if op.Name == victim && (op.Kind == vfs.OpWrite || op.Kind == vfs.OpSync || op.Kind == vfs.OpTruncate) {
			last = i
		}
	}
	for _, op := range ops[last+1:] {
		if op.Name == takeoverName {
			return // it was given up before the takeover began
		}
	}
	t.Errorf("%s was still used when its successor was being made", victim)
}

// checkTakenOver checks that an archive has exactly n records, twice: as it is, and after another open.
func checkTakenOver(t *testing.T, mem *vfs.Mem, n uint64) {
	t.Helper()
	for range 2 {
		readAll(t, memDir, &ReaderOptions{FS: mem}, 0, n)
		readAll(t, memDir, &ReaderOptions{FS: mem, FromSeq: n / 2}, n/2, n)
		rep, err := Verify(memDir, &VerifyOptions{FS: mem})
		if err != nil || rep.Verdict != Clean || rep.Records != n {
			t.Fatalf("%+v, %v, want %d records", rep, err, n)
		}
		infos, err := Segments(memDir, &ReaderOptions{FS: mem})
		if err != nil {
			t.Fatal(err)
		}
		for i, info := range infos {
			if info.Records != info.NextSeq-info.FirstSeq || i > 0 && info.FirstSeq != infos[i-1].NextSeq {
				t.Errorf("segments: %+v", infos)
			}
		}
		w := mustOpen(t, memDir, &Options{FS: mem})
		if w.NextSeq() != n || w.Recovered().Verdict != Clean {
			t.Fatalf("next sequence %d, want %d; %+v", w.NextSeq(), n, w.Recovered())
		}
		mustClose(t, w)
	}
}

// Those who wait are released by the new file's sync, and not before.
func TestTakeoverReleasesWaiters(t *testing.T) {
	fault := vfs.NewFault(vfs.NewMem())
	opts := takeoverOptions(fault)
	opts.Sync = SyncNone
	w := mustOpen(t, memDir, opts)
	fill(t, w, 20, 10)
	var mu sync.Mutex
	var order []string
	fault.SetHook(func(_ int, op vfs.Op) (v vfs.Verdict) {
		if op.Kind == vfs.OpSync && (op.Name == takeoverName || strings.HasSuffix(op.Name, segmentExt)) {
			if !slices.Contains(order, "segment") {
				order, v.Err = append(order, "segment"), syscall.EIO
				return v
			}
			v.Delay = 20 * time.Millisecond // a waiter that is not held up would come first
			mu.Lock()
			defer mu.Unlock()
			order = append(order, op.Name)
		}
		return v
	})
	var wg sync.WaitGroup
	for seq := range uint64(20) {
		wg.Go(func() {
			if err := w.WaitDurable(t.Context(), seq); err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			order = append(order, "waiter")
		})
	}
	wg.Wait()
	if i, j := slices.Index(order, takeoverName), slices.Index(order, "waiter"); i < 0 || j < i {
		t.Errorf("order: %v", order)
	}
	mustClose(t, w)
}

// inDir says that an operation is in a directory, or is one of the directory itself.
func inDir(op vfs.Op, dir string) bool { return filepath.Dir(op.Path) == dir || op.Path == dir }

// A disk that is gone for good: the segment that takes over is in Options.Failover, and both directories are one archive afterwards.
func TestFailover(t *testing.T) {
	for _, err := range []error{syscall.EIO, syscall.EROFS, syscall.ENOSPC} {
		t.Run(err.Error(), func(t *testing.T) {
			mem := vfs.NewMem()
			fault := vfs.NewFault(mem)
			opts := takeoverOptions(fault)
			opts.Failover = filepath.Join(t.TempDir(), "b")
			w := mustOpen(t, memDir, opts)
			feed(t, w, 500)
			fault.SetHook(func(_ int, op vfs.Op) (v vfs.Verdict) {
				if inDir(op, memDir) && (err != syscall.ENOSPC || op.Kind != vfs.OpWrite || op.Name == takeoverName) { //nolint:errorlint // one of three
					v.Err = err
				}
				return v
			})
			feed(t, w, 3000) // over rotations
			st := w.Stats()
			if st.Err != nil || st.Takeovers == 0 || filepath.Dir(st.SegmentFile) != opts.Failover {
				t.Fatalf("%+v", st)
			}
			n := w.NextSeq()
			mustClose(t, w)
			fault.SetHook(nil)
			checkTakenOver(t, mem, n)
			w = mustOpen(t, memDir, opts) // and on it goes, in its own directory
			feed(t, w, n+100)
			if f := w.Stats().SegmentFile; filepath.Base(f) != f {
				t.Errorf("writes to %s", f)
			}
			mustClose(t, w)
			checkTakenOver(t, mem, n+100)
		})
	}
}

// When there is nowhere to go the error is final, names what is in doubt, and everybody gets it.
func TestTakeoverFails(t *testing.T) {
	mem := vfs.NewMem()
	fault := vfs.NewFault(mem)
	opts := takeoverOptions(fault)
	opts.Sync, opts.Failover = SyncNone, filepath.Join(t.TempDir(), "b")
	w := mustOpen(t, memDir, opts)
	fill(t, w, 30, 10)
	if err := w.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	fill(t, w, 12, 3)
	fault.FailOp(func(op vfs.Op) bool { return op.Kind == vfs.OpSync }, syscall.EIO, 0, -1)
	var we *WriteError
	err := w.WaitDurable(t.Context(), 41)
	if !errors.As(err, &we) || !errors.Is(err, syscall.EIO) || we.Op != "sync" || we.FirstSeq != 30 || we.LastSeq != 41 || we.Full ||
		filepath.Base(we.File) != segmentName(0, 1) || !strings.Contains(err.Error(), opts.Failover) {
		t.Fatal(err)
	}
	if _, err := w.Append(Record{}); !errors.As(err, &we) {
		t.Error(err)
	}
	if err := w.WaitDurable(t.Context(), 29); err != nil {
		t.Error(err)
	}
	if st := w.Stats(); st.Err == nil || st.DurableSeq != 30 || st.Takeovers != 0 {
		t.Errorf("%+v", st)
	}
	if err := w.Close(); !errors.As(err, &we) || we.FirstSeq != 30 || we.LastSeq != 41 {
		t.Error(err)
	}
	fault.SetHook(nil)
	w = mustOpen(t, memDir, &Options{FS: mem})
	if w.NextSeq() < 30 {
		t.Errorf("next sequence %d", w.NextSeq())
	}
	mustClose(t, w)
}

// A disk that fails every sync of what is appended, though not those of takeovers, is given up in the end.
func TestTakeoversEnd(t *testing.T) {
	fault := vfs.NewFault(vfs.NewMem())
	w := mustOpen(t, memDir, takeoverOptions(fault))
	fault.FailOp(onSegment(vfs.OpWrite), syscall.EIO, 0, -1)
	_, err := w.Append(testRecord(0))
	if !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	if err := w.Close(); !errors.Is(err, syscall.EIO) {
		t.Error(err)
	}
}

// An append waits for a sync when more than Retain would be undurable: memory is bounded, whatever the policy.
func TestRetainIsABound(t *testing.T) {
	for _, policy := range []Sync{SyncInterval, SyncBatch, SyncNone} {
		t.Run(policy.String(), func(t *testing.T) {
			fault := vfs.NewFault(vfs.NewMem())
			opts := takeoverOptions(fault)
			opts.Sync, opts.SyncEvery, opts.Retain = policy, time.Hour, 2*minMaxBlock
			w := mustOpen(t, memDir, opts)
			for range 200 {
				fill(t, w, 100, 100) // several blocks at once
				if st := w.Stats(); st.Retained > opts.Retain {
					t.Fatalf("%d bytes retained", st.Retained)
				}
			}
			if st := w.Stats(); st.DurableSeq < st.NextSeq-100 {
				t.Errorf("%+v", st)
			}
			mustClose(t, w)
			readAll(t, memDir, &ReaderOptions{FS: fault}, 0, 20000)
		})
	}
}

// retained against a model: what was added and not released comes out again.
func TestRetainedModel(t *testing.T) {
	rng := testRand(1)
	for range 200 {
		var r retained
		r.begin(int64(64+rng.IntN(400)), nil)
		var want [][]byte
		pos, released := uint64(0), 0
		for i := range 300 {
			n := 1 + rng.IntN(60)
			if at := r.place(n); at >= 0 {
				b := make([]byte, n)
				for j := range b {
					b[j] = byte(i + j)
				}
				copy(r.buf[at:at+n], b)
				pos++
				r.blocks = append(r.blocks, retainedBlock{end: pos, at: at, n: n, info: frameInfo{}})
				r.held.Add(int64(n))
				want = append(want, b)
			} else if len(r.live()) == 0 {
				t.Fatalf("%d bytes do not fit %d", n, len(r.buf))
			}
			if rng.IntN(3) == 0 && released < len(want) {
				released += 1 + rng.IntN(len(want)-released)
				r.release(uint64(released))
			}
			live, held := r.live(), 0
			if len(live) != len(want)-released {
				t.Fatalf("%d blocks, want %d", len(live), len(want)-released)
			}
			for k := range live {
				held += live[k].n
				if !slices.Equal(r.frames(&live[k]), want[released+k]) {
					t.Fatalf("block %d was overwritten", released+k)
				}
			}
			if int64(held) != r.held.Load() {
				t.Fatalf("held %d, want %d", r.held.Load(), held)
			}
		}
	}
}

func TestTakeoverOptions(t *testing.T) {
	other := filepath.Join(t.TempDir(), "other")
	mem := vfs.NewMem()
	mustClose(t, mustOpen(t, other, &Options{FS: mem}))
	for name, o := range map[string]Options{
		"Retain below a block":     {Retain: 100},
		"Retain too large":         {Retain: maxRetain + 1},
		"Retain negative":          {Retain: -1},
		"Failover without Retain":  {Failover: "/x"},
		"Failover is the archive":  {Retain: 2 << 20, Failover: memDir},
		"Failover another archive": {Retain: 2 << 20, Failover: other},
		"Reserve small":            {Reserve: 1},
		"Reserve large":            {Reserve: 1 << 40},
	} {
		o.FS = mem
		if _, err := Open(memDir, &o); err == nil || !strings.Contains(err.Error(), "Options.") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The Close of a writer takes over, too.
func TestTakeoverInClose(t *testing.T) {
	mem := vfs.NewMem()
	fault := vfs.NewFault(mem)
	opts := takeoverOptions(fault)
	opts.Sync = SyncNone
	w := mustOpen(t, memDir, opts)
	fill(t, w, 40, 10)
	fault.FailOp(onSegment(vfs.OpSync), syscall.EIO, 0, 1)
	mustClose(t, w)
	if st := w.Stats(); st.Takeovers != 1 || st.DurableSeq != 40 {
		t.Errorf("%+v", st)
	}
	rep, err := Verify(memDir, &VerifyOptions{FS: mem})
	if err != nil || !rep.Sealed {
		t.Errorf("%+v, %v", rep, err)
	}
	checkTakenOver(t, mem, 40)
}

// A file that was removed under the writer can still be written and synced, and nobody will ever find it: that is a failure.
func TestFileRemovedUnderTheWriter(t *testing.T) {
	for _, retain := range []int64{0, 64 << 10} {
		mem := vfs.NewMem()
		opts := takeoverOptions(mem)
		opts.Retain, opts.Sync = retain, SyncNone
		w := mustOpen(t, memDir, opts)
		fill(t, w, 10, 10)
		if err := w.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		fill(t, w, 10, 10)
		mustRemove(t, mem, segmentName(0, 1))
		err := w.Sync(context.Background())
		if retain == 0 {
			if !errors.Is(err, errGone) {
				t.Errorf("Sync: %v", err)
			}
			if err := w.Close(); !errors.Is(err, errGone) {
				t.Errorf("Close: %v", err)
			}
			continue
		}
		if err != nil || w.DurableSeq() != 20 {
			t.Errorf("Sync: %v; durable %d", err, w.DurableSeq())
		}
		mustClose(t, w)
		if rep, err := Verify(memDir, &VerifyOptions{FS: mem}); err != nil || rep.FirstSeq != 10 || rep.Records != 10 {
			t.Errorf("what was not durable in the file that was removed is there: %+v, %v", rep, err)
		}
	}
}
