package journal

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"
)

// walkPlainly is walkFrames, frame by frame.
func walkPlainly(frames []byte, from, limit int, info *frameInfo) (end int, bad string) {
	off := from
	for off < len(frames) {
		size, typ, bad := frameAt(frames, off)
		switch {
		case bad != "":
			return off, bad
		case off-from+size > limit && off == from:
			return off, frameTooLong
		case off-from+size > limit:
			return off, ""
		}
		if typ != skipType {
			info.note(frames[off:off+size], typ)
		}
		off += size
	}
	return off, ""
}

// randomSpan is a span of frames of all kinds, most of them data, and now and then with a damaged byte.
func randomSpan(r *rand.Rand) []byte {
	var b []byte
	sizes, streams := 1+r.IntN(40), 1+r.IntN(2) // 1 and 1: all headers alike
	for range r.IntN(20) {
		rec := Record{Time: int64(r.Uint64()), Kind: KindData, Stream: uint16(r.IntN(streams)), Payload: make([]byte, r.IntN(sizes))}
		switch r.IntN(8) {
		case 0:
			n := 8 + 8*r.IntN(4)
			b = le.AppendUint64(b, uint64(n)|math.MaxUint32<<32)
			b = append(b, make([]byte, n-8)...)
			continue
		case 1:
			rec.Kind = uint8(1 + r.IntN(int(lastKind)))
		case 2:
			rec.Kind, rec.Payload = KindLoss, Loss{Records: r.Uint64N(100)}.Append(nil)
		}
		b = AppendFrame(b, rec)
	}
	if len(b) > 0 && r.IntN(2) == 0 {
		b[r.IntN(len(b))&^7+r.IntN(8)] = byte(r.Uint32())
	}
	if r.IntN(4) == 0 {
		b = b[:len(b)&^7-8*min(len(b)/8, r.IntN(3))]
	}
	return b
}

// The walk takes runs of data frames in a loop of their own. It finds what a look at each frame finds.
func TestWalkFramesAgreesWithALookAtEach(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	verdicts := map[string]int{}
	for range 20000 {
		b := randomSpan(r)
		limit := 16 + r.IntN(max(1, len(b)))
		if r.IntN(2) == 0 {
			limit = len(b)
		}
		for from := 0; ; {
			got, want := newFrameInfo(), newFrameInfo()
			end, bad := walkFrames(b, from, limit, &got)
			wantEnd, wantBad := walkPlainly(b, from, limit, &want)
			if end != wantEnd || bad != wantBad || got != want {
				t.Fatalf("%x from %d with limit %d: ends at %d with %q and %+v, want %d with %q and %+v", b, from, limit, end, bad, got, wantEnd, wantBad, want)
			}
			if verdicts[bad]++; bad != "" || end == len(b) || end == from {
				break
			}
			from = end
		}
	}
	if len(verdicts) < 6 {
		t.Errorf("only these verdicts were seen: %v", verdicts)
	}
}

// No header that is none is taken for the one before, or for one that was checked.
func TestWalkFramesWithNoHeader(t *testing.T) {
	good := AppendFrame(nil, Record{Payload: make([]byte, 24)})
	for _, word := range []uint64{0, math.MaxUint64, 1 << 63, 8} {
		for _, before := range []int{0, 1, 3} {
			b := append(bytes.Repeat(good, before), make([]byte, 48)...)
			le.PutUint64(b[before*len(good):], word)
			info := newFrameInfo()
			end := info.dataRun(b)
			if end != before*len(good) || info.count != before {
				t.Errorf("%#x behind %d frames: a run of %d bytes, %d frames", word, before, end, info.count)
			}
		}
	}
}

// A length near 2³¹ must not be rounded up to a small one.
func TestWalkFramesWithLargestLength(t *testing.T) {
	for _, length := range []uint32{1<<31 - 1, 1<<31 - 8, 1 << 31, 1<<32 - 1, 15, 0} {
		b := AppendFrame(nil, Record{Payload: bytes.Repeat([]byte{1}, 100)})
		le.PutUint32(b, length)
		info := newFrameInfo()
		if end, bad := walkFrames(b, 0, len(b), &info); end != 0 || bad == "" || info.frames != 0 {
			t.Errorf("length %#x: walked to %d, %q, %d frames", length, end, bad, info.frames)
		}
	}
}
