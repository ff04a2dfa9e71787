package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// payloadFor makes the payload of a sequence: its length and bytes follow from the sequence alone.
func payloadFor(seq uint64) []byte {
	n := int(seq * 37 % 251)
	if n < 8 {
		n = 8
	}
	b := bytes.Repeat([]byte{byte(seq)}, n)
	binary.LittleEndian.PutUint64(b, seq)
	return b
}

// testRecord is the data record of a sequence; times go up by 10 with a step back now and then.
func testRecord(seq uint64) Record {
	return Record{Seq: seq, Time: timeOf(seq), Kind: KindData, Stream: uint16(seq%3 + 1), Payload: payloadFor(seq)}
}

func timeOf(seq uint64) int64 {
	t := int64(1e18) + int64(seq)*10
	if seq%17 == 5 {
		t -= 55
	}
	return t
}

// frameBuf is a ring's span, for tests: frames of n records from first on, with skips among them.
func frameBuf(first uint64, n int) []byte {
	var b []byte
	for i := range n {
		seq := first + uint64(i)
		if seq%5 == 3 {
			b = appendSkip(b, int(seq%7)*8)
		}
		b = AppendFrame(b, testRecord(seq))
	}
	return b
}

// appendSkip appends a skip with n bytes after its header.
func appendSkip(b []byte, n int) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(FrameHeaderLen+n))
	b = binary.LittleEndian.AppendUint32(b, 0xffffffff)
	return append(b, make([]byte, (n+7)&^7)...)
}

func mustOpen(t testing.TB, dir string, opts *Options) *Writer {
	t.Helper()
	w, err := Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func mustClose(t testing.TB, c io.Closer) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

// fill appends n records from the writer's next sequence on, in batches of up to batch.
func fill(t testing.TB, w *Writer, n, batch int) {
	t.Helper()
	for n > 0 {
		m := min(n, batch)
		next := w.NextSeq()
		first, err := w.AppendFrames(frameBuf(next, m), m)
		if err != nil {
			t.Fatal(err)
		}
		if first != next {
			t.Fatalf("AppendFrames: first sequence %d, want %d", first, next)
		}
		n -= m
	}
}

// readAll reads an archive and checks that it has exactly the records from first up to next.
func readAll(t testing.TB, dir string, opts *ReaderOptions, first, next uint64) *Reader {
	t.Helper()
	r, err := OpenReader(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	want := first
	for {
		rec, err := r.Next(context.Background())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("at sequence %d: %v", want, err)
		}
		checkRecord(t, rec, want)
		want++
	}
	if want != next {
		t.Fatalf("read up to sequence %d, want %d", want, next)
	}
	return r
}

func checkRecord(t testing.TB, rec Record, seq uint64) {
	t.Helper()
	want := testRecord(seq)
	if rec.Seq != seq || rec.Time != want.Time || rec.Kind != want.Kind || rec.Stream != want.Stream || !bytes.Equal(rec.Payload, want.Payload) {
		t.Fatalf("record is %+v, want %+v", rec, want)
	}
}

func segmentFiles(t testing.TB, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"+segmentExt))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func testRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }
