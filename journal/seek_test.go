package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/bits"
	"path/filepath"
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// countingFS counts what readers ask for.
type countingFS struct {
	vfs.FS
	opens, reads int
	bytes        int64
}

type countedFile struct {
	vfs.File
	c *countingFS
}

func (c *countingFS) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := c.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	c.opens++
	return &countedFile{File: f, c: c}, nil
}

func (f *countedFile) ReadAt(b []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(b, off)
	f.c.reads++
	f.c.bytes += int64(n)
	return n, err
}

// stampedArchive is an archive of segments, each of per records in blocks of 4, with the times that at gives. The last one is not sealed.
func stampedArchive(t testing.TB, segments, per, size int, at func(seq uint64) int64) *vfs.Mem {
	t.Helper()
	mem := vfs.NewMem()
	w, err := openStepped(memDir, &Options{FS: mem, MaxBlock: 64 << 10, SegmentSize: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	seq := uint64(0)
	for i := range segments {
		for range per / 4 {
			var b []byte
			for range 4 {
				b = AppendFrame(b, stampedRecord(seq, size, at(seq)))
				seq++
			}
			if _, err := w.AppendFrames(b, 4); err != nil {
				t.Fatal(err)
			}
		}
		if i < segments-1 {
			w.forceRotate(t)
		}
	}
	for w.stepSync() {
	}
	crashed := mem.Clone()
	mustClose(t, w)
	return crashed
}

func stampedRecord(seq uint64, size int, at int64) Record {
	return Record{Seq: seq, Time: at, Kind: KindData, Payload: binary.LittleEndian.AppendUint64(make([]byte, 0, size), seq)[:max(8, size)]}
}

// firstOf opens a reader and returns the sequence of the first record, or next at the end.
func firstOf(t *testing.T, o ReaderOptions, next uint64) uint64 {
	t.Helper()
	r, err := OpenReader(memDir, &o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	rec, err := r.Next(t.Context())
	if errors.Is(err, io.EOF) {
		return next
	}
	if err != nil {
		t.Fatalf("%+v: %v", o, err)
	}
	if got := binary.LittleEndian.Uint64(rec.Payload); got != rec.Seq {
		t.Fatalf("record %d holds %d", rec.Seq, got)
	}
	return rec.Seq
}

// A clock that goes on, one that steps back within blocks, between them and between segments, and one that was far ahead for a while: the first
// record with the time or later, exactly; with indexes and without, sealed and not.
func TestSeekTimeAgainstModel(t *testing.T) {
	const segments, per = 12, 200
	const n = segments * per
	rnd := testRand(7)
	for name, at := range map[string]func(uint64) int64{
		"steady":       func(seq uint64) int64 { return 1000 + int64(seq) },
		"jitter":       func(seq uint64) int64 { return 1000 + int64(seq) - rnd.Int64N(50) },
		"steps back":   func(seq uint64) int64 { return 1000 + int64(seq) - int64(seq/330)*250 },
		"far ahead":    func(seq uint64) int64 { return 1000 + int64(seq) + int64(seq/500%2)*(seq64(seq)%3)*5000 },
		"all the same": func(uint64) int64 { return 1000 },
		"falling":      func(seq uint64) int64 { return 100000 - int64(seq) },
		"random":       func(uint64) int64 { return 1 + rnd.Int64N(100000) },
	} {
		t.Run(name, func(t *testing.T) {
			times := make([]int64, n)
			src := stampedArchive(t, segments, per, 40, func(seq uint64) int64 {
				times[seq] = at(seq)
				return times[seq]
			})
			for how, mem := range map[string]*vfs.Mem{"indexed": src, "without footers": withoutFooters(t, src)} {
				for range 400 {
					ask := times[rnd.IntN(n)] + rnd.Int64N(3) - 1
					want := uint64(0)
					for want < n && times[want] < ask {
						want++
					}
					if got := firstOf(t, ReaderOptions{FS: mem, FromTime: ask}, n); got != want {
						t.Fatalf("%s: from time %d: record %d, want %d", how, ask, got, want)
					}
				}
			}
		})
	}
}

func seq64(seq uint64) int64 { return int64(seq) }

// withoutFooters damages all footers of a copy.
func withoutFooters(t testing.TB, src *vfs.Mem) *vfs.Mem {
	t.Helper()
	mem := src.Clone()
	for _, name := range segmentNames(t, mem) {
		b := mustRead(t, mem, filepath.Join(memDir, name))
		if string(b[len(b)-trailerLen:][:8]) == string(trailerMagic[:]) {
			b[len(b)-1] ^= 1
			mustWrite(t, mem, filepath.Join(memDir, name), b)
		}
	}
	return mem
}

// The cost of a seek grows with the logarithm of the number of segments only.
func TestSeekReadsFewSegments(t *testing.T) {
	for _, segments := range []int{16, 128, 1024} {
		at := func(seq uint64) int64 { return 1000 + 10*int64(seq) - int64(seq%100/90)*500 }
		mem := stampedArchive(t, segments, 40, 40, at)
		n := uint64(segments * 40)
		logN := bits.Len(uint(segments))
		for name, opts := range map[string]func(seq uint64) ReaderOptions{
			"sequence": func(seq uint64) ReaderOptions { return ReaderOptions{FromSeq: seq} },
			"time":     func(seq uint64) ReaderOptions { return ReaderOptions{FromTime: 1000 + 10*int64(seq)} },
			"end":      func(uint64) ReaderOptions { return ReaderOptions{End: true} },
		} {
			var most countingFS
			for seq := uint64(3); seq < n; seq += n / 50 {
				c := &countingFS{FS: mem}
				o := opts(seq)
				o.FS = c
				firstOf(t, o, n)
				most.opens, most.reads, most.bytes = max(most.opens, c.opens), max(most.reads, c.reads), max(most.bytes, c.bytes)
			}
			t.Logf("%d segments, %s: %d opens, %d reads, %d bytes at most", segments, name, most.opens, most.reads, most.bytes)
			if limit := 10 + logN + 1; most.opens > limit {
				t.Errorf("%d segments, %s: %d files opened, limit %d", segments, name, most.opens, limit)
			}
			if limit := 20 + 2*logN; most.reads > limit {
				t.Errorf("%d segments, %s: %d reads, limit %d", segments, name, most.reads, limit)
			}
		}
	}
}

// A segment without a footer is not walked from its beginning.
func TestSeekInLiveSegment(t *testing.T) {
	const blocks = 4000
	at := func(seq uint64) int64 { return 1000 + int64(seq) }
	mem := stampedArchive(t, 1, 4*blocks, 2000, at) // 32 MB
	for name, opts := range map[string]ReaderOptions{
		"sequence": {FromSeq: 4*blocks - 5000}, "time": {FromTime: at(4*blocks - 5000)}, "end": {End: true}, "behind the end": {FromSeq: 4 * blocks},
		"time to come": {FromTime: at(5 * blocks)}, "start": {FromSeq: 1},
	} {
		c := &countingFS{FS: mem}
		opts.FS = c
		got := firstOf(t, opts, 4*blocks)
		want := uint64(4*blocks - 5000)
		if opts.FromSeq+uint64(opts.FromTime) != want+uint64(opts.FromTime) && opts.FromTime != at(want) {
			want = 4 * blocks
		}
		if name == "start" {
			want = 1
		}
		if got != want {
			t.Errorf("%s: record %d, want %d", name, got, want)
		}
		t.Logf("%s: %d reads, %d bytes", name, c.reads, c.bytes)
		if limit := int64(3 << 20); c.bytes > limit {
			t.Errorf("%s: %d bytes read in %d reads, limit %d", name, c.bytes, c.reads, limit)
		}
	}
}

// A record holds blocks of the very segment that it is in: a search for block headers comes to the copy, and still all is found.
func TestSeekAmongCopiesOfBlocks(t *testing.T) {
	for _, copies := range []int{1, 3, 40} {
		mem := vfs.NewMem()
		w, err := openStepped(memDir, &Options{FS: mem})
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(memDir, w.seg.name)
		write := func(extra []byte) {
			rec := stampedRecord(w.NextSeq(), 3000, 1000+int64(w.NextSeq()))
			rec.Payload = append(rec.Payload, extra...)
			if _, err := w.Append(rec); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 600 {
			write(nil)
			if i%20 == 19 { // the last so many blocks, as they stand in the file
				b := mustRead(t, mem, path)
				write(b[max(segmentHeaderLen+blockHeaderLen, len(b)-copies*(blockHeaderLen+FrameLen(3000))):])
			}
		}
		n := w.NextSeq()
		crashed := mem.Clone()
		mustClose(t, w)
		for _, head := range []bool{true, false} {
			if !head {
				mustRemove(t, crashed, headName)
			}
			r, err := OpenReader(memDir, &ReaderOptions{FS: crashed, End: true})
			if err != nil {
				t.Fatal(err)
			}
			before := r.NextSeq()
			if _, err := r.Next(t.Context()); !errors.Is(err, io.EOF) || before != n || r.NextSeq() != n {
				t.Errorf("%d copies, HEAD %v: the end is at %d, then %d, %v; want %d", copies, head, before, r.NextSeq(), err, n)
			}
			mustClose(t, r)
			checkRun(t, ReaderOptions{FS: crashed, FromSeq: n - 1}, n-1, n, "the last one")
		}
		for seq := uint64(0); seq < n; seq += 3 {
			for _, o := range []ReaderOptions{{FromSeq: seq}, {FromTime: 1000 + int64(seq)}} {
				o.FS = crashed
				checkRun(t, o, seq, min(seq+60, n), fmt.Sprintf("%d copies, %+v", copies, o))
			}
		}
	}
}

// checkRun reads the records from first up to next.
func checkRun(t *testing.T, o ReaderOptions, first, next uint64, what string) {
	t.Helper()
	r, err := OpenReader(memDir, &o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for seq := first; seq < next; seq++ {
		rec, err := r.Next(t.Context())
		if err != nil || rec.Seq != seq || binary.LittleEndian.Uint64(rec.Payload) != seq {
			t.Fatalf("%s: record %d, %v; want %d", what, rec.Seq, err, seq)
		}
	}
}

// ToTime filters, and passes over segments that hold nothing early enough without reading them.
func TestToTime(t *testing.T) {
	const segments, per = 40, 40
	at := func(seq uint64) int64 { return 1000 + int64(seq) - int64(seq/200)*100 } // steps back by half of what went by
	mem := stampedArchive(t, segments, per, 1000, at)
	for _, to := range []int64{999, 1000, 1100, 1250, 1e6} {
		c := &countingFS{FS: mem}
		r, err := OpenReader(memDir, &ReaderOptions{FS: c, ToTime: to})
		if err != nil {
			t.Fatal(err)
		}
		want := uint64(0)
		next := func() {
			for want < segments*per && at(want) > to {
				want++
			}
		}
		for rec, err := range r.All() {
			if next(); err != nil || rec.Seq != want {
				t.Fatalf("to %d: record %d, %v; want %d", to, rec.Seq, err, want)
			}
			want++
		}
		if next(); want != segments*per || r.NextSeq() != segments*per {
			t.Errorf("to %d: ended before %d; next %d", to, want, r.NextSeq())
		}
		mustClose(t, r)
		if limit := int64(segments * 16 << 10); to == 1000 && c.bytes > limit {
			t.Errorf("%d bytes read, limit %d", c.bytes, limit)
		}
	}
}
