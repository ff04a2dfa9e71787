package journal

import (
	"strings"
	"syscall"
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// A note of which the directory's sync failed is there to be read and may be gone after a power cut. It is made anew before the segments
// that it speaks of go.
func TestTrimNoteNotDurable(t *testing.T) {
	fault := vfs.NewFault(vfs.NewMem())
	for range 4 {
		w := mustOpen(t, memDir, &Options{FS: fault})
		fill(t, w, 10, 10)
		mustClose(t, w)
	}
	w, err := openStepped(memDir, &Options{FS: fault, Sync: SyncNone, Retention: Retention{MaxSegments: 2}})
	if err != nil {
		t.Fatal(err)
	}
	fault.FailOp(func(op vfs.Op) bool { return op.Kind == vfs.OpSyncDir }, syscall.EIO, 0, 1)
	if err := w.keepOnce(); err == nil {
		t.Fatal("no error")
	}
	fault.SetHook(nil)
	fault.Record()
	if err := w.keepOnce(); err != nil || w.Stats().KeepErr != nil {
		t.Fatal(err)
	}
	durable, removed := false, 0
	for _, op := range fault.Ops() {
		switch {
		case op.Kind == vfs.OpDirSync:
			durable = true
		case op.Kind == vfs.OpRemove && strings.HasSuffix(op.Name, segmentExt):
			if removed++; !durable {
				t.Fatalf("%s goes before the note is durable", op.Name)
			}
		}
	}
	if removed != 3 {
		t.Errorf("%d segments removed", removed)
	}
	mustClose(t, w)
}
