package journal

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
)

// The bytes of every structure, written by hand from docs/JOURNAL.md. They never change: a change of format is a new version.

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.NewReplacer(" ", "", "\n", "", "\t", "").Replace(s))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestFrameBytes(t *testing.T) {
	tests := []struct {
		name string
		rec  Record
		want string
	}{
		{"empty", Record{Kind: KindData, Time: 1}, "10000000 01000000 0100000000000000"},
		{"default kind", Record{Time: -1}, "10000000 01000000 ffffffffffffffff"},
		{"all fields", Record{Kind: 0x3f, Flags: 0x95, Stream: 0x1234, Time: 0x0807060504030201, Payload: []byte("abc")},
			"13000000 3f953412 0102030405060708 616263 0000000000"},
		{"eight bytes", Record{Kind: KindMark, Stream: 0x7fff, Payload: []byte("12345678")}, "18000000 4300ff7f 0000000000000000 3132333435363738"},
	}
	for _, tc := range tests {
		got := AppendFrame(nil, tc.rec)
		if !bytes.Equal(got, unhex(t, tc.want)) {
			t.Errorf("%s: % x", tc.name, got)
		}
		if len(got) != FrameLen(len(tc.rec.Payload)) {
			t.Errorf("%s: FrameLen says %d, the frame has %d bytes", tc.name, FrameLen(len(tc.rec.Payload)), len(got))
		}
		kind, flags, stream := SplitType(RecordType(tc.rec.Kind, tc.rec.Flags, tc.rec.Stream))
		if kind != tc.rec.Kind || flags != tc.rec.Flags || stream != tc.rec.Stream {
			t.Errorf("%s: type word comes back as %d, %d, %d", tc.name, kind, flags, stream)
		}
	}
}

func TestAppendFramePanics(t *testing.T) {
	for name, rec := range map[string]Record{"kind": {Kind: 0x80}, "stream": {Stream: MaxStream + 1}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s out of range: no panic", name)
				}
			}()
			AppendFrame(nil, rec)
		}()
	}
}

func TestControlPayloadBytes(t *testing.T) {
	l := Loss{Stream: 3, First: 5, Records: 2, Bytes: 300, From: 1, To: 2, Reason: LossTooLarge}
	want := "01 02 0300 00000000 0500000000000000 0200000000000000 2c01000000000000 0100000000000000 0200000000000000"
	got := l.Append(nil)
	if !bytes.Equal(got, unhex(t, want)) {
		t.Errorf("loss: % x", got)
	}
	for _, b := range [][]byte{got, append(got, 1, 2, 3)} { // a later version may be longer
		if back, err := ParseLoss(b); err != nil || back != l {
			t.Errorf("loss comes back as %+v, %v", back, err)
		}
	}
	for _, b := range [][]byte{nil, got[:47], make([]byte, 48)} {
		if _, err := ParseLoss(b); err == nil {
			t.Errorf("ParseLoss takes %d bytes % x", len(b), b)
		}
	}
}

func TestStreamPayloadBytes(t *testing.T) {
	got := appendStream(nil, 0x0102030405060708, "fø")
	if !bytes.Equal(got, unhex(t, "01 00000000000000 0807060504030201 66c3b8")) {
		t.Errorf("stream: % x", got)
	}
	if name, next, err := ParseStream(got); err != nil || name != "fø" || next != 0x0102030405060708 {
		t.Errorf("stream comes back as %q, %d, %v", name, next, err)
	}
	for name, b := range map[string][]byte{
		"nothing": nil, "no name": got[:16], "cut": got[:15], "another version": append([]byte{2}, got[1:]...),
		"not UTF-8": append(got[:16:16], 0xff), "name too long": append(got[:16:16], make([]byte, MaxStreamName+1)...),
		"ordinal out of range": appendStream(nil, math.MaxInt64+1, "x"),
	} {
		if _, _, err := ParseStream(b); err == nil {
			t.Errorf("ParseStream takes %s, %d bytes", name, len(b))
		}
	}
}

func TestClockAndMarkPayloadBytes(t *testing.T) {
	c := ClockStep{Before: 0x0102030405060708, After: -2}
	got := c.Append(nil)
	if !bytes.Equal(got, unhex(t, "01 00000000000000 0807060504030201 feffffffffffffff")) {
		t.Errorf("clock: % x", got)
	}
	for _, b := range [][]byte{got, append(got, 1, 2, 3)} { // a later version may be longer
		if back, err := ParseClock(b); err != nil || back != c {
			t.Errorf("clock comes back as %+v, %v", back, err)
		}
	}
	for _, b := range [][]byte{nil, got[:23], make([]byte, 24)} {
		if _, err := ParseClock(b); err == nil {
			t.Errorf("ParseClock takes % x", b)
		}
	}
	if got := AppendMark([]byte{9}, []byte("hi")); !bytes.Equal(got, []byte{9, 1, 'h', 'i'}) {
		t.Errorf("mark: % x", got)
	}
	for want, b := range map[string][]byte{"hi": {1, 'h', 'i'}, "": {1}} {
		if text, err := ParseMark(b); err != nil || string(text) != want {
			t.Errorf("mark comes back as %q, %v", text, err)
		}
	}
	for _, b := range [][]byte{nil, {0}, {2, 'h'}} {
		if _, err := ParseMark(b); err == nil {
			t.Errorf("ParseMark takes % x", b)
		}
	}
}

var testHeader = segmentHeader{
	uuid: [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, number: 2, epoch: 3, baseSeq: 4, basePos: 5000,
	created: 6, salt: 0x1122334455667788, maxBlock: 1 << 20, window: 0,
	predPos: 5000, predSeq: 4, predHcrc: 0xaabbccdd, predFlags: predSealed, maxBefore: noMaxTime,
}

func TestSegmentHeaderBytes(t *testing.T) {
	page := bytes.Repeat([]byte{0xee}, segmentHeaderLen)
	h := testHeader
	h.encode(page)
	want := unhex(t, `894c424a0d0a1a0a 0100 0000 00100000 0102030405060708090a0b0c0d0e0f10
		0200000000000000 0300000000000000 0400000000000000 8813000000000000 0600000000000000 0000000000000000 8877665544332211
		01000000 08000000 00001000 00000000 00000000 00000000 8813000000000000 0400000000000000 ddccbbaa 02000000`)
	if !bytes.Equal(page[:len(want)], want) {
		t.Errorf("header is\n% x, want\n% x", page[:len(want)], want)
	}
	want = append(want, make([]byte, 56)...)
	want = le.AppendUint64(want, 1<<63)
	want = append(want, make([]byte, 4092-200)...)
	if !bytes.Equal(page[:4092], want) {
		t.Error("the rest of the page is not zero")
	}
	if le.Uint32(page[4092:]) != crcOf(page[:4092]) {
		t.Error("checksum")
	}
	back, err := decodeSegmentHeader(page)
	if err != nil || back != h {
		t.Errorf("header comes back as %+v, %v", back, err)
	}
}

func TestRewrittenHeaderBytes(t *testing.T) {
	page := bytes.Repeat([]byte{0xee}, segmentHeaderLen)
	h := testHeader
	h.features, h.origLen, h.origHcrc, h.maxBefore = featRewritten, 0x0102030405060708, 0x0a0b0c0d, 0x1112131415161718
	h.predFlags, h.predSeq = predPoisoned|predGap, 3
	h.encode(page)
	want := unhex(t, "01000000 00000000 8813000000000000 0300000000000000 ddccbbaa 30000000 0807060504030201")
	if !bytes.Equal(page[104:144], want) {
		t.Errorf("bytes 104 to 143 are % x, want % x", page[104:144], want)
	}
	if !bytes.Equal(page[144:200], append(make([]byte, 44), unhex(t, "0d0c0b0a 1817161514131211")...)) {
		t.Errorf("bytes 144 to 199 are % x", page[144:200])
	}
	h.origLen = 0x0000002030405068
	h.encode(page)
	back, err := decodeSegmentHeader(page)
	if err != nil || back != h || !back.rewritten() {
		t.Errorf("header comes back as %+v, %v", back, err)
	}
}

func TestSegmentHeaderRefused(t *testing.T) {
	tests := []struct {
		name    string
		change  func(page []byte)
		version bool
		want    string
	}{
		{"zeros", func(p []byte) { clear(p) }, false, "magic"},
		{"text mode", func(p []byte) { copy(p[4:], "\n\x1a\n") }, false, "magic"},
		{"future major", func(p []byte) { p[8] = 2 }, true, "version 2.0"},
		{"other header length", func(p []byte) { p[12] = 1 }, true, "header"},
		{"other frame format", func(p []byte) { p[88] = 2 }, true, "frame format 2"},
		{"other alignment", func(p []byte) { p[93] = 2 }, true, "alignment"},
		{"feature bits", func(p []byte) { p[104] = 3 }, true, "feature bits 0x2"},
		{"rewritten without an original length", func(p []byte) { p[104] = 1 }, false, "original length 0"},
		{"rewritten, original length odd", func(p []byte) { p[104] = 1; le.PutUint64(p[136:], 4161) }, false, "original length 4161"},
		{"rewritten, original length huge", func(p []byte) { p[104] = 1; le.PutUint64(p[136:], maxFileSize+8) }, false, "original length"},
		{"original length without the feature", func(p []byte) { le.PutUint64(p[136:], 4160) }, false, "not rewritten"},
		{"original checksum without the feature", func(p []byte) { p[188] = 1 }, false, "not rewritten"},
		{"block limit zero", func(p []byte) { le.PutUint32(p[96:], 0) }, false, "block limit"},
		{"block limit huge", func(p []byte) { le.PutUint32(p[96:], 1<<31) }, false, "block limit"},
		{"position huge", func(p []byte) { le.PutUint64(p[56:], 1<<63); le.PutUint64(p[112:], 1<<63) }, false, "out of range"},
		{"sequence huge", func(p []byte) { le.PutUint64(p[48:], math.MaxUint64) }, false, "out of range"},
		{"epoch zero", func(p []byte) { le.PutUint64(p[40:], 0) }, false, "zero"},
		{"base not the predecessor's end", func(p []byte) { le.PutUint64(p[112:], 1) }, false, "predecessor"},
		{"base sequence behind the predecessor's end", func(p []byte) { le.PutUint64(p[120:], 3) }, false, "predecessor"},
		{"base sequence before the predecessor's end", func(p []byte) { p[132] = predGap; le.PutUint64(p[120:], 5) }, false, "predecessor"},
	}
	for _, tc := range tests {
		page := make([]byte, segmentHeaderLen)
		h := testHeader
		h.encode(page)
		tc.change(page)
		le.PutUint32(page[4092:], crcOf(page[:4092]))
		_, err := decodeSegmentHeader(page)
		if err == nil || errors.Is(err, ErrVersion) != tc.version || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

func TestBlockHeaderBytes(t *testing.T) {
	h := blockHeader{
		stored: 48, raw: 48, payloadCRC: 0x01020304, count: 3, baseSeq: 5, durablePos: 6, minTime: 7, maxTime: 8, flags: blockLossInside, prevHcrc: 0x0a0b0c0d,
	}
	seed := crcSeed(0x1122334455667788)
	b := make([]byte, blockHeaderLen)
	h.encode(b, seed)
	want := unhex(t, `4c424231 00000000 30000000 30000000 04030201 03000000 0500000000000000 0600000000000000
		0700000000000000 0800000000000000 0000 0200 0d0c0b0a`)
	// CRC32C over the salt's bytes and bytes 8 to 63, in one go.
	le.PutUint32(want[4:], crcOf(append(unhex(t, "8877665544332211"), want[8:]...)))
	if !bytes.Equal(b, want) {
		t.Errorf("header is\n% x, want\n% x", b, want)
	}
	back, bad := decodeBlockHeader(b, seed, minMaxBlock)
	if bad != "" || back != h {
		t.Errorf("header comes back as %+v, %s", back, bad)
	}
	if _, bad := decodeBlockHeader(b, seed+1, minMaxBlock); bad == "" {
		t.Error("another segment's header is taken")
	}
	for name, change := range map[string]func(h *blockHeader){
		"over the limit":      func(h *blockHeader) { h.stored, h.raw = minMaxBlock+8, minMaxBlock+8 },
		"not a multiple of 8": func(h *blockHeader) { h.stored, h.raw = 44, 44 },
		"two lengths":         func(h *blockHeader) { h.raw = 40 },
		"too many records":    func(h *blockHeader) { h.count = 4 },
		"codec":               func(h *blockHeader) { h.codec = 1 },
		"sequence":            func(h *blockHeader) { h.baseSeq = math.MaxUint64 },
		"position":            func(h *blockHeader) { h.durablePos = math.MaxUint64 },
	} {
		hostile := h
		change(&hostile)
		hostile.encode(b, seed)
		if _, bad := decodeBlockHeader(b, seed, minMaxBlock); bad == "" {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestTrailerBytes(t *testing.T) {
	tr := trailer{
		flags: sealRotate, firstSeq: 1, nextSeq: 2, minTime: 3, maxTime: 4, dataEnd: 8192, records: 1, rawBytes: 6, lost: 7,
		indexLen: 64, indexCRC: 0x01020304, lastHcrc: 0x05060708, blocks: 9,
	}
	seed := crcSeed(1)
	b := tr.append(nil, seed)
	want := unhex(t, `4c424a464f4f5431 0100 0200 00000000 0100000000000000 0200000000000000 0300000000000000 0400000000000000
		0020000000000000 0100000000000000 0600000000000000 0700000000000000 0020000000000000 40000000 04030201 08070605 09000000
		00000000000000000000000000000000 00000000 4c424a45`)
	le.PutUint32(want[120:], crcWith(seed, want[:120]))
	if !bytes.Equal(b, want) {
		t.Errorf("trailer is\n% x, want\n% x", b, want)
	}
	if back, bad := decodeTrailer(b, seed, 8192+64+128); bad != "" || !reflect.DeepEqual(back, tr) {
		t.Errorf("trailer comes back as %+v, %s", back, bad)
	}
	for _, size := range []int64{0, 128, 8192, 8192 + 64 + 127, 1 << 62} {
		if _, bad := decodeTrailer(b, seed, size); bad == "" {
			t.Errorf("taken in a file of %d bytes", size)
		}
	}
	e := indexEntry{firstSeq: 1, maxTime: -2, offset: 3, hcrc: 4, count: 5}
	eb := appendIndexEntry(nil, e)
	if !bytes.Equal(eb, unhex(t, "0100000000000000 feffffffffffffff 0300000000000000 04000000 05000000")) || decodeIndexEntry(eb) != e {
		t.Errorf("index entry % x", eb)
	}
}

func TestHeadBytes(t *testing.T) {
	h := head{epoch: 1, segment: 2, writtenPos: 3, durablePos: 4, nextSeq: 5, lastTime: 6, heartbeat: 7}
	b := make([]byte, headLen)
	h.encode(b, 9)
	want := unhex(t, `4c424831 00000000 0100000000000000 0200000000000000 0300000000000000 0400000000000000 0500000000000000 0600000000000000 0700000000000000`)
	le.PutUint32(want[4:], crcWith(9, want[8:]))
	if !bytes.Equal(b, want) {
		t.Errorf("HEAD is % x", b)
	}
	if back, ok := decodeHead(b, 9); !ok || back != h {
		t.Errorf("HEAD comes back as %+v, %v", back, ok)
	}
	if _, ok := decodeHead(b, 8); ok {
		t.Error("another archive's HEAD is believed")
	}
}

func TestZeroIsInvalid(t *testing.T) {
	z := make([]byte, segmentHeaderLen)
	if _, err := decodeSegmentHeader(z); err == nil {
		t.Error("segment header")
	}
	if _, bad := decodeBlockHeader(z, 0, minMaxBlock); bad == "" {
		t.Error("block header")
	}
	if _, bad := decodeTrailer(z, 0, 8192); bad == "" {
		t.Error("trailer")
	}
	if _, ok := decodeHead(z, 0); ok {
		t.Error("HEAD")
	}
	if _, _, bad := frameAt(z, 0); bad == "" {
		t.Error("frame")
	}
}

func TestSegmentNames(t *testing.T) {
	if got := segmentName(1000, 0x2a); got != "00000000000000001000-0000002a.lbj" {
		t.Error(got)
	}
	for _, name := range []string{segmentName(0, 1), segmentName(math.MaxInt64, 1<<40)} {
		seq, epoch, ok := parseSegmentName(name)
		if !ok || segmentName(seq, epoch) != name {
			t.Errorf("%s is read as %d, %d, %v", name, seq, epoch, ok)
		}
	}
	for _, name := range []string{
		"", ".lbj", "x.lbj", "00000000000000001000-0000002a.lbj.torn", "00000000000000001000-0000002A.lbj", "1000-0000002a.lbj",
		"00000000000000001000-00000000002a.lbj", "+0000000000000001000-0000002a.lbj", "00000000000000001000-0000002a.lbj~", "99999999999999999999-00000001.lbj",
		"09223372036854775808-00000001.lbj", "00000000000000000000-8000000000000000.lbj", "00000000000000000000-ffffffffffffffff.lbj",
	} {
		if _, _, ok := parseSegmentName(name); ok {
			t.Errorf("%q is taken for a segment", name)
		}
	}
}

func FuzzSegmentHeader(f *testing.F) {
	page := make([]byte, segmentHeaderLen)
	h := testHeader
	h.encode(page)
	f.Add(page)
	f.Add(page[:100])
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= segmentHeaderLen {
			le.PutUint32(b[4092:], crcOf(b[:4092])) // past the checksum
		}
		if h, err := decodeSegmentHeader(b); err == nil && (h.maxBlock > maxMaxBlock || h.basePos > math.MaxInt64) {
			t.Fatalf("%+v", h)
		}
	})
}

func FuzzBlockHeader(f *testing.F) {
	b := make([]byte, blockHeaderLen)
	h := blockHeader{stored: 16, raw: 16, count: 1}
	h.encode(b, 1)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= blockHeaderLen {
			le.PutUint32(b, blockMagic)
			le.PutUint32(b[4:], crcWith(1, b[8:blockHeaderLen]))
		}
		if h, bad := decodeBlockHeader(b, 1, minMaxBlock); bad == "" && (h.raw > minMaxBlock || h.stored > h.raw || h.count > h.raw/frameOverhead) {
			t.Fatalf("%+v", h)
		}
	})
}

func FuzzTrailer(f *testing.F) {
	tr := trailer{dataEnd: 8192, indexLen: 64}
	f.Add(tr.append(nil, 1), int64(8192+64+128))
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		if len(b) >= trailerLen {
			copy(b, trailerMagic[:])
			le.PutUint32(b[120:], crcWith(1, b[:120]))
			le.PutUint32(b[124:], trailerEnd)
		}
		if tr, bad := decodeTrailer(b, 1, size); bad == "" && int64(tr.dataEnd)+int64(tr.indexLen)+trailerLen != size {
			t.Fatalf("%+v in %d bytes", tr, size)
		}
	})
}

func FuzzHead(f *testing.F) {
	b := make([]byte, headLen)
	(&head{epoch: 1}).encode(b, 1)
	f.Add(b)
	f.Fuzz(func(_ *testing.T, b []byte) { decodeHead(b, 1) })
}

func FuzzFrames(f *testing.F) {
	f.Add(frameBuf(0, 9))
	f.Fuzz(func(t *testing.T, b []byte) {
		info := newFrameInfo()
		end, bad := walkFrames(b, 0, len(b), &info)
		if bad == "" && end != len(b) || info.frames*frameOverhead > len(b) {
			t.Fatalf("%d of %d bytes, %+v, %q", end, len(b), info, bad)
		}
	})
}

func FuzzControlPayloads(f *testing.F) {
	f.Add(Loss{}.Append(nil))
	f.Add(appendStream(nil, 7, "name"))
	f.Add(ClockStep{}.Append(nil))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = ParseLoss(b)
		_, _, _ = ParseStream(b)
		_, _ = ParseClock(b)
		_, _ = ParseMark(b)
	})
}

// Reasons are numbers on disk: they and their words never change.
func TestLossReasons(t *testing.T) {
	want := []string{"reason 0", "overload", "too large", "closed", "source gap", "write error", "stalled", "damage", "reason 8"}
	for i, s := range want {
		if got := LossReason(i).String(); got != s {
			t.Errorf("reason %d is %q, want %q", i, got, s)
		}
	}
	if LossStalled != 6 || LossDamage != 7 {
		t.Errorf("LossStalled is %d, LossDamage %d", LossStalled, LossDamage)
	}
}
