package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path/filepath"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// Files that someone has made who means harm: with every checksum right, and with values that no writer writes.

// everyReader reads an archive in every way there is. Nothing may hang; a test that does is ended by its time limit.
func everyReader(t *testing.T, mem *vfs.Mem) *Report {
	t.Helper()
	rep, err := Verify(memDir, &VerifyOptions{FS: mem})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []ReaderOptions{{Control: true}, {FromSeq: 7}, {FromTime: timeOf(4)}, {End: true}, {Durable: true}, {Salvage: true, Control: true}} {
		o.FS = mem
		readAny(t, &o)
	}
	if _, err := Segments(memDir, &ReaderOptions{FS: mem}); err != nil {
		t.Fatal(err)
	}
	return rep
}

// A compressed block in a segment that was not rewritten is none, however right its checksum is.
func TestHostileCompressedBlock(t *testing.T) {
	for seg := range 3 {
		s := newScene(t).write(8).sync().rotate().write(4).sync().rotate().write(4).close()
		s.edit(seg, func(b []byte) []byte {
			off := s.at(b, uint64(8*min(seg, 1)+4*max(0, seg-1)))
			h := b[off : off+blockHeaderLen]
			le.PutUint16(h[56:], codecZstd)
			le.PutUint32(h[12:], le.Uint32(h[8:])+8)
			le.PutUint32(h[4:], crcWith(crcSeed(le.Uint64(b[80:])), h[8:]))
			return b
		})
		rep := everyReader(t, s.mem)
		if rep.Verdict != Corrupt || rep.Records != 14 {
			t.Errorf("segment %d: verdict %v with %d records, want corrupt with 14: %+v", seg, rep.Verdict, rep.Records, rep.Problems)
		}
		sal, err := Salvage(memDir, "out", &SalvageOptions{FS: s.mem})
		if err != nil || sal.Records != 14 {
			t.Errorf("segment %d: salvaged %+v, %v", seg, sal, err)
		}
	}
}

// Sequences beyond all that a writer can give, in a footer or in HEAD, cost no record that is there.
func TestHostileSequences(t *testing.T) {
	for i, next := range []uint64{1 << 20, 1 << 20, 1<<63 - 1, 1<<63 - 1, 1 << 63, 1 << 63, math.MaxUint64 - 1, math.MaxUint64} {
		all := i%2 == 1
		t.Run(fmt.Sprintf("footer %d %t", next, all), func(t *testing.T) {
			s := newScene(t).write(8).sync().rotate().write(4).sync().rotate().write(4).close()
			s.edit(0, func(b []byte) []byte {
				off := s.at(b, 6)
				end := off + blockHeaderLen
				if all { // up to the footer
					end = len(b) - trailerLen
				}
				clear(b[off:end])
				tr := b[len(b)-trailerLen:]
				le.PutUint64(tr[24:], next)
				le.PutUint32(tr[120:], crcWith(crcSeed(le.Uint64(b[80:])), tr[:120]))
				return b
			})
			salvageAllBut(t, s.mem, 2)
		})
		t.Run(fmt.Sprintf("head %d", next), func(t *testing.T) {
			s := newScene(t).write(8).sync().rotate().write(4).sync().close()
			s.head(func(h *head) { h.nextSeq, h.durablePos, h.writtenPos = next, h.durablePos+4096, h.writtenPos+4096 })
			salvageAllBut(t, s.mem, 0)
		})
	}
}

// salvageAllBut checks that all records but so many are found by every way to read on behind damage.
func salvageAllBut(t *testing.T, mem *vfs.Mem, lost uint64) {
	t.Helper()
	rep := everyReader(t, mem)
	n := uint64(0)
	for _, info := range mustSegments(t, mem) {
		n = max(n, info.FirstSeq)
	}
	n += 4 - lost
	if rep.Records != n {
		t.Errorf("Verify finds %d records, want %d", rep.Records, n)
	}
	sal, err := Salvage(memDir, "out", &SalvageOptions{FS: mem})
	if err != nil || sal.Records != n {
		t.Errorf("Salvage finds %+v, %v; want %d records", sal, err, n)
	}
	r, err := OpenReader(memDir, &ReaderOptions{FS: mem, Salvage: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got := uint64(0)
	for {
		_, err := r.Next(t.Context())
		if errors.Is(err, io.EOF) {
			break
		} else if err == nil {
			got++
		} else if !passing(err) {
			t.Fatal(err)
		}
	}
	if got != n {
		t.Errorf("a reader finds %d records, want %d", got, n)
	}
}

func mustSegments(t *testing.T, mem *vfs.Mem) []SegmentInfo {
	t.Helper()
	infos, err := Segments(memDir, &ReaderOptions{FS: mem})
	if err != nil {
		t.Fatal(err)
	}
	return infos
}

// opening counts files opened.
type opening struct {
	vfs.FS
	n int
}

func (o *opening) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	o.n++
	return o.FS.OpenFile(name, flag, perm)
}

// Many segments with one base sequence cost a listing a few looks at each, not one for each pair.
func TestHostileManySegments(t *testing.T) {
	const n = 400
	mem := smallArchive(t)
	for i := range n {
		mustWrite(t, mem, filepath.Join(memDir, segmentName(11, uint64(100+i))), make([]byte, 10))
	}
	o := &opening{FS: mem}
	if _, _, err := (archive{fs: o, dir: memDir}).list(); err != nil {
		t.Fatal(err)
	}
	if o.n > 8*n {
		t.Errorf("a listing opens %d files for %d segments", o.n, n)
	}
}

// A directory that FAILOVER names again and again is listed once.
func TestHostileFailover(t *testing.T) {
	var b []byte
	for range 1000 {
		b = append(b, "/x\n/x/../y/.\n"...)
	}
	dirs, err := parseFailover(b)
	if err != nil || len(dirs) != 2 || dirs[0] != filepath.Clean("/x") || dirs[1] != filepath.Clean("/y") {
		t.Errorf("%d directories, %v", len(dirs), err)
	}
}

// One record from far ahead stays to the end, and costs nothing for each record that passes it.
func TestWindowOneRecordFarAhead(t *testing.T) {
	mem := vfs.NewMem()
	w := mustOpen(t, memDir, &Options{FS: mem})
	const n = 50000
	var frames []byte
	for i := range n {
		at := int64(1000 + i)
		if i == 0 {
			at = math.MaxInt64
		}
		frames = AppendFrame(frames, Record{Time: at, Kind: KindData, Payload: []byte("x")})
		if len(frames) > 30000 || i == n-1 {
			if _, err := w.AppendFrames(frames, i+1-int(w.NextSeq())); err != nil {
				t.Fatal(err)
			}
			frames = frames[:0]
		}
	}
	mustClose(t, w)
	r, err := OpenReader(memDir, &ReaderOptions{FS: mem, Window: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, most := 0, 0
	var last Record
	for rec, err := range r.All() {
		if err != nil {
			t.Fatal(err)
		}
		got++
		last = rec
		most = max(most, cap(r.order.arrived))
	}
	if got != n || last.Seq != 0 || most > 4096 {
		t.Errorf("%d records of %d, the last one has sequence %d; %d places in memory", got, n, last.Seq, most)
	}
}

// Times may be as far apart as they can be.
func TestWindowExtremeTimes(t *testing.T) {
	o := newOrdered(&ReaderOptions{Window: time.Second})
	o.push(Record{Time: math.MinInt64}, 1)
	o.push(Record{Seq: 1, Time: math.MaxInt64}, 1)
	if !o.due() {
		t.Error("a record that is 2⁶⁴−1 ns behind another one is not due")
	}
}

// A segment of a later epoch with a number that was there already takes nothing over when it begins behind what was read.
func TestTakeoverAhead(t *testing.T) {
	s := newScene(t).write(8).sync().rotate().write(4).sync().rotate().write(4).close()
	s.header(2, func(h *segmentHeader) { h.number, h.epoch, h.basePos, h.predPos = 2, 2, 4096, 4096 })
	old := s.names[2]
	b := mustRead(t, s.mem, filepath.Join(memDir, old))
	mustRemove(t, s.mem, old)
	mustWrite(t, s.mem, filepath.Join(memDir, segmentName(12, 2)), b)
	r, err := OpenReader(memDir, &ReaderOptions{FS: s.mem})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	want := uint64(0)
	for rec, err := range r.All() {
		var c *CorruptionError
		if errors.As(err, &c) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if rec.Seq != want {
			t.Fatalf("sequence %d, want %d: nothing was said of those between", rec.Seq, want)
		}
		want++
	}
	if want != 12 {
		t.Errorf("read up to %d, want 12", want)
	}
}

// stopping ends a context once so many bytes were read.
type stopping struct {
	vfs.FS
	stop func()
	left int
	over int // bytes read since
}

func (s *stopping) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := s.FS.OpenFile(name, flag, perm)
	return &stoppingFile{f, s}, err
}

type stoppingFile struct {
	vfs.File
	s *stopping
}

func (f *stoppingFile) ReadAt(b []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(b, off)
	if f.s.left -= n; f.s.left < 0 {
		f.s.stop()
		f.s.over += n
	}
	return n, err
}

// A search through much damage ends with the context, and goes on with the next one.
func TestSearchIsCancelled(t *testing.T) {
	s := newScene(t).write(8).sync().rotate().write(4).sync().rotate().write(4).close()
	s.edit(0, func(b []byte) []byte { return append(b[:s.at(b, 4)], make([]byte, 8<<20)...) })
	ctx, cancel := context.WithCancel(t.Context())
	st := &stopping{FS: s.mem, stop: cancel, left: 1 << 20}
	r, err := OpenReader(memDir, &ReaderOptions{FS: st, Salvage: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	n := 0
	for {
		if _, err = r.Next(ctx); err == nil {
			n++
		} else if !passing(err) {
			break
		}
	}
	if !errors.Is(err, context.Canceled) || st.over > 1<<20 {
		t.Errorf("%v, %d bytes read after the context ended", err, st.over)
	}
	for {
		if _, err = r.Next(t.Context()); err == nil {
			n++
		} else if !passing(err) {
			break
		}
	}
	if !errors.Is(err, io.EOF) || n != 12 {
		t.Errorf("%d records, then %v, want 12", n, err)
	}
	stop := make(chan struct{})
	st = &stopping{FS: s.mem, left: 1 << 20}
	st.stop = func() {
		select {
		case <-stop:
		default:
			close(stop)
		}
	}
	if _, err := Salvage(memDir, "", &SalvageOptions{FS: st, Stop: stop}); !errors.Is(err, context.Canceled) || st.over > 1<<20 {
		t.Errorf("Salvage: %v, %d bytes read after it was stopped", err, st.over)
	}
	stop = make(chan struct{})
	st.left, st.over = 1<<20, 0
	if _, err := Verify(memDir, &VerifyOptions{FS: st, Stop: stop, Workers: 1}); !errors.Is(err, context.Canceled) || st.over > 2<<20 {
		t.Errorf("Verify: %v, %d bytes read after it was stopped", err, st.over)
	}
}
