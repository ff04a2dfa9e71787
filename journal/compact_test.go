package journal

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// keptRecord is a record that outlives the call of Next.
type keptRecord struct {
	Record
	name string
}

// allRecords reads everything there is from where opts say, control records included.
func allRecords(t testing.TB, opts ReaderOptions) []keptRecord {
	t.Helper()
	opts.Control = true
	r, err := OpenReader(memDir, &opts)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var list []keptRecord
	for rec, err := range r.All() {
		if err != nil {
			t.Fatal(err)
		}
		rec.Payload = bytes.Clone(rec.Payload)
		list = append(list, keptRecord{rec, r.StreamName(rec.Stream)})
	}
	return list
}

func sameRecords(t testing.TB, what string, got, want []keptRecord) {
	t.Helper()
	for i := range min(len(got), len(want)) {
		g, w := got[i], want[i]
		if g.Seq != w.Seq || g.Time != w.Time || g.Kind != w.Kind || g.Flags != w.Flags || g.Stream != w.Stream || g.name != w.name || !bytes.Equal(g.Payload, w.Payload) {
			t.Fatalf("%s: record %d is %+v, was %+v", what, i, g, w)
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%s: %d records, there were %d", what, len(got), len(want))
	}
}

// motley makes an archive with everything that segments can have: tables of two blocks, definitions in the middle, losses, marks, skips, records
// larger than what blocks are put together to, some that do not shrink, an empty segment, segments sealed by rotation, close and recovery.
func motley(t testing.TB, fsys vfs.FS) {
	t.Helper()
	open := func() *Writer {
		w, err := openStepped(memDir, &Options{FS: fsys, MaxBlock: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	w := open()
	define := func(name string) {
		if _, err := w.DefineStream(name); err != nil {
			t.Fatal(err)
		}
	}
	put := func(r Record) {
		if _, err := w.Append(r); err != nil {
			t.Fatal(err)
		}
	}
	define("one")
	define(strings.Repeat("long", 200))
	fill(t, w, 100, 7)
	define("three")
	rng := testRand(1)
	for i := range 30 {
		noise := make([]byte, 5000)
		for j := range noise {
			noise[j] = byte(rng.Uint32())
		}
		put(Record{Stream: 3, Time: timeOf(uint64(100 + i)), Payload: noise})
	}
	if err := w.AppendLoss(Loss{Stream: 1, First: w.StreamOrdinal(1), Records: 5, Reason: LossOverload}); err != nil {
		t.Fatal(err)
	}
	fill(t, w, 50, 3)
	w.forceRotate(t)
	put(Record{Time: timeOf(200), Payload: bytes.Repeat([]byte("large "), 100_000)})
	put(Record{Kind: KindMark, Payload: []byte{1, 'm'}})
	fill(t, w, 3000, 10)
	mustClose(t, w)
	mustClose(t, open()) // a segment without data records
	w = open()
	fill(t, w, 200, 4)
	w.forceRotate(t)
	fill(t, w, 10, 4)
	w.stepSync()
	mustClose(t, w)
}

func compactAll(t testing.TB, fsys vfs.FS) *CompactReport {
	t.Helper()
	rep, err := Compact(memDir, &CompactOptions{FS: fsys})
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

// Everything about an archive is the same after Compact: records, streams, losses, seeks to every sequence and time, what a writer and recovery
// go on with.
func TestCompact(t *testing.T) {
	t.Parallel()
	base := vfs.NewMem()
	motley(t, base)
	before, err := Verify(memDir, &VerifyOptions{FS: base})
	if err != nil || before.Verdict != Clean {
		t.Fatalf("%v, %+v", err, before)
	}
	mem := base.Clone()
	rep := compactAll(t, mem)
	t.Logf("%+v, ratio %.1f", rep, rep.Ratio())
	if rep.Segments != before.Segments || len(rep.Skipped) != 0 || rep.Ratio() < 2 {
		t.Errorf("%d segments: %+v, ratio %.1f", before.Segments, rep, rep.Ratio())
	}
	after, err := Verify(memDir, &VerifyOptions{FS: mem})
	if err != nil || after.Verdict != Clean || after.Records != before.Records || after.Control != before.Control || after.Bytes != before.Bytes ||
		after.MinTime != before.MinTime || after.MaxTime != before.MaxTime || len(after.Losses) != len(before.Losses) || after.FileSize >= before.FileSize {
		t.Fatalf("%v\n%+v, was\n%+v", err, after, before)
	}
	infos, err := Segments(memDir, &ReaderOptions{FS: mem})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range infos {
		if !i.Compressed || !i.Sealed {
			t.Errorf("%+v", i)
		}
	}
	all := allRecords(t, ReaderOptions{FS: base})
	sameRecords(t, "all", allRecords(t, ReaderOptions{FS: mem}), all)
	sameRecords(t, "durable", allRecords(t, ReaderOptions{FS: mem, Durable: true}), all)
	for seq := uint64(0); seq <= before.NextSeq+1; seq += 1 + seq/6 {
		sameRecords(t, "from a sequence", allRecords(t, ReaderOptions{FS: mem, FromSeq: seq}), allRecords(t, ReaderOptions{FS: base, FromSeq: seq}))
	}
	for at := before.MinTime - 5; at <= before.MaxTime+5; at += 1 + (at-before.MinTime)/6 {
		sameRecords(t, "from a time", allRecords(t, ReaderOptions{FS: mem, FromTime: at}), allRecords(t, ReaderOptions{FS: base, FromTime: at}))
	}
	if rep := compactAll(t, mem); rep.Segments != 0 || rep.Compressed != before.Segments || rep.Ratio() != 1 {
		t.Errorf("a second time: %+v", rep)
	}
	for _, m := range []*vfs.Mem{base, mem} { // a writer goes on behind the last segment
		w := mustOpen(t, memDir, &Options{FS: m})
		if r := w.Recovered(); r.Verdict != Clean || r.Unclean || r.NextSeq != before.NextSeq || w.StreamOrdinal(1) == 0 {
			t.Errorf("recovered: %+v", r)
		}
		if _, err := w.Append(Record{Time: 5, Payload: []byte("on")}); err != nil {
			t.Fatal(err)
		}
		mustClose(t, w)
	}
	if v, _ := verdictOf(t, mem); v != Clean {
		t.Error(v)
	}
	got := allRecords(t, ReaderOptions{FS: mem, FromSeq: before.NextSeq - 1})
	if n := len(got); n < 4 || string(got[n-2].Payload) != "on" || got[n-2].Seq != before.NextSeq {
		t.Errorf("what was appended then: %+v", got)
	}
}

// The blocks of a compressed segment: put together, never over their limit, kept apart where readers need it.
func TestCompactBlocks(t *testing.T) {
	mem := vfs.NewMem()
	motley(t, mem)
	compactAll(t, mem)
	a := archive{fs: mem, dir: memDir}
	segs, _, err := a.list()
	if err != nil {
		t.Fatal(err)
	}
	var raw, packed, full int
	for _, s := range segs {
		f, hdr, err := a.openSegment(s)
		if err != nil {
			t.Fatal(err)
		}
		var w walker
		w.reset(f, hdr)
		tr, _, err := w.trailer()
		if err != nil {
			t.Fatal(err)
		}
		var b, prev block
		for {
			bad, err := w.next(int64(tr.dataEnd), &b)
			if bad == atEnd {
				break
			}
			if bad != "" || err != nil {
				t.Fatal(bad, err)
			}
			if b.codec == codecZstd {
				packed++
			} else {
				raw++
			}
			if b.raw > compactBlock && b.count > 1 {
				t.Errorf("%d records in a block of %d bytes", b.count, b.raw)
			}
			if b.raw > compactBlock*9/10 && b.count > 1 {
				full++
			}
			if b.count > 0 && b.info.own > 0 {
				t.Error("definitions among data records: nobody would look for them there")
			}
			if prev.raw > 0 && joins(&prev, &b) && prev.count > 0 {
				t.Errorf("blocks of %d and %d bytes were not put together", prev.raw, b.raw)
			}
			if prev = b; b.durablePos != hdr.basePos {
				t.Errorf("durable position %d", b.durablePos)
			}
		}
		mustClose(t, f)
	}
	if raw == 0 || packed == 0 || full == 0 {
		t.Errorf("%d raw blocks, %d compressed, %d full ones: the test has not seen all", raw, packed, full)
	}
}

// A crash at any operation of Compact leaves every segment whole, the old one or the new one, and the next Compact finishes the work.
func TestCompactCrash(t *testing.T) {
	t.Parallel()
	sim := vfs.NewSim()
	segmented(t, sim, 3, 60)
	want := allRecords(t, ReaderOptions{FS: sim})
	from := sim.Total()
	if rep := compactAll(t, sim); rep.Segments != 3 {
		t.Fatalf("%+v", rep)
	}
	images := 0
	eachCrash(t, sim, from, 1, func(t *testing.T, c vfs.Crash, after *vfs.Sim) {
		if images++; raceEnabled && images%8 != 0 {
			return
		}
		if v, _ := verdictOf(t, after); v != Clean {
			t.Fatal(v)
		}
		sameRecords(t, "after the crash", allRecords(t, ReaderOptions{FS: after}), want)
		compactAll(t, after)
		onlySegments(t, after, 3)
		sameRecords(t, "compressed after the crash", allRecords(t, ReaderOptions{FS: after}), want)
		if images%20 == 0 { // and recovery believes it
			w := mustOpen(t, memDir, &Options{FS: after})
			if r := w.Recovered(); r.NextSeq != 180 || r.Verdict != Clean {
				t.Fatalf("%+v", r)
			}
			mustClose(t, w)
		}
	})
	t.Logf("%d images of %d operations", images, sim.Total()-from)
}

// Every operation fails once: the archive has the same records, and no file is left behind but for a failed removal.
func TestCompactErrors(t *testing.T) {
	base := vfs.NewMem()
	segmented(t, base, 3, 60)
	want := allRecords(t, ReaderOptions{FS: base})
	failed := 0
	for k := 0; ; k++ {
		mem := base.Clone()
		fault := vfs.NewFault(mem)
		hit := false
		fault.SetHook(func(n int, op vfs.Op) (v vfs.Verdict) {
			if n == k {
				v.Err, v.Short, hit = errTest, 100, true
			}
			return v
		})
		rep, err := Compact(memDir, &CompactOptions{FS: fault})
		if !hit {
			if err != nil || failed < 20 {
				t.Fatalf("%v after %d failures", err, failed)
			}
			return
		}
		if err == nil {
			t.Fatalf("operation %d failed, Compact did not: %+v", k, rep)
		}
		failed++
		if !errors.Is(err, errTest) {
			t.Fatalf("operation %d: %v", k, err)
		}
		if v, _ := verdictOf(t, mem); v != Clean {
			t.Fatal(v)
		}
		sameRecords(t, "after the error", allRecords(t, ReaderOptions{FS: mem}), want)
	}
}

// What was damaged before is left as it was, bytes and all; the others are compressed.
func TestCompactLeavesDamageAlone(t *testing.T) {
	t.Parallel()
	base := vfs.NewMem()
	segmented(t, base, 3, 20)
	path := filepath.Join(memDir, segmentNames(t, base)[1])
	whole := mustRead(t, base, path)
	for at := 0; at < len(whole); at += 1 + at%7 + at%31 {
		mem := base.Clone()
		b := slices.Clone(whole)
		b[at] ^= 4
		mustWrite(t, mem, path, b)
		rep, err := Compact(memDir, &CompactOptions{FS: mem})
		if err != nil {
			t.Fatalf("byte %d: %v", at, err)
		}
		inIndex := at >= int(le.Uint64(whole[len(whole)-trailerLen+48:])) && at < len(whole)-trailerLen
		if inIndex { // the index is a hint that is made anew
			continue
		}
		if got := mustRead(t, mem, path); !bytes.Equal(got, b) || len(rep.Skipped) < 1 {
			t.Fatalf("byte %d of %d: the damaged segment was rewritten: %+v", at, len(whole), rep)
		}
	}
}

func TestCompactStops(t *testing.T) {
	mem := vfs.NewMem()
	segmented(t, mem, 4, 60)
	stop := make(chan struct{})
	var shown []int64
	rep, err := Compact(memDir, &CompactOptions{FS: mem, Stop: stop, Progress: func(done, total int64) {
		shown = append(shown, done)
		if done > total/2 {
			select {
			case <-stop:
			default:
				close(stop)
			}
		}
	}})
	if !errors.Is(err, context.Canceled) || rep.Segments == 0 || rep.Segments == 4 || !slices.IsSorted(shown) {
		t.Errorf("%+v, %v, progress %v", rep, err, shown)
	}
	onlySegments(t, mem, 4)
	if v, _ := verdictOf(t, mem); v != Clean {
		t.Error(v)
	}
	w := mustOpen(t, memDir, &Options{FS: mem})
	if _, err := Compact(memDir, &CompactOptions{FS: mem}); !errors.Is(err, ErrLocked) {
		t.Errorf("with a writer: %v", err)
	}
	mustClose(t, w)
}

// Every bit of a compressed segment: Verify never says clean, and corrupt in what the footer promises.
func TestEveryBitFlipOfCompressed(t *testing.T) {
	src := vfs.NewMem()
	segmented(t, src, 3, 40)
	compactAll(t, src)
	for _, name := range segmentNames(t, src)[1:] {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			flipEverywhere(t, src.Clone(), name)
		})
	}
}

// A rewritten segment was whole before it had its name: whatever is missing of it is corruption, the last segment included.
func TestEveryTruncationOfCompressed(t *testing.T) {
	t.Parallel()
	src := vfs.NewMem()
	segmented(t, src, 2, 40)
	compactAll(t, src)
	for _, head := range []bool{true, false} {
		for i, name := range segmentNames(t, src) {
			mem := src.Clone()
			if !head {
				if err := mem.Remove(filepath.Join(memDir, headName)); err != nil {
					t.Fatal(err)
				}
			}
			path := filepath.Join(memDir, name)
			whole := mustRead(t, mem, path)
			for size := len(whole) - 1; size >= segmentHeaderLen; size -= 1 + size%3 {
				mustWrite(t, mem, path, slices.Clone(whole[:size]))
				if v, err := Verify(memDir, &VerifyOptions{FS: mem}); err != nil || v.Verdict != Corrupt {
					t.Fatalf("segment %d cut to %d of %d bytes: %v, %+v", i, size, len(whole), err, v)
				}
				if i == 0 {
					continue // Open reads the last segment
				}
				if _, err := Open(memDir, &Options{FS: mem}); err == nil {
					t.Fatalf("last segment cut to %d of %d bytes: opened for writing", size, len(whole))
				}
			}
		}
	}
}

// Reading past damage in a compressed segment loses the records of the damaged block, and says which.
func TestSalvageReadsCompressed(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	w, err := openStepped(memDir, &Options{FS: mem})
	if err != nil {
		t.Fatal(err)
	}
	fill(t, w, 10_000, 50)
	mustClose(t, w)
	compactAll(t, mem)
	path := filepath.Join(memDir, segmentNames(t, mem)[0])
	b := mustRead(t, mem, path)
	b[len(b)/2] ^= 1
	mustWrite(t, mem, path, b)
	r, err := OpenReader(memDir, &ReaderOptions{FS: mem, Salvage: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	next, gaps := uint64(0), 0
	for {
		rec, err := r.Next(t.Context())
		var g *GapError
		switch {
		case errors.As(err, &g):
			if gaps++; g.FirstSeq != next || g.LastSeq < next {
				t.Fatalf("at %d: %+v", next, g.Gap)
			}
			next = g.LastSeq + 1
			continue
		case errors.Is(err, io.EOF):
			if next != 10_000 || gaps != 1 {
				t.Errorf("ended at %d, %d gaps", next, gaps)
			}
			return
		case err != nil:
			t.Fatal(err)
		}
		checkRecord(t, rec, next)
		next++
	}
}

// Recovery after a crash knows a compressed predecessor for what it is.
func TestRecoveryBehindCompressed(t *testing.T) {
	sim := vfs.NewSim()
	w, err := openStepped(memDir, &Options{FS: sim, MaxBlock: minMaxBlock, Compress: true})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		fill(t, w, 60, 4)
		w.forceRotate(t)
		w.stepSync()
		w.stepKeep()
	}
	if st := w.Stats(); st.Compressed != 3 {
		t.Fatalf("%+v", st)
	}
	fill(t, w, 10, 4)
	w.stepSync()
	for _, after := range []vfs.FS{sim.Mem(), sim.Crash(vfs.Crash{After: sim.Total(), Model: vfs.CrashDrop})} {
		w, err := Open(memDir, &Options{FS: after})
		if err != nil {
			t.Fatal(err)
		}
		if r := w.Recovered(); r.NextSeq != 190 || r.Verdict != Clean {
			t.Errorf("%+v", r)
		}
		mustClose(t, w)
		readAll(t, memDir, &ReaderOptions{FS: after}, 0, 190)
	}
	mustClose(t, w)
}

// In steady state reading compressed blocks allocates nothing.
func TestReadCompressedAllocates(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	mem := vfs.NewMem()
	w, err := openStepped(memDir, &Options{FS: mem})
	if err != nil {
		t.Fatal(err)
	}
	fill(t, w, 30_000, 100)
	mustClose(t, w)
	compactAll(t, mem)
	r, err := OpenReader(memDir, &ReaderOptions{FS: mem})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	next := func() {
		if _, err := r.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for range 10_000 {
		next()
	}
	ctx := t.Context()
	if n := testing.AllocsPerRun(15_000, func() {
		if _, err := r.Next(ctx); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations per record", n)
	}
}

// Hostile compressed blocks whose checksums are right: an error, and no more memory than the header says.
func TestDecompressHostile(t *testing.T) {
	e := newZstdEncoder()
	defer e.Close()
	good := compressBlock(e, nil, make([]byte, 4096))
	bomb := compressBlock(e, nil, make([]byte, 32<<20))
	for _, tc := range []struct {
		name   string
		stored []byte
		raw    int
		ok     bool
	}{
		{"as it should be", good, 4096, true},
		{"more than the header says", good, 4088, false},
		{"less than the header says", good, 4104, false},
		{"a bomb", bomb, 4096, false},
		{"two frames", append(slices.Clone(good), good...), 4096, false},
		{"cut", good[:len(good)/2], 4096, false},
		{"junk behind it", append(slices.Clone(good), 1, 2, 3, 4, 5, 6, 7, 8), 4096, false},
		{"nothing", nil, 4096, false},
		{"a skippable frame that is too long", le.AppendUint32(le.AppendUint32(nil, skippable), 1<<31), 4096, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			zstdDecoder()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			frames, bad := decompress(nil, tc.stored, tc.raw)
			runtime.ReadMemStats(&after)
			if n := after.TotalAlloc - before.TotalAlloc; n > 8<<20 {
				t.Errorf("%d bytes allocated", n)
			}
			if (bad == "") != tc.ok || tc.ok && len(frames) != tc.raw || cap(frames) > tc.raw+decoderSpare {
				t.Errorf("%d bytes, capacity %d, %q", len(frames), cap(frames), bad)
			}
		})
	}
}

func FuzzDecompress(f *testing.F) {
	e := newZstdEncoder()
	f.Add(compressBlock(e, nil, frameBuf(0, 50)), uint16(len(frameBuf(0, 50))))
	f.Add(compressBlock(e, nil, make([]byte, 4096)), uint16(4096))
	f.Fuzz(func(t *testing.T, stored []byte, raw uint16) {
		frames, bad := decompress(nil, stored, int(raw))
		if bad == "" && len(frames) != int(raw) || cap(frames) > int(raw)+decoderSpare {
			t.Fatalf("%d bytes, capacity %d of %d: %q", len(frames), cap(frames), raw, bad)
		}
	})
}

// What was written wrong does not take the original's place, wherever the fault is.
func TestCompactReadsBack(t *testing.T) {
	t.Parallel()
	base := vfs.NewMem()
	segmented(t, base, 1, 60)
	want := base.Clone()
	compactAll(t, want)
	size := len(mustRead(t, want, filepath.Join(memDir, segmentNames(t, want)[0])))
	step := int64(1)
	if raceEnabled {
		step = 101
	}
	for at := int64(0); at < int64(size); at += step + at%13 {
		mem := base.Clone()
		_, err := Compact(memDir, &CompactOptions{FS: lyingDisk{mem, at}})
		if err == nil {
			t.Fatalf("byte %d of %d: not found out", at, size)
		}
		if i, err := Segments(memDir, &ReaderOptions{FS: mem}); err != nil || i[0].Compressed {
			t.Fatalf("byte %d: %v, %+v", at, err, i)
		}
		onlySegments(t, mem, 1)
	}
}

// lyingDisk changes the byte at an offset of a segment that is being compressed.
type lyingDisk struct {
	*vfs.Mem
	at int64
}

func (d lyingDisk) OpenFile(name string, flag int, perm os.FileMode) (vfs.File, error) {
	f, err := d.Mem.OpenFile(name, flag, perm)
	if err != nil || filepath.Base(name) != compactName {
		return f, err
	}
	return &lyingFile{f, d.at}, nil
}

type lyingFile struct {
	vfs.File
	at int64
}

func (f *lyingFile) WriteAt(b []byte, off int64) (int, error) {
	if f.at >= off && f.at < off+int64(len(b)) {
		b = slices.Clone(b)
		b[f.at-off] ^= 0x20
	}
	return f.File.WriteAt(b, off)
}
