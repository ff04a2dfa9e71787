package journal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// hookFS calls hook before each read of a segment, and reports a Close that meets a read under way.
type hookFS struct {
	vfs.FS
	hook    func(off int64, n int) error
	reading atomic.Int32
	early   atomic.Bool
}

type hookFile struct {
	vfs.File
	fs *hookFS
}

func (h *hookFS) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := h.FS.OpenFile(name, flag, perm)
	if err != nil || !strings.HasSuffix(name, segmentExt) {
		return f, err
	}
	return &hookFile{File: f, fs: h}, nil
}

func (f *hookFile) ReadAt(b []byte, off int64) (int, error) {
	f.fs.reading.Add(1)
	defer f.fs.reading.Add(-1)
	if f.fs.hook != nil {
		if err := f.fs.hook(off, len(b)); err != nil {
			return 0, err
		}
	}
	return f.File.ReadAt(b, off)
}

func (f *hookFile) Close() error {
	if f.fs.reading.Load() > 0 {
		f.fs.early.Store(true)
	}
	return f.File.Close()
}

// bigArchive is an archive of n blocks, of about size bytes each, in so many segments. It returns how many records a block has.
func bigArchive(t testing.TB, mem *vfs.Mem, n, size, segments int) (perBlock int) {
	t.Helper()
	w := mustOpen(t, memDir, &Options{FS: mem, Sync: SyncNone, MaxBlock: max(DefaultMaxBlock, 4<<20)})
	frames, records := benchFrames(size)
	for i := range n {
		if i > 0 && i*segments/n > (i-1)*segments/n {
			w.forceRotate(t)
		}
		if _, err := w.AppendFrames(frames, records); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, w)
	return records
}

// openPrefetching opens a reader that reads ahead, or not, however many processors there are.
func openPrefetching(t testing.TB, on bool, opts *ReaderOptions) *Reader {
	t.Helper()
	r, err := OpenReader(memDir, opts)
	if err != nil {
		t.Fatal(err)
	}
	if r.w.prefetch = nil; on {
		r.w.prefetch = newPrefetch()
	}
	return r
}

// A Reader reads ahead by itself where there is a processor for it.
func TestPrefetchIsOn(t *testing.T) {
	mem := vfs.NewMem()
	bigArchive(t, mem, 100, 70<<10, 1)
	for _, procs := range []int{1, 2} {
		before := runtime.GOMAXPROCS(procs)
		r, err := OpenReader(memDir, &ReaderOptions{FS: mem})
		runtime.GOMAXPROCS(before)
		if err != nil {
			t.Fatal(err)
		}
		trace(r, nil)
		if on := r.w.prefetch != nil && r.w.prefetch.begun(); on != (procs > 1) {
			t.Errorf("GOMAXPROCS %d: reading ahead %t", procs, on)
		}
		mustClose(t, r)
	}
}

// settle waits until nothing is being read ahead, and returns up to which offset it was.
func (p *prefetch) settle() int64 {
	for {
		p.mu.Lock()
		running, pos := p.running, p.pos
		p.mu.Unlock()
		if !running {
			return pos
		}
		runtime.Gosched()
	}
}

// begun reports whether anything was read ahead.
func (p *prefetch) begun() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pos > 0
}

// checkChunks checks that no chunk is lost, or in two places.
func (p *prefetch) checkChunks(t *testing.T) {
	t.Helper()
	if p == nil || p.free == nil {
		return
	}
	p.settle()
	seen := map[*chunk]bool{}
	for _, c := range append(append([]*chunk{p.lent}, p.free...), p.full...) {
		seen[c] = true
	}
	if delete(seen, nil); len(seen) != chunks || len(p.free)+len(p.full) > chunks {
		t.Errorf("%d chunks, %d are free and %d are full", len(seen), len(p.free), len(p.full))
	}
}

// readUntilAhead reads records until something has been read ahead.
func readUntilAhead(t testing.TB, r *Reader) (records uint64) {
	t.Helper()
	for !r.w.prefetch.begun() {
		rec, err := r.Next(context.Background())
		if err != nil {
			t.Fatalf("nothing was read ahead up to record %d: %v", rec.Seq, err)
		}
		records++
	}
	return records
}

// removedAt is when segments were trimmed, which is not the same second in two runs.
var removedAt = regexp.MustCompile(`removed at \S+`)

// trace reads to the end and says what came: runs of sequences, and the errors between them.
func trace(r *Reader, each func(seq uint64)) (lines []string) {
	next := ^uint64(0)
	for {
		rec, err := r.Next(context.Background())
		if err != nil {
			lines = append(lines, fmt.Sprintf("%d: %s", r.NextSeq(), removedAt.ReplaceAllString(err.Error(), "removed")))
			if !passing(err) {
				return lines
			}
			next = ^uint64(0)
			continue
		}
		if rec.Seq != next {
			lines = append(lines, fmt.Sprintf("from %d", rec.Seq))
		}
		next = rec.Seq + 1
		if each != nil {
			each(rec.Seq)
		}
	}
}

// With reading ahead a reader gives the same records, and says the same where something is wrong, as without.
func TestPrefetchChangesNothing(t *testing.T) {
	errRead := errors.New("the disk does not want to")
	for _, size := range []int{2000, 70 << 10, 256 << 10, 1<<20 - 300, 3 << 20} {
		mem := vfs.NewMem()
		bigArchive(t, mem, 11<<20/size+1, size, 2)
		names := segmentNames(t, mem)
		if len(names) < 2 {
			t.Fatal("one segment says too little")
		}
		for name, spoil := range map[string]func(t *testing.T, img *vfs.Mem, fs *hookFS){
			"whole":                func(*testing.T, *vfs.Mem, *hookFS) {},
			"a byte":               func(t *testing.T, img *vfs.Mem, _ *hookFS) { flip(t, img, names[0], 4<<20+123) },
			"bytes in a row":       func(t *testing.T, img *vfs.Mem, _ *hookFS) { flip(t, img, names[0], 3<<20, 3<<20+8, 3<<20+70000) },
			"a byte early":         func(t *testing.T, img *vfs.Mem, _ *hookFS) { flip(t, img, names[0], 520<<10) },
			"in the next":          func(t *testing.T, img *vfs.Mem, _ *hookFS) { flip(t, img, names[1], 700<<10) },
			"cut":                  func(t *testing.T, img *vfs.Mem, _ *hookFS) { cutFile(t, img, names[0], 4<<20+77) },
			"a segment is gone":    func(t *testing.T, img *vfs.Mem, _ *hookFS) { removeFile(t, img, names[1]) },
			"cannot be read":       func(_ *testing.T, _ *vfs.Mem, fs *hookFS) { fs.hook = failFrom(3<<20, errRead) },
			"cannot be read early": func(_ *testing.T, _ *vfs.Mem, fs *hookFS) { fs.hook = failFrom(520<<10, errRead) },
		} {
			t.Run(fmt.Sprintf("%d/%s", size, name), func(t *testing.T) {
				fs := &hookFS{FS: mem.Clone()}
				spoil(t, fs.FS.(*vfs.Mem), fs)
				hook := fs.hook
				for _, opts := range []ReaderOptions{{FS: fs}, {FS: fs, Salvage: true}} {
					var traces [2]string
					for i, on := range []bool{false, true} {
						fs.hook = nil
						r := openPrefetching(t, on, &opts)
						fs.hook = hook
						traces[i] = strings.Join(trace(r, nil), "\n")
						if on && size <= DefaultMaxBlock && !strings.HasSuffix(name, "early") && !strings.HasPrefix(name, "cannot") && !r.w.prefetch.begun() {
							t.Error("nothing was read ahead")
						}
						r.w.prefetch.checkChunks(t)
						mustClose(t, r)
					}
					if traces[0] != traces[1] {
						t.Errorf("%+v: with reading ahead:\n%s\nwithout:\n%s", opts, traces[1], traces[0])
					}
				}
				if fs.early.Load() {
					t.Error("a file was closed while it was read")
				}
			})
		}
	}
}

func failFrom(from int64, err error) func(int64, int) error {
	return func(off int64, n int) error {
		if off+int64(n) > from && off >= segmentHeaderLen && n >= blockHeaderLen && n != trailerLen {
			return err
		}
		return nil
	}
}

func cutFile(t *testing.T, fsys vfs.FS, name string, size int64) {
	t.Helper()
	withFile(t, fsys, name, func(f vfs.File) error { return f.Truncate(size) })
}

func removeFile(t *testing.T, fsys vfs.FS, name string) {
	t.Helper()
	if err := fsys.Remove(memDir + "/" + name); err != nil {
		t.Fatal(err)
	}
}

func flip(t *testing.T, fsys vfs.FS, name string, offs ...int64) {
	t.Helper()
	withFile(t, fsys, name, func(f vfs.File) error {
		for _, off := range offs {
			var b [1]byte
			if _, err := f.ReadAt(b[:], off); err != nil {
				return err
			}
			b[0] ^= 0x40
			if _, err := f.WriteAt(b[:], off); err != nil {
				return err
			}
		}
		return nil
	})
}

func withFile(t *testing.T, fsys vfs.FS, name string, do func(f vfs.File) error) {
	t.Helper()
	f, err := fsys.OpenFile(memDir+"/"+name, 2, 0) // os.O_RDWR
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(do(f), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// Damage that was read ahead is told when the caller comes there.
func TestPrefetchMeetsDamageFirst(t *testing.T) {
	mem := vfs.NewMem()
	perBlock := bigArchive(t, mem, 100, 70<<10, 1)
	const damaged = 20 // block
	blockLen := int64(perBlock*FrameLen(200) + blockHeaderLen)
	segs := segmentNames(t, mem)
	r := openPrefetching(t, true, &ReaderOptions{FS: mem})
	defer r.Close()
	start := r.w.off
	at := start + int64(damaged)*blockLen + 5000
	flip(t, mem, segs[0], at)
	records := readUntilAhead(t, r)
	if pos := r.w.prefetch.settle(); pos < at {
		t.Fatalf("read ahead up to %d, damage is at %d", pos, at)
	}
	for rest := records; ; rest++ {
		_, err := r.Next(t.Context())
		var c *CorruptionError
		if errors.As(err, &c) {
			if rest < uint64((damaged-1)*perBlock) || c.FirstSeq != rest {
				t.Errorf("after %d records: %v", rest, err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Close waits for a read that is under way, and the file is closed after it.
func TestPrefetchClose(t *testing.T) {
	mem := vfs.NewMem()
	bigArchive(t, mem, 100, 70<<10, 1)
	fs := &hookFS{FS: mem}
	r := openPrefetching(t, true, &ReaderOptions{FS: fs})
	p := r.w.prefetch
	reached := make(chan bool, 1)
	fs.hook = func(off int64, n int) error {
		if n > readAhead { // only what reads ahead reads so much
			reached <- true
			for !p.stop.Load() {
				runtime.Gosched()
			}
		}
		return nil
	}
	readUntilAhead(t, r)
	<-reached
	mustClose(t, r)
	if fs.early.Load() {
		t.Error("the file was closed while it was read")
	}
	if _, err := r.Next(t.Context()); !errors.Is(err, errClosed) {
		t.Error(err)
	}
}

// A reader that nobody closes leaves no goroutine behind, and has read no more ahead than it has memory for.
func TestPrefetchAbandoned(t *testing.T) {
	mem := vfs.NewMem()
	bigArchive(t, mem, 300, 70<<10, 1)
	c := &bytesFS{FS: mem}
	r := openPrefetching(t, true, &ReaderOptions{FS: c})
	readUntilAhead(t, r)
	pos := r.w.prefetch.settle()
	if most := r.w.off + 2*readAhead + chunks*chunkSize; pos > most {
		t.Errorf("read up to %d, should be at most %d", pos, most)
	}
	if got := c.read.Load(); got > pos+64<<10 {
		t.Errorf("%d bytes were read, up to %d", got, pos)
	}
	if _, err := r.Next(t.Context()); err != nil { // not closed, and goleak looks when the tests are through
		t.Fatal(err)
	}
}

// Who wants some records somewhere has nothing read ahead.
func TestPrefetchNotForAFewRecords(t *testing.T) {
	mem := vfs.NewMem()
	perBlock := bigArchive(t, mem, 300, 70<<10, 1)
	for _, seq := range []uint64{0, 1, uint64(7 * perBlock), uint64(150*perBlock + 17), uint64(299 * perBlock)} {
		r := openPrefetching(t, true, &ReaderOptions{FS: mem, FromSeq: seq})
		for range perBlock {
			if _, err := r.Next(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if r.w.prefetch.begun() {
			t.Errorf("from %d", seq)
		}
		mustClose(t, r)
	}
}

// A walk that goes to another place while it is read ahead goes on from there.
func TestPrefetchSeek(t *testing.T) {
	mem := vfs.NewMem()
	perBlock := bigArchive(t, mem, 200, 70<<10, 1)
	r := openPrefetching(t, true, &ReaderOptions{FS: mem})
	defer r.Close()
	readUntilAhead(t, r)
	for _, at := range []int{50, 3, 190, 0, 120} {
		seq := uint64(at * perBlock)
		r.w.reset(r.file, r.w.hdr)
		if err := r.hop(goal{skip: func(h *blockHeader) bool { return h.nextSeq() <= seq }}); err != nil {
			t.Fatal(err)
		}
		r.b, r.at = block{}, 0
		for want := seq; want < min(seq+uint64(40*perBlock), uint64(200*perBlock)); want++ {
			rec, err := r.Next(t.Context())
			if err != nil || rec.Seq != want {
				t.Fatalf("from block %d: record %d instead of %d, %v", at, rec.Seq, want, err)
			}
		}
	}
}

// A segment that is being read may be trimmed or rewritten: what is open is read to its end.
func TestPrefetchTrimmedMeanwhile(t *testing.T) {
	for name, change := range map[string]func(mem *vfs.Mem) error{
		"trimmed":   func(mem *vfs.Mem) error { _, err := Trim(memDir, &TrimOptions{FS: mem, BeforeSeq: 70_000}); return err },
		"compacted": func(mem *vfs.Mem) error { _, err := Compact(memDir, &CompactOptions{FS: mem}); return err },
	} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewMem()
			bigArchive(t, mem, 250, 70<<10, 3)
			var traces [2]string
			for i, on := range []bool{false, true} {
				img := mem.Clone()
				r := openPrefetching(t, on, &ReaderOptions{FS: img, Salvage: true})
				lines := trace(r, func(seq uint64) {
					if seq == 5000 {
						if on && !r.w.prefetch.begun() {
							t.Error("nothing was read ahead")
						}
						if err := change(img); err != nil {
							t.Fatal(err)
						}
					}
				})
				traces[i] = strings.Join(lines, "\n")
				mustClose(t, r)
			}
			if traces[0] != traces[1] {
				t.Errorf("with reading ahead:\n%s\nwithout:\n%s", traces[1], traces[0])
			}
		})
	}
}

// A follower that waits has given the memory up, and reads ahead again when there is much to read.
func TestPrefetchFollow(t *testing.T) {
	mem := vfs.NewMem()
	w := mustOpen(t, memDir, &Options{FS: mem, Sync: SyncNone})
	defer w.Close()
	frames, n := benchFrames(70 << 10)
	fs := &hookFS{FS: mem}
	r := openPrefetching(t, true, &ReaderOptions{FS: fs, Follow: true})
	defer r.Close()
	for next := uint64(0); next < uint64(300*n); {
		for range 100 {
			if _, err := w.AppendFrames(frames, n); err != nil {
				t.Fatal(err)
			}
		}
		p := r.w.prefetch
		p.settle()
		p.pos = 0
		for ; next < w.NextSeq(); next++ {
			if rec, err := r.Next(t.Context()); err != nil || rec.Seq != next {
				t.Fatal(rec.Seq, next, err)
			}
		}
		if !p.begun() {
			t.Error("nothing was read ahead")
		}
		ctx, cancel := context.WithCancel(t.Context())
		looks := 0
		fs.hook = func(_ int64, n int) error {
			if n == trailerLen { // the reader looks for more
				if looks++; looks == 10 {
					cancel()
				}
			}
			return nil
		}
		if _, err := r.Next(ctx); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if fs.hook = nil; p.free != nil || p.lent != nil || r.w.buf != nil {
			t.Error("a reader that waits keeps memory for reading ahead")
		}
	}
}
