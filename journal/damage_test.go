package journal

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// smallArchive makes an archive of three segments in two opens: the first sealed by rotation, the second by Close, the last by Close.
func smallArchive(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	w := mustOpen(t, dir, &Options{SegmentSize: minSegmentSize, MaxBlock: minMaxBlock, Sync: SyncBatch})
	if _, err := w.DefineStream("one"); err != nil {
		t.Fatal(err)
	}
	fill(t, w, 6, 2)
	if err := w.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.forceRotate(t)
	fill(t, w, 3, 2)
	mustClose(t, w)
	w = mustOpen(t, dir, nil)
	fill(t, w, 2, 1)
	if err := w.AppendLoss(Loss{Stream: 1, First: 7, Records: 3, Bytes: 99, Reason: LossOverload}); err != nil {
		t.Fatal(err)
	}
	mustClose(t, w)
	return dir
}

// forceRotate begins a new segment now.
func (w *Writer) forceRotate(t testing.TB) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	next, err := w.takeNext(true)
	if err == nil {
		err = w.rotate(next)
	}
	if err == nil {
		err = w.publish()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestVerifyClean(t *testing.T) {
	dir := smallArchive(t)
	rep, err := Verify(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if rep.Verdict != Clean || !rep.Sealed || rep.Records != 11 || rep.NextSeq != 11 || rep.Segments != 3 || len(rep.Losses) != 1 || rep.Losses[0].Name != "one" {
		t.Fatalf("%+v", rep)
	}
	readAll(t, dir, nil, 0, 11)
}

// readThrough reads an archive to its end or its damage. It fails the test if a record is not one that was written.
func readThrough(t testing.TB, dir string) (n uint64, err error) {
	t.Helper()
	r, err := OpenReader(dir, nil)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	for rec, err := range r.All() {
		if err != nil {
			return n, err
		}
		checkRecord(t, rec, rec.Seq)
		n++
	}
	if torn := r.Torn(); torn != nil {
		return n, torn
	}
	return n, nil
}

func TestEveryTruncation(t *testing.T) {
	src := smallArchive(t)
	for _, head := range []bool{true, false} {
		for _, file := range segmentFiles(t, src) {
			name := filepath.Base(file)
			t.Run(fmt.Sprintf("HEAD=%v/%s", head, name), func(t *testing.T) { truncateEverywhere(t, src, name, head) })
		}
	}
}

func truncateEverywhere(t *testing.T, src, name string, head bool) {
	dir := copyDir(t, src)
	if !head {
		if err := os.Remove(filepath.Join(dir, headName)); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, name)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	boundaries := blockEnds(t, path)
	files := segmentFiles(t, dir)
	last := filepath.Base(files[len(files)-1]) == name
	for size := len(whole) - 1; size >= 0; size-- {
		if size < 4000 && size%97 != 0 {
			continue // the header page: one place in a hundred
		}
		if err := os.WriteFile(path, whole[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		rep, err := Verify(dir, nil)
		if err != nil {
			t.Fatalf("size %d: %v", size, err)
		}
		undecidable := last && !head && boundaries[int64(size)]
		if rep.Verdict == Clean && !undecidable {
			t.Fatalf("cut to %d of %d bytes, HEAD %v: verdict clean: %+v", size, len(whole), head, rep)
		}
		if !last && rep.Verdict != Corrupt {
			t.Fatalf("cut to %d of %d bytes, not the last segment: verdict %v", size, len(whole), rep.Verdict)
		}
		if _, err := readThrough(t, dir); err == nil && rep.ProblemCount > 0 && rep.Problems[0].LastSeq+1 != rep.Problems[0].FirstSeq {
			t.Fatalf("cut to %d bytes: Verify says %+v, the reader says nothing", size, rep.Problems)
		}
	}
}

// blockEnds returns the offsets where blocks end, the last one not included: there a footer is known to be missing.
func blockEnds(t *testing.T, path string) map[int64]bool {
	t.Helper()
	a := archive{fs: osFS, dir: filepath.Dir(path)}
	base, epoch, _ := parseSegmentName(filepath.Base(path))
	f, hdr, err := a.openSegment(segmentFile{name: filepath.Base(path), baseSeq: base, epoch: epoch})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ends := map[int64]bool{segmentHeaderLen: true}
	seg, _, _, err := walkSegment(f, path, hdr)
	if err != nil {
		t.Fatal(err)
	}
	w := &walker{}
	w.reset(f, hdr)
	for {
		var b block
		if bad, err := w.next(seg.off, &b); bad != "" || err != nil {
			break
		}
		if w.off < seg.off {
			ends[w.off] = true
		}
	}
	return ends
}

// Every bit of every segment, one at a time: Verify never says clean, and in what a footer promises it says corrupt. Bit k mod 8 of byte k
// with -race or -short.
func TestEveryBitFlip(t *testing.T) {
	src := smallArchive(t)
	for _, file := range segmentFiles(t, src) {
		name := filepath.Base(file)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			flipEverywhere(t, copyDir(t, src), name)
		})
	}
}

func flipEverywhere(t *testing.T, dir, name string) {
	path := filepath.Join(dir, name)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	put := func(at int, b byte) {
		if _, err := f.WriteAt([]byte{b}, int64(at)); err != nil {
			t.Fatal(err)
		}
	}
	dataEnd := int(le.Uint64(whole[len(whole)-trailerLen+48:]))
	for at, b := range whole {
		if at > 300 && at < 4090 && at%53 != 0 {
			continue // zeros of the header page
		}
		for bit := range 8 {
			if (testing.Short() || raceEnabled) && bit != at%8 {
				continue
			}
			put(at, b^1<<bit)
			checkFlip(t, dir, at, bit, at < dataEnd)
		}
		put(at, b)
	}
}

func checkFlip(t *testing.T, dir string, at, bit int, promised bool) {
	t.Helper()
	rep, err := Verify(dir, nil)
	switch {
	case err != nil:
		t.Fatalf("byte %d bit %d: %v", at, bit, err)
	case rep.Verdict == Clean || promised && rep.Verdict != Corrupt:
		t.Fatalf("byte %d bit %d: verdict %v: %+v", at, bit, rep.Verdict, rep)
	}
	if bit == 0 {
		_, _ = readThrough(t, dir) // checks what it delivers
	}
}
