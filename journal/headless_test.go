package journal

import (
	"path/filepath"
	"testing"
)

func TestCRCUndo(t *testing.T) {
	rnd := testRand(1)
	for n := range 200 {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		seed := rnd.Uint32()
		if got := crcUndo(crcWith(seed, b), b); got != seed {
			t.Fatalf("%d bytes: %08x, want %08x", n, got, seed)
		}
	}
}

// The seed of a segment is found without its header as long as two structures at known places are left, and is never a wrong one.
func TestOpenHeadless(t *testing.T) {
	src := longArchive(t)
	name := segmentNames(t, src)[3]
	path := filepath.Join(memDir, name)
	whole := mustRead(t, src, path)
	seed := crcSeed(le.Uint64(whole[80:]))
	dataEnd := int(le.Uint64(whole[len(whole)-trailerLen+48:]))
	table := segmentHeaderLen + blockHeaderLen + int(le.Uint32(whole[segmentHeaderLen+8:]))
	for _, test := range []struct {
		name  string
		do    func(b []byte) []byte
		found bool
	}{
		{"one bit", func(b []byte) []byte { b[40] ^= 1; return b }, true},
		{"a bit of the salt", func(b []byte) []byte { b[80] ^= 1; return b }, true},
		{"all of the page", func(b []byte) []byte { clear(b[:4096]); return b }, true},
		{"page and first block", func(b []byte) []byte { clear(b[:table]); return b }, true},
		{"page and all but the last block", func(b []byte) []byte { clear(b[:dataEnd-blockHeaderLen]); return b }, true},
		{"page and all blocks", func(b []byte) []byte { clear(b[:dataEnd]); return b }, false},
		{"page and footer", func(b []byte) []byte { clear(b[:4096]); return b[:dataEnd] }, true},
		{"page, footer and first block", func(b []byte) []byte { clear(b[:table]); return b[:dataEnd] }, false},
		{"page, footer and second block", func(b []byte) []byte { clear(b[:4096]); clear(b[table : table+8]); return b[:dataEnd] }, false},
		{"page but the salt, footer and first block", func(b []byte) []byte { clear(b[:80]); clear(b[88:table]); return b[:dataEnd] }, true},
		{"all but the page", func(b []byte) []byte { b[40] ^= 1; return b[:4096] }, false},
		{"all", func([]byte) []byte { return nil }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			mem := src.Clone()
			mustWrite(t, mem, path, test.do(mustRead(t, src, path)))
			base, epoch, _ := parseSegmentName(name)
			f, hdr, got, err := archive{fs: mem, dir: memDir}.openHeadless(segmentFile{name: name, baseSeq: base, epoch: epoch})
			if err != nil {
				t.Fatal(err)
			}
			if (f != nil) != test.found {
				t.Fatalf("found: %v, want %v", f != nil, test.found)
			}
			if f == nil {
				return
			}
			defer f.Close()
			if got != seed || hdr.baseSeq != base || hdr.epoch != epoch {
				t.Errorf("seed %08x, want %08x; %+v", got, seed, hdr)
			}
		})
	}
}

// Blocks of another segment in a record's payload do not give their own seed.
func TestOpenHeadlessCopies(t *testing.T) {
	src := longArchive(t)
	other := mustRead(t, src, filepath.Join(memDir, segmentNames(t, src)[2]))
	w := mustOpen(t, "b", &Options{FS: src})
	if _, err := w.Append(Record{Payload: other}); err != nil {
		t.Fatal(err)
	}
	mustClose(t, w)
	a := archive{fs: src, dir: "b"}
	segs, _, err := a.list()
	if err != nil {
		t.Fatal(err)
	}
	path := a.path(segs[0].name)
	b := mustRead(t, src, path)
	seed := crcSeed(le.Uint64(b[80:]))
	clear(b[:segmentHeaderLen+blockHeaderLen])
	mustWrite(t, src, path, b)
	f, _, got, err := a.openHeadless(segs[0])
	if err != nil || f == nil || got != seed {
		t.Fatalf("seed %08x, want %08x, %v", got, seed, err)
	}
	mustClose(t, f)
	mustWrite(t, src, path, b[:len(b)-trailerLen])
	if f, _, got, err = a.openHeadless(segs[0]); f != nil || err != nil {
		t.Fatalf("without its footer: seed %08x, %v", got, err)
	}
}
