package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// The proof that no single operation can fail in a way that breaks a promise: a scripted run, in which the k-th operation fails, for every k
// and every error. In each: every call returns, nothing panics, every error says what failed and what is in doubt, what was acknowledged is
// there afterwards, and the archive opens.

// faultKinds are the ways to fail.
var faultKinds = []struct {
	name  string
	err   error
	short int
	once  bool
}{
	{"EIO for ever", syscall.EIO, 0, false},
	{"EIO once", syscall.EIO, 0, true},
	{"EIO once, short", syscall.EIO, 100, true},
	{"full for ever", syscall.ENOSPC, 40, false},
	{"full once", syscall.ENOSPC, 0, true},
	{"full once, short", syscall.ENOSPC, 100, true},
	{"read-only for ever", syscall.EROFS, 0, false},
	{"read-only once", syscall.EROFS, 0, true},
}

// faultOptions are the writers that meet them.
var faultOptions = []struct {
	name string
	set  func(o *Options, other string)
}{
	{"plain", func(*Options, string) {}},
	{"retain", func(o *Options, _ string) { o.Retain = 64 << 10 }},
	{"fail-over", func(o *Options, other string) { o.Retain, o.Failover = 2*minMaxBlock, other }},
	{"reserve", func(o *Options, _ string) { o.Reserve = minReserve; o.Retention.OnFull = true }},
}

func TestFaultAtEveryOperation(t *testing.T) {
	other := filepath.Join(t.TempDir(), "other")
	for i, o := range faultOptions {
		for j, e := range faultKinds {
			for _, stepped := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s, %s, stepped %v", o.name, e.name, stepped), func(t *testing.T) {
					t.Parallel()
					stride, first := 1, 0
					if os.Getenv("LOGBUF_LONG") == "" { // each k with some options and errors
						stride = 8
						if raceEnabled || testing.Short() {
							stride = 48
						}
						first = (3*i + j) % stride
					}
					for k := first; ; k += stride {
						r := &faultRun{t: t, k: k, err: e.err, mem: vfs.NewMem(), stepped: stepped}
						r.opts = Options{FS: r.inject(e.short, e.once), Sync: SyncBatch, MaxBlock: minMaxBlock, SegmentSize: minSegmentSize}
						o.set(&r.opts, other)
						r.guarded()
						if t.Failed() || !r.hit {
							return
						}
					}
				})
			}
		}
	}
}

// faultRun is a run in which operation k fails.
type faultRun struct {
	t       *testing.T
	k       int
	err     error
	mem     *vfs.Mem
	opts    Options
	stepped bool

	w     *Writer
	hit   bool
	acked uint64 // all below was acknowledged
	most  uint64 // nothing at or above was ever written
	full  bool   // the last append found no room
	doing string
}

// inject makes the file system in which operation k fails.
func (r *faultRun) inject(short int, once bool) *vfs.Fault {
	fault := vfs.NewFault(r.mem)
	fault.SetHook(func(n int, _ vfs.Op) (v vfs.Verdict) {
		if n == r.k || n > r.k && !once {
			r.hit = true
			v = vfs.Verdict{Err: r.err, Short: short}
		}
		return v
	})
	return fault
}

// guarded runs the script and fails when a call does not return. The bound is only ever met by a hang.
func (r *faultRun) guarded() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.script()
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		panic(fmt.Sprintf("operation %d fails: %s does not return", r.k, r.doing))
	}
}

func (r *faultRun) errorf(format string, args ...any) {
	r.t.Helper()
	r.t.Errorf("operation %d fails: %s: %s", r.k, r.doing, fmt.Sprintf(format, args...))
}

// script is two opens with streams, appends over rotations, losses, syncs and a close, and a third with nothing broken any more.
func (r *faultRun) script() {
	for range 2 {
		if r.open() {
			r.use()
			r.check(r.mem.Clone(), "after a crash of the process")
			r.close()
		}
	}
	r.check(r.mem, "afterwards")
}

func (r *faultRun) open() bool {
	r.doing = "Open"
	var err error
	if r.stepped {
		r.w, err = openStepped(memDir, &r.opts)
	} else {
		r.w, err = Open(memDir, &r.opts)
	}
	if err != nil {
		var c *CorruptionError
		if !errors.Is(err, r.err) || errors.As(err, &c) || !strings.Contains(err.Error(), memDir) && !strings.Contains(err.Error(), "other") {
			r.errorf("%v", err)
		}
		return false
	}
	r.w.opts.SegmentSize = 7000 // so that a few records make a rotation
	r.most = max(r.most, r.w.NextSeq())
	return true
}

// use calls everything, and goes on after errors.
func (r *faultRun) use() {
	w := r.w
	for i := range 14 {
		if i%5 == 0 {
			r.doing = "DefineStream"
			_, err := w.DefineStream(fmt.Sprint("stream ", i))
			r.wrote(err)
		}
		n := w.NextSeq()
		r.doing = "AppendFrames"
		_, err := w.AppendFrames(frameBuf(n, 10), 10)
		r.wrote(err)
		if next := w.NextSeq(); err == nil && next != n+10 || next < n || next > n+10 {
			r.errorf("next sequence %d after %d, %v", next, n, err)
		}
		r.most = max(r.most, w.NextSeq())
		if i == 4 {
			r.doing = "AppendLoss"
			r.wrote(w.AppendLoss(Loss{Reason: LossOverload, Records: 1}))
		}
		if i%2 == 0 {
			r.wait()
		}
		if r.stepped {
			w.stepPrepare()
		}
	}
	r.doing = "Sync"
	r.judge(w.Sync(context.Background()))
	if w.DurableSeq() < r.acked {
		r.errorf("durable below %d, %d was acknowledged", w.DurableSeq(), r.acked)
	}
}

// wait waits for the last record that was written, and then for the next one, which nobody is going to write.
func (r *faultRun) wait() {
	r.doing = "WaitDurable"
	n := r.w.NextSeq()
	if n == 0 {
		return
	}
	err := r.w.WaitDurable(context.Background(), n-1)
	r.judge(err)
	if err == nil {
		r.acked = max(r.acked, n)
	}
	if r.w.Stats().Err != nil || r.full {
		r.doing = "WaitDurable for what is not written"
		if err := r.w.WaitDurable(context.Background(), n); err == nil {
			r.errorf("nil")
		}
	}
}

// wrote judges the error of a call that writes.
func (r *faultRun) wrote(err error) {
	r.t.Helper()
	var we *WriteError
	r.full = errors.As(err, &we) && we.Full
	r.judge(err)
}

// judge checks what an error says.
func (r *faultRun) judge(err error) {
	r.t.Helper()
	if err == nil {
		return
	}
	var we *WriteError
	switch {
	case !errors.As(err, &we):
		r.errorf("no *WriteError: %v", err)
	case !errors.Is(err, r.err):
		r.errorf("not what happened: %v", err)
	case we.Op == "" || we.File == "" || we.FirstSeq > we.LastSeq+1 || we.LastSeq+1 > r.w.NextSeq() || we.FirstSeq < r.acked:
		r.errorf("%+v; next sequence %d, acknowledged below %d", we, r.w.NextSeq(), r.acked)
	case we.Full != isFull(err) && we.Full, !we.Full && r.w.Stats().Err == nil:
		r.errorf("full %v, but: %v", we.Full, err)
	}
}

func (r *faultRun) close() {
	r.doing = "Close"
	failed := r.w.Stats().Err
	err := r.w.Close()
	var we *WriteError
	if failed != nil && !errors.As(err, &we) {
		r.errorf("%v says nothing of %v", err, failed)
	}
	if err != nil && !errors.Is(err, r.err) {
		r.errorf("%v", err)
	}
	if err == nil {
		r.acked = max(r.acked, r.w.NextSeq())
	}
	r.doing = "after Close"
	if err := r.w.Close(); err == nil {
		r.errorf("second Close: nil")
	}
	if d := r.w.DurableSeq(); d > 0 {
		if err := r.w.WaitDurable(context.Background(), d-1); err != nil {
			r.errorf("what is durable: %v", err)
		}
	}
	if err := r.w.WaitDurable(context.Background(), r.w.NextSeq()); err == nil {
		r.errorf("what was never written is durable")
	}
}

// check opens an archive with nothing broken any more: everything acknowledged is there, and nothing that was never written.
func (r *faultRun) check(mem *vfs.Mem, when string) {
	r.doing = "Open " + when
	w, err := Open(memDir, &Options{FS: mem})
	if err != nil {
		r.errorf("%v", err)
		return
	}
	next := w.NextSeq()
	if err := w.Close(); err != nil {
		r.errorf("Close: %v", err)
	}
	if next < r.acked || next > r.most {
		r.errorf("%d records, %d acknowledged, %d written at most", next, r.acked, r.most)
	}
	rep, err := Verify(memDir, &VerifyOptions{FS: mem})
	if err != nil || rep.Verdict != Clean || rep.NextSeq != next {
		r.errorf("%+v, %v", rep, err)
		return
	}
	rd, err := OpenReader(memDir, &ReaderOptions{FS: mem})
	if err != nil {
		r.errorf("%v", err)
		return
	}
	defer rd.Close()
	seq := rep.FirstSeq
	for rec, err := range rd.All() {
		if err != nil {
			r.errorf("at %d: %v", seq, err)
			return
		}
		checkRecord(r.t, rec, seq)
		seq++
	}
	if seq != next {
		r.errorf("read up to %d of %d", seq, next)
	}
}
