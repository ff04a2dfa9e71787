package journal

import (
	"strings"
	"syscall"
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// A disk that gets full at a rotation gets the reserve, or the oldest segment, as at any other place.
func TestFullDiskAtRotationMakesRoom(t *testing.T) {
	for name, match := range map[string]func(vfs.Op) bool{
		"header": func(op vfs.Op) bool {
			return op.Kind == vfs.OpWrite && op.Name == nextName && op.Len > segmentHeaderLen
		},
		"rename": onSegment(vfs.OpRename),
	} {
		for _, opts := range []Options{{Reserve: minReserve}, {Retention: Retention{OnFull: true}}} {
			mem := vfs.NewMem()
			fault := vfs.NewFault(mem)
			opts.FS, opts.Sync, opts.SegmentSize, opts.MaxBlock = fault, SyncNone, minSegmentSize, minMaxBlock
			w, err := openStepped(memDir, &opts)
			if err != nil {
				t.Fatal(err)
			}
			for w.Stats().Segments < 4 {
				fill(t, w, 10, 10)
				w.stepPrepare()
				w.stepSync()
			}
			_ = w.trimNow() // makes the note
			full, freed := 0, false
			fault.SetHook(func(_ int, op vfs.Op) (v vfs.Verdict) {
				switch {
				case op.Kind == vfs.OpTruncate && op.Name == reserveName, op.Kind == vfs.OpRemove && strings.HasSuffix(op.Name, segmentExt):
					freed = true
				case match(op) && !freed:
					full++
					v.Err = syscall.ENOSPC
				}
				return v
			})
			for w.Stats().Segments < 5 {
				fill(t, w, 10, 10) // no call hears of it
				w.stepPrepare()
			}
			if full != 1 || !freed {
				t.Errorf("%s: full %d times, freed %v", name, full, freed)
			}
			fault.SetHook(nil)
			n := w.NextSeq()
			mustClose(t, w)
			rep, err := Verify(memDir, &VerifyOptions{FS: mem})
			if err != nil || rep.Verdict != Clean || rep.NextSeq != n {
				t.Errorf("%s: %+v, %v", name, rep, err)
			}
		}
	}
}
