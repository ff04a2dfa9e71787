package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// Damages and forgeries of small archives. In each case: nobody panics, no record is delivered that was not written, what was promised is never
// cut, and who has lost something says so.

// manyBits reports whether each bit is to be tried, or one of each byte.
func manyBits() bool { return os.Getenv("LOGBUF_LONG") != "" }

// unsealedScene is an archive whose writer has died: 6 records that HEAD calls durable, 4 more in two blocks. It returns where the promise ends.
func unsealedScene(t *testing.T) (s *scene, promised int) {
	s = newScene(t).write(6).sync()
	promised = int(s.w.seg.off)
	return s.write(4).die(), promised
}

// checkUnsealed checks an unsealedScene that was changed at the offset at. whole says that the file ends with a whole block.
func checkUnsealed(t *testing.T, mem *vfs.Mem, what string, promised, whole bool) {
	t.Helper()
	rep, err := Verify(memDir, &VerifyOptions{FS: mem, Workers: 1})
	want := Torn
	switch {
	case promised:
		want = Corrupt
	case whole:
		want = Clean
	}
	if err != nil || rep.Verdict != want {
		t.Fatalf("%s: verify: %+v, %v; want %v", what, rep, err, want)
	}
	n, err := readThrough(t, mem)
	var c *CorruptionError
	if promised != errors.As(err, &c) || !promised && n != rep.NextSeq {
		t.Fatalf("%s: reader: %d records, %v", what, n, err)
	}
	before := filesOf(t, mem)
	w, err := openStepped(memDir, &Options{FS: mem})
	if promised {
		if !errors.As(err, &c) || filesOf(t, mem) != before {
			t.Fatalf("%s: open: %v", what, err)
		}
		return
	}
	if err != nil || w.NextSeq() != rep.NextSeq || rep.NextSeq < 6 {
		t.Fatalf("%s: open: %v; verify: %+v", what, err, rep)
	}
	mustClose(t, w)
}

func TestEveryBitFlipUnsealed(t *testing.T) {
	s, promised := unsealedScene(t)
	whole := mustRead(t, s.mem, filepath.Join(memDir, s.names[0]))
	for at := range whole {
		if at > 300 && at < 4090 && at%53 != 0 {
			continue // zeros of the header page
		}
		for bit := range 8 {
			if !manyBits() && bit != at%8 {
				continue
			}
			mem := s.mem.Clone()
			b := bytes.Clone(whole)
			b[at] ^= 1 << bit
			mustWrite(t, mem, filepath.Join(memDir, s.names[0]), b)
			checkUnsealed(t, mem, fmt.Sprintf("byte %d bit %d", at, bit), at < promised, false)
		}
	}
}

func TestEveryTruncationUnsealed(t *testing.T) {
	s, promised := unsealedScene(t)
	whole := mustRead(t, s.mem, filepath.Join(memDir, s.names[0]))
	for size := range whole {
		if size < 4000 && size%97 != 0 {
			continue
		}
		mem := s.mem.Clone()
		mustWrite(t, mem, filepath.Join(memDir, s.names[0]), whole[:size])
		// HEAD has seen more written than is there: the end is torn even where it is the end of a block.
		checkUnsealed(t, mem, fmt.Sprintf("%d bytes", size), size < promised, false)
	}
}

// Every bit of HEAD: it says nothing then, and nothing else changes.
func TestEveryBitFlipOfHead(t *testing.T) {
	s := newScene(t).write(6).sync().write(4).die()
	path := filepath.Join(memDir, headName)
	whole := mustRead(t, s.mem, path)
	for bit := range 8 * len(whole) {
		mem := s.mem.Clone()
		b := bytes.Clone(whole)
		b[bit/8] ^= 1 << (bit % 8)
		mustWrite(t, mem, path, b)
		checkUnsealed(t, mem, fmt.Sprintf("HEAD bit %d", bit), false, true)
	}
}

// forgeries are what a field is changed to.
func forgeries(v uint64) []uint64 {
	return []uint64{v + 1, v - 1, v + 8, v - 8, v + 64, 0, 1 << 20, 1 << 62, ^uint64(0)}
}

// A footer whose checksum is right and whose content is not: it can make Verify, a reader and Open refuse, and it never makes one of them lose
// a record, or believe in one.
func TestForgedFooter(t *testing.T) {
	src := newScene(t).write(8).rotate().write(6).close()
	fields := []int{16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 92, 96, 100} // but version, flags, reserved, content hash: see below
	for seg := range src.names {
		path := filepath.Join(memDir, src.names[seg])
		whole := mustRead(t, src.mem, path)
		tr := whole[len(whole)-trailerLen:]
		seed := crcSeed(le.Uint64(whole[80:]))
		for _, at := range fields {
			for _, v := range forgeries(le.Uint64(tr[at:])) {
				b := bytes.Clone(whole)
				f := b[len(b)-trailerLen:]
				if at < 88 {
					le.PutUint64(f[at:], v)
				} else {
					le.PutUint32(f[at:], uint32(v))
				}
				if bytes.Equal(b, whole) {
					continue
				}
				le.PutUint32(f[120:], crcWith(seed, f[:120]))
				mem := src.mem.Clone()
				mustWrite(t, mem, path, b)
				checkForged(t, mem, fmt.Sprintf("segment %d, trailer byte %d is %d", seg, at, v), 14, true)
			}
		}
	}
}

// checkForged checks an archive of n records of which all data is whole.
func checkForged(t *testing.T, mem *vfs.Mem, what string, n uint64, damaged bool) {
	t.Helper()
	rep, err := Verify(memDir, &VerifyOptions{FS: mem, Workers: 1})
	if err != nil || damaged && rep.Verdict == Clean {
		t.Fatalf("%s: verify: %+v, %v", what, rep, err)
	}
	got, err := readThrough(t, mem)
	if got != n && err == nil {
		t.Fatalf("%s: the reader comes to %d, and says nothing", what, got)
	}
	w, err := openStepped(memDir, &Options{FS: mem})
	var c *CorruptionError
	switch {
	case errors.As(err, &c):
	case err != nil:
		t.Fatalf("%s: open: %v", what, err)
	case w.NextSeq() != n:
		t.Fatalf("%s: open comes to %d: %+v", what, w.NextSeq(), w.Recovered())
	default:
		mustClose(t, w)
	}
}

// A HEAD whose checksum is right and whose content is not may make an archive look as if something was missing, no more.
func TestForgedHead(t *testing.T) {
	for name, src := range map[string]*scene{
		"closed":  newScene(t).write(8).rotate().write(6).close(),
		"crashed": newScene(t).write(8).rotate().write(6).die(),
	} {
		path := filepath.Join(memDir, headName)
		whole := mustRead(t, src.mem, path)
		for at := 8; at < headLen; at += 8 {
			for _, v := range forgeries(le.Uint64(whole[at:])) {
				b := bytes.Clone(whole)
				le.PutUint64(b[at:], v)
				le.PutUint32(b[4:], crcWith(crcOf(src.w.uuid[:]), b[8:]))
				mem := src.mem.Clone()
				mustWrite(t, mem, path, b)
				checkForged(t, mem, fmt.Sprintf("%s, HEAD byte %d is %d", name, at, v), 14, false)
			}
		}
	}
}

// A field of a block header that is changed, with all checksums and the chain made right again.
func TestForgedBlockHeaders(t *testing.T) {
	src := newScene(t).write(8).close()
	path := filepath.Join(memDir, src.names[0])
	whole := mustRead(t, src.mem, path)
	block := src.at(whole, 4)
	for at := 20; at < 60; at += 4 {
		for _, v := range forgeries(uint64(le.Uint32(whole[block+at:]))) {
			b := bytes.Clone(whole)
			le.PutUint32(b[block+at:], uint32(v))
			if bytes.Equal(b, whole) {
				continue
			}
			fixChecksums(b)
			mem := src.mem.Clone()
			mustWrite(t, mem, path, b)
			// The durable position and the running maximum may be lower, and unknown flags are ignored: that is no damage.
			damaged := at < 32 || at == 40 || at == 44
			checkForged(t, mem, fmt.Sprintf("block header byte %d is %d", at, uint32(v)), 8, damaged)
		}
	}
}

// Payloads that hold our own format: segments of another archive, this very segment as far as it is written, its footer, HEAD. Cut anywhere, the
// archive ends where it was cut.
func TestPayloadsOfOurFormat(t *testing.T) {
	other := newScene(t).write(6).close()
	s := &scene{t: t, mem: vfs.NewMem()}
	var err error
	if s.w, err = openStepped(memDir, &Options{FS: s.mem, Sync: SyncNone, MaxBlock: 64 << 10}); err != nil {
		t.Fatal(err)
	}
	var payloads [][]byte
	add := func(p []byte) {
		payloads = append(payloads, bytes.Clone(p))
		if _, err := s.w.Append(Record{Time: 1, Payload: p}); err != nil {
			t.Fatal(err)
		}
	}
	own := func() []byte { return mustRead(t, s.mem, filepath.Join(memDir, segmentName(0, 1))) }
	add([]byte("first"))
	add(mustRead(t, other.mem, filepath.Join(memDir, other.names[0])))
	add(own())
	add(own()[segmentHeaderLen:])
	add(mustRead(t, s.mem, filepath.Join(memDir, headName)))
	add(s.w.seg.footer(sealClose)) // the right salt, and the right end of the data
	add([]byte("last"))
	s.die()
	mustRemove(t, s.mem, headName)
	whole := mustRead(t, s.mem, filepath.Join(memDir, s.names[0]))
	ends := blockEnds(t, s.mem, s.names[0])
	ends[int64(len(whole))] = true
	var cuts []int
	for size := segmentHeaderLen + blockHeaderLen; size <= len(whole); size += 8 {
		if manyBits() || ends[int64(size)] || size%184 == 0 {
			cuts = append(cuts, size)
		}
	}
	for _, size := range cuts {
		mem := s.mem.Clone()
		mustWrite(t, mem, filepath.Join(memDir, s.names[0]), whole[:size])
		n := readPayloads(t, mem, payloads)
		rep, err := Verify(memDir, &VerifyOptions{FS: mem, Workers: 1})
		if err != nil || rep.NextSeq != n || (rep.Verdict == Clean) != ends[int64(size)] || rep.Verdict == Corrupt {
			t.Fatalf("cut to %d: %+v, %v; the reader comes to %d", size, rep, err, n)
		}
		w, err := openStepped(memDir, &Options{FS: mem})
		if err != nil || w.NextSeq() != n {
			t.Fatalf("cut to %d: %v", size, err)
		}
		mustClose(t, w)
	}
	if n := readPayloads(t, s.mem, payloads); n != uint64(len(payloads)) {
		t.Errorf("%d records", n)
	}
}

func readPayloads(t *testing.T, mem *vfs.Mem, payloads [][]byte) (n uint64) {
	t.Helper()
	r, err := OpenReader(memDir, &ReaderOptions{FS: mem})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for {
		rec, err := r.Next(context.Background())
		if errors.Is(err, io.EOF) {
			return n
		}
		if err != nil || rec.Seq != n || !bytes.Equal(rec.Payload, payloads[n]) {
			t.Fatalf("record %d: %v", n, err)
		}
		n++
	}
}

// Segments under other names, in each other's place, and twice.
func TestSegmentsMisplaced(t *testing.T) {
	src := newScene(t).write(8).rotate().write(6).rotate().write(4).close()
	const n = 18
	path := func(name string) string { return filepath.Join(memDir, name) }
	move := func(from, to string) func(mem *vfs.Mem) error {
		return func(mem *vfs.Mem) error { return mem.Rename(path(from), path(to)) }
	}
	double := func(from, to string) func(mem *vfs.Mem) error {
		return func(mem *vfs.Mem) error {
			b, err := mem.ReadFile(path(from))
			return errors.Join(err, mem.WriteFile(path(to), b))
		}
	}
	swap := func(x, y string) func(mem *vfs.Mem) error {
		return func(mem *vfs.Mem) error {
			return errors.Join(mem.Rename(path(x), path("t")), mem.Rename(path(y), path(x)), mem.Rename(path("t"), path(y)))
		}
	}
	cases := map[string]func(mem *vfs.Mem) error{}
	for i, name := range src.names {
		base, epoch, _ := parseSegmentName(name)
		cases[fmt.Sprintf("%d with another epoch", i)] = move(name, segmentName(base, epoch+1))
		cases[fmt.Sprintf("%d with another sequence", i)] = move(name, segmentName(base+1, epoch))
		cases[fmt.Sprintf("%d twice, by epoch", i)] = double(name, segmentName(base, epoch+1))
		cases[fmt.Sprintf("%d twice, by sequence", i)] = double(name, segmentName(base+1, epoch))
		cases[fmt.Sprintf("%d twice, at the end", i)] = double(name, segmentName(n, epoch))
		cases[fmt.Sprintf("%d in the place of the next", i)] = swap(name, src.names[(i+1)%len(src.names)])
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			mem := src.mem.Clone()
			if err := change(mem); err != nil {
				t.Fatal(err)
			}
			rep, err := Verify(memDir, &VerifyOptions{FS: mem})
			if err != nil || rep.Verdict != Corrupt {
				t.Errorf("verify: %+v, %v", rep, err)
			}
			got, err := readThrough(t, mem)
			var c *CorruptionError
			if !errors.As(err, &c) || got > n {
				t.Errorf("reader: %d records, %v", got, err)
			}
			if w, err := openStepped(memDir, &Options{FS: mem}); err == nil {
				if w.NextSeq() != n { // Open looks at the end only
					t.Errorf("open comes to %d", w.NextSeq())
				}
				mustClose(t, w)
			}
		})
	}
}

// Whole blocks of another archive, of another segment, and of this one at another place, written over those of the same size.
func TestBlocksTransplanted(t *testing.T) {
	fixed := func(s *scene, n int) *scene { // blocks of one size
		for range n {
			if _, err := s.w.Append(Record{Time: 5, Payload: bytes.Repeat([]byte{byte(s.w.NextSeq())}, 40)}); err != nil {
				t.Fatal(err)
			}
		}
		return s
	}
	src := fixed(fixed(newScene(t), 6).rotate(), 6).close()
	other := fixed(newScene(t), 6).close()
	const size = blockHeaderLen + frameOverhead + 40
	first := segmentHeaderLen + blockHeaderLen
	block := func(s *scene, seg, i int) []byte {
		b := mustRead(t, s.mem, filepath.Join(memDir, s.names[seg]))
		return b[first+i*size : first+(i+1)*size]
	}
	for name, b := range map[string][]byte{
		"another archive's":            block(other, 0, 3),
		"another segment's":            block(src, 1, 3),
		"this segment's, one before":   block(src, 0, 2),
		"this segment's, one after":    block(src, 0, 4),
		"another archive's, and again": bytes.Repeat(block(other, 0, 3), 3),
	} {
		mem := src.mem.Clone()
		path := filepath.Join(memDir, src.names[0])
		whole := mustRead(t, mem, path)
		copy(whole[first+3*size:], b)
		mustWrite(t, mem, path, whole)
		rep, err := Verify(memDir, &VerifyOptions{FS: mem})
		if err != nil || rep.Verdict != Corrupt || rep.Problems[0].FirstSeq != 3 {
			t.Errorf("%s: %+v, %v", name, rep, err)
		}
		r, err := OpenReader(memDir, &ReaderOptions{FS: mem})
		if err != nil {
			t.Fatal(err)
		}
		var n uint64
		for rec, err := range r.All() {
			if err != nil {
				break
			}
			if rec.Seq != n || rec.Payload[0] != byte(n) {
				t.Errorf("%s: record %d is %+v", name, n, rec)
			}
			n++
		}
		if n != 3 {
			t.Errorf("%s: read up to %d, want 3", name, n)
		}
		mustClose(t, r)
	}
}

// A tail of stale sectors: what the disk held there before, of older segments and of this archive's own. It is torn, and nothing of it comes back.
func TestStaleTail(t *testing.T) {
	old := newScene(t).write(40).close()
	stale := mustRead(t, old.mem, filepath.Join(memDir, old.names[0]))
	for skew := 0; skew < vfs.Sector; skew += 8 {
		s := newScene(t).write(6).sync().write(2).die()
		path := filepath.Join(memDir, s.names[0])
		whole := mustRead(t, s.mem, path)
		own := whole[segmentHeaderLen+skew:]
		tail := slices.Concat(stale[segmentHeaderLen+skew:][:1024], own, stale[len(stale)-600:])
		mustWrite(t, s.mem, path, append(bytes.Clone(whole), tail...))
		rep, err := Verify(memDir, &VerifyOptions{FS: s.mem})
		if err != nil || rep.Verdict != Torn || rep.NextSeq != 8 {
			t.Fatalf("skew %d: %+v, %v", skew, rep, err)
		}
		w, err := openStepped(memDir, &Options{FS: s.mem})
		if err != nil || w.NextSeq() != 8 || w.Recovered().TornBytes != int64(len(tail)) {
			t.Fatalf("skew %d: %v", skew, err)
		}
		mustClose(t, w)
		readAll(t, memDir, &ReaderOptions{FS: s.mem}, 0, 8)
	}
}
