package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
)

// benchFrames is a span of about size bytes of records with 200-byte payloads.
func benchFrames(size int) (frames []byte, n int) {
	payload := make([]byte, 200)
	for len(frames) < size {
		frames = AppendFrame(frames, Record{Time: int64(n), Payload: payload})
		n++
	}
	return frames, n
}

func BenchmarkAppendFrames(b *testing.B) {
	for _, size := range []int{4 << 10, 64 << 10, 256 << 10} {
		for _, policy := range []Sync{SyncNone, SyncInterval} {
			b.Run(fmt.Sprintf("%dKiB/%v", size>>10, policy), func(b *testing.B) {
				w := mustOpen(b, b.TempDir(), &Options{Sync: policy})
				frames, n := benchFrames(size)
				b.SetBytes(int64(len(frames)))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := w.AppendFrames(frames, n); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/record")
				mustClose(b, w)
			})
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	w := mustOpen(b, b.TempDir(), nil)
	rec := Record{Payload: make([]byte, 200)}
	b.SetBytes(200)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.Append(rec); err != nil {
			b.Fatal(err)
		}
	}
	mustClose(b, w)
}

// benchArchive is an archive of 64 MiB.
func benchArchive(b *testing.B) (dir string, bytes int64) {
	b.Helper()
	dir = b.TempDir()
	w := mustOpen(b, dir, &Options{Sync: SyncNone})
	frames, n := benchFrames(64 << 10)
	for range 1024 {
		if _, err := w.AppendFrames(frames, n); err != nil {
			b.Fatal(err)
		}
	}
	mustClose(b, w)
	return dir, int64(len(frames)) * 1024
}

func BenchmarkRead(b *testing.B) {
	dir, size := benchArchive(b)
	ctx := context.Background()
	b.SetBytes(size)
	b.ReportAllocs()
	records := 0
	for b.Loop() {
		r, err := OpenReader(dir, nil)
		if err != nil {
			b.Fatal(err)
		}
		for {
			if _, err := r.Next(ctx); err != nil {
				if !errors.Is(err, io.EOF) {
					b.Fatal(err)
				}
				break
			}
			records++
		}
		mustClose(b, r)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(records), "ns/record")
}

func BenchmarkVerify(b *testing.B) {
	dir, size := benchArchive(b)
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		if rep, err := Verify(dir, nil); err != nil || rep.Verdict != Clean {
			b.Fatal(rep, err)
		}
	}
}

func BenchmarkSeek(b *testing.B) {
	dir, _ := benchArchive(b)
	ctx := context.Background()
	for b.Loop() {
		r, err := OpenReader(dir, &ReaderOptions{FromSeq: 200000})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := r.Next(ctx); err != nil {
			b.Fatal(err)
		}
		mustClose(b, r)
	}
}
