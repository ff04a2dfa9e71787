package queue

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

func TestCapacity(t *testing.T) {
	tests := []struct {
		ask, want int // want 0 for an error
	}{
		{-1 << 31, 0}, {-1, 0}, {0, 0},
		{1, 64}, {63, 64}, {64, 64}, {65, 128}, {127, 128}, {128, 128}, {1000, 1024},
		{1<<20 + 1, 1 << 21},
		{1<<30 + 1, 0}, {1<<31 - 1, 0},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.ask), func(t *testing.T) {
			p, c, err := NewSPSC(tt.ask)
			sp, sc, err2 := NewMPSC(tt.ask)
			if (err == nil) != (tt.want > 0) || (err2 == nil) != (tt.want > 0) {
				t.Fatalf("errors %v, %v", err, err2)
			}
			if err != nil {
				if want := fmt.Sprintf("capacity of %d bytes: must be between 1 and 1073741824", tt.ask); err.Error() != "queue: "+want {
					t.Errorf("error %q, want %q", err, want)
				}
				return
			}
			for _, got := range []int{p.Capacity(), c.Capacity(), sp.Capacity(), sc.Capacity()} {
				if got != tt.want {
					t.Errorf("capacity %d, want %d", got, tt.want)
				}
			}
		})
	}
	for _, ask := range []int{1<<29 + 1, 1 << 30} { // without the memory
		if size, err := roundCapacity(ask); size != 1<<30 || err != nil {
			t.Errorf("roundCapacity(%d): %d, %v", ask, size, err)
		}
	}
}

// The largest ring there is, once: pages that are not touched cost nothing.
func TestLargestRing(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("1 GiB of address space")
	}
	p, c, err := newSPSC(1<<30, 1<<64-16)
	if err != nil {
		t.Fatal(err)
	}
	mustWrite(t, p, []byte("at the end"))
	if _, err := p.TryClaim(1<<30 - 15); !errors.Is(err, ErrTooLarge) {
		t.Errorf("one byte too many: %v", err)
	}
	if _, err := p.TryClaim(1<<30 - 16); !errors.Is(err, ErrFull) {
		t.Errorf("while there is something else: %v", err)
	}
	wantNext(t, c, 1, []byte("at the end"))
	wantNothing(t, c)
	wantNothing(t, c)
	if _, err := p.TryClaim(1<<30 - 16); !errors.Is(err, ErrFull) {
		t.Errorf("behind 24 bytes: %v", err)
	}
	wantNothing(t, c) // moves over the padding that the refused claim left
	cl, err := p.TryClaim(1<<30 - 16)
	if err != nil || len(cl.Bytes()) != 1<<30-16 {
		t.Fatalf("the largest record: %v", err)
	}
	copy(cl.Bytes(), "abc")
	cl.CommitN(3)
	wantNext(t, c, 1, []byte("abc"))
}

// sizesAt is every edge of the record size for a ring of capacity bytes whose
// tail is toEnd bytes before the end of the buffer.
func sizesAt(capacity, toEnd int) map[string]int {
	return map[string]int{
		"0": 0, "1": 1, "7": 7, "8": 8, "9": 9,
		"exact fit to the end":      toEnd - headerLen,
		"1 less than the exact fit": toEnd - headerLen - 1,
		"7 less than the exact fit": toEnd - headerLen - 7,
		"8 less than the exact fit": toEnd - headerLen - 8,
		"1 more than the exact fit": toEnd - headerLen + 1,
		"half":                      capacity / 2,
		"half less 1":               capacity/2 - 1,
		"half and 1":                capacity/2 + 1,
		"the largest less 8":        capacity - 24,
		"the largest less 1":        capacity - 17,
		"the largest":               capacity - 16,
		"1 more than the largest":   capacity - 15,
		"the capacity":              capacity,
		"2^31-1":                    1<<31 - 1,
		"-1":                        -1,
		"-2^31":                     -1 << 31,
	}
}

// Every edge of the record size, on an empty ring, at every place, in each way
// of writing and in memory that was used before. Records over half the
// capacity among them: padding may have to come first, and it must come.
func TestRecordSizes(t *testing.T) {
	ways := map[string]func(w writer, n int) error{
		"Write": func(w writer, n int) error { _, err := w.Write(pattern(n, 5)); return err },
		"Commit": func(w writer, n int) error {
			c, err := w.TryClaim(n)
			if err == nil {
				copy(c.Bytes(), pattern(n, 5))
				c.Commit()
			}
			return err
		},
		"CommitN": func(w writer, n int) error {
			c, err := w.TryClaim(n)
			if err == nil {
				copy(c.Bytes(), pattern(n, 5))
				c.CommitN(n)
			}
			return err
		},
		"Append": func(w writer, n int) error {
			return w.Append(n, func(dst []byte) ([]byte, error) { return append(dst, pattern(n, 5)...), nil })
		},
	}
	capacities := []int{64, 128, 256}
	if raceEnabled || testing.Short() {
		capacities = capacities[:1]
	}
	forKinds(t, func(t *testing.T, shared bool) {
		for _, capacity := range capacities {
			for at := 0; at < capacity; at += headerLen {
				for name, n := range sizesAt(capacity, capacity-at) {
					for way, write := range ways {
						if way == "Write" && (n < 0 || n > capacity*2) {
							continue
						}
						w, c := newRingAt(t, shared, capacity, 1<<32-uint64(2*capacity)+uint64(at))
						dirty(t, w, c)
						testSize(t, w, c, n, func() error { return write(w, n) },
							fmt.Sprintf("%s of %s (%d) at %d of %d", way, name, n, at, capacity))
					}
				}
			}
		}
	})
}

func testSize(t *testing.T, w writer, c *Consumer, n int, write func() error, what string) {
	t.Helper()
	if n < 0 || n > w.Capacity()-16 {
		if err := write(); !errors.Is(err, ErrTooLarge) {
			t.Fatalf("%s: %v, want ErrTooLarge", what, err)
		}
		checkIdle(t, w, c)
		return
	}
	err := write()
	if errors.Is(err, ErrFull) {
		checkIdle(t, w, c)
		wantNothing(t, c) // moves over the padding
		err = write()
	}
	if err != nil {
		t.Fatalf("%s: %v on an empty ring", what, err)
	}
	checkIdle(t, w, c)
	before := c.Position()
	s := c.Peek(0)
	recs := checkSpan(t, s, 0)
	if len(recs) != 1 || string(recs[0].payload) != string(pattern(n, 5)) {
		t.Fatalf("%s: wrong record after position %d", what, before)
	}
	c.ReleaseTo(s.End())
	wantNothing(t, c)
	checkIdle(t, w, c)
	if got := c.ring.head.load(); got != tailOf(w) {
		t.Fatalf("%s: head %d, tail %d: space is not given back", what, got, tailOf(w))
	}
}

func TestErrors(t *testing.T) {
	for _, err := range []error{ErrFull, ErrTooLarge, ErrClosed} {
		if errors.Is(err, io.EOF) || err.Error()[:7] != "queue: " {
			t.Errorf("%q", err)
		}
	}
	type state struct {
		name string
		prep func(w writer)
	}
	states := []state{
		{"empty", func(writer) {}},
		{"full", func(w writer) { mustWrite(t, w, make([]byte, 40)) }},
		{"closed", func(w writer) { w.Close() }},
		{"closed twice", func(w writer) { w.Close(); w.Close() }},
		{"full and closed", func(w writer) { mustWrite(t, w, make([]byte, 40)); w.Close() }},
	}
	tests := []struct {
		n    int
		want [5]error // by state
	}{
		{0, [5]error{nil, nil, ErrClosed, ErrClosed, ErrClosed}},
		{1, [5]error{nil, ErrFull, ErrClosed, ErrClosed, ErrClosed}},
		{48, [5]error{nil, ErrFull, ErrClosed, ErrClosed, ErrClosed}},
		{49, [5]error{ErrTooLarge, ErrTooLarge, ErrClosed, ErrClosed, ErrClosed}},
		{-1, [5]error{ErrTooLarge, ErrTooLarge, ErrClosed, ErrClosed, ErrClosed}},
	}
	forKinds(t, func(t *testing.T, shared bool) {
		for i, st := range states {
			for _, tt := range tests {
				t.Run(fmt.Sprintf("%d bytes, %s", tt.n, st.name), func(t *testing.T) {
					calls := map[string]func(w writer) error{
						"TryClaim":      func(w writer) error { _, err := w.TryClaim(tt.n); return err },
						"TryClaimTyped": func(w writer) error { _, err := w.TryClaimTyped(9, tt.n); return err },
						"Write": func(w writer) error {
							n, err := w.Write(make([]byte, max(tt.n, 0)))
							if err != nil && n != 0 {
								t.Errorf("Write: %d with an error", n)
							}
							return err
						},
						"WriteTyped": func(w writer) error { return w.WriteTyped(9, make([]byte, max(tt.n, 0))) },
						"Append": func(w writer) error {
							return w.Append(tt.n, func(dst []byte) ([]byte, error) { return dst[:tt.n], nil })
						},
					}
					for name, call := range calls {
						if tt.n < 0 && name[:5] == "Write" {
							continue
						}
						w, _ := newRingAt(t, shared, 64, 0)
						st.prep(w)
						if err := call(w); !errors.Is(err, tt.want[i]) || err != nil && tt.want[i] == nil {
							t.Errorf("%s: %v, want %v", name, err, tt.want[i])
						}
					}
				})
			}
		}
	})
}

// A ring takes exactly what fits, and one word less than its capacity.
func TestFillsUp(t *testing.T) {
	forKinds(t, func(t *testing.T, shared bool) {
		for _, n := range []int{0, 8, 24} {
			w, c := newRingAt(t, shared, 1024, 1<<32-1024)
			frame := headerLen + n
			for i := range (1024 - 8) / frame {
				if err := w.WriteTyped(int32(i+1), pattern(n, uint64(i))); err != nil {
					t.Fatalf("record %d of %d bytes: %v", i, n, err)
				}
				checkIdle(t, w, c)
			}
			if err := w.WriteTyped(1, pattern(n, 0)); !errors.Is(err, ErrFull) {
				t.Fatalf("one too many: %v", err)
			}
			for i := range (1024 - 8) / frame {
				wantNext(t, c, int32(i+1), pattern(n, uint64(i)))
			}
			wantNothing(t, c)
			checkIdle(t, w, c)
		}
	})
}

// Claims must not reach beyond their record, nor a commit.
func TestTouchesNothingElse(t *testing.T) {
	forKinds(t, func(t *testing.T, shared bool) {
		for _, n := range []int{0, 1, 7, 8, 9, 16} {
			w, c := newRingAt(t, shared, 256, 0)
			before, after := pattern(24, 1), pattern(24, 2)
			mustWrite(t, w, before)
			cl := must(w.TryClaim(n))
			for i := range cl.Bytes() {
				cl.Bytes()[i] = 0xff
			}
			wantPanic(t, func() { _ = cl.Bytes()[:n+1] }, "slice bounds out of range")
			cl.CommitN(n / 2)
			mustWrite(t, w, after)
			wantNext(t, c, 1, before)
			wantNext(t, c, 1, pattern255(n/2))
			wantNext(t, c, 1, after)
			wantNothing(t, c)
		}
	})
}

func pattern255(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = 0xff
	}
	return b
}
