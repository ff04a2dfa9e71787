package journal

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// manySegments is an archive of n records over several segments and opens, with control records among them.
func manySegments(t testing.TB, n int) *vfs.Mem {
	t.Helper()
	mem := vfs.NewMem()
	for _, part := range []int{n / 2, 0, n - n/2} {
		w := mustOpen(t, memDir, &Options{FS: mem, MaxBlock: minMaxBlock})
		for _, name := range []string{"one", "two", "three"} {
			if _, err := w.DefineStream(name); err != nil {
				t.Fatal(err)
			}
		}
		for i := 1; part > 0; i++ {
			if i%10 == 0 {
				w.forceRotate(t)
			}
			m := min(part, 23)
			fill(t, w, m, m)
			part -= m
			if _, err := w.Append(Record{Kind: KindMark, Time: 5, Payload: []byte{1}}); err != nil {
				t.Fatal(err)
			}
		}
		mustClose(t, w)
	}
	return mem
}

func TestSeekEverySequence(t *testing.T) {
	const n = 1500
	mem := manySegments(t, n)
	if len(segmentNames(t, mem)) < 5 {
		t.Fatal("too few segments to say anything")
	}
	for seq := uint64(0); seq < n; seq++ {
		r, err := OpenReader(memDir, &ReaderOptions{FS: mem, FromSeq: seq})
		if err != nil {
			t.Fatal(err)
		}
		for want := seq; want < min(seq+30, n); want++ {
			rec, err := r.Next(t.Context())
			if err != nil {
				t.Fatalf("from %d, at %d: %v", seq, want, err)
			}
			checkRecord(t, rec, want)
			if name := r.StreamName(rec.Stream); name != []string{"one", "two", "three"}[rec.Stream-1] {
				t.Fatalf("from %d: stream %d is %q", seq, rec.Stream, name)
			}
		}
		mustClose(t, r)
	}
	for _, seq := range []uint64{n, n + 1, 1 << 62} {
		r := readAll(t, memDir, &ReaderOptions{FS: mem, FromSeq: seq}, n, n)
		if r.NextSeq() != n || len(r.Streams()) != 3 {
			t.Errorf("from %d: next sequence %d, streams %v", seq, r.NextSeq(), r.Streams())
		}
	}
}

func TestSeekEveryTime(t *testing.T) {
	const n = 1500
	mem := manySegments(t, n)
	for seq := uint64(0); seq < n; seq++ {
		at := timeOf(seq) - int64(seq%3) // times that a record has, and times between
		want := uint64(0)
		for timeOf(want) < at {
			want++
		}
		readFrom(t, &ReaderOptions{FS: mem, FromTime: at}, want)
	}
	readFrom(t, &ReaderOptions{FS: mem, FromTime: 1}, 0)
	readFrom(t, &ReaderOptions{FS: mem, FromTime: timeOf(40), FromSeq: 700}, 700)
	readFrom(t, &ReaderOptions{FS: mem, FromTime: timeOf(700), FromSeq: 40}, 700)
	readAll(t, memDir, &ReaderOptions{FS: mem, FromTime: timeOf(n) + 1000}, n, n)
}

// readFrom checks that a reader begins with the record want.
func readFrom(t *testing.T, opts *ReaderOptions, want uint64) {
	t.Helper()
	r, err := OpenReader(memDir, opts)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	rec, err := r.Next(t.Context())
	if err != nil {
		t.Fatalf("%+v: %v", opts, err)
	}
	checkRecord(t, rec, want)
}

func TestReadEnd(t *testing.T) {
	mem := manySegments(t, 700)
	r := readAll(t, memDir, &ReaderOptions{FS: mem, End: true}, 700, 700)
	if r.NextSeq() != 700 || r.FirstSeq() != 0 || len(r.Streams()) != 3 {
		t.Errorf("next %d, first %d, streams %v", r.NextSeq(), r.FirstSeq(), r.Streams())
	}
}

func TestReadControl(t *testing.T) {
	mem := manySegments(t, 100)
	r, err := OpenReader(memDir, &ReaderOptions{FS: mem, Control: true, FromSeq: 23})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var kinds []byte
	for rec, err := range r.All() {
		if err != nil {
			t.Fatal(err)
		}
		if rec.Kind == KindData {
			break
		}
		if rec.Seq != 23 {
			t.Errorf("control record of kind %#x has sequence %d, want 23", rec.Kind, rec.Seq)
		}
		kinds = append(kinds, rec.Kind)
	}
	if !bytes.Equal(kinds, []byte{KindMark}) {
		t.Errorf("before record 23: % x", kinds)
	}
}

// What was written and is not sealed: without a footer everything is found by walking.
func TestReadUnsealed(t *testing.T) {
	mem := vfs.NewMem()
	w := mustOpen(t, memDir, &Options{FS: mem, MaxBlock: minMaxBlock})
	fill(t, w, 300, 10)
	crashed := mem.Clone()
	mustClose(t, w)
	for _, name := range []string{headName, lockName} {
		for seq := uint64(0); seq < 300; seq += 7 {
			readFrom(t, &ReaderOptions{FS: crashed, FromSeq: seq}, seq)
		}
		readFrom(t, &ReaderOptions{FS: crashed, FromTime: timeOf(123)}, 123)
		readAll(t, memDir, &ReaderOptions{FS: crashed, End: true}, 300, 300)
		readAll(t, memDir, &ReaderOptions{FS: crashed}, 0, 300)
		mustRemove(t, crashed, name)
	}
	rep, err := Verify(memDir, &VerifyOptions{FS: crashed})
	if err != nil || rep.Verdict != Clean || rep.Sealed {
		t.Errorf("verify: %+v, %v", rep, err)
	}
}

func TestMissingSegments(t *testing.T) {
	src := manySegments(t, 2000)
	names := segmentNames(t, src)
	base := func(i int) uint64 {
		seq, _, _ := parseSegmentName(names[i])
		return seq
	}
	t.Run("middle", func(t *testing.T) {
		mem := src.Clone()
		mustRemove(t, mem, names[1])
		n, err := readThrough(t, mem)
		var c *CorruptionError
		if !errors.As(err, &c) || n != base(1) || c.FirstSeq != base(1) || c.LastSeq != base(2)-1 || !strings.Contains(c.Reason, "number 2 is missing") {
			t.Errorf("read %d: %v", n, err)
		}
		rep, err := Verify(memDir, &VerifyOptions{FS: mem})
		if err != nil || rep.Verdict != Corrupt || rep.ProblemCount != 1 || rep.Problems[0].FirstSeq != base(1) || rep.Problems[0].LastSeq != base(2)-1 {
			t.Errorf("verify: %+v, %v", rep, err)
		}
	})
	t.Run("first ones, and nothing says that they were trimmed", func(t *testing.T) {
		mem := src.Clone()
		mustRemove(t, mem, names[0])
		mustRemove(t, mem, names[1])
		r := readAll(t, memDir, &ReaderOptions{FS: mem}, base(2), 2000)
		if r.FirstSeq() != base(2) {
			t.Errorf("first sequence %d", r.FirstSeq())
		}
		rep, err := Verify(memDir, &VerifyOptions{FS: mem})
		if err != nil || rep.Verdict != Lossy || rep.FirstSeq != base(2) || rep.GapCount != 1 || rep.Gaps[0].Trimmed || rep.Gaps[0].LastSeq != base(2)-1 {
			t.Errorf("verify: %+v, %v", rep, err)
		}
		w := mustOpen(t, memDir, &Options{FS: mem})
		fill(t, w, 5, 5)
		mustClose(t, w)
	})
	t.Run("last", func(t *testing.T) {
		mem := src.Clone()
		mustRemove(t, mem, names[len(names)-1])
		var c *CorruptionError
		if n, err := readThrough(t, mem); !errors.As(err, &c) || c.FirstSeq != n || c.LastSeq != 1999 {
			t.Errorf("read %d: %v", n, err)
		}
		rep, err := Verify(memDir, &VerifyOptions{FS: mem})
		if err != nil || rep.Verdict != Corrupt || rep.Problems[0].LastSeq != 1999 {
			t.Errorf("verify: %+v, %v", rep, err)
		}
		if _, err := Open(memDir, &Options{FS: mem}); !errors.As(err, &c) || c.LastSeq != 1999 {
			t.Errorf("open: %v", err)
		}
	})
	t.Run("foreign one", func(t *testing.T) {
		mem := src.Clone()
		other := manySegments(t, 2000)
		mustWrite(t, mem, filepath.Join(memDir, names[1]), mustRead(t, other, filepath.Join(memDir, names[1])))
		var c *CorruptionError
		if _, err := readThrough(t, mem); !errors.As(err, &c) || !strings.Contains(c.Reason, "another archive") {
			t.Errorf("read: %v", err)
		}
		if rep, err := Verify(memDir, &VerifyOptions{FS: mem}); err != nil || rep.Verdict != Corrupt {
			t.Errorf("verify: %+v, %v", rep, err)
		}
	})
}

func TestForeignFilesAndVersions(t *testing.T) {
	mem := manySegments(t, 50)
	for _, name := range []string{"README.txt", "1-2.lbj", "00000000000000000000-00000001.lbj~", ".lbj"} {
		mustWrite(t, mem, filepath.Join(memDir, name), []byte("not ours"))
	}
	readAll(t, memDir, &ReaderOptions{FS: mem}, 0, 50)
	rep, err := Verify(memDir, &VerifyOptions{FS: mem})
	if err != nil || rep.Verdict != Clean || len(rep.Foreign) != 4 {
		t.Errorf("verify: %+v, %v", rep, err)
	}
	w := mustOpen(t, memDir, &Options{FS: mem})
	mustClose(t, w)

	names := segmentNames(t, mem)
	path := filepath.Join(memDir, names[len(names)-1])
	b := mustRead(t, mem, path)
	b[8] = 2
	le.PutUint32(b[4092:], crcOf(b[:4092]))
	mustWrite(t, mem, path, b)
	_, openErr := Open(memDir, &Options{FS: mem})
	_, verifyErr := Verify(memDir, &VerifyOptions{FS: mem})
	_, readErr := OpenReader(memDir, &ReaderOptions{FS: mem, End: true})
	for what, err := range map[string]error{"open": openErr, "verify": verifyErr, "read": readErr} {
		if !errors.Is(err, ErrVersion) || !strings.Contains(err.Error(), "version 2.0") || !strings.Contains(err.Error(), names[len(names)-1]) {
			t.Errorf("%s of a future version: %v", what, err)
		}
	}
}

// An archive that is being written: Verify and a reader that does not follow see what was there when they began, and no tear.
func TestActiveArchive(t *testing.T) {
	dir := t.TempDir()
	w := mustOpen(t, dir, &Options{Sync: SyncNone})
	fill(t, w, 40, 4)
	// Half a block is on its way into the file.
	if _, err := w.seg.file.WriteAt([]byte("LBB1 and half a header"), w.seg.off); err != nil {
		t.Fatal(err)
	}
	r := readAll(t, dir, nil, 0, 40)
	if r.Torn() != nil {
		t.Errorf("torn: %v", r.Torn())
	}
	rep, err := Verify(dir, nil)
	if err != nil || rep.Verdict != Clean || !rep.Active || rep.NextSeq != 40 {
		t.Errorf("verify: %+v, %v", rep, err)
	}
	readAll(t, dir, &ReaderOptions{Durable: true}, 0, 0)
	if err := w.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	readAll(t, dir, &ReaderOptions{Durable: true}, 0, 40)
	fill(t, w, 5, 5)
	mustClose(t, w)
	readAll(t, dir, nil, 0, 45)
}

// A follower delivers nothing that HEAD does not cover, even when a whole block is there.
func TestFollowIsBoundedByHead(t *testing.T) {
	dir := t.TempDir()
	w := mustOpen(t, dir, nil)
	fill(t, w, 10, 5)
	w.mu.Lock()
	info := newFrameInfo()
	frames := frameBuf(10, 5)
	walkFrames(frames, 0, len(frames), &info)
	if err := w.writeFrames(frames, &info); err != nil { // written, not yet published
		t.Fatal(err)
	}
	w.mu.Unlock()
	r, err := OpenReader(dir, &ReaderOptions{Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for seq := range uint64(10) {
		rec, err := r.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		checkRecord(t, rec, seq)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if rec, err := r.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("delivered %+v, %v", rec, err)
	}
	w.mu.Lock()
	err = w.publish()
	w.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	rec, err := r.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	checkRecord(t, rec, 10)
	mustClose(t, w)
}

// A follower lives through the writer's death, the recovery of its archive and a new writer.
func TestFollowOverRecovery(t *testing.T) {
	mem := tornArchive(t)
	r, err := OpenReader(memDir, &ReaderOptions{FS: mem, Follow: true, FromSeq: 15})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	next := func(seq uint64) {
		t.Helper()
		rec, err := r.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		checkRecord(t, rec, seq)
	}
	for seq := uint64(15); seq < 20; seq++ {
		next(seq)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()
	if rec, err := r.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("delivered %+v, %v", rec, err)
	}
	w := mustOpen(t, memDir, &Options{FS: mem})
	fill(t, w, 10, 1)
	for seq := uint64(20); seq < 30; seq++ {
		next(seq)
	}
	mustClose(t, w)
}

func TestFollowFromEndAndTime(t *testing.T) {
	dir := t.TempDir()
	w := mustOpen(t, dir, nil)
	fill(t, w, 10, 5)
	for name, opts := range map[string]*ReaderOptions{
		"end": {Follow: true, End: true}, "sequence to come": {Follow: true, FromSeq: 10}, "time to come": {Follow: true, FromTime: timeOf(10)},
	} {
		r, err := OpenReader(dir, opts)
		if err != nil {
			t.Fatal(err)
		}
		first := w.NextSeq()
		fill(t, w, 3, 1)
		want := first
		if name != "end" {
			want = 10
		}
		rec, err := r.Next(t.Context())
		if err != nil || rec.Seq != want {
			t.Errorf("%s: sequence %d, want %d: %v", name, rec.Seq, want, err)
		}
		mustClose(t, r)
		if _, err := r.Next(t.Context()); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s: Next after Close: %v", name, err)
		}
	}
	mustClose(t, w)
}

func TestVerifyReportsLoss(t *testing.T) {
	mem := vfs.NewMem()
	w := mustOpen(t, memDir, &Options{FS: mem})
	id, err := w.DefineStream("feed")
	if err != nil {
		t.Fatal(err)
	}
	fill(t, w, 4, 4)
	losses := []Loss{
		{Stream: id, First: 4, Records: 2, Bytes: 70, From: 1, To: 2, Reason: LossOverload},
		{Stream: id, First: 6, Reason: LossSource, From: 3, To: 4},
	}
	for _, l := range losses {
		if err := w.AppendLoss(l); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, w)
	var last, total int64
	rep, err := Verify(memDir, &VerifyOptions{FS: mem, Progress: func(done, of int64) { last, total = done, of }})
	if err != nil || rep.Verdict != Clean || rep.Records != 4 || rep.MinTime != timeOf(0) || rep.MaxTime != timeOf(3) || rep.LossRecords != 2 {
		t.Fatalf("%+v, %v", rep, err)
	}
	for i, l := range rep.Losses {
		if l.Loss != losses[i] || l.Seq != 4 || l.Name != "feed" {
			t.Errorf("loss %d: %+v", i, l)
		}
	}
	if last != total || total != rep.FileSize {
		t.Errorf("progress ended at %d of %d", last, total)
	}
}

func TestReaderDoesNotAllocate(t *testing.T) {
	mem := vfs.NewMem()
	w := mustOpen(t, memDir, &Options{FS: mem})
	fill(t, w, 20000, 50)
	mustClose(t, w)
	r, err := OpenReader(memDir, &ReaderOptions{FS: mem})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx := context.Background()
	if n := testing.AllocsPerRun(15000, func() {
		if _, err := r.Next(ctx); err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations per Next", n)
	}
}
