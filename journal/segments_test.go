package journal

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// What Segments says from headers and footers is what Verify counts from the records.
func TestSegments(t *testing.T) {
	mem := smallArchive(t)
	infos, err := Segments(memDir, &ReaderOptions{FS: mem})
	if err != nil {
		t.Fatal(err)
	}
	want := []SegmentInfo{
		{Number: 1, Epoch: 1, FirstSeq: 0, NextSeq: 6, Records: 6},
		{Number: 2, Epoch: 1, FirstSeq: 6, NextSeq: 9, Records: 3},
		{Number: 3, Epoch: 2, FirstSeq: 9, NextSeq: 11, Records: 2, Lost: 3},
	}
	names := segmentNames(t, mem)
	if len(infos) != len(want) {
		t.Fatalf("%d segments, want %d", len(infos), len(want))
	}
	for i, got := range infos {
		w := want[i]
		w.File, w.Sealed = names[i], true
		size := int64(len(mustRead(t, mem, filepath.Join(memDir, names[i]))))
		w.MinTime, w.MaxTime = timesOf(w.FirstSeq, w.NextSeq)
		w.Size, w.RawBytes, w.Created = size, got.RawBytes, got.Created
		if got != w || got.Created == 0 || got.RawBytes < int64(16*w.Records) || got.RawBytes > size {
			t.Errorf("segment %d: %+v, want %+v", i, got, w)
		}
	}
}

// timesOf returns the earliest and latest time of the test records [first, next).
func timesOf(first, next uint64) (lo, hi int64) {
	lo, hi = timeOf(first), timeOf(first)
	for seq := first; seq < next; seq++ {
		lo, hi = min(lo, timeOf(seq)), max(hi, timeOf(seq))
	}
	return lo, hi
}

// A segment says the same of itself before it has a footer as it does with one.
func TestSegmentsWithoutFooter(t *testing.T) {
	src := smallArchive(t)
	sealed, err := Segments(memDir, &ReaderOptions{FS: src})
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range segmentNames(t, src) {
		mem := src.Clone()
		path := filepath.Join(memDir, name)
		whole := mustRead(t, mem, path)
		mustWrite(t, mem, path, whole[:le.Uint64(whole[len(whole)-trailerLen+48:])])
		infos, err := Segments(memDir, &ReaderOptions{FS: mem})
		if err != nil {
			t.Fatal(err)
		}
		want := sealed[i]
		want.Sealed, want.Size = false, infos[i].Size
		if infos[i] != want {
			t.Errorf("segment %d without its footer: %+v, want %+v", i, infos[i], want)
		}
	}
}

func TestSegmentsDamagedHeader(t *testing.T) {
	mem := smallArchive(t)
	path := filepath.Join(memDir, segmentNames(t, mem)[1])
	b := mustRead(t, mem, path)
	b[50] ^= 1
	mustWrite(t, mem, path, b)
	infos, err := Segments(memDir, &ReaderOptions{FS: mem})
	if err != nil || len(infos) != 3 {
		t.Fatalf("%d segments, %v", len(infos), err)
	}
	want := SegmentInfo{File: filepath.Base(path), Epoch: 1, FirstSeq: 6, NextSeq: 9, Size: int64(len(b))}
	if infos[1] != want {
		t.Errorf("%+v, want %+v", infos[1], want)
	}
}

// A live archive is listed up to what was written, not to what is on its way.
func TestSegmentsLive(t *testing.T) {
	mem := vfs.NewMem()
	w := mustOpen(t, memDir, &Options{FS: mem})
	fill(t, w, 40, 4)
	path := filepath.Join(memDir, segmentNames(t, mem)[0])
	size := w.Stats().SegmentSize
	f, err := mem.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// A whole block that HEAD does not cover yet: the first data block once more would not fit the chain, so its header is made anew.
	info := newFrameInfo()
	frames := frameBuf(40, 2)
	walkFrames(frames, 0, len(frames), &info)
	h := w.seg.blockFor(frames, &info, 0, 0)
	var b [blockHeaderLen]byte
	h.encode(b[:], w.seg.seed)
	if _, err := f.WritevAt([][]byte{b[:], frames}, size); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		fs   vfs.FS
		want uint64
	}{{"a writer lives", mem, 40}, {"it has died", mem.Clone(), 42}} {
		infos, err := Segments(memDir, &ReaderOptions{FS: test.fs})
		if err != nil || len(infos) != 1 || infos[0].Sealed || infos[0].NextSeq != test.want || infos[0].Records != test.want {
			t.Errorf("%s: %+v, %v", test.name, infos, err)
		}
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	mustClose(t, w)
}

func TestSegmentsOfNothing(t *testing.T) {
	if _, err := Segments(t.TempDir(), nil); !errors.Is(err, ErrNotArchive) {
		t.Errorf("an empty directory: %v", err)
	}
}
