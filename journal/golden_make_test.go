package journal

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// maker makes one golden archive: in memory, with a writer that is stepped, fixed salts and a fixed clock, so that it makes the same bytes
// each time.
type maker struct {
	t   *testing.T
	mem *vfs.Mem
	w   *Writer
}

// golden is how the golden archives came to be. To add one, add a line and run TestMakeGolden.
var golden = []struct {
	name string
	make func(m *maker)
}{
	{"example", makeExample},
	{"empty", func(m *maker) { m.open(nil); m.close() }},
	{"segments", makeSegments},
	{"kinds", makeKinds},
	{"empty-records", makeEmptyRecords},
	{"unclosed", func(m *maker) { m.open(nil); m.fill(20); m.sync(); m.fill(5); m.die() }},
	{"unclosed-no-head", func(m *maker) { m.open(nil); m.fill(20); m.die(); m.remove(headName) }},
	{"torn", func(m *maker) {
		m.open(nil)
		m.fill(20)
		m.sync()
		m.fill(9)
		m.die()
		m.cut(-1, 100)
		m.remove(headName)
	}},
	{"torn-repaired", func(m *maker) {
		m.open(nil)
		m.fill(20)
		m.fill(9)
		m.die()
		m.cut(-1, 100)
		m.open(nil)
		m.fill(3)
		m.close()
	}},
	{"torn-rotation", func(m *maker) { m.open(nil); m.fill(9); m.rotate(); m.die(); m.cut(-1, 4000) }},
	{"torn-footer", func(m *maker) { m.open(nil); m.fill(9); m.close(); m.cut(-1, 60) }},
	{"restarts", makeRestarts},
	{"corrupt-payload", func(m *maker) { m.damageable(); m.flip(0, segmentHeaderLen+64+16+200) }},
	{"corrupt-block-header", func(m *maker) { m.damageable(); m.flip(1, m.block(1, 1)+20) }},
	{"corrupt-two-places", func(m *maker) {
		m.damageable()
		m.flip(0, m.block(0, 2)+70)
		m.flip(0, m.block(0, 4)+2)
		m.flip(2, m.block(2, 1)+30)
	}},
	{"corrupt-segment-header", func(m *maker) { m.damageable(); m.flip(1, 300) }},
	{"corrupt-footer", func(m *maker) { m.damageable(); m.flip(0, len(m.segment(0))-100) }},
	{"corrupt-index", func(m *maker) { m.damageable(); m.flip(1, len(m.segment(1))-trailerLen-20) }},
	{"corrupt-promise", func(m *maker) {
		m.open(nil)
		m.fill(20)
		m.sync()
		m.fill(20)
		m.sync()
		m.die()
		m.flip(0, m.block(0, 2)+100)
	}},
	{"corrupt-cut", func(m *maker) { m.open(nil); m.fill(20); m.sync(); m.die(); m.cut(-1, 300) }},
	{"missing-segment", func(m *maker) { m.damageable(); m.remove(segmentNames(m.t, m.mem)[1]) }},
	{"missing-last", func(m *maker) { m.damageable(); m.remove(segmentNames(m.t, m.mem)[2]) }},
	{"copied-block", makeCopiedBlock},
	{"loss", makeLoss},
	{"loss-repaired", func(m *maker) { makeLoss(m); m.open(nil); m.fill(3); m.close() }},
	{"trimmed", makeTrimmed},
	{"trimmed-leftover", makeTrimmedLeftover},
	{"trim-missing", func(m *maker) { makeTrimmed(m); m.remove(trimName) }},
	{"takeover", makeTakeover},
	{"salvaged", makeSalvaged},
	{"compressed", makeCompressed},
	{"compressed-lengthened", func(m *maker) {
		makeCompressed(m)
		m.remove(filepath.Base(m.path(-1)))
		mustWrite(m.t, m.mem, m.path(-1), append(m.segment(-1), "behind the footer"...))
		m.remove(headName)
	}},
	{"forged-chain", func(m *maker) { m.damageable(); m.forge(1, at(2, func(h *blockHeader) { h.prevHcrc++ }), nil) }},
	{"forged-sequence", func(m *maker) {
		m.damageable()
		m.forge(2, func(n int, h *blockHeader) {
			if n >= 2 {
				h.baseSeq++
			}
		}, nil)
	}},
	{"forged-count", func(m *maker) { m.damageable(); m.forge(2, at(4, func(h *blockHeader) { h.count++ }), nil) }},
	{"forged-time", func(m *maker) { m.damageable(); m.forge(1, at(1, func(h *blockHeader) { h.minTime-- }), nil) }},
	{"forged-maximum", func(m *maker) { m.damageable(); m.forge(1, at(2, func(h *blockHeader) { h.maxTime = 5 }), nil) }},
	{"forged-promise", func(m *maker) {
		m.damageable()
		m.forge(0, at(3, func(h *blockHeader) { h.durablePos = 1 << 40 }), nil)
	}},
	{"forged-totals", func(m *maker) { m.damageable(); m.forge(1, nil, func(s *segment) { s.lost++ }) }},
	{"forged-index", func(m *maker) { m.damageable(); m.forge(1, nil, func(s *segment) { s.index[0].offset += 64 }) }},
	{"forged-index-checksum", func(m *maker) {
		m.damageable()
		b := m.segment(2)
		hdr, _ := decodeSegmentHeader(b)
		tr, _ := decodeTrailer(b[len(b)-trailerLen:], crcSeed(hdr.salt), int64(len(b)))
		tr.indexCRC++
		mustWrite(m.t, m.mem, m.path(2), tr.append(b[:len(b)-trailerLen], crcSeed(hdr.salt)))
	}},
	{"forged-ordinals", func(m *maker) {
		m.open(nil)
		m.define("a")
		m.fill(9)
		m.w.ordinals[0] += 2
		m.rotate()
		m.fill(9)
		m.close()
	}},
	{"copied-control", makeCopiedControl},
	{"compressed-corrupt", func(m *maker) { makeCompressed(m); m.flip(0, m.block(0, 2)+80) }},
}

// TestMakeGolden makes the golden archives that are not there yet, with LOGBUF_GOLDEN=make. It never writes over a file.
func TestMakeGolden(t *testing.T) {
	if os.Getenv("LOGBUF_GOLDEN") != "make" {
		t.Skip("LOGBUF_GOLDEN=make adds new golden archives")
	}
	zstdDecoder() // has a channel, which must not belong to the first test that uses it
	for i, g := range golden {
		dir := filepath.Join(goldenDir, g.name)
		if _, err := os.Stat(dir); err == nil {
			continue
		}
		t.Run(g.name, func(t *testing.T) {
			cryptotest.SetGlobalRandom(t, uint64(i))
			synctest.Test(t, func(t *testing.T) {
				m := &maker{t: t, mem: vfs.NewMem()}
				g.make(m)
				export(t, m.mem, dir)
			})
			var s strings.Builder
			e := json.NewEncoder(&s)
			e.SetIndent("", " ")
			if err := e.Encode(goOutcome(t, dir, nil)); err != nil {
				t.Fatal(err)
			}
			writeNew(t, dir+".json", s.String())
		})
	}
	if err := os.WriteFile(filepath.Join(goldenDir, goldenSums), []byte(strings.Join(hashGoldens(t), "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

func writeNew(t *testing.T, name, content string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err == nil {
		_, err = f.WriteString(content)
	}
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, f)
}

func (m *maker) open(opts *Options) {
	m.t.Helper()
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.FS == nil {
		o.FS = m.mem
	}
	o.Sync, o.MaxBlock, o.SegmentSize = SyncNone, minMaxBlock, minSegmentSize
	time.Sleep(time.Second)
	w, err := openStepped(memDir, &o)
	if err != nil {
		m.t.Fatal(err)
	}
	m.w = w
}

func (m *maker) close()  { m.t.Helper(); time.Sleep(time.Second); mustClose(m.t, m.w) }
func (m *maker) rotate() { m.t.Helper(); m.w.forceRotate(m.t) }
func (m *maker) fill(n int) {
	m.t.Helper()
	fill(m.t, m.w, n, 4)
}

func (m *maker) sync() {
	m.t.Helper()
	if err := m.w.Sync(m.t.Context()); err != nil {
		m.t.Fatal(err)
	}
}

// die leaves the files as the writer has them now.
func (m *maker) die() {
	m.t.Helper()
	image := m.mem.Clone()
	m.close()
	m.mem = image
}

func (m *maker) define(name string) uint16 {
	m.t.Helper()
	id, err := m.w.DefineStream(name)
	if err != nil {
		m.t.Fatal(err)
	}
	return id
}

func (m *maker) append(recs ...Record) {
	m.t.Helper()
	for _, rec := range recs {
		if rec.Time == 0 {
			rec.Time = timeOf(m.w.NextSeq())
		}
		if _, err := m.w.Append(rec); err != nil {
			m.t.Fatal(err)
		}
	}
}

// frames appends one span as it is.
func (m *maker) frames(b []byte, n int) {
	m.t.Helper()
	if _, err := m.w.AppendFrames(b, n); err != nil {
		m.t.Fatal(err)
	}
}

// path returns the path of segment i; −1 is the last one.
func (m *maker) path(i int) string {
	names := segmentNames(m.t, m.mem)
	return filepath.Join(memDir, names[(i+len(names))%len(names)])
}

func (m *maker) segment(i int) []byte { return mustRead(m.t, m.mem, m.path(i)) }
func (m *maker) remove(name string)   { mustRemove(m.t, m.mem, name) }

// cut takes the last n bytes off a segment.
func (m *maker) cut(i, n int) {
	b := m.segment(i)
	mustWrite(m.t, m.mem, m.path(i), b[:len(b)-n])
}

func (m *maker) flip(i, at int) {
	b := m.segment(i)
	b[at] ^= 0x10
	mustWrite(m.t, m.mem, m.path(i), b)
}

// block returns the offset of a segment's n-th block.
func (m *maker) block(i, n int) int {
	b := m.segment(i)
	off := segmentHeaderLen
	for range n {
		off += blockHeaderLen + int(le.Uint32(b[off+8:]))
	}
	return off
}

// at makes a change of block n for forge.
func at(n int, change func(h *blockHeader)) func(int, *blockHeader) {
	return func(i int, h *blockHeader) {
		if i == n {
			change(h)
		}
	}
}

// forge changes the block headers of a segment, and its footer, so that all checksums are right all the same.
func (m *maker) forge(i int, change func(n int, h *blockHeader), foot func(s *segment)) {
	m.t.Helper()
	b := m.segment(i)
	hdr, err := decodeSegmentHeader(b)
	if err != nil {
		m.t.Fatal(err)
	}
	w := &walker{}
	w.seed = crcSeed(hdr.salt)
	tr, bad := decodeTrailer(b[len(b)-trailerLen:], w.seed, int64(len(b)))
	if bad != "" {
		m.t.Fatal(bad)
	}
	s := newSegment(nil, "", hdr)
	for n := 0; s.off < int64(tr.dataEnd); n++ {
		h, bad := decodeBlockHeader(b[s.off:], s.seed, hdr.maxBlock)
		if bad != "" {
			m.t.Fatal(bad)
		}
		h.prevHcrc = s.lastHcrc
		if change != nil {
			change(n, &h)
		}
		h.encode(b[s.off:], s.seed)
		info := newFrameInfo()
		walkFrames(b[s.off+blockHeaderLen:s.off+h.size()], 0, int(h.stored), &info)
		s.note(&h, &info)
	}
	if foot != nil {
		foot(s)
	}
	mustWrite(m.t, m.mem, m.path(i), append(b[:tr.dataEnd:tr.dataEnd], s.footer(tr.flags)...))
}

// makeCopiedControl has a block without data records once more where the next one was.
func makeCopiedControl(m *maker) {
	m.open(nil)
	m.fill(4)
	m.append(Record{Kind: KindMark, Payload: AppendMark(nil, make([]byte, 200))}, Record{Kind: KindMark, Payload: AppendMark(nil, make([]byte, 200))})
	m.fill(4)
	m.close()
	b := m.segment(0)
	first, second := m.block(0, 2), m.block(0, 3)
	copy(b[second:m.block(0, 4)], b[first:second])
	mustWrite(m.t, m.mem, m.path(0), b)
}

// damageable is a closed archive of three segments.
func (m *maker) damageable() {
	m.open(nil)
	m.define("a")
	m.fill(20)
	m.rotate()
	m.fill(20)
	m.rotate()
	m.fill(10)
	m.close()
}

// makeExample is the archive that docs/JOURNAL.md shows byte by byte.
func makeExample(m *maker) {
	m.open(nil)
	id := m.define("trades")
	b := AppendFrame(nil, Record{Time: 946684802000000000, Flags: 1 | FlagFinal, Stream: id, Payload: []byte("first")})
	b = appendSkip(b, 8)
	b = AppendFrame(b, Record{Time: 946684803000000000, Kind: KindLoss, Stream: id, Payload: Loss{
		Stream: id, First: 1, Records: 2, Bytes: 20, From: 946684802100000000, To: 946684803000000000, Reason: LossOverload,
	}.Append(nil)})
	b = AppendFrame(b, Record{Time: 946684804000000000, Flags: 1 | FlagFinal, Stream: id, Payload: []byte("4th")})
	m.frames(b, 3)
	m.close()
}

func makeSegments(m *maker) {
	m.open(nil)
	for _, name := range []string{"eins", "zwei", "drei"} {
		m.fill(7)
		id := m.define(name)
		m.fill(5)
		if err := m.w.AppendLoss(Loss{Stream: id, First: m.w.StreamOrdinal(id), Records: 3, Bytes: 11, From: 1, To: 2, Reason: LossOverload}); err != nil {
			m.t.Fatal(err)
		}
		m.fill(9)
		m.rotate()
		m.append(Record{Stream: id, Payload: []byte("behind a rotation")})
	}
	m.define(strings.Repeat("long name ", 102)) // 1020 bytes
	for i := range 6 {
		m.define(fmt.Sprintf("%d ", i) + strings.Repeat("ü", 500))
	}
	m.fill(3)
	m.rotate() // the table takes more than one block
	m.fill(1)
	m.close()
}

func makeKinds(m *maker) {
	m.open(nil)
	m.define("s")
	var b []byte
	for kind := range uint8(0x40) {
		b = AppendFrame(b, Record{Kind: kind, Flags: kind * 4, Stream: 1, Time: int64(kind), Payload: []byte{kind}})
	}
	m.frames(b, 64)
	m.append(
		Record{Flags: 0xff, Stream: MaxStream, Time: math.MaxInt64, Payload: []byte("stream 32767, all flags, the last time")},
		Record{Time: math.MinInt64, Payload: []byte("no stream, the first time")},
		Record{Time: -1, Stream: 7, Payload: []byte("a stream without a definition")},
		Record{Kind: KindMark, Payload: AppendMark(nil, []byte("mark"))},
		Record{Kind: KindMark, Stream: 1, Payload: AppendMark(nil, nil)},
		Record{Kind: KindClock, Payload: ClockStep{Before: 5e17, After: 4e17}.Append(nil)},
		Record{Kind: KindClock, Payload: append(ClockStep{Before: 1, After: 2}.Append(nil), "and what a later version adds"...)},
		Record{Kind: 0x46, Payload: []byte("\x01not known")},
		Record{Kind: 0x7f},
	)
	for reason := range LossReason(10) {
		l := Loss{Stream: 1, First: m.w.StreamOrdinal(1), Records: uint64(reason), Bytes: 100, From: 3, To: 4, Reason: reason}
		m.append(Record{Kind: KindLoss, Stream: 1, Payload: append(l.Append(nil), make([]byte, reason)...)})
	}
	m.append(Record{Payload: make([]byte, minMaxBlock-frameOverhead)}) // the longest there is
	b = appendSkip(nil, 0)
	b = AppendFrame(b, Record{Time: 9, Payload: []byte("between skips")})
	b = appendSkip(b, 3)
	b = appendSkip(b, 1000)
	m.frames(b, 1)
	m.close()
}

func makeEmptyRecords(m *maker) {
	m.open(nil)
	id := m.define("nothing")
	for range 5 {
		m.append(Record{Stream: id}, Record{})
	}
	m.frames(AppendFrame(AppendFrame(nil, Record{Stream: id}), Record{Stream: id, Time: 1}), 2)
	m.close()
}

func makeRestarts(m *maker) {
	for i := range 6 {
		m.open(nil)
		if id := m.define(fmt.Sprintf("s%d", i/2)); i != 3 {
			m.fill(6 + i)
			m.append(Record{Kind: KindLoss, Stream: id, Payload: Loss{Stream: id, First: m.w.StreamOrdinal(id), Records: 2, Reason: LossStalled}.Append(nil)})
		}
		switch i {
		case 1, 3:
			m.die()
		case 4:
			m.rotate()
			m.die()
		default:
			m.close()
		}
	}
}

// makeCopiedBlock has a whole block once more where the next one was.
func makeCopiedBlock(m *maker) {
	m.damageable()
	b := m.segment(1)
	from, to, end := m.block(1, 1), m.block(1, 3), m.block(1, 2)
	copy(b[to:], append([]byte(nil), b[from:end]...))
	mustWrite(m.t, m.mem, m.path(1), b)
}

// makeLoss is what a power cut can leave right after a rotation: records of the new segment, but not the end of the old one.
func makeLoss(m *maker) {
	m.open(nil)
	m.define("a")
	m.fill(20)
	m.sync()
	keep := m.w.seg.off
	m.fill(10)
	m.rotate()
	m.fill(6)
	m.die()
	b := m.segment(0)
	mustWrite(m.t, m.mem, m.path(0), append(b[:keep:keep], make([]byte, 512)...))
	m.remove(headName)
}

func makeTrimmed(m *maker) {
	m.damageable()
	if segs, err := Trim(memDir, &TrimOptions{BeforeSeq: 25, FS: m.mem}); err != nil || len(segs) != 1 {
		m.t.Fatal(segs, err)
	}
	m.open(nil)
	m.fill(4)
	m.close()
}

// makeTrimmedLeftover has a segment still there that TRIM says is gone.
func makeTrimmedLeftover(m *maker) {
	m.damageable()
	name, left := m.path(0), m.segment(0)
	if segs, err := Trim(memDir, &TrimOptions{BeforeSeq: 25, FS: m.mem}); err != nil || len(segs) != 1 {
		m.t.Fatal(segs, err)
	}
	mustWrite(m.t, m.mem, name, left)
}

// makeTakeover has a segment whose sync failed, and the one that took over.
func makeTakeover(m *maker) {
	fault := vfs.NewFault(m.mem)
	m.open(&Options{FS: fault, Retain: 1 << 20})
	m.define("a")
	m.fill(12)
	m.sync()
	m.fill(8)
	fault.FailOp(func(op vfs.Op) bool { return op.Kind == vfs.OpSync && strings.HasSuffix(op.Path, segmentExt) }, syscall.EIO, 0, 1)
	m.sync()
	m.fill(5)
	m.close()
	if n := len(segmentNames(m.t, m.mem)); n != 2 {
		m.t.Fatalf("%d segments: nothing took over", n)
	}
}

func makeSalvaged(m *maker) {
	m.damageable()
	m.flip(0, m.block(0, 3)+70)
	m.flip(1, m.block(1, 2)+4)
	if _, err := Salvage(memDir, "out", &SalvageOptions{FS: m.mem}); err != nil {
		m.t.Fatal(err)
	}
	for _, name := range segmentNames(m.t, m.mem) {
		m.remove(name)
	}
	entries, err := m.mem.ReadDir("out")
	if err != nil {
		m.t.Fatal(err)
	}
	for _, e := range entries {
		mustWrite(m.t, m.mem, filepath.Join(memDir, e.Name()), mustRead(m.t, m.mem, filepath.Join("out", e.Name())))
	}
}

func makeCompressed(m *maker) {
	m.open(nil)
	id := m.define("a")
	for range 30 {
		m.append(Record{Stream: id, Payload: []byte(strings.Repeat("the same again and again, ", 30))})
	}
	m.append(Record{Kind: KindLoss, Stream: id, Payload: Loss{Stream: id, First: 30, Records: 2, Reason: LossOverload}.Append(nil)})
	m.rotate()
	m.fill(20)
	m.rotate()
	m.append(Record{Payload: []byte("short")})
	m.close()
	if rep, err := Compact(memDir, &CompactOptions{FS: m.mem}); err != nil || rep.Segments < 2 {
		m.t.Fatal(rep, err)
	}
}
