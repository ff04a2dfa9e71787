package queue

import (
	"encoding/binary"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// writer is what both kinds of producer do.
type writer interface {
	TryClaim(n int) (Claim, error)
	TryClaimTyped(typ int32, n int) (Claim, error)
	Write(rec []byte) (int, error)
	WriteTyped(typ int32, rec []byte) error
	Append(max int, encode func(dst []byte) ([]byte, error)) error
	Capacity() int
	Position() uint64
	Close() error
	Stats() Stats
}

// reader is what Consumer and FanIn do.
type reader interface {
	Next() (rec []byte, ok bool)
	Type() int32
	Release()
	Drain(limit int, fn func(typ int32, rec []byte)) int
	Peek(maxBytes int) Span
	ReleaseTo(pos uint64)
	Stats() Stats
}

var (
	_ writer = (*Producer)(nil)
	_ writer = (*SharedProducer)(nil)
	_ reader = (*Consumer)(nil)
	_ reader = (*FanIn)(nil)
)

// starts are positions from which tests cross what counters could trip over.
var starts = []struct {
	name string
	pos  uint64
}{
	{"0", 0},
	{"below 2^31", 1<<31 - 40},
	{"below 2^32", 1<<32 - 72},
	{"below 2^63", 1<<63 - 24},
	{"below 2^64", 1<<64 - 136},
}

// forKinds runs fn for SPSC and MPSC rings.
func forKinds(t *testing.T, fn func(t *testing.T, shared bool)) {
	t.Run("SPSC", func(t *testing.T) { fn(t, false) })
	t.Run("MPSC", func(t *testing.T) { fn(t, true) })
}

func newRingAt(t testing.TB, shared bool, capacity int, start uint64) (writer, *Consumer) {
	t.Helper()
	var w writer
	var c *Consumer
	var err error
	if shared {
		w, c, err = newMPSC(capacity, start)
	} else {
		w, c, err = newSPSC(capacity, start)
	}
	if err != nil {
		t.Fatal(err)
	}
	return w, c
}

// replay has a failure of t say how to run it again.
func replay(t *testing.T, flag string, seed uint64) {
	t.Cleanup(func() {
		if t.Failed() {
			name := strings.ReplaceAll(regexp.QuoteMeta(t.Name()), "/", "$/^")
			t.Logf("seed %d; replay: go test ./queue -run '^%s$' -%s=%d", seed, name, flag, seed)
		}
	})
}

func isShared(w writer) bool { _, ok := w.(*SharedProducer); return ok }

// tailOf is the position at which the next record, or its padding, goes.
func tailOf(w writer) uint64 {
	switch p := w.(type) {
	case *Producer:
		return p.tail
	case *SharedProducer:
		return p.Position()
	}
	panic("unknown writer")
}

// pattern is n bytes that tell their place and seed.
func pattern(n int, seed uint64) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = patternAt(i, seed)
	}
	return b
}

func patternAt(i int, seed uint64) byte { return byte(seed) + byte(i*7) + byte(i>>8) | 1 }

// must panics on an error: for calls of a test that cannot fail unless the
// ring is broken.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func mustWrite(t testing.TB, w writer, rec []byte) {
	t.Helper()
	if n, err := w.Write(rec); n != len(rec) || err != nil {
		t.Fatalf("Write of %d bytes: %d, %v", len(rec), n, err)
	}
}

func wantNext(t testing.TB, r reader, typ int32, rec []byte) {
	t.Helper()
	got, ok := r.Next()
	if !ok || string(got) != string(rec) || r.Type() != typ {
		t.Fatalf("Next: %q (type %d, %v), want %q (type %d)", got, r.Type(), ok, rec, typ)
	}
}

func wantNothing(t testing.TB, r reader) {
	t.Helper()
	if rec, ok := r.Next(); ok {
		t.Fatalf("Next: %q, want nothing", rec)
	}
}

// wantPanic runs fn and checks that it panics with a message that has all of
// parts in it.
func wantPanic(t testing.TB, fn func(), parts ...string) {
	t.Helper()
	defer func() {
		t.Helper()
		v := recover()
		if v == nil {
			t.Fatalf("no panic; want one with %q", parts)
		}
		for _, part := range parts {
			if !strings.Contains(fmt.Sprint(v), part) {
				t.Fatalf("panic %q: want %q in it", v, part)
			}
		}
	}()
	fn()
}

// advance moves an empty ring's position forward by n bytes, a multiple of 8,
// and leaves it empty.
func advance(t testing.TB, w writer, c *Consumer, n int) {
	t.Helper()
	for n > 0 {
		step := min(n, w.Capacity()/2)
		cl, err := w.TryClaim(step - headerLen)
		if err != nil {
			t.Fatalf("advance by %d: %v", step, err)
		}
		cl.Commit()
		if _, ok := c.Next(); !ok {
			t.Fatal("advance: nothing to read")
		}
		c.Release()
		n -= step
	}
}

// parsed is one frame of a span.
type parsed struct {
	typ     int32
	payload []byte
}

// parse decodes frames as the documentation describes them, without the
// package's own code.
func parse(frames []byte) (list []parsed, err error) {
	for off := 0; off < len(frames); {
		if len(frames)-off < 8 {
			return nil, fmt.Errorf("offset %d: %d bytes left", off, len(frames)-off)
		}
		length := int(int32(binary.LittleEndian.Uint32(frames[off:])))
		typ := int32(binary.LittleEndian.Uint32(frames[off+4:]))
		stride := (length + 7) / 8 * 8
		if length < 8 || stride > len(frames)-off || typ == 0 || typ < -1 {
			return nil, fmt.Errorf("offset %d: length %d, type %d, %d bytes left", off, length, typ, len(frames)-off)
		}
		if typ > 0 {
			for i := length; i < stride; i++ {
				if frames[off+i] != 0 {
					return nil, fmt.Errorf("offset %d: alignment byte %d is %#x", off, i, frames[off+i])
				}
			}
		}
		list = append(list, parsed{typ, frames[off+8 : off+length]})
		off += stride
	}
	return list, nil
}

// checkSpan parses s and checks what Peek promises of any span; it returns the
// records without the skips.
func checkSpan(t testing.TB, s Span, maxBytes int) []parsed {
	t.Helper()
	list, err := parse(s.Frames())
	if err != nil {
		t.Fatalf("span: %v\n% x", err, s.Frames())
	}
	if (len(list) == 0) != (s.Records() == 0) {
		t.Fatalf("span of %d frames has %d records", len(list), s.Records())
	}
	var recs []parsed
	for i, f := range list {
		if f.typ != typeSkip {
			recs = append(recs, f)
			continue
		}
		if i == 0 || i == len(list)-1 {
			t.Fatalf("span begins or ends with a skip: frame %d of %d", i, len(list))
		}
		if n := len(f.payload) + headerLen; n > smallSkip {
			t.Fatalf("skip of %d bytes in a span", n)
		}
	}
	if len(recs) != s.Records() {
		t.Fatalf("span says %d records, has %d", s.Records(), len(recs))
	}
	if len(recs) > 1 && len(s.Frames()) > maxBytes {
		t.Fatalf("span of %d records has %d bytes, limit %d", len(recs), len(s.Frames()), maxBytes)
	}
	if cap(s.Frames()) != len(s.Frames()) {
		t.Fatalf("span has capacity %d beyond its %d bytes", cap(s.Frames()), len(s.Frames()))
	}
	return recs
}

// checkIdle checks what must hold in the memory of a ring between operations:
// nothing behind the tail can be taken for a record.
func checkIdle(t testing.TB, w writer, c *Consumer) {
	t.Helper()
	r := c.ring
	tail := tailOf(w)
	if h := r.mem.load(tail); h != 0 {
		t.Fatalf("header at the tail %d is %#x, want 0", tail, h)
	}
	if used := tail - r.head.load(); used > r.capacity-reserved {
		t.Fatalf("%d bytes in use of %d less %d", used, r.capacity, reserved)
	}
	if r.shared && !c.keep {
		for pos := tail; pos != c.head+r.capacity; pos += headerLen {
			if h := r.mem.load(pos); h != 0 {
				t.Fatalf("MPSC: free word at %d is %#x, want 0 (tail %d, head %d)", pos, h, tail, c.head)
			}
		}
	}
}
