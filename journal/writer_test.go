package journal

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

func TestOptions(t *testing.T) {
	for name, o := range map[string]Options{
		"Sync": {Sync: 3}, "SyncEvery": {SyncEvery: 1}, "SyncBytes": {SyncBytes: -1}, "SegmentSize small": {SegmentSize: 1},
		"SegmentSize large": {SegmentSize: 1 << 50}, "SegmentAge": {SegmentAge: -1}, "MaxBlock small": {MaxBlock: 8}, "MaxBlock odd": {MaxBlock: 4097},
	} {
		o.FS = vfs.NewMem()
		if _, err := Open(memDir, &o); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	for _, p := range []Sync{SyncInterval, SyncBatch, SyncNone} {
		if back, err := ParseSync(p.String()); err != nil || back != p {
			t.Errorf("%v comes back as %v, %v", p, back, err)
		}
	}
	if _, err := ParseSync("always"); err == nil {
		t.Error("ParseSync takes anything")
	}
}

// Hostile spans: an error, and nothing is written.
func TestAppendFramesRefused(t *testing.T) {
	good := frameBuf(0, 3)
	frame := func(length, typ uint32, rest int) []byte {
		b := le.AppendUint32(nil, length)
		b = le.AppendUint32(b, typ)
		return append(b, make([]byte, rest)...)
	}
	tests := []struct {
		name    string
		frames  []byte
		records int
		want    error
	}{
		{"count too high", good, 4, ErrFrames},
		{"count too low", good, 2, ErrFrames},
		{"records in nothing", nil, 1, ErrFrames},
		{"header cut", append(slices.Clone(good), 1, 2, 3), 3, ErrFrames},
		{"padding cut", good[:len(good)-8], 3, ErrFrames},
		{"length zero", frame(0, 1, 8), 1, ErrFrames},
		{"not committed", frame(0xfffffff0, 1, 8), 1, ErrFrames},
		{"length below the header", frame(7, 1, 8), 1, ErrFrames},
		{"no room for a time", frame(8, 1, 0), 1, ErrFrames},
		{"length beyond the end", frame(4000, 1, 8), 1, ErrFrames},
		{"length of 2 GiB", frame(0x7fffffff, 1, 8), 1, ErrFrames},
		{"skip beyond the end", frame(0x7fffffff, 0xffffffff, 8), 0, ErrFrames},
		{"type zero", frame(16, 0, 8), 1, ErrFrames},
		{"negative type", frame(16, 0xfffffffe, 8), 1, ErrFrames},
		{"kind zero", frame(16, 0x100, 8), 1, ErrFrames},
		{"kind above 0x7f", frame(16, 0x80, 8), 1, ErrFrames},
		{"a stream definition", AppendFrame(nil, Record{Kind: KindStream, Stream: 9, Payload: appendStream(nil, 0, "x")}), 1, ErrFrames},
		{"a close record", AppendFrame(nil, Record{Kind: KindClose, Payload: []byte{1}}), 1, ErrFrames},
		{"larger than a block", AppendFrame(slices.Clone(good), Record{Payload: make([]byte, minMaxBlock)}), 4, ErrTooLarge},
	}
	mem := vfs.NewMem()
	w := mustOpen(t, memDir, &Options{FS: mem, MaxBlock: minMaxBlock})
	before := w.Stats().NextPos
	for _, tc := range tests {
		if _, err := w.AppendFrames(tc.frames, tc.records); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
	if st := w.Stats(); st.NextPos != before || st.NextSeq != 0 || st.Err != nil {
		t.Errorf("something was written: %+v", st)
	}
	if _, err := w.Append(Record{Payload: make([]byte, minMaxBlock-frameOverhead+1)}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Append of one byte too many: %v", err)
	}
	for name, rec := range map[string]Record{"kind": {Kind: 0x80}, "stream definition": {Kind: KindStream}, "close": {Kind: KindClose}, "stream": {Stream: 1 << 15}} {
		if _, err := w.Append(rec); err == nil {
			t.Errorf("Append takes a bad %s", name)
		}
	}
	if _, err := w.Append(Record{Payload: make([]byte, minMaxBlock-frameOverhead)}); err != nil {
		t.Errorf("Append of the largest record: %v", err)
	}
	mustClose(t, w)
	if rep, err := Verify(memDir, &VerifyOptions{FS: mem}); err != nil || rep.Verdict != Clean || rep.Records != 1 {
		t.Errorf("verify: %+v, %v", rep, err)
	}
}

func TestAppendFramesSplits(t *testing.T) {
	mem := vfs.NewMem()
	w := mustOpen(t, memDir, &Options{FS: mem, MaxBlock: minMaxBlock})
	fill(t, w, 500, 500)
	if st := w.Stats(); st.Blocks < 10 || st.Records != 500 {
		t.Errorf("%+v", st)
	}
	mustClose(t, w)
	readAll(t, memDir, &ReaderOptions{FS: mem}, 0, 500)
}

func TestStreamsKeepTheirIDs(t *testing.T) {
	mem := vfs.NewMem()
	names := []string{"a", "b", "ünïcode", string(make([]byte, MaxStreamName))}
	ids := make(map[string]uint16)
	for open := range 3 {
		w := mustOpen(t, memDir, &Options{FS: mem, MaxBlock: minMaxBlock, SegmentSize: minSegmentSize})
		for i, name := range names[:2+open] {
			id, err := w.DefineStream(name)
			if err != nil || id != uint16(i+1) || ids[name] != 0 && ids[name] != id {
				t.Errorf("open %d: stream %.10q has id %d, %v", open, name, id, err)
			}
			ids[name] = id
		}
		for w.Stats().Segments < 3 {
			fill(t, w, 50, 50)
		}
		mustClose(t, w)
	}
	segs := segmentNames(t, mem)
	mustRemove(t, mem, segs[0]) // each segment has the whole table
	r, err := OpenReader(memDir, &ReaderOptions{FS: mem, End: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for name, id := range ids {
		if got := r.StreamName(id); got != name {
			t.Errorf("stream %d is %.10q, want %.10q", id, got, name)
		}
	}
	w := mustOpen(t, memDir, &Options{FS: mem})
	defer w.Close()
	for _, bad := range []string{"", string(make([]byte, MaxStreamName+1)), "\xff"} {
		if _, err := w.DefineStream(bad); err == nil {
			t.Errorf("stream name %.10q is taken", bad)
		}
	}
}

func TestManyStreams(t *testing.T) {
	mem := vfs.NewMem()
	const n = 700 // a table of several blocks
	define := func(w *Writer) {
		for i := range n {
			if id, err := w.DefineStream("stream-" + string(rune('A'+i))); err != nil || int(id) != i+1 {
				t.Fatalf("stream %d: id %d, %v", i, id, err)
			}
		}
	}
	for range 3 {
		w := mustOpen(t, memDir, &Options{FS: mem, MaxBlock: minMaxBlock})
		define(w)
		mustClose(t, w)
	}
	rep, err := Verify(memDir, &VerifyOptions{FS: mem})
	if err != nil || rep.Verdict != Clean || len(rep.Streams) != n {
		t.Errorf("verify: %v %d streams, %v", rep.Verdict, len(rep.Streams), err)
	}
}

// Segments without a numbered record are never rotated: the next one would have the same name.
func TestRotateNeedsARecord(t *testing.T) {
	mem := vfs.NewMem()
	w := mustOpen(t, memDir, &Options{FS: mem, SegmentSize: minSegmentSize, MaxBlock: minMaxBlock})
	for range minSegmentSize / 64 {
		if err := w.AppendLoss(Loss{Reason: LossOverload}); err != nil {
			t.Fatal(err)
		}
	}
	if st := w.Stats(); st.Segments != 1 {
		t.Errorf("%d segments", st.Segments)
	}
	fill(t, w, 1, 1)
	for w.Stats().Segments == 1 {
		fill(t, w, 1, 1)
	}
	mustClose(t, w)
	for range 3 {
		mustClose(t, mustOpen(t, memDir, &Options{FS: mem})) // empty segments, told apart by their epoch
	}
	if rep, err := Verify(memDir, &VerifyOptions{FS: mem}); err != nil || rep.Verdict != Clean {
		t.Errorf("verify: %+v, %v", rep, err)
	}
}

func TestRotateByAge(t *testing.T) {
	mem := vfs.NewMem()
	w := mustOpen(t, memDir, &Options{FS: mem, SegmentAge: time.Millisecond})
	for w.Stats().Segments < 4 {
		fill(t, w, 1, 1)
		time.Sleep(200 * time.Microsecond)
	}
	n := w.NextSeq()
	mustClose(t, w)
	readAll(t, memDir, &ReaderOptions{FS: mem}, 0, n)
}

// A model: appends, rotations, closes, crashes of the process, reopens and reads in random order, against a count.
func TestModel(t *testing.T) {
	for seed := range uint64(30) {
		rng := testRand(seed)
		mem := vfs.NewMem()
		opts := func() *Options {
			return &Options{
				FS: mem, Sync: Sync(rng.IntN(3)), SegmentSize: minSegmentSize, MaxBlock: minMaxBlock << rng.IntN(3), SyncEvery: time.Millisecond,
			}
		}
		w := mustOpen(t, memDir, opts())
		next := uint64(0)
		for range 60 {
			switch op := rng.IntN(20); {
			case op < 13:
				n := rng.IntN(60)
				fill(t, w, n, n+1)
				next += uint64(n)
			case op == 13:
				if _, err := w.Append(testRecord(next)); err != nil {
					t.Fatal(err)
				}
				next++
			case op == 14:
				if err := w.AppendLoss(Loss{Reason: LossClosed, Records: 1}); err != nil {
					t.Fatal(err)
				}
			case op == 15:
				mustClose(t, w)
				w = mustOpen(t, memDir, opts())
			case op == 16: // the process dies
				crashed := mem.Clone()
				mustClose(t, w)
				mem = crashed
				w = mustOpen(t, memDir, opts())
			case op == 17:
				if err := w.Sync(t.Context()); err != nil {
					t.Fatal(err)
				}
				readAll(t, memDir, &ReaderOptions{FS: mem, Durable: true}, 0, next)
			case op == 18:
				from := rng.Uint64N(next + 2)
				readAll(t, memDir, &ReaderOptions{FS: mem, FromSeq: from}, min(from, next), next)
			default:
				rep, err := Verify(memDir, &VerifyOptions{FS: mem})
				if err != nil || rep.Verdict != Clean || rep.NextSeq != next {
					t.Fatalf("seed %d: %+v, %v, want next sequence %d", seed, rep, err, next)
				}
			}
			if w.NextSeq() != next {
				t.Fatalf("seed %d: next sequence %d, want %d", seed, w.NextSeq(), next)
			}
		}
		mustClose(t, w)
		readAll(t, memDir, &ReaderOptions{FS: mem}, 0, next)
	}
}

func TestAppendDoesNotAllocate(t *testing.T) {
	w := mustOpen(t, t.TempDir(), nil)
	defer w.Close()
	frames := frameBuf(0, 100)
	if n := testing.AllocsPerRun(500, func() {
		if _, err := w.AppendFrames(frames, 100); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations per AppendFrames", n)
	}
	rec := testRecord(7)
	if n := testing.AllocsPerRun(500, func() {
		if _, err := w.Append(rec); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations per Append", n)
	}
}
