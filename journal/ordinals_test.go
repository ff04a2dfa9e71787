package journal

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// tables returns, for each segment of an archive, the next ordinal of each stream in its stream table.
func tables(t testing.TB, mem *vfs.Mem) []map[uint16]uint64 {
	t.Helper()
	var all []map[uint16]uint64
	for _, name := range segmentNames(t, mem) {
		page := mustRead(t, mem, filepath.Join(memDir, name))
		hdr, err := decodeSegmentHeader(page)
		if err != nil {
			t.Fatal(err)
		}
		table := map[uint16]uint64{}
		for off, end := segmentHeaderLen, false; !end; {
			h, bad := decodeBlockHeader(page[off:], crcSeed(hdr.salt), hdr.maxBlock)
			if bad != "" {
				t.Fatal(bad)
			}
			for frames := page[off+blockHeaderLen : int64(off)+h.size()]; len(frames) > 0; {
				size, typ, _ := frameAt(frames, 0)
				_, _, id := SplitType(typ)
				_, next, err := ParseStream(framePayload(frames[:size]))
				if err != nil {
					t.Fatal(err)
				}
				table[id] = next
				frames = frames[size:]
			}
			off += int(h.size())
			end = h.flags&blockTableEnd != 0
		}
		all = append(all, table)
	}
	return all
}

// ordinalModel writes random spans and keeps count beside the writer.
type ordinalModel struct {
	t       *testing.T
	rng     *rand.Rand
	streams int
	next    map[uint16]uint64
}

// span appends a span of up to n frames: of one stream or of many, with losses and skips or without.
func (m *ordinalModel) span(w *Writer, n int) {
	var frames []byte
	records := 0
	one, losses := m.rng.IntN(2) == 0, m.rng.IntN(3) == 0
	id := uint16(m.rng.IntN(m.streams + 1)) // 0 is no stream
	for range 1 + m.rng.IntN(n) {
		if !one {
			id = uint16(m.rng.IntN(m.streams + 1))
		}
		switch k := m.rng.IntN(8); {
		case k == 0:
			frames = appendSkip(frames, 8*m.rng.IntN(5))
			continue
		case k == 1 && losses:
			l := Loss{Stream: id, First: m.next[id], Records: uint64(m.rng.IntN(9)), Reason: LossOverload}
			frames = AppendFrame(frames, Record{Kind: KindLoss, Stream: id, Payload: l.Append(nil)})
			m.next[id] += l.Records
		default:
			frames = AppendFrame(frames, Record{Time: 1, Stream: id, Payload: make([]byte, m.rng.IntN(400))})
			m.next[id]++
		}
		records++
	}
	if _, err := w.AppendFrames(frames, records); err != nil {
		m.t.Fatal(err)
	}
}

func (m *ordinalModel) define(w *Writer, upTo int) {
	for ; m.streams < upTo; m.streams++ {
		id, err := w.DefineStream(fmt.Sprintf("stream number %d", m.streams+1))
		if err != nil || id != uint16(m.streams+1) {
			m.t.Fatal(id, err)
		}
	}
}

func (m *ordinalModel) check(w *Writer) {
	m.t.Helper()
	m.next[0] = 0
	for id := range uint16(m.streams + 2) {
		if got := w.StreamOrdinal(id); got != m.next[id] {
			m.t.Fatalf("StreamOrdinal(%d) is %d, want %d", id, got, m.next[id])
		}
	}
}

// Ordinals run on over rotations, blocks, closes and crashes; each segment's table has them; Verify finds them right.
func TestOrdinalsRunOn(t *testing.T) {
	for seed := range uint64(6) {
		mem := vfs.NewMem()
		m := &ordinalModel{t: t, rng: testRand(seed), next: map[uint16]uint64{}}
		for open := range 4 {
			w := mustOpen(t, memDir, &Options{FS: mem, SegmentSize: minSegmentSize, MaxBlock: minMaxBlock, Sync: SyncNone})
			m.check(w)
			at := map[uint16]uint64{}
			for id := range uint16(m.streams) {
				at[id+1] = m.next[id+1]
			}
			ts := tables(t, mem)
			if got := ts[len(ts)-1]; !mapsEqual(got, at) {
				t.Fatalf("seed %d, open %d: the table says %v, want %v", seed, open, got, at)
			}
			for range 12 {
				m.define(w, min(m.streams+m.rng.IntN(2), 9))
				m.span(w, 150)
				m.check(w)
			}
			crashed := mem.Clone()
			mustClose(t, w)
			if seed%2 == 1 { // the writer has died
				mem = crashed
			}
		}
		if n := len(segmentNames(t, mem)); n < 6 {
			t.Fatalf("%d segments: nothing was rotated", n)
		}
		if rep, err := Verify(memDir, &VerifyOptions{FS: mem}); err != nil || rep.ProblemCount > 0 {
			t.Fatalf("seed %d: %+v, %v", seed, rep, err)
		}
	}
}

func mapsEqual(a, b map[uint16]uint64) bool {
	for id := range a {
		if a[id] != b[id] {
			return false
		}
	}
	return len(a) == len(b)
}

// A table whose ordinals are not those of the records before it is found, at the segment that has it. Without the segments before, the
// table is what there is.
func TestVerifyChecksOrdinals(t *testing.T) {
	mem := vfs.NewMem()
	m := &ordinalModel{t: t, rng: testRand(1), next: map[uint16]uint64{}}
	w := mustOpen(t, memDir, &Options{FS: mem, SegmentSize: minSegmentSize, MaxBlock: minMaxBlock})
	m.define(w, 3)
	m.span(w, 20)
	w.mu.Lock()
	w.ordinals[1]++
	want := w.ordinals[1]
	w.mu.Unlock()
	for len(segmentNames(t, mem)) < 3 {
		m.span(w, 150)
	}
	mustClose(t, w)
	rep, err := Verify(memDir, &VerifyOptions{FS: mem})
	if err != nil || rep.Verdict != Corrupt || rep.ProblemCount != 1 {
		t.Fatalf("%+v, %v", rep, err)
	}
	p := rep.Problems[0]
	files := segmentNames(t, mem)
	if p.File != files[1] || p.Offset != segmentHeaderLen || !strings.Contains(p.Reason, "stream 2") || p.LastSeq+1 != p.FirstSeq {
		t.Errorf("%+v (the wrong count began at %d)", p, want)
	}
	mustRemove(t, mem, files[0])
	if rep, err := Verify(memDir, &VerifyOptions{FS: mem}); err != nil || rep.ProblemCount != 0 {
		t.Errorf("without the first segment: %+v, %v", rep.Problems, err)
	}
}

// A header that makes a seek by time go past records is found.
func TestVerifyChecksMaxBefore(t *testing.T) {
	mem := vfs.NewMem()
	w := mustOpen(t, memDir, &Options{FS: mem})
	fill(t, w, 40, 8)
	mustClose(t, w)
	w = mustOpen(t, memDir, &Options{FS: mem})
	if got := w.seg.hdr.maxBefore; got != timeOf(38) { // 39 steps back
		t.Errorf("the second segment's maxBefore is %d, want %d", got, timeOf(38))
	}
	if _, err := w.Append(Record{Time: 5}); err != nil { // the clock is stepped back
		t.Fatal(err)
	}
	w.forceRotate(t)
	if got := w.seg.hdr.maxBefore; got != timeOf(38) {
		t.Errorf("the third segment's maxBefore is %d, want %d", got, timeOf(38))
	}
	mustClose(t, w)
	if rep, err := Verify(memDir, &VerifyOptions{FS: mem}); err != nil || rep.Verdict != Clean {
		t.Fatalf("%+v, %v", rep, err)
	}
	name := filepath.Join(memDir, segmentNames(t, mem)[1])
	page := mustRead(t, mem, name)
	hdr, err := decodeSegmentHeader(page)
	if err != nil {
		t.Fatal(err)
	}
	hdr.maxBefore--
	hdr.encode(page)
	mustWrite(t, mem, name, page)
	rep, err := Verify(memDir, &VerifyOptions{FS: mem})
	if err != nil || rep.Verdict != Corrupt || !strings.Contains(rep.Problems[0].Reason, "latest record before") {
		t.Errorf("%+v, %v", rep, err)
	}
}

// Behind damage nothing is known, and nothing is said, until the next table.
func TestVerifyOrdinalsBehindDamage(t *testing.T) {
	mem := vfs.NewMem()
	m := &ordinalModel{t: t, rng: testRand(2), next: map[uint16]uint64{}}
	w := mustOpen(t, memDir, &Options{FS: mem, SegmentSize: minSegmentSize, MaxBlock: minMaxBlock})
	m.define(w, 3)
	for len(segmentNames(t, mem)) < 4 {
		m.span(w, 150)
	}
	mustClose(t, w)
	name := filepath.Join(memDir, segmentNames(t, mem)[1])
	b := mustRead(t, mem, name)
	b[len(b)/2] ^= 1
	mustWrite(t, mem, name, b)
	rep, err := Verify(memDir, &VerifyOptions{FS: mem})
	if err != nil || rep.Verdict != Corrupt || rep.ProblemCount != 1 || strings.Contains(rep.Problems[0].Reason, "ordinal") {
		t.Fatalf("%+v, %v", rep, err)
	}
}

// When a crash cuts the table of the segment that a rotation began, the ordinals come from the segment before it.
func TestOrdinalsWithoutTheLastTable(t *testing.T) {
	mem := vfs.NewMem()
	w := mustOpen(t, memDir, &Options{FS: mem, SegmentSize: minSegmentSize, MaxBlock: minMaxBlock})
	for i := range 10 { // the table takes three blocks
		if _, err := w.DefineStream(strings.Repeat(string(rune('a'+i)), MaxStreamName)); err != nil {
			t.Fatal(err)
		}
	}
	var want ordinals
	for len(segmentNames(t, mem)) < 2 {
		want = slices.Clone(w.ordinals)
		for id := range uint16(10) {
			if _, err := w.Append(Record{Stream: id + 1, Payload: make([]byte, 100*int(id))}); err != nil {
				t.Fatal(err)
			}
		}
	}
	want = tableOrdinals(tables(t, mem)[1], want)
	if err := w.Sync(t.Context()); err != nil { // the first segment is sealed
		t.Fatal(err)
	}
	crashed := mem.Clone()
	mustClose(t, w)
	mem = crashed
	last := filepath.Join(memDir, segmentNames(t, mem)[1])
	mustWrite(t, mem, last, mustRead(t, mem, last)[:segmentHeaderLen+minMaxBlock+100])
	mustRemove(t, mem, headName)
	w = mustOpen(t, memDir, &Options{FS: mem})
	if w.Recovered().Verdict != Torn {
		t.Errorf("%+v", w.Recovered())
	}
	for i := range want {
		if got := w.StreamOrdinal(uint16(i + 1)); got != want[i] {
			t.Errorf("StreamOrdinal(%d) is %d, want %d", i+1, got, want[i])
		}
	}
	mustClose(t, w)
	if rep, err := Verify(memDir, &VerifyOptions{FS: mem}); err != nil || rep.ProblemCount > 0 {
		t.Errorf("%+v, %v", rep, err)
	}
}

// When the table of a segment that an open began is cut, and so is that of the next open's, the ordinals still go on, and Verify knows them.
func TestOrdinalsWithoutSeveralTables(t *testing.T) {
	mem := vfs.NewMem()
	w := mustOpen(t, memDir, &Options{FS: mem})
	for _, name := range []string{"a", "b"} {
		if _, err := w.DefineStream(name); err != nil {
			t.Fatal(err)
		}
	}
	fill(t, w, 30, 7)
	want := slices.Clone(w.ordinals)
	mustClose(t, w)
	for range 3 {
		w = mustOpen(t, memDir, &Options{FS: mem})
		if !slices.Equal(w.ordinals, want) {
			t.Fatalf("ordinals %v, want %v", w.ordinals, want)
		}
		crashed := mem.Clone()
		mustClose(t, w)
		mem = crashed
		names := segmentNames(t, mem)
		last := filepath.Join(memDir, names[len(names)-1])
		mustWrite(t, mem, last, mustRead(t, mem, last)[:segmentHeaderLen+8])
		mustRemove(t, mem, headName)
	}
	w = mustOpen(t, memDir, &Options{FS: mem})
	fill(t, w, 3, 1)
	mustClose(t, w)
	if rep, err := Verify(memDir, &VerifyOptions{FS: mem}); err != nil || rep.Verdict != Clean {
		t.Fatalf("%+v, %v", rep, err)
	}
	names := segmentNames(t, mem)
	last := filepath.Join(memDir, names[len(names)-1])
	page := mustRead(t, mem, last)
	hdr, err := decodeSegmentHeader(page)
	if err != nil {
		t.Fatal(err)
	}
	// The same with an ordinal that is too low is found across the segments without a table.
	b := page[segmentHeaderLen:]
	b[blockHeaderLen+frameOverhead+8]--
	h, bad := decodeBlockHeader(b, crcSeed(hdr.salt), hdr.maxBlock)
	if bad != "" {
		t.Fatal(bad)
	}
	h.payloadCRC = crcOf(b[blockHeaderLen:h.size()])
	h.encode(b, crcSeed(hdr.salt))
	mustWrite(t, mem, last, page)
	rep, err := Verify(memDir, &VerifyOptions{FS: mem})
	if err != nil || rep.Verdict != Corrupt || !strings.Contains(rep.Problems[len(rep.Problems)-1].Reason+rep.Problems[0].Reason, "next ordinal") {
		t.Errorf("%+v, %v", rep, err)
	}
}

func tableOrdinals(table map[uint16]uint64, o ordinals) ordinals {
	for id, next := range table {
		o[id-1] = next
	}
	return o
}

// Records of a stream that is not defined yet are not its own; a count that a loss record drives to the end stays there.
func TestOrdinalsAtTheEdges(t *testing.T) {
	mem := vfs.NewMem()
	w := mustOpen(t, memDir, &Options{FS: mem})
	rec := Record{Stream: 1, Payload: []byte("x")}
	for range 3 {
		if _, err := w.Append(rec); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.StreamOrdinal(1); n != 0 {
		t.Errorf("StreamOrdinal(1) is %d before the stream is defined", n)
	}
	if _, err := w.DefineStream("a"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Append(rec); err != nil || w.StreamOrdinal(1) != 1 {
		t.Errorf("StreamOrdinal(1) is %d, %v", w.StreamOrdinal(1), err)
	}
	if err := w.AppendLoss(Loss{Stream: 1, First: 1, Records: math.MaxUint64 - 5, Reason: LossSource}); err != nil {
		t.Fatal(err)
	}
	mustClose(t, w)
	w = mustOpen(t, memDir, &Options{FS: mem})
	if _, err := w.Append(rec); err != nil || w.StreamOrdinal(1) != math.MaxInt64 {
		t.Errorf("StreamOrdinal(1) is %d, %v", w.StreamOrdinal(1), err)
	}
	mustClose(t, w)
	if rep, err := Verify(memDir, &VerifyOptions{FS: mem}); err != nil || rep.Verdict != Clean {
		t.Errorf("%+v, %v", rep, err)
	}
}

// Streams that nothing has defined stay unknown beside those that are, whatever is counted.
func TestOrdinalsUnknownStreams(t *testing.T) {
	var o ordinals
	o.define(3, 5)
	info := newFrameInfo()
	var frames []byte
	for _, id := range []uint16{0, 1, 3, 4} {
		frames = AppendFrame(frames, Record{Stream: id})
	}
	if _, bad := walkFrames(frames, 0, len(frames), &info); bad != "" || o.take(frames, &info) != "" {
		t.Fatal(bad)
	}
	if !slices.Equal(o, ordinals{unknownOrdinal, unknownOrdinal, 6}) {
		t.Errorf("%d", o)
	}
	if bad := o.define(1, 7); bad != "" {
		t.Error(bad)
	}
	if bad := o.define(3, 7); bad == "" {
		t.Error("another ordinal is taken")
	}
	none := newFrameInfo()
	if o.take(nil, &none) != "" || o.of(3) != 7 {
		t.Errorf("%d", o)
	}
}

// Control records that are not what their kind says are refused, and those that only readers make.
func TestAppendChecksControlRecords(t *testing.T) {
	w := mustOpen(t, memDir, &Options{FS: vfs.NewMem()})
	for _, rec := range []Record{
		{Kind: KindOpen, Payload: make([]byte, 16)}, {Kind: KindMark}, {Kind: KindMark, Payload: []byte("text")},
		{Kind: KindClock, Payload: []byte{1}}, {Kind: KindLoss, Payload: make([]byte, 48)},
	} {
		if _, err := w.Append(rec); err == nil {
			t.Errorf("Append takes kind %#x with %d bytes", rec.Kind, len(rec.Payload))
		}
	}
	if _, err := w.AppendFrames(AppendFrame(nil, Record{Kind: KindOpen}), 1); err == nil {
		t.Error("AppendFrames takes kind 0x45")
	}
	for _, rec := range []Record{
		{Kind: KindMark, Payload: AppendMark(nil, nil)}, {Kind: KindClock, Payload: ClockStep{1, 2}.Append(nil)}, {Kind: 0x46}, {Kind: 0x7f},
	} {
		if _, err := w.Append(rec); err != nil {
			t.Errorf("kind %#x: %v", rec.Kind, err)
		}
	}
	mustClose(t, w)
}
