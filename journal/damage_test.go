package journal

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// memDir is where archives are in a file system in memory.
const memDir = "a"

// smallArchive makes an archive of three segments in two opens: the first sealed by rotation, the second by Close, the last by Close.
func smallArchive(t testing.TB) *vfs.Mem {
	t.Helper()
	mem := vfs.NewMem()
	w := mustOpen(t, memDir, &Options{FS: mem, SegmentSize: minSegmentSize, MaxBlock: minMaxBlock, Sync: SyncBatch})
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
	w = mustOpen(t, memDir, &Options{FS: mem})
	fill(t, w, 2, 1)
	if err := w.AppendLoss(Loss{Stream: 1, First: 7, Records: 3, Bytes: 99, Reason: LossOverload}); err != nil {
		t.Fatal(err)
	}
	mustClose(t, w)
	return mem
}

// forceRotate begins a new segment now.
func (w *Writer) forceRotate(t testing.TB) {
	t.Helper()
	if err := w.tryRotate(); err != nil {
		t.Fatal(err)
	}
}

func (w *Writer) tryRotate() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	next, err := w.takeNext(true)
	if err == nil {
		err = w.rotate(next)
	}
	if err == nil {
		err = w.publish()
	}
	return err
}

func TestVerifyClean(t *testing.T) {
	mem := smallArchive(t)
	rep, err := Verify(memDir, &VerifyOptions{FS: mem})
	if err != nil {
		t.Fatal(err)
	}
	if rep.Verdict != Clean || !rep.Sealed || rep.Records != 11 || rep.NextSeq != 11 || rep.Segments != 3 || len(rep.Losses) != 1 || rep.Losses[0].Name != "one" {
		t.Fatalf("%+v", rep)
	}
	readAll(t, memDir, &ReaderOptions{FS: mem}, 0, 11)
}

// readThrough reads an archive to its end or its damage. It fails the test if a record is not one that was written.
func readThrough(t testing.TB, mem *vfs.Mem) (n uint64, err error) {
	t.Helper()
	r, err := OpenReader(memDir, &ReaderOptions{FS: mem})
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
	names := segmentNames(t, src)
	for _, head := range []bool{true, false} {
		for i, name := range names {
			t.Run(fmt.Sprintf("HEAD=%v/%s", head, name), func(t *testing.T) {
				t.Parallel()
				mem := src.Clone()
				if !head {
					if err := mem.Remove(filepath.Join(memDir, headName)); err != nil {
						t.Fatal(err)
					}
				}
				truncateEverywhere(t, mem, name, head, i == len(names)-1)
			})
		}
	}
}

func truncateEverywhere(t *testing.T, mem *vfs.Mem, name string, head, last bool) {
	path := filepath.Join(memDir, name)
	whole, err := mem.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	boundaries := blockEnds(t, mem, name)
	for size := len(whole) - 1; size >= 0; size-- {
		if size < 4000 && size%97 != 0 {
			continue // the header page: one place in a hundred
		}
		if err := mem.WriteFile(path, whole[:size]); err != nil {
			t.Fatal(err)
		}
		rep, err := Verify(memDir, &VerifyOptions{FS: mem})
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
		if _, err := readThrough(t, mem); err == nil && rep.ProblemCount > 0 && rep.Problems[0].LastSeq+1 != rep.Problems[0].FirstSeq {
			t.Fatalf("cut to %d bytes: Verify says %+v, the reader says nothing", size, rep.Problems)
		}
	}
}

// segmentNames returns the names of the segments in memDir.
func segmentNames(t testing.TB, mem *vfs.Mem) []string {
	t.Helper()
	segs, _, err := archive{fs: mem, dir: memDir}.list()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range segs {
		names = append(names, s.name)
	}
	return names
}

// blockEnds returns the offsets where blocks end, the last one not included: there a footer is known to be missing.
func blockEnds(t *testing.T, mem *vfs.Mem, name string) map[int64]bool {
	t.Helper()
	a := archive{fs: mem, dir: memDir}
	base, epoch, _ := parseSegmentName(name)
	f, hdr, err := a.openSegment(segmentFile{name: name, baseSeq: base, epoch: epoch})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ends := map[int64]bool{segmentHeaderLen: true}
	seg, _, _, err := walkSegment(f, name, hdr, maxFileSize)
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
	for _, name := range segmentNames(t, src) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			flipEverywhere(t, src.Clone(), name)
		})
	}
}

func flipEverywhere(t *testing.T, mem *vfs.Mem, name string) {
	path := filepath.Join(memDir, name)
	whole, err := mem.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := mem.OpenFile(path, os.O_RDWR, 0)
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
			checkFlip(t, mem, at, bit, at < dataEnd)
		}
		put(at, b)
	}
}

func checkFlip(t *testing.T, mem *vfs.Mem, at, bit int, promised bool) {
	t.Helper()
	rep, err := Verify(memDir, &VerifyOptions{FS: mem})
	switch {
	case err != nil:
		t.Fatalf("byte %d bit %d: %v", at, bit, err)
	case rep.Verdict == Clean || promised && rep.Verdict != Corrupt:
		t.Fatalf("byte %d bit %d: verdict %v: %+v", at, bit, rep.Verdict, rep)
	}
	if bit == 0 {
		_, _ = readThrough(t, mem) // checks what it delivers
	}
}

// Whole blocks that are valid in themselves, but dropped, doubled or swapped: the chain tells, also for control blocks, which have no numbers.
func TestBlocksOutOfOrder(t *testing.T) {
	src := vfs.NewMem()
	w := mustOpen(t, memDir, &Options{FS: src})
	for i := range 4 {
		if err := w.AppendLoss(Loss{Records: uint64(i), Reason: LossOverload}); err != nil {
			t.Fatal(err)
		}
	}
	fill(t, w, 4, 2)
	if err := w.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	crashed := src.Clone()
	mustClose(t, w)
	path := filepath.Join(memDir, segmentNames(t, crashed)[0])
	whole := mustRead(t, crashed, path)
	const size = blockHeaderLen + frameOverhead + lossLen
	first := segmentHeaderLen + blockHeaderLen // behind the empty stream table
	block := func(i int) []byte { return whole[first+i*size : first+(i+1)*size] }
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	rest := whole[first+4*size:]
	for name, b := range map[string][]byte{
		"dropped": join(whole[:first], block(0), block(2), block(3), rest),
		"doubled": join(whole[:first], block(0), block(1), block(1), block(2), block(3), rest),
		"swapped": join(whole[:first], block(0), block(2), block(1), block(3), rest),
	} {
		mem := crashed.Clone()
		mustWrite(t, mem, path, b)
		if rep, err := Verify(memDir, &VerifyOptions{FS: mem}); err != nil || rep.Verdict != Corrupt {
			t.Errorf("%s: %+v, %v", name, rep, err)
		}
		if _, err := readThrough(t, mem); err == nil {
			t.Errorf("%s: the reader says nothing", name)
		}
	}
}

// An index that lies, with its checksums right: Verify says so, and seeking goes by the blocks.
func TestLyingIndex(t *testing.T) {
	src := vfs.NewMem()
	w := mustOpen(t, memDir, &Options{FS: src, MaxBlock: minMaxBlock})
	fill(t, w, 1000, 2)
	mustClose(t, w)
	path := filepath.Join(memDir, segmentNames(t, src)[0])
	whole := mustRead(t, src, path)
	start := int(le.Uint64(whole[len(whole)-trailerLen+80:]))
	if len(whole)-trailerLen-start < 4*indexEntryLen {
		t.Fatal("index too short to say anything")
	}
	b := bytes.Clone(whole) // blocks are said to be earlier than they are
	for at := start; at < len(whole)-trailerLen; at += indexEntryLen {
		le.PutUint64(b[at+8:], uint64(timeOf(0)))
	}
	fixChecksums(b)
	early := src.Clone()
	mustWrite(t, early, path, b)
	readFrom(t, &ReaderOptions{FS: early, FromTime: timeOf(500)}, 500)
	for at := start; at < len(whole)-trailerLen; at += 4 {
		mem := src.Clone()
		b := bytes.Clone(whole)
		b[at] ^= 0x48
		fixChecksums(b)
		mustWrite(t, mem, path, b)
		if rep, err := Verify(memDir, &VerifyOptions{FS: mem}); err != nil || rep.Verdict != Corrupt || rep.Records != 1000 {
			t.Fatalf("byte %d: %+v, %v", at, rep, err)
		}
		for _, seq := range []uint64{0, 120, 130, 999} {
			readFrom(t, &ReaderOptions{FS: mem, FromSeq: seq}, seq)
			if seq%17 != 5 { // the clock stepped back there
				readFrom(t, &ReaderOptions{FS: mem, FromTime: timeOf(seq)}, seq)
			}
		}
	}
}
