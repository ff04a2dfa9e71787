package bench

import (
	"bufio"
	"context"
	"encoding/binary"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// archiveDir is where the archives of the benchmarks go: LOGBUF_BENCH_DIR, or
// the directory for temporary files.
func archiveDir(b *testing.B) string {
	if dir := os.Getenv("LOGBUF_BENCH_DIR"); dir != "" {
		dir, err := os.MkdirTemp(dir, "logbuf-bench-")
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { os.RemoveAll(dir) })
		return dir
	}
	return b.TempDir()
}

// BenchmarkToDisk is one producer whose records end up in a file, until all of
// them are handed to the kernel; nothing is synced. The peer does what programs
// do without a library: copies into a Go channel, and a goroutine that writes
// length and payload through a bufio.Writer, with a CRC32C of each record,
// since an archive that cannot be verified is no archive.
func BenchmarkToDisk(b *testing.B) {
	const size = 64
	b.Run("logbuf-recorder/64B", func(b *testing.B) {
		rec, err := recorder.Open(filepath.Join(archiveDir(b), "archive"), &recorder.Options{
			Journal: journal.Options{Sync: journal.SyncNone, SegmentSize: 1 << 30},
		})
		if err != nil {
			b.Fatal(err)
		}
		p, err := rec.Producer("bench", &recorder.ProducerOptions{LaneSize: ringSize, Overload: recorder.OverloadWait})
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(size)
		b.ReportAllocs()
		b.ResetTimer()
		msg := make([]byte, size)
		for n := range uint64(b.N) {
			fill(msg, n)
			if _, err := p.Write(msg); err != nil {
				b.Fatal(err)
			}
		}
		for rec.Stats().LagRecords > 0 {
			runtime.Gosched()
		}
		b.StopTimer()
		if err := rec.Close(context.Background()); err != nil {
			b.Fatal(err)
		}
	})
	b.Run("go-channel-and-bufio/64B", func(b *testing.B) {
		f, err := os.Create(filepath.Join(archiveDir(b), "log"))
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		ch, done := make(chan []byte, ringSize/size), make(chan error)
		go func() { done <- writeLog(f, ch) }()
		b.SetBytes(size)
		b.ReportAllocs()
		b.ResetTimer()
		msg := make([]byte, size)
		for n := range uint64(b.N) {
			fill(msg, n)
			ch <- append([]byte(nil), msg...)
		}
		close(ch)
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	})
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func writeLog(f io.Writer, ch <-chan []byte) error {
	w := bufio.NewWriterSize(f, 256<<10)
	var header [16]byte
	for rec := range ch {
		binary.LittleEndian.PutUint32(header[:], uint32(len(rec)))
		binary.LittleEndian.PutUint32(header[4:], crc32.Checksum(rec, castagnoli))
		binary.LittleEndian.PutUint64(header[8:], uint64(time.Now().UnixNano()))
		w.Write(header[:])
		w.Write(rec)
	}
	return w.Flush()
}

// BenchmarkReadBack reads an archive of b.N records of 256 bytes that is in the
// page cache. The floor is reading the same files and computing CRC32C, which
// no verifying reader can beat.
func BenchmarkReadBack(b *testing.B) {
	const size = 256
	dir := filepath.Join(archiveDir(b), "archive")
	write := func(b *testing.B) {
		os.RemoveAll(dir)
		rec, err := recorder.Open(dir, &recorder.Options{Journal: journal.Options{Sync: journal.SyncNone}})
		if err != nil {
			b.Fatal(err)
		}
		p, err := rec.Producer("bench", &recorder.ProducerOptions{LaneSize: ringSize, Overload: recorder.OverloadWait})
		if err != nil {
			b.Fatal(err)
		}
		msg := make([]byte, size)
		for n := range uint64(b.N) {
			fill(msg, n)
			if _, err := p.Write(msg); err != nil {
				b.Fatal(err)
			}
		}
		if err := rec.Close(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("logbuf-Reader/256B", func(b *testing.B) {
		write(b)
		b.SetBytes(size)
		b.ReportAllocs()
		b.ResetTimer()
		r, err := journal.OpenReader(dir, nil)
		if err != nil {
			b.Fatal(err)
		}
		defer r.Close()
		n := 0
		for rec, err := range r.All() {
			if err != nil {
				b.Fatal(err)
			}
			sink += read(rec.Payload)
			n++
		}
		if n != b.N {
			b.Fatalf("%d records of %d", n, b.N)
		}
	})
	b.Run("logbuf-Verify/256B", func(b *testing.B) {
		write(b)
		b.SetBytes(size)
		b.ReportAllocs()
		b.ResetTimer()
		report, err := journal.Verify(dir, nil)
		if err != nil || report.Records != uint64(b.N) {
			b.Fatal(report, err)
		}
	})
	b.Run("read-and-CRC32C/256B", func(b *testing.B) {
		write(b)
		b.SetBytes(size)
		b.ReportAllocs()
		b.ResetTimer()
		files, _ := filepath.Glob(filepath.Join(dir, "*.lbj"))
		buf := make([]byte, 256<<10)
		for _, name := range files {
			f, err := os.Open(name)
			if err != nil {
				b.Fatal(err)
			}
			for {
				n, err := f.Read(buf)
				sink += uint64(crc32.Checksum(buf[:n], castagnoli))
				if err != nil {
					break
				}
			}
			f.Close()
		}
	})
}
