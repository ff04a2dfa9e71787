package journal

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// blinking is a file system in which a place of the segments reads wrong for the first so many reads that touch it: as a page may that is being
// written, or a cable that is bad.
type blinking struct {
	vfs.FS
	off, left int64
}

type blinkingFile struct {
	vfs.File
	b *blinking
}

func (b *blinking) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := b.FS.OpenFile(name, flag, perm)
	if err != nil || !strings.HasSuffix(name, segmentExt) {
		return f, err
	}
	return &blinkingFile{File: f, b: b}, nil
}

func (f *blinkingFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(p, off)
	if f.b.left > 0 && f.b.off >= off && f.b.off < off+int64(n) {
		f.b.left--
		p[f.b.off-off] ^= 0x10
	}
	return n, err
}

// Bytes that read wrong once or twice are no damage: the reader looks a second time before it judges, and once more before it says so. Bytes
// that go on reading wrong are.
func TestSecondLookBeforeCorruption(t *testing.T) {
	mem := vfs.NewMem()
	w := mustOpen(t, memDir, &Options{FS: mem})
	fill(t, w, 60, 3)
	mustClose(t, w)
	path := filepath.Join(memDir, segmentNames(t, mem)[0])
	size := int64(len(mustRead(t, mem, path)))
	dataEnd := int64(le.Uint64(mustRead(t, mem, path)[size-trailerLen+48:]))
	for _, follow := range []bool{false, true} {
		for off := int64(segmentHeaderLen) + 3; off < dataEnd; off += 101 {
			for _, times := range []int64{1, 2, 1 << 40} {
				blink := &blinking{FS: mem, off: off, left: times}
				r, err := OpenReader(memDir, &ReaderOptions{FS: blink, Follow: follow})
				if err != nil {
					t.Fatal(err)
				}
				seq := uint64(0)
				for ; seq < 60 && err == nil; seq++ {
					var rec Record
					if rec, err = r.Next(t.Context()); err == nil {
						checkRecord(t, rec, seq)
					}
				}
				var c *CorruptionError
				if times < 3 && err != nil || times > 2 && !errors.As(err, &c) && !padding(t, mem, path, off) {
					t.Errorf("offset %d wrong %d times, follow %v: at %d: %v", off, times, follow, seq, err)
				}
				mustClose(t, r)
			}
		}
	}
}

// padding reports whether nothing of a segment's blocks but the last one's end is at off, where a reader of data records may not come.
func padding(t *testing.T, mem *vfs.Mem, path string, off int64) bool {
	t.Helper()
	b := mustRead(t, mem, path)
	return off > int64(le.Uint64(b[len(b)-trailerLen+48:]))-blockHeaderLen-closeFrame
}

// closeFrame is what a close record takes.
const closeFrame = 24
