package journal

import (
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// openStepped is Open without the two goroutines, see step.go.
func openStepped(dir string, opts *Options) (*Writer, error) {
	w, err := open(dir, opts)
	if err != nil {
		return nil, err
	}
	w.stepped = true
	return w, nil
}

// A stepped writer does nothing by itself, and everything when it is stepped.
func TestStepped(t *testing.T) {
	fault := vfs.NewFault(vfs.NewMem())
	w, err := openStepped(memDir, &Options{FS: fault, Sync: SyncBatch, SegmentSize: minSegmentSize, MaxBlock: minMaxBlock})
	if err != nil {
		t.Fatal(err)
	}
	syncs := fault.Count(vfs.OpSync)
	fill(t, w, 50, 10)
	if n := fault.Count(vfs.OpSync) - syncs; n != 0 || w.DurableSeq() != 0 {
		t.Errorf("%d syncs before any step, durable below %d", n, w.DurableSeq())
	}
	if !w.stepSync() || w.DurableSeq() != 50 || w.stepSync() {
		t.Errorf("after one step durable below %d, want 50", w.DurableSeq())
	}
	if !w.stepPrepare() || w.stepPrepare() {
		t.Error("the preparer is asked once at open")
	}
	for w.Stats().Segments < 2 {
		fill(t, w, 50, 10)
	}
	if err := w.WaitDurable(t.Context(), w.NextSeq()-1); err != nil { // steps by itself
		t.Fatal(err)
	}
	for w.Stats().Segments < 5 { // must wait for seal and preparation: steps by itself
		fill(t, w, 50, 10)
	}
	n := w.NextSeq()
	mustClose(t, w)
	readAll(t, memDir, &ReaderOptions{FS: fault}, 0, n)
}

// stepKeep does the keeper's next turn, and reports whether it was asked for one.
func (w *Writer) stepKeep() (worked bool) {
	select {
	case <-w.keep.ask:
		_ = w.keepOnce() // Stats has it
		return true
	default:
		return false
	}
}
