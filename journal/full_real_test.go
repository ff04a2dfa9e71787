//go:build linux

package journal

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// smallDisk mounts a file system of so many bytes, where the machine permits it.
func smallDisk(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// A real disk that fills up, gets room again, and is filled up once more and closed.
func TestRealFullDisk(t *testing.T) {
	disk := smallDisk(t, "size=1m")
	dir, ballast := filepath.Join(disk, "a"), filepath.Join(disk, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 500<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	w := mustOpen(t, dir, &Options{Sync: SyncBatch, SegmentSize: minSegmentSize, MaxBlock: minMaxBlock})
	t.Cleanup(func() { _ = w.Close() })
	for round := range uint64(2) {
		// The next file is prepared in the background; what that met before there was room again is told once more.
		for range 3 {
			if _ = fillUp(t, w); w.Stats().Bytes >= round*800<<10 {
				break
			}
		}
		next := w.NextSeq()
		if err := w.WaitDurable(t.Context(), next-1); err != nil {
			t.Error(err)
		}
		if rep, err := Verify(dir, nil); err != nil || rep.Verdict != Clean || rep.NextSeq != next {
			t.Errorf("%+v, %v", rep, err)
		}
		_ = os.Remove(ballast) // the first time
	}
	next := w.NextSeq()
	if st := w.Stats(); st.Full == nil || st.Err != nil || st.Bytes < 800<<10 {
		t.Errorf("%+v", st)
	}
	var we *WriteError // or none: the last page may have room for a close record and a footer
	closed := w.Close()
	if closed != nil && (!errors.As(closed, &we) || !we.Full || we.LastSeq+1 != we.FirstSeq) {
		t.Errorf("Close: %v", closed)
	}
	readAll(t, dir, nil, 0, next)
	fillDisk(t, disk) // Close gives back what had been prepared
	if w, err := Open(dir, nil); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Open on a full disk: %v, %v", w, err)
	}
	if err := syscall.Mount("", disk, "", syscall.MS_REMOUNT, "size=4m"); err != nil {
		t.Skip(err)
	}
	w = mustOpen(t, dir, nil)
	rec := w.Recovered()
	// A close record or a footer of which only a part found room is a torn tail without a record in it.
	half := closed != nil && rec.Verdict == Torn && rec.TornLast+1 == rec.TornFirst
	if w.NextSeq() != next || rec.Verdict != Clean && !half {
		t.Errorf("next %d, want %d: %+v, after Close: %v", w.NextSeq(), next, rec, closed)
	}
	mustClose(t, w)
}

// fillDisk writes until there is no room for another byte.
func fillDisk(t *testing.T, disk string) {
	t.Helper()
	f, err := os.Create(filepath.Join(disk, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for n := 64 << 10; n > 0; {
		if _, err = f.Write(make([]byte, n)); err != nil {
			n /= 2
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

// A mount that becomes read-only under the writer: nothing can be created, what is open can be written. Then rotation fails, with an error that
// says so, and with Retain the archive goes on elsewhere.
func TestRealReadOnlyRemount(t *testing.T) {
	for _, failover := range []bool{false, true} {
		disk := smallDisk(t, "size=8m")
		dir := filepath.Join(disk, "a")
		opts := &Options{Sync: SyncBatch, SegmentSize: minSegmentSize, MaxBlock: minMaxBlock}
		if failover {
			opts.Retain, opts.Failover = 64<<10, filepath.Join(t.TempDir(), "b")
		}
		w := mustOpen(t, dir, opts)
		feed(t, w, 300)
		for w.sync.preparing() {
			time.Sleep(time.Millisecond) // a file that is open for writing through the mount keeps it from becoming read-only
		}
		if err := syscall.Mount(dir, dir, "", syscall.MS_BIND, ""); err != nil { // over it: files that are open are below
			t.Skip(err)
		}
		t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
		if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, ""); err != nil {
			t.Fatal(err)
		}
		var err error
		for err == nil && w.NextSeq() < 3000 {
			_, err = w.AppendFrames(frameBuf(w.NextSeq(), 10), 10)
		}
		next := w.NextSeq()
		if failover != (err == nil) || err != nil && !errors.Is(err, syscall.EROFS) {
			t.Fatalf("fail-over %v: %v", failover, err)
		}
		if err := w.WaitDurable(t.Context(), next-1); failover && err != nil {
			t.Error(err)
		}
		if err := w.Close(); failover && err != nil || !failover && !errors.Is(err, syscall.EROFS) {
			t.Errorf("Close: %v", err)
		}
		readAll(t, dir, nil, 0, next)
		if _, err := Open(dir, nil); !errors.Is(err, syscall.EROFS) {
			t.Errorf("Open on a read-only disk: %v", err)
		}
	}
}

// A directory that is removed under the writer takes the file with it: the writer must not go on as if nothing had been.
func TestRealDirectoryRemoved(t *testing.T) {
	for _, failover := range []bool{false, true} {
		dir := filepath.Join(t.TempDir(), "a")
		opts := &Options{Sync: SyncBatch, SegmentSize: minSegmentSize, MaxBlock: minMaxBlock}
		if failover {
			opts.Retain, opts.Failover = 64<<10, filepath.Join(t.TempDir(), "b")
		}
		w := mustOpen(t, dir, opts)
		fill(t, w, 100, 10)
		if err := w.WaitDurable(t.Context(), 99); err != nil {
			t.Fatal(err)
		}
		for os.RemoveAll(dir) != nil { // the next segment may be made meanwhile
		}
		_, err := w.AppendFrames(frameBuf(100, 10), 10)
		if err == nil {
			err = w.WaitDurable(t.Context(), 109)
		}
		if !failover {
			var we *WriteError
			if !errors.As(err, &we) || we.FirstSeq != 100 || we.LastSeq != 109 || !errors.Is(w.Close(), errGone) {
				t.Errorf("not noticed: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		mustClose(t, w)
		readAll(t, opts.Failover, &ReaderOptions{FromSeq: 100}, 100, 110)
	}
}
