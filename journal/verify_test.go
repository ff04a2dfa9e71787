package journal

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// longArchive makes an archive of eight segments in three opens, with streams, losses, marks and records of 8 to 250 bytes: 3 blocks or more
// in each segment. It has 400 data records.
func longArchive(t testing.TB) *vfs.Mem {
	t.Helper()
	mem := vfs.NewMem()
	n := 0
	for open, segs := range []int{3, 3, 2} {
		w := mustOpen(t, memDir, &Options{FS: mem, MaxBlock: minMaxBlock, Sync: SyncBatch})
		if _, err := w.DefineStream(fmt.Sprintf("s%d", open+1)); err != nil {
			t.Fatal(err)
		}
		for seg := range segs {
			if seg > 0 {
				w.forceRotate(t)
			}
			fill(t, w, 25, 5)
			if err := w.AppendLoss(Loss{Stream: 1, First: uint64(n), Records: 3, Bytes: 99, Reason: LossOverload}); err != nil {
				t.Fatal(err)
			}
			fill(t, w, 25, 10)
			if _, err := w.Append(Record{Kind: KindMark, Time: timeOf(w.NextSeq()), Payload: []byte{1, 'm'}}); err != nil {
				t.Fatal(err)
			}
			n++
		}
		mustClose(t, w)
	}
	return mem
}

// damage is something done to a file of an archive.
type damage struct {
	name string
	do   func(t testing.TB, mem *vfs.Mem)
}

// damages are damages of every sort to a long archive.
func damages(t testing.TB, src *vfs.Mem) []damage {
	names := segmentNames(t, src)
	edit := func(i int, f func(b []byte) []byte) func(testing.TB, *vfs.Mem) {
		return func(t testing.TB, mem *vfs.Mem) {
			path := filepath.Join(memDir, names[i])
			mustWrite(t, mem, path, f(mustRead(t, mem, path)))
		}
	}
	flip := func(i int, at func(b []byte) int) func(testing.TB, *vfs.Mem) {
		return edit(i, func(b []byte) []byte { b[at(b)] ^= 0x10; return b })
	}
	middle := func(b []byte) int { return (segmentHeaderLen + int(le.Uint64(b[len(b)-trailerLen+48:]))) / 2 }
	zero := func(b []byte, from, to int) []byte { clear(b[from:to]); return b }
	return []damage{
		{"none", func(testing.TB, *vfs.Mem) {}},
		{"a bit in the middle", flip(2, middle)},
		{"bits in two segments", func(t testing.TB, mem *vfs.Mem) { flip(1, middle)(t, mem); flip(5, middle)(t, mem) }},
		{"header page of the first", flip(0, func([]byte) int { return 40 })},
		{"header page in the middle", edit(3, func(b []byte) []byte { return zero(b, 0, segmentHeaderLen) })},
		{"header page of the last", edit(7, func(b []byte) []byte { return zero(b, 0, segmentHeaderLen) })},
		{"a page of zeros", edit(4, func(b []byte) []byte { return zero(b, middle(b), min(len(b), middle(b)+1500)) })},
		{"footer", flip(6, func(b []byte) int { return len(b) - 20 })},
		{"footer of the last", flip(7, func(b []byte) int { return len(b) - 20 })},
		{"index", flip(2, func(b []byte) int { return len(b) - trailerLen - 5 })},
		{"cut in the middle", edit(2, func(b []byte) []byte { return b[:middle(b)] })},
		{"cut at the end", edit(7, func(b []byte) []byte { return b[:middle(b)] })},
		{"emptied", edit(5, func([]byte) []byte { return nil })},
		{"segment missing", func(t testing.TB, mem *vfs.Mem) { mustRemove(t, mem, names[3]) }},
		{"two segments missing", func(t testing.TB, mem *vfs.Mem) { mustRemove(t, mem, names[3]); mustRemove(t, mem, names[4]) }},
		{"last segment missing", func(t testing.TB, mem *vfs.Mem) { mustRemove(t, mem, names[7]) }},
		{"bytes cut out", edit(1, func(b []byte) []byte { return append(b[:middle(b):middle(b)], b[middle(b)+64:]...) })},
		{"bytes put in", edit(1, func(b []byte) []byte {
			return append(append(b[:middle(b):middle(b)], "sixteen strangers"[:16]...), b[middle(b):]...)
		})},
		{"everything", func(t testing.TB, mem *vfs.Mem) {
			for i := range names {
				edit(i, func(b []byte) []byte { return zero(b, 0, len(b)) })(t, mem)
			}
		}},
	}
}

// The report does not depend on how many workers made it.
func TestVerifyWorkers(t *testing.T) {
	src := longArchive(t)
	for _, d := range damages(t, src) {
		t.Run(d.name, func(t *testing.T) {
			mem := src.Clone()
			d.do(t, mem)
			one, err := Verify(memDir, &VerifyOptions{FS: mem, Workers: 1})
			if err != nil {
				t.Fatal(err)
			}
			if want := d.name == "none"; (one.Verdict == Clean) != want {
				t.Fatalf("verdict %v: %+v", one.Verdict, one)
			}
			for range 5 {
				four, err := Verify(memDir, &VerifyOptions{FS: mem, Workers: 4})
				if err != nil || !reflect.DeepEqual(one, four) {
					t.Fatalf("1 worker:\n%+v\n4 workers:\n%+v, %v", one, four, err)
				}
			}
		})
	}
}

// Behind a torn segment nothing is reported, although a worker may have read it.
func TestVerifyWorkersTorn(t *testing.T) {
	for name, mem := range map[string]*vfs.Mem{"predecessor": tornPredecessor(t), "tail": tornArchive(t)} {
		one, err := Verify(memDir, &VerifyOptions{FS: mem, Workers: 1})
		if err != nil || one.Verdict != Torn {
			t.Fatalf("%s: %+v, %v", name, one, err)
		}
		four, err := Verify(memDir, &VerifyOptions{FS: mem, Workers: 4})
		if err != nil || !reflect.DeepEqual(one, four) {
			t.Errorf("%s: 1 worker:\n%+v\n4 workers:\n%+v, %v", name, one, four, err)
		}
	}
}

// Totals by stream are what was appended.
func TestVerifyTotals(t *testing.T) {
	mem := longArchive(t)
	rep, err := Verify(memDir, &VerifyOptions{FS: mem})
	if err != nil {
		t.Fatal(err)
	}
	want := make(map[uint16]StreamTotal)
	for seq := range uint64(400) {
		r := testRecord(seq)
		s := want[r.Stream]
		s.add(uint64(len(r.Payload)), r.Time)
		want[r.Stream] = s
	}
	one := want[1]
	one.Lost = 8 * 3
	want[1] = one
	if !reflect.DeepEqual(rep.Totals, want) {
		t.Errorf("%+v, want %+v", rep.Totals, want)
	}
}

// Progress never goes back, ends at the total, and comes on the caller's goroutine: no lock is needed here.
func TestVerifyProgress(t *testing.T) {
	mem := vfs.NewMem()
	w := mustOpen(t, memDir, &Options{FS: mem, SegmentSize: 3 << 20})
	for range 100 {
		fill(t, w, 2000, 1000)
	}
	mustClose(t, w)
	for _, workers := range []int{1, 4} {
		var calls []int64
		rep, err := Verify(memDir, &VerifyOptions{FS: mem, Workers: workers, Progress: func(done, total int64) {
			calls = append(calls, done)
			if done > total || len(calls) > 1 && done <= calls[len(calls)-2] {
				t.Errorf("%d workers: %d of %d bytes, after %v", workers, done, total, calls)
			}
		}})
		if err != nil || rep.Verdict != Clean {
			t.Fatalf("%+v, %v", rep, err)
		}
		if len(calls) < 2 || calls[len(calls)-1] != rep.FileSize {
			t.Errorf("%d workers: calls %v of %d bytes", workers, calls, rep.FileSize)
		}
	}
}

func TestVerifyOptionsChecked(t *testing.T) {
	const want = "journal: VerifyOptions.Workers is -1: must not be negative"
	if _, err := Verify(memDir, &VerifyOptions{Workers: -1, FS: vfs.NewMem()}); err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

// What was trimmed is told from what is lost by the note TRIM: without it, or when more is missing than it says, the verdict is loss.
func TestVerifyTrimmedOrLost(t *testing.T) {
	src := longArchive(t)
	names := segmentNames(t, src)
	trimmed := func(t *testing.T) *vfs.Mem {
		mem := src.Clone()
		if _, err := Trim(memDir, &TrimOptions{FS: mem, BeforeSeq: 110}); err != nil {
			t.Fatal(err)
		}
		return mem
	}
	for _, test := range []struct {
		name    string
		make    func(t *testing.T) *vfs.Mem
		verdict Verdict
		want    Gap
	}{
		{"trimmed", trimmed, Clean, Gap{LastSeq: 99, Trimmed: true}},
		{"trimmed, and the note is gone", func(t *testing.T) *vfs.Mem { mem := trimmed(t); mustRemove(t, mem, trimName); return mem }, Lossy, Gap{LastSeq: 99}},
		{"trimmed, and then another is gone", func(t *testing.T) *vfs.Mem {
			mem := trimmed(t)
			mustRemove(t, mem, names[2])
			return mem
		}, Lossy, Gap{FirstSeq: 100, LastSeq: 149}},
		{"removed", func(t *testing.T) *vfs.Mem { mem := src.Clone(); mustRemove(t, mem, names[0]); return mem }, Lossy, Gap{LastSeq: 49}},
	} {
		t.Run(test.name, func(t *testing.T) {
			rep, err := Verify(memDir, &VerifyOptions{FS: test.make(t)})
			if err != nil || rep.Verdict != test.verdict || rep.GapCount != 1 {
				t.Fatalf("%+v, %v", rep, err)
			}
			g := rep.Gaps[0]
			if g.FirstSeq != test.want.FirstSeq || g.LastSeq != test.want.LastSeq || g.Trimmed != test.want.Trimmed || g.Reason == "" || g.File == "" {
				t.Errorf("%+v, want %+v", g, test.want)
			}
		})
	}
}

// The totals of streams are right whether a block has records of one or of
// several, and other records among them.
func TestVerifyTotalsOfBlocks(t *testing.T) {
	mem := vfs.NewMem()
	w := mustOpen(t, memDir, &Options{FS: mem, Sync: SyncNone, SegmentSize: minSegmentSize})
	var ids []uint16
	for _, name := range []string{"a", "b", "c"} {
		id, err := w.DefineStream(name)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	want := map[uint16]StreamTotal{}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 1500 {
		var frames []byte
		streams, n := 1+rng.IntN(len(ids)), 1+rng.IntN(8)
		first := rng.IntN(len(ids))
		for range n {
			id := ids[(first+rng.IntN(streams))%len(ids)]
			rec := Record{Time: int64(rng.Uint64() >> 1), Kind: KindData, Stream: id, Payload: make([]byte, rng.IntN(100))}
			frames = AppendFrame(frames, rec)
			total := want[id]
			total.add(uint64(len(rec.Payload)), rec.Time)
			want[id] = total
		}
		if rng.IntN(4) == 0 {
			frames, n = AppendFrame(frames, Record{Time: 1, Kind: KindMark, Stream: ids[first], Payload: AppendMark(nil, []byte("m"))}), n+1
		}
		if _, err := w.AppendFrames(frames, n); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, w)
	rep, err := Verify(memDir, &VerifyOptions{FS: mem})
	if err != nil || rep.Verdict != Clean || !maps.Equal(rep.Totals, want) {
		t.Errorf("%v, %v, totals %+v, want %+v", err, rep.Verdict, rep.Totals, want)
	}
}
