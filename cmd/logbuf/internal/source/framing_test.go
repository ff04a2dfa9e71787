package source

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
)

func TestLines(t *testing.T) {
	const lane = 128 // records of at most 104 bytes
	long := strings.Repeat("0123456789", 30)
	for _, tc := range []struct {
		name, in string
		want     []piece
	}{
		{"nothing", "", nil},
		{"one", "one\n", []piece{{"one\n", true}}},
		{"empty lines", "\n\na\n", []piece{{"\n", true}, {"\n", true}, {"a\n", true}}},
		{"no newline at the end", "a\nb", []piece{{"a\n", true}, {"b", true}}},
		{"carriage returns stay", "a\r\nb\r", []piece{{"a\r\n", true}, {"b\r", true}}},
		{"bytes that are no text", "\x00\xff\n\xfe", []piece{{"\x00\xff\n", true}, {"\xfe", true}}},
		{"the longest record", long[:103] + "\n", []piece{{long[:103] + "\n", true}}},
		{"one more", long[:104] + "\nx\n", []piece{{long[:104], false}, {"\n", true}, {"x\n", true}}},
		{"many pieces", long[:300] + "\n", []piece{{long[:104], false}, {long[104:208], false}, {long[208:300] + "\n", true}}},
		{"pieces, and no newline at the end", long[:110], []piece{{long[:104], false}, {long[104:110], true}}},
		{"whole pieces, and no newline at the end", long[:208], []piece{{long[:104], false}, {long[104:208], false}, {"", true}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for name, r := range map[string]io.Reader{
				"at once": strings.NewReader(tc.in), "byte by byte": iotest.OneByteReader(strings.NewReader(tc.in)), "error with the data": iotest.DataErrReader(strings.NewReader(tc.in)),
			} {
				rig := newRig(t, lane)
				if err := copyLines(t.Context(), r, rig.p, 0); err != io.EOF {
					t.Fatalf("%s: %v", name, err)
				}
				got, _, losses := rig.contents()
				if n := len(tc.want); n > 0 && tc.want[n-1].text == "" && name == "error with the data" {
					// The end is known with the last piece: no empty one is needed.
					got = append(got[:n-2], piece{got[n-2].text, false}, piece{"", got[n-2].final})
				}
				if len(losses) > 0 || !equal(got, tc.want) {
					t.Errorf("%s: got %v, losses %v, want %v", name, got, losses, tc.want)
				}
			}
		})
	}
}

func equal(a, b []piece) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// A line that an error cut has no final piece.
func TestLinesOfABrokenStream(t *testing.T) {
	rig := newRig(t, 128)
	broken := errors.New("broken")
	err := copyLines(t.Context(), io.MultiReader(strings.NewReader("whole\nhal"), iotest.ErrReader(broken)), rig.p, 0)
	if err != broken {
		t.Fatal(err)
	}
	got, _, _ := rig.contents()
	if !equal(got, []piece{{"whole\n", true}, {"hal", false}}) {
		t.Errorf("got %v", got)
	}
}

func TestRaw(t *testing.T) {
	in := make([]byte, 300_000)
	rand.NewChaCha8([32]byte{}).Read(in)
	for name, r := range map[string]io.Reader{"at once": bytes.NewReader(in), "halves": iotest.HalfReader(bytes.NewReader(in))} {
		rig := newRig(t, 4096)
		if err := copyRaw(t.Context(), r, rig.p, 0); err != io.EOF {
			t.Fatal(err)
		}
		_, all, losses := rig.contents()
		if !bytes.Equal(all, in) || len(losses) > 0 {
			t.Errorf("%s: %d bytes came out of %d, losses %v", name, len(all), len(in), losses)
		}
	}
}

// Whatever goes in as lines comes out byte for byte.
func FuzzLines(f *testing.F) {
	f.Add([]byte("a\nb\n"), uint8(3))
	f.Add(bytes.Repeat([]byte("x"), 500), uint8(200))
	f.Fuzz(func(t *testing.T, in []byte, step uint8) {
		rig := newRig(t, 64) // records of at most 40 bytes
		r := io.Reader(bytes.NewReader(in))
		if step > 0 {
			r = &stepReader{r, int(step)}
		}
		if err := copyLines(t.Context(), r, rig.p, 0); err != io.EOF {
			t.Fatal(err)
		}
		pieces, all, _ := rig.contents()
		if !bytes.Equal(all, in) {
			t.Fatalf("%q came out as %q", in, all)
		}
		for i, p := range pieces {
			last := i == len(pieces)-1
			if newline := strings.HasSuffix(p.text, "\n"); p.final != (newline || last) {
				t.Errorf("piece %d of %d, %q, is final: %v", i, len(pieces), p.text, p.final)
			}
		}
	})
}

type stepReader struct {
	r io.Reader
	n int
}

func (s *stepReader) Read(b []byte) (int, error) { return s.r.Read(b[:min(len(b), s.n)]) }

func TestPump(t *testing.T) {
	in := make([]byte, 1_000_000)
	rand.NewChaCha8([32]byte{1}).Read(in)
	got, err := io.ReadAll(newPump(t.Context(), iotest.HalfReader(bytes.NewReader(in))))
	if err != nil || !bytes.Equal(got, in) {
		t.Errorf("%d bytes of %d came through: %v", len(got), len(in), err)
	}
}

// A read that never returns does not hold up the end.
func TestPumpIsInterruptible(t *testing.T) {
	pr, pw := io.Pipe()
	defer pw.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	p := newPump(ctx, pr)
	io.WriteString(pw, "come in time")
	b := make([]byte, 100)
	n, err := p.Read(b)
	if string(b[:n]) != "come in time" || err != nil {
		t.Fatal(n, err)
	}
	enough := errors.New("enough")
	cancel(enough)
	if n, err := p.Read(b); n != 0 || err != enough {
		t.Errorf("Read: %d, %v", n, err)
	}
}
