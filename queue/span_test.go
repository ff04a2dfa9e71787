package queue

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// unhex decodes hex digits in groups.
func unhex(s string) []byte {
	return must(hex.DecodeString(strings.Join(strings.Fields(s), "")))
}

// The frames are part of the archive's format: every byte of them.
func TestFrameLayout(t *testing.T) {
	forKinds(t, func(t *testing.T, shared bool) {
		w, c := newRingAt(t, shared, 1024, 1<<40)
		dirty(t, w, c)
		mustWrite(t, w, nil)
		mustWrite(t, w, []byte("a"))
		if err := w.WriteTyped(0x01020304, []byte("1234567")); err != nil {
			t.Fatal(err)
		}
		mustWrite(t, w, []byte("12345678"))
		if err := w.WriteTyped(1<<31-1, []byte("123456789")); err != nil {
			t.Fatal(err)
		}
		cl := must(w.TryClaimTyped(2, 24))
		copy(cl.Bytes(), bytes.Repeat([]byte{0xff}, 24))
		cl.CommitN(3) // less than a word is left of 24 bytes: 16 are given back
		mustWrite(t, w, []byte("end"))
		want := `
			08000000 01000000
			09000000 01000000 61000000 00000000
			0f000000 04030201 31323334 35363700
			10000000 01000000 31323334 35363738
			11000000 ffffff7f 31323334 35363738 39000000 00000000
			0b000000 02000000 ffffff00 00000000`
		if shared {
			want += `10000000 ffffffff ffffffff ffffffff`
		}
		want += `0b000000 01000000 656e6400 00000000`
		s := c.Peek(1000)
		if !bytes.Equal(s.Frames(), unhex(want)) || s.Records() != 7 {
			t.Errorf("%d records\n% x, want\n% x", s.Records(), s.Frames(), unhex(want))
		}
	})
}

// What a header looks like at each moment of a shared claim, byte for byte.
func TestMarkLayout(t *testing.T) {
	p, c, _ := newMPSC(64, 64*0x01020304)
	cl := must(p.TryClaim(5))
	want := func(s string) {
		t.Helper()
		if got := c.ring.mem.data[:8]; !bytes.Equal(got, unhex(s)) {
			t.Errorf("header % x, want %s", got, s)
		}
	}
	want("f3ffffff 04030201") // -13, lap
	cl.Commit()
	want("0d000000 01000000")
	c.Next()
	c.Release()
	want("00000000 00000000")
	advance(t, p, c, 64-16)
	cl = must(p.TryClaim(0))
	want("f8ffffff 05030201")
	cl.Abort()
	want("08000000 ffffffff")
	if settlingMark(0x01020304) != header(0x01020304_80000000) {
		t.Errorf("settling mark %#x", settlingMark(0x01020304))
	}
}

// Alignment padding is zero, however dirty the memory and however the record
// was made.
func TestAlignmentIsZero(t *testing.T) {
	forKinds(t, func(t *testing.T, shared bool) {
		for n := range 41 {
			for short := range n + 1 {
				w, c := newRingAt(t, shared, 128, 0)
				dirty(t, w, c)
				cl := must(w.TryClaim(n))
				for i := range cl.Bytes() {
					cl.Bytes()[i] = 0xff
				}
				cl.CommitN(short)
				mustWrite(t, w, pattern255(short))
				for range 2 {
					checkSpan(t, c.Peek(0), 0)
				}
			}
		}
	})
}

func TestPeek(t *testing.T) {
	// Each letter of script makes a record of so many bytes, or a skip.
	record := func(n int) func(writer) { return func(w writer) { must(w.Write(pattern(n, 1))) } }
	abort := func(n int) func(writer) { return func(w writer) { must(w.TryClaim(n)).Abort() } }
	open := func(n int) func(writer) { return func(w writer) { must(w.TryClaim(n)) } }
	tests := []struct {
		name       string
		shared     bool
		at         int // where in 1024 bytes it begins
		script     []func(writer)
		maxBytes   int
		want       []int // bytes of each span until nothing is there
		wantRecord []int
	}{
		{"nothing", false, 0, nil, 100, nil, nil},
		{"one record, limit 0", false, 0, []func(writer){record(8)}, 0, []int{16}, []int{1}},
		{"one record, negative limit", false, 0, []func(writer){record(8), record(8)}, -1, []int{16, 16}, []int{1, 1}},
		{"at least one record", false, 0, []func(writer){record(100), record(8)}, 16, []int{112, 16}, []int{1, 1}},
		{"limit on the frame's end", false, 0, []func(writer){record(8), record(8), record(8)}, 32, []int{32, 16}, []int{2, 1}},
		{"limit one short", false, 0, []func(writer){record(8), record(8), record(8)}, 31, []int{16, 16, 16}, []int{1, 1, 1}},
		{"limit 2^31-1", false, 0, []func(writer){record(8), record(8), record(8)}, 1<<31 - 1, []int{48}, []int{3}},
		{"largest limit", false, 0, []func(writer){record(8), record(8), record(8)}, int(^uint(0) >> 1), []int{48}, []int{3}},
		{"ends at the wrap", false, 1008, []func(writer){record(8), record(8)}, 1000, []int{16, 16}, []int{1, 1}},
		{"ends before wrap padding", false, 984, []func(writer){record(8), record(24)}, 1000, []int{16, 32}, []int{1, 1}},
		{"contains a skip of 256", true, 0, []func(writer){record(8), abort(248), record(8)}, 1000, []int{16 + 256 + 16}, []int{2}},
		{"ends at a skip of 264", true, 0, []func(writer){record(8), abort(249), record(8)}, 1000, []int{16, 16}, []int{1, 1}},
		{"skips count towards the limit", true, 0, []func(writer){record(8), abort(8), record(8)}, 47, []int{16, 16}, []int{1, 1}},
		{"skips count towards the limit, fits", true, 0, []func(writer){record(8), abort(8), record(8)}, 48, []int{48}, []int{2}},
		{"does not begin with skips", true, 0, []func(writer){abort(8), abort(0), record(8)}, 1000, []int{16}, []int{1}},
		{"does not end with skips", true, 0, []func(writer){record(8), abort(8), abort(0)}, 1000, []int{16}, []int{1}},
		{"only skips", true, 0, []func(writer){abort(8), abort(500)}, 1000, nil, nil},
		{"ends at an open claim", true, 0, []func(writer){record(8), open(8), record(8)}, 1000, []int{16}, []int{1}},
		{"open claim first", true, 0, []func(writer){open(8), record(8)}, 1000, nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w, c := newRingAt(t, tt.shared, 1024, 1<<32-1024+uint64(tt.at))
			for _, step := range tt.script {
				step(w)
			}
			var got, records []int
			var spans []Span
			for s := c.Peek(tt.maxBytes); s.Records() > 0; s = c.Peek(tt.maxBytes) {
				checkSpan(t, s, tt.maxBytes)
				got, records, spans = append(got, len(s.Frames())), append(records, s.Records()), append(spans, s)
				if end := s.End(); end&1023 != 0 && &c.ring.mem.data[end&1023-1] != &s.Frames()[len(s.Frames())-1] {
					t.Errorf("End %d is not behind the span", end)
				}
			}
			if fmt.Sprint(got, records) != fmt.Sprint(tt.want, tt.wantRecord) {
				t.Errorf("spans of %v bytes, %v records; want %v, %v", got, records, tt.want, tt.wantRecord)
			}
			for _, s := range spans {
				c.ReleaseTo(s.End())
			}
			if got := c.ring.head.load(); got != c.pos {
				t.Errorf("head %d, want %d: skips behind the last span are not given back", got, c.pos)
			}
		})
	}
}

// Space is given back to where ReleaseTo says, inside of a span as well, and
// the producer can use it.
func TestReleaseToInsideSpan(t *testing.T) {
	forKinds(t, func(t *testing.T, shared bool) {
		w, c := newRingAt(t, shared, 64, 1<<64-128)
		mustWrite(t, w, pattern(48, 1))
		s := c.Peek(100)
		for back := 48; back >= 0; back -= 8 {
			c.ReleaseTo(s.End() - uint64(back))
			if got := tailOf(w) - c.ring.head.load(); got != uint64(back) {
				t.Fatalf("%d bytes in use, want %d", got, back)
			}
			if rest := s.Frames()[56-back:]; back <= 48 && !bytes.Equal(rest, pattern(48, 1)[48-back:]) {
				t.Fatalf("the rest of the span has changed: % x", rest)
			}
			checkIdle(t, w, c)
		}
		mustWrite(t, w, pattern(40, 2)) // behind 8 bytes of padding
		wantNext(t, c, 1, pattern(40, 2))
	})
}

// Several spans are held and given back later; Next, Drain and Release give
// back all.
func TestSeveralSpansHeld(t *testing.T) {
	give := map[string]func(c *Consumer, last Span){
		"ReleaseTo": func(c *Consumer, last Span) { c.ReleaseTo(last.End()) },
		"Release":   func(c *Consumer, _ Span) { c.Release() },
		"Next":      func(c *Consumer, _ Span) { c.Next() },
		"Drain":     func(c *Consumer, _ Span) { c.Drain(1, nil) },
	}
	forKinds(t, func(t *testing.T, shared bool) {
		for name, fn := range give {
			t.Run(name, func(t *testing.T) {
				w, c := newRingAt(t, shared, 256, 0)
				var spans []Span
				for i := range 15 {
					mustWrite(t, w, pattern(8, uint64(i)))
					spans = append(spans, c.Peek(1000))
				}
				if _, err := w.Write(nil); err != nil { // the last word
					t.Fatal(err)
				}
				if _, err := w.Write(nil); !errors.Is(err, ErrFull) {
					t.Fatalf("space is given back too early: %v", err)
				}
				for i, s := range spans {
					if recs := checkSpan(t, s, 1000); !bytes.Equal(recs[0].payload, pattern(8, uint64(i))) {
						t.Errorf("span %d has changed", i)
					}
				}
				c.Peek(1000)
				fn(c, spans[14])
				want := uint64(8)
				if name != "ReleaseTo" {
					want = 0
				}
				if got := tailOf(w) - c.ring.head.load(); got != want {
					t.Errorf("%d bytes in use, want %d", got, want)
				}
			})
		}
	})
}

// A claim that was abandoned may still be written to. It is never part of a
// span, whose bytes somebody may be checksumming.
func TestAbandonedIsNotInSpan(t *testing.T) {
	p, c, _ := NewMPSC(256)
	mustWrite(t, p, []byte("1"))
	open := must(p.TryClaim(16))
	mustWrite(t, p, []byte("2"))
	p.Close()
	s1 := c.Peek(1000)
	s2 := c.Peek(1000)
	copy(open.Bytes(), pattern255(16))
	if s1.Records() != 1 || s2.Records() != 1 || c.Peek(1000).Records() != 0 {
		t.Fatalf("spans of %d and %d records", s1.Records(), s2.Records())
	}
	c.ReleaseTo(s2.End())
	copy(open.Bytes(), pattern(16, 3)) // late, and harmless
	if open.Commit() {
		t.Error("Commit: true")
	}
	if !c.Drained() {
		t.Error("not Drained")
	}
}
