package journal

import (
	"io/fs"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// gateFS lets a test hold up operations: at is called before and after each OpenFile and before each Rename, with no lock held.
type gateFS struct {
	vfs.FS
	mu sync.Mutex
	at func(op, name string)
}

func (g *gateFS) set(at func(op, name string)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.at = at
}

func (g *gateFS) call(op, name string) {
	g.mu.Lock()
	at := g.at
	g.mu.Unlock()
	if at != nil {
		at(op, name)
	}
}

func (g *gateFS) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	g.call("open", name)
	f, err := g.FS.OpenFile(name, flag, perm)
	g.call("opened", name)
	return f, err
}

func (g *gateFS) Rename(oldName, newName string) error {
	g.call("rename", newName)
	return g.FS.Rename(oldName, newName)
}

// A takeover asks for a next segment while the preparer is making one. What it then makes must not be the file that a rotation is filling.
func TestPrepareDuringRotation(t *testing.T) {
	mem := vfs.NewMem()
	fault := vfs.NewFault(mem)
	gate := &gateFS{FS: fault}
	opts := takeoverOptions(gate)
	opts.Sync, opts.Reserve, opts.SegmentSize = SyncNone, minReserve, 1<<20
	preparing, goOn := make(chan struct{}), make(chan struct{})
	refilling, refilled := make(chan struct{}), make(chan struct{})
	var once [2]sync.Once
	gate.set(func(op, name string) {
		if op == "open" && strings.HasSuffix(name, nextName) {
			if fault.Count(vfs.OpRename) > 0 { // the first one of all is Open's
				once[0].Do(func() { close(preparing); <-goOn })
			}
		}
	})
	w := mustOpen(t, memDir, opts)
	<-preparing
	fill(t, w, 20, 10)
	fault.FailOp(onSegment(vfs.OpSync), syscall.EIO, 0, 1)
	if err := w.Sync(t.Context()); err != nil { // a takeover: it asks the preparer, who is at it
		t.Fatal(err)
	}
	w.giveBack(true) // so that there is something to refill
	gate.set(func(op, name string) {
		if op == "open" && strings.HasSuffix(name, reserveName) {
			once[1].Do(func() { close(refilling); <-refilled })
		}
	})
	close(goOn)
	<-refilling // the next segment is there, and the preparer is busy: it has not seen yet that it was asked
	made := make(chan struct{})
	var onceMade sync.Once
	fill(t, w, 20, 10)
	gate.set(func(op, name string) {
		switch {
		case op == "rename" && strings.HasSuffix(name, segmentExt):
			close(refilled)
			select { // a preparer that does it right never comes; one that does not comes at once
			case <-made:
			case <-time.After(100 * time.Millisecond):
			}
			gate.set(nil)
		case op == "opened" && strings.HasSuffix(name, nextName):
			onceMade.Do(func() { close(made) })
		}
	})
	w.mu.Lock()
	next, err := w.takeNext(true)
	if err == nil {
		err = w.rotate(next)
	}
	if err == nil {
		err = w.publish()
	}
	w.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	fill(t, w, 20, 10)
	if err := w.WaitDurable(t.Context(), 59); err != nil {
		t.Fatal(err)
	}
	mustClose(t, w)
	readAll(t, memDir, &ReaderOptions{FS: mem}, 0, 60)
}
