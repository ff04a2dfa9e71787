package journal

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// A failed recovery can be repeated: error at every operation of an Open that repairs a torn archive, then an Open that works.
func TestInterruptedRecovery(t *testing.T) {
	for _, src := range []struct {
		name string
		make func(testing.TB) *vfs.Mem
	}{{"torn tail", tornArchive}, {"torn before an unsynced successor", tornPredecessor}, {"unsealed", crashedArchive}} {
		t.Run(src.name, func(t *testing.T) {
			for k := 0; ; k++ {
				mem := src.make(t)
				fault := vfs.NewFault(mem)
				fault.SetHook(func(n int, _ vfs.Op) vfs.Verdict {
					if n >= k {
						return vfs.Verdict{Err: syscall.EIO, Short: 24}
					}
					return vfs.Verdict{}
				})
				w, err := Open(memDir, &Options{FS: fault})
				if err == nil {
					_ = w.Close() // may fail: everything does from operation k on
				}
				done := err == nil
				w = mustOpen(t, memDir, &Options{FS: mem})
				if n := w.NextSeq(); n != 20 {
					t.Fatalf("operation %d failed; next sequence %d, want 20", k, n)
				}
				mustClose(t, w)
				readAll(t, memDir, &ReaderOptions{FS: mem}, 0, 20)
				if done {
					return
				}
			}
		})
	}
}

// crashedArchive is an archive of 20 records whose writer has died: no close record, no footer.
func crashedArchive(t testing.TB) *vfs.Mem {
	t.Helper()
	mem := vfs.NewMem()
	w := mustOpen(t, memDir, &Options{Sync: SyncNone, FS: mem})
	fill(t, w, 20, 4)
	crashed := mem.Clone()
	mustClose(t, w)
	return crashed
}

// tornArchive has half a block behind its 20 records.
func tornArchive(t testing.TB) *vfs.Mem {
	t.Helper()
	mem := crashedArchive(t)
	path := filepath.Join(memDir, segmentNames(t, mem)[0])
	b := mustRead(t, mem, path)
	mustWrite(t, mem, path, append(b, b[segmentHeaderLen+blockHeaderLen:][:200]...))
	return mem
}

func mustRead(t testing.TB, mem *vfs.Mem, path string) []byte {
	t.Helper()
	b, err := mem.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustWrite(t testing.TB, mem *vfs.Mem, path string, b []byte) {
	t.Helper()
	if err := mem.WriteFile(path, b); err != nil {
		t.Fatal(err)
	}
}

func mustRemove(t testing.TB, mem *vfs.Mem, name string) {
	t.Helper()
	if err := mem.Remove(filepath.Join(memDir, name)); err != nil {
		t.Fatal(err)
	}
}

// tornPredecessor is what a power cut can leave right after a rotation: the new segment is there, the end of the old one is not.
func tornPredecessor(t testing.TB) *vfs.Mem {
	t.Helper()
	mem := vfs.NewMem()
	w := mustOpen(t, memDir, &Options{Sync: SyncNone, FS: mem})
	fill(t, w, 20, 4)
	end := w.seg.off
	fill(t, w, 8, 4)
	w.forceRotate(t)
	mustClose(t, w)
	names := segmentNames(t, mem)
	old, fresh := filepath.Join(memDir, names[0]), filepath.Join(memDir, names[1])
	mustWrite(t, mem, old, mustRead(t, mem, old)[:end+100])
	// The successor has nothing but its header and its table, and HEAD knows nothing of it.
	mustWrite(t, mem, fresh, mustRead(t, mem, fresh)[:segmentHeaderLen+blockHeaderLen])
	mustRemove(t, mem, headName)
	return mem
}

func TestRecoverTornPredecessor(t *testing.T) {
	mem := tornPredecessor(t)
	rep, err := Verify(memDir, &VerifyOptions{FS: mem})
	if err != nil || rep.Verdict != Torn || rep.NextSeq != 20 {
		t.Fatalf("verify: %+v, %v", rep, err)
	}
	r := readAll(t, memDir, &ReaderOptions{FS: mem}, 0, 20)
	if r.Torn() == nil {
		t.Error("the reader does not say that the archive is torn")
	}
	w := mustOpen(t, memDir, &Options{FS: mem})
	rec := w.Recovered()
	if rec.Verdict != Torn || rec.NextSeq != 20 || rec.TornFirst != 20 || rec.TornLast != 27 || rec.TornBytes == 0 {
		t.Errorf("recovery: %+v", rec)
	}
	mustClose(t, w)
	if rep, err := Verify(memDir, &VerifyOptions{FS: mem}); err != nil || rep.Verdict != Clean {
		t.Errorf("verify after: %+v, %v", rep, err)
	}
}

func TestRecoverTornTail(t *testing.T) {
	mem := tornArchive(t)
	before := mustRead(t, mem, filepath.Join(memDir, segmentNames(t, mem)[0]))
	r := readAll(t, memDir, &ReaderOptions{FS: mem}, 0, 20)
	if torn := r.Torn(); torn == nil || torn.Bytes != 200 || torn.NextSeq != 20 {
		t.Errorf("the reader's torn tail: %+v", torn)
	}
	w := mustOpen(t, memDir, &Options{FS: mem})
	rec := w.Recovered()
	if rec.Verdict != Torn || !rec.Unclean || rec.TornBytes != 200 || rec.NextSeq != 20 {
		t.Errorf("recovery: %+v", rec)
	}
	if cut := mustRead(t, mem, filepath.Join(memDir, rec.TornFile)); string(cut) != string(before[len(before)-200:]) {
		t.Errorf("the set-aside file has %d bytes that are not those of the tail", len(cut))
	}
	fill(t, w, 5, 5)
	mustClose(t, w)
	readAll(t, memDir, &ReaderOptions{FS: mem}, 0, 25)
}

// When something says that the damaged bytes were durable, they are not cut, and nothing is changed.
func TestOpenRefusesCorruption(t *testing.T) {
	mem := crashedArchive(t)
	w := mustOpen(t, memDir, &Options{FS: mem})
	fill(t, w, 10, 1)
	if err := w.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	crashed := mem.Clone()
	mustClose(t, w)
	names := segmentNames(t, crashed)
	last := filepath.Join(memDir, names[len(names)-1])
	b := mustRead(t, crashed, last)
	b[len(b)-20] ^= 1 // in the last record
	mustWrite(t, crashed, last, b)
	_, err := Open(memDir, &Options{FS: crashed})
	var c *CorruptionError
	if !errors.As(err, &c) || c.FirstSeq != 29 || c.LastSeq != 29 || c.File != filepath.Base(last) {
		t.Fatalf("open: %v", err)
	}
	if string(mustRead(t, crashed, last)) != string(b) {
		t.Error("open changed the file that it refused")
	}
	mustRemove(t, crashed, headName)
	w = mustOpen(t, memDir, &Options{FS: crashed}) // without HEAD nobody promised the last block
	if n := w.NextSeq(); n != 29 {
		t.Errorf("next sequence %d, want 29", n)
	}
	mustClose(t, w)
}

// A file that claims the largest epoch there is does not make the next one begin again at 0.
func TestHostileEpoch(t *testing.T) {
	for _, name := range []string{"00000000000000000000-ffffffffffffffff.lbj.torn", "00000000000000000000-ffffffffffffffff.lbj", "00000000000000000000-8000000000000000.lbj.torn"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			w := mustOpen(t, dir, nil)
			fill(t, w, 10, 4)
			mustClose(t, w)
		}
		if rep, err := Verify(dir, nil); err != nil || rep.Verdict != Clean || rep.Records != 20 {
			t.Errorf("%s: %+v, %v", name, rep, err)
		}
	}
}
