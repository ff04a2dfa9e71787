package journal

import (
	"errors"
	"io"
	"path/filepath"
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// FuzzArchive changes a small archive anywhere, with checksums made right again or not, and reads it in every way there is. Nothing may
// panic, hang, or deliver a record that was not written while the checksums are honest.
func FuzzArchive(f *testing.F) {
	type source struct {
		mem  *vfs.Mem
		name string
	}
	var sources []source
	compressed := smallArchive(f)
	if rep, err := Compact(memDir, &CompactOptions{FS: compressed}); err != nil || rep.Segments == 0 {
		f.Fatalf("nothing to compress: %+v, %v", rep, err)
	}
	for _, mem := range []*vfs.Mem{smallArchive(f), compressed} {
		for _, name := range segmentNames(f, mem) {
			sources = append(sources, source{mem, name})
		}
	}
	f.Add(uint8(0), uint16(4100), []byte{1}, true, uint16(0))
	f.Add(uint8(1), uint16(4104), []byte{0xff, 0xff, 0xff, 0xff}, true, uint16(0))
	f.Add(uint8(2), uint16(100), []byte("x"), true, uint16(5000))
	f.Add(uint8(2), uint16(4160), []byte{0, 0, 0, 0, 0, 0, 0, 0}, false, uint16(0))
	f.Add(uint8(3), uint16(4300), []byte{0xff}, true, uint16(0))
	f.Add(uint8(3), uint16(4108), []byte{0, 0, 0, 1}, true, uint16(0))
	f.Add(uint8(4), uint16(4400), []byte{1, 2, 3}, false, uint16(0))
	f.Fuzz(func(t *testing.T, file uint8, at uint16, put []byte, fix bool, cut uint16) {
		src := sources[int(file)%len(sources)]
		mem := src.mem.Clone()
		path := filepath.Join(memDir, src.name)
		b := mustRead(t, mem, path)
		copy(b[int(at)%len(b):], put)
		if fix {
			fixChecksums(b)
		}
		if cut != 0 {
			b = b[:int(cut)%len(b)]
		}
		mustWrite(t, mem, path, b)
		rep, err := Verify(memDir, &VerifyOptions{FS: mem})
		if err == nil && rep.Verdict == Clean && !fix {
			readAll(t, memDir, &ReaderOptions{FS: mem}, 0, rep.NextSeq)
		}
		for _, o := range []ReaderOptions{{Control: true}, {FromSeq: 7}, {FromTime: timeOf(4)}, {End: true}, {Durable: true}, {Salvage: true, Control: true}} {
			o.FS = mem
			readAny(t, &o)
		}
		if w, err := Open(memDir, &Options{FS: mem}); err == nil {
			_, _ = w.Append(Record{Payload: []byte("more")})
			_ = w.Close()
		}
	})
}

func readAny(t *testing.T, o *ReaderOptions) {
	r, err := OpenReader(memDir, o)
	if err != nil {
		return
	}
	defer r.Close()
	for n := 0; ; n++ {
		_, err := r.Next(t.Context())
		if n > 1e5 {
			t.Fatal("does not end")
		}
		if passing(err) {
			continue
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				var c *CorruptionError
				if !errors.As(err, &c) && !errors.Is(err, ErrVersion) {
					t.Fatal(err)
				}
			}
			return
		}
	}
}

// fixChecksums makes the checksums of a changed segment right: what someone does who means harm.
func fixChecksums(b []byte) {
	if len(b) < segmentHeaderLen+trailerLen {
		return
	}
	le.PutUint32(b[4092:], crcOf(b[:4092]))
	seed := crcSeed(le.Uint64(b[80:]))
	prev := le.Uint32(b[4092:])
	off := segmentHeaderLen
	for off+blockHeaderLen <= len(b) && le.Uint32(b[off:]) == blockMagic {
		n := int(le.Uint32(b[off+8:]))
		if n < 0 || n > len(b)-off-blockHeaderLen {
			break
		}
		h := b[off : off+blockHeaderLen]
		le.PutUint32(h[16:], crcOf(b[off+blockHeaderLen:][:n]))
		le.PutUint32(h[60:], prev)
		prev = crcWith(seed, h[8:])
		le.PutUint32(h[4:], prev)
		off += blockHeaderLen + n
	}
	tr := b[len(b)-trailerLen:]
	le.PutUint32(tr[96:], prev)
	if n := int(le.Uint32(tr[88:])); n >= 0 && n <= len(b)-trailerLen {
		le.PutUint32(tr[92:], crcOf(b[len(b)-trailerLen-n:len(b)-trailerLen]))
	}
	le.PutUint32(tr[120:], crcWith(seed, tr[:120]))
}
