package journal

import (
	"bytes"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// The writer compresses what it has sealed, off the write path; followers and readers see every record once while files are replaced and removed
// under them.
func TestCompressInTheBackground(t *testing.T) {
	dir := t.TempDir()
	w := mustOpen(t, dir, &Options{SegmentSize: minSegmentSize, MaxBlock: minMaxBlock, Compress: true})
	const total = 20_000
	var wg sync.WaitGroup
	for i := range 2 {
		wg.Go(func() {
			r, err := OpenReader(dir, &ReaderOptions{Follow: true, Durable: i == 1})
			if err != nil {
				t.Error(err)
				return
			}
			defer r.Close()
			for seq := range uint64(total) {
				rec, err := r.Next(t.Context())
				if err != nil {
					t.Errorf("follower at %d: %v", seq, err)
					return
				}
				if want := testRecord(seq); rec.Seq != seq || !bytes.Equal(rec.Payload, want.Payload) {
					t.Errorf("follower at %d: %+v", seq, rec)
					return
				}
				if i == 0 && seq%1000 == 999 {
					time.Sleep(2 * time.Millisecond) // falls behind, into what is compressed meanwhile
				}
			}
		})
	}
	for w.NextSeq() < total {
		fill(t, w, 100, 20)
		if w.NextSeq()%4000 == 0 {
			readAllBelow(t, dir, w.NextSeq())
		}
	}
	wg.Wait()
	if err := w.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	for st := w.Stats(); st.Compressed < st.Segments-1; st = w.Stats() {
		if st.KeepErr != nil {
			t.Fatal(st.KeepErr)
		}
		time.Sleep(time.Millisecond)
	}
	mustClose(t, w)
	rep, err := Verify(dir, nil)
	if err != nil || rep.Verdict != Clean || rep.Records != total {
		t.Fatalf("%v, %+v", err, rep)
	}
	infos, err := Segments(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range infos {
		if s.Compressed == (i == len(infos)-1) {
			t.Errorf("segment %d of %d: compressed: %v", i, len(infos), s.Compressed)
		}
	}
	readAll(t, dir, nil, 0, total)
}

// readAllBelow reads an archive that is being written, and checks that it ends no earlier than at next.
func readAllBelow(t testing.TB, dir string, next uint64) {
	t.Helper()
	r, err := OpenReader(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	want := uint64(0)
	for rec, err := range r.All() {
		if err != nil {
			t.Fatalf("at %d: %v", want, err)
		}
		checkRecord(t, rec, want)
		want++
	}
	if want < next {
		t.Fatalf("read up to %d, %d was written", want, next)
	}
}

// Close does not wait for a segment to be compressed, and leaves nothing behind.
func TestCloseEndsCompression(t *testing.T) {
	fault := vfs.NewFault(vfs.NewMem())
	entered, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	w, err := Open(memDir, &Options{FS: slowCompact{fault, func() {
		once.Do(func() { close(entered); <-goOn })
	}}, SegmentSize: minSegmentSize, MaxBlock: minMaxBlock, Compress: true})
	if err != nil {
		t.Fatal(err)
	}
	for w.Stats().Segments < 4 {
		fill(t, w, 100, 20)
	}
	<-entered
	n := w.NextSeq()
	fill(t, w, 500, 20) // goes on
	done := make(chan error)
	go func() { done <- w.Close() }()
	<-w.quit
	close(goOn)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if st := w.Stats(); st.Compressed != 0 || st.KeepErr != nil {
		t.Errorf("%+v", st)
	}
	entries, _ := fault.ReadDir(memDir)
	for _, e := range entries {
		if e.Name() == compactName {
			t.Errorf("%s is left", e.Name())
		}
	}
	readAll(t, memDir, &ReaderOptions{FS: fault}, 0, n+500)
}

// slowCompact calls wait when a segment begins to be compressed.
type slowCompact struct {
	*vfs.Fault
	wait func()
}

func (s slowCompact) OpenFile(name string, flag int, perm os.FileMode) (vfs.File, error) {
	if filepath.Base(name) == compactName {
		s.wait()
	}
	return s.Fault.OpenFile(name, flag, perm)
}

// A segment that retention removes while it is being compressed does not come back.
func TestTrimDuringCompression(t *testing.T) {
	mem := vfs.NewMem()
	w, err := openStepped(memDir, &Options{FS: slowCompact{vfs.NewFault(mem), func() { trimBeforeLocked(t, mem, 20) }}, MaxBlock: minMaxBlock, Compress: true})
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		fill(t, w, 10, 4)
		w.forceRotate(t)
	}
	w.stepSync()
	w.stepKeep()
	if st := w.Stats(); st.KeepErr != nil || st.Compressed != 2 {
		t.Errorf("%+v", st)
	}
	mustClose(t, w)
	onlySegments(t, mem, 3)
	if v, first := verdictOf(t, mem); v != Clean || first != 20 {
		t.Errorf("%v, first %d", v, first)
	}
}

// trimBeforeLocked is Trim while a writer has the archive open, which only that writer's own keeper may do.
func trimBeforeLocked(t testing.TB, mem *vfs.Mem, seq uint64) {
	t.Helper()
	a := archive{fs: mem, dir: memDir}
	segs, _, err := a.list()
	p := &trimPlan{a: a, segs: segs, limit: len(segs) - 2}
	if err == nil {
		err = p.make(Retention{}, seq, 0)
	}
	if err == nil && p.n > 0 {
		_, err = p.carryOut()
	}
	if err != nil {
		t.Error(err)
	}
}
