package queue

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// What the tests of Agrona's and Aeron's ring buffers assert, as properties of
// these rings. Each entry names the tests of theirs that it stands for, by
// source and number in the order of their files; TestChecklistIsComplete fails
// if one is neither there nor in notApplicable. What the entries say about the
// order of stores, the explorer proves (tag logbuf_explore); here the outcomes
// are asserted.

// sources is how many tests each of their files has.
var sources = map[string]int{
	"many":            44, // Agrona ManyToOneRingBufferTest.java
	"one":             37, // Agrona OneToOneRingBufferTest.java
	"manyConcurrent":  4,  // Agrona ManyToOneRingBufferConcurrentTest.java, until 2021
	"oneConcurrent":   3,  // Agrona OneToOneRingBufferConcurrentTest.java, until 2021
	"manyInterleaved": 4,  // Agrona jcstress ManyToOneRingBufferTests.java
	"oneInterleaved":  5,  // Agrona jcstress OneToOneRingBufferTests.java
	"mpsc":            42, // Aeron aeron_mpsc_rb_test.cpp
	"spsc":            42, // Aeron aeron_spsc_rb_test.cpp
}

// notApplicable is what these rings do not have, and what they have instead.
var notApplicable = []struct{ covers, why string }{
	{"many 40 41, one 33 34, mpsc 35, spsc 33",
		"a handler that refuses a record and gets it again: no verb delivers a record twice; Ready looks without delivering"},
	{"manyConcurrent 1, manyInterleaved 4, oneInterleaved 5, mpsc 40, spsc 38",
		"correlation ids: the ring has no counter for its users"},
}

// Which kinds of ring an entry is about.
const (
	bothKinds = iota
	onlyMPSC
)

type property struct {
	name   string
	covers string
	kinds  int
	check  func(t *testing.T, shared bool)
}

var checklist = slices.Concat(checklistSizes, checklistWrites, checklistClaims, checklistReads, checklistStalls, checklistConcurrent)

func TestChecklist(t *testing.T) {
	for _, p := range checklist {
		t.Run(p.name, func(t *testing.T) {
			if p.kinds == onlyMPSC {
				p.check(t, true)
				return
			}
			forKinds(t, p.check)
		})
	}
}

func TestChecklistIsComplete(t *testing.T) {
	missing := map[string]bool{}
	for source, n := range sources {
		for i := range n {
			missing[fmt.Sprint(source, " ", i+1)] = true
		}
	}
	names := map[string]bool{}
	cover := func(by, list string) {
		if names[by] {
			t.Errorf("%q is there twice", by)
		}
		names[by] = true
		for part := range strings.SplitSeq(list, ", ") {
			words := strings.Fields(part)
			for _, n := range words[1:] {
				if i, err := strconv.Atoi(n); err != nil || i < 1 || i > sources[words[0]] {
					t.Errorf("%q covers %s %s, which is no test", by, words[0], n)
				}
				delete(missing, words[0]+" "+n)
			}
		}
	}
	for _, p := range checklist {
		cover(p.name, p.covers)
	}
	for _, n := range notApplicable {
		cover(n.why, n.covers)
	}
	for test := range missing {
		t.Errorf("%s is not covered", test)
	}
}

// image is what refused calls must not change.
type image struct {
	mem        string
	tail, head uint64
}

func imageOf(w writer, c *Consumer) image {
	return image{string(c.ring.mem.data), tailOf(w), c.ring.head.load()}
}

// headerAt is the header at index i of c's buffer.
func headerAt(c *Consumer, i uint64) header { return c.ring.mem.load(i) }

// wantHeader compares one header.
func wantHeader(t *testing.T, c *Consumer, i uint64, want header) {
	t.Helper()
	if got := headerAt(c, i); got != want {
		t.Fatalf("header at index %d is %#x, want %#x", i, uint64(got), uint64(want))
	}
}

var checklistSizes = []property{
	{"capacities are rounded up to 64 or a power of two, and bounded", "many 1 20 21, one 1 14 15, mpsc 1 2 3, spsc 1 2 3", bothKinds,
		func(t *testing.T, shared bool) {
			for ask, want := range map[int]int{2: 64, 4: 64, 8: 64, 64: 64, 777: 1024, 1024: 1024} {
				w, c := newRingAt(t, shared, ask, 0)
				if w.Capacity() != want || c.Capacity() != want {
					t.Errorf("capacity for %d: %d, %d, want %d", ask, w.Capacity(), c.Capacity(), want)
				}
			}
			for _, ask := range []int{0, -8, 1<<30 + 1} {
				if _, err := newRing(ask, shared, 0); err == nil || !strings.Contains(err.Error(), fmt.Sprint(ask)) {
					t.Errorf("capacity %d: %v", ask, err)
				}
			}
		}},
	{"the largest payload is the capacity less 16", "many 2, one 2", bothKinds,
		func(t *testing.T, shared bool) {
			for _, capacity := range []int{64, 128, 1024, 1 << 16} {
				w, c := newRingAt(t, shared, capacity, 0)
				mustWrite(t, w, pattern(capacity-16, 3))
				wantNext(t, c, 1, pattern(capacity-16, 3))
			}
		}},
	{"a record that is too long or of negative length is refused for ever", "many 22 25 26, one 16 19 20, mpsc 4 5 23 24, spsc 4 5 21 22", bothKinds,
		func(t *testing.T, shared bool) {
			w, c := newRingAt(t, shared, 64, 0)
			before := imageOf(w, c)
			for _, n := range []int{49, 56, 64, 1<<31 - 1, -1, -8, -1 << 31} {
				if _, err := w.TryClaim(n); err != ErrTooLarge {
					t.Errorf("TryClaim(%d): %v", n, err)
				}
			}
			if _, err := w.Write(make([]byte, 49)); err != ErrTooLarge {
				t.Error(err)
			}
			if imageOf(w, c) != before {
				t.Error("a refusal has changed the ring")
			}
		}},
	{"the smallest ring takes an empty record", "mpsc 6, spsc 6", bothKinds,
		func(t *testing.T, shared bool) {
			w, c := newRingAt(t, shared, 64, 0)
			mustWrite(t, w, nil)
			wantHeader(t, c, 0, makeHeader(1, 8))
			if w.Position() != 8 {
				t.Errorf("position %d", w.Position())
			}
			wantNext(t, c, 1, nil)
		}},
	{"the smallest ring full of empty records, and again when they are read", "many 43, one 36", bothKinds,
		func(t *testing.T, shared bool) {
			w, c := newRingAt(t, shared, 64, 0)
			for lap := range 3 {
				n := 0
				for w.WriteTyped(5, nil) == nil {
					n++
				}
				if n != 7 {
					t.Errorf("lap %d: %d records of 8 bytes in 64, one word free", lap, n)
				}
				if got := c.Drain(100, func(int32, []byte) {}); got != n {
					t.Errorf("lap %d: %d of %d read", lap, got, n)
				}
			}
		}},
	{"what is in use is told, up to all but one word", "mpsc 39, spsc 37", bothKinds,
		func(t *testing.T, shared bool) {
			w, c := newRingAt(t, shared, 256, 0)
			for _, used := range []int{128, 248} {
				for w.Position()-c.Position() < uint64(used) {
					mustWrite(t, w, nil)
				}
				if got := w.Position() - c.Position(); got != uint64(used) {
					t.Errorf("%d bytes between the positions, want %d", got, used)
				}
			}
			w.Write(nil)
			c.Drain(100, func(int32, []byte) {})
			if got := c.Stats().HighWater; got != 248 {
				t.Errorf("high water %d", got)
			}
		}},
}

var checklistWrites = []property{
	{"a record in an empty ring", "many 3, one 3, mpsc 9, spsc 9", bothKinds,
		func(t *testing.T, shared bool) {
			w, c := newRingAt(t, shared, 64, 0)
			if err := w.WriteTyped(7, []byte("12345678abc")); err != nil {
				t.Fatal(err)
			}
			got, err := parse(c.ring.mem.data[:24])
			if err != nil || len(got) != 1 || got[0].typ != 7 || string(got[0].payload) != "12345678abc" {
				t.Errorf("memory holds %v, %v", got, err)
			}
			wantHeader(t, c, 24, 0)
			if w.Position() != 24 || c.ring.head.load() != 0 {
				t.Errorf("tail %d, head %d", w.Position(), c.ring.head.load())
			}
		}},
	{"no room: refused, and nothing is written", "many 4 5 29, one 4 5 22, mpsc 10 11 25, spsc 10 11 23", bothKinds,
		func(t *testing.T, shared bool) {
			for _, used := range []int{200, 248} { // some room, and none
				w, c := newRingAt(t, shared, 256, 0)
				mustWrite(t, w, make([]byte, used-8))
				before := imageOf(w, c)
				for range 2 {
					if _, err := w.Write(make([]byte, 48)); err != ErrFull {
						t.Fatalf("Write: %v", err)
					}
					if _, err := w.TryClaim(48); err != ErrFull {
						t.Fatalf("TryClaim: %v", err)
					}
				}
				if imageOf(w, c) != before {
					t.Errorf("%d bytes in use: a refusal has changed the ring", used)
				}
				if got := w.Stats().Full; got != 4 {
					t.Errorf("Full %d", got)
				}
			}
		}},
	{"padding, then the record at the front", "many 6 28, one 6, mpsc 12, spsc 12", bothKinds,
		func(t *testing.T, shared bool) { wraps(t, shared, true) }},
	{"the same in a ring that is empty", "many 7, one 7, mpsc 13, spsc 13", bothKinds,
		func(t *testing.T, shared bool) { wraps(t, shared, false) }},
	{"an exact fit before the end needs no padding", "spsc 19", bothKinds,
		func(t *testing.T, shared bool) {
			w, c := newRingAt(t, shared, 256, 0)
			advance(t, w, c, 200)
			mustWrite(t, w, make([]byte, 48))
			wantHeader(t, c, 0, 0)
			if w.Position() != 256 || w.Stats().Padding != 0 {
				t.Errorf("position %d, padding %d", w.Position(), w.Stats().Padding)
			}
			wantNext(t, c, 1, make([]byte, 48))
		}},
	{"an old look at the head is not the last word", "many 23, one 17", bothKinds,
		func(t *testing.T, shared bool) {
			w, c := newRingAt(t, shared, 64, 0)
			mustWrite(t, w, make([]byte, 48))
			if _, err := w.Write(nil); err != ErrFull {
				t.Fatal(err)
			}
			c.Next()
			c.Release()
			mustWrite(t, w, nil) // the producers' copy says full
		}},
	{"refused behind padding: no unread record is touched", "many 30, one 23, spsc 41 42", bothKinds,
		func(t *testing.T, shared bool) {
			w, c := newRingAt(t, shared, 1024, 0)
			for i := range 15 {
				mustWrite(t, w, pattern(56, uint64(i))) // 64 bytes each: 64 left
			}
			wantNext(t, c, 1, pattern(56, 0))
			c.Release()
			if _, err := w.TryClaim(128); err != ErrFull { // neither before the end nor at the front
				t.Fatal(err)
			}
			if tailOf(w) != 1024 || w.Stats().Padding != 64 {
				t.Errorf("tail %d, padding %d", tailOf(w), w.Stats().Padding)
			}
			wantHeader(t, c, 960, makeSkip(64))
			before := imageOf(w, c)
			if _, err := w.Write(make([]byte, 128)); err != ErrFull {
				t.Fatal(err)
			}
			if imageOf(w, c) != before {
				t.Error("the second refusal has changed the ring")
			}
			for i := 1; i < 15; i++ {
				wantNext(t, c, 1, pattern(56, uint64(i)))
			}
		}},
	{"padding that is read makes room at the front", "many 44, one 37", bothKinds,
		func(t *testing.T, shared bool) {
			w, c := newRingAt(t, shared, 64, 0)
			mustWrite(t, w, make([]byte, 16)) // [0, 24)
			wantNext(t, c, 1, make([]byte, 16))
			c.Release()
			for i, want := range []error{ErrFull, nil} { // 40 bytes to the end, 24 free before
				if _, err := w.Write(make([]byte, 48)); err != want {
					t.Fatalf("attempt %d: %v", i, err)
				}
				if want != nil {
					wantNothing(t, c) // the padding alone
				}
			}
			wantNext(t, c, 1, make([]byte, 48))
		}},
	{"types begin at 1", "many 24, one 18, mpsc 7 8 22, spsc 7 8 20", bothKinds,
		func(t *testing.T, shared bool) {
			w, c := newRingAt(t, shared, 64, 0)
			before := imageOf(w, c)
			for _, typ := range []int32{0, -1, -1 << 31} {
				wantPanic(t, func() { w.WriteTyped(typ, nil) }, fmt.Sprint(typ))
				wantPanic(t, func() { w.TryClaimTyped(typ, 0) }, fmt.Sprint(typ))
			}
			if imageOf(w, c) != before {
				t.Error("a panic has changed the ring")
			}
		}},
}

// wraps claims 64 bytes where 56 are left, with an unread record before it or
// not.
func wraps(t *testing.T, shared, unread bool) {
	w, c := newRingAt(t, shared, 256, 0)
	advance(t, w, c, 184)
	mustWrite(t, w, []byte("unread.."))
	if !unread {
		wantNext(t, c, 1, []byte("unread.."))
		c.Release()
	}
	cl, err := w.TryClaim(64)
	if err != nil {
		t.Fatal(err)
	}
	if &cl.Bytes()[0] != &c.ring.mem.data[8] {
		t.Error("the payload is not at index 8")
	}
	wantHeader(t, c, 200, makeSkip(56))
	copy(cl.Bytes(), pattern(64, 4))
	cl.Commit()
	wantHeader(t, c, 0, makeHeader(1, 72))
	if w.Position() != 256+72 || w.Stats().Padding != 56 {
		t.Errorf("position %d, padding %d", w.Position(), w.Stats().Padding)
	}
	if unread {
		wantNext(t, c, 1, []byte("unread.."))
	}
	wantNext(t, c, 1, pattern(64, 4))
	wantNothing(t, c)
}
