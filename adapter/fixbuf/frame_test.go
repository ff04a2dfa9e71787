package fixbuf

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

type partOf struct {
	part Part
	text string
}

func (p partOf) String() string { return fmt.Sprintf("%v %q", p.part, p.text) }

// cut runs a framer over b in pieces of the given size; runs of Skipped are
// joined, because where they are cut depends on the pieces.
func cut(b []byte, piece, limit int) (parts []partOf) {
	f := NewFramer(limit)
	add := func(p Part, b []byte) {
		if n := len(parts) - 1; p == Skipped && n >= 0 && (parts[n].part == Skipped || parts[n].part == TooLarge) {
			parts[n].text += string(b)
			return
		}
		parts = append(parts, partOf{p, string(b)})
	}
	for len(b) > 0 {
		n := min(piece, len(b))
		for rest := b[:n]; ; {
			part, got, after := f.Next(rest)
			if part == More {
				break
			}
			add(part, got)
			rest = after
		}
		b = b[n:]
	}
	for part, got := f.Flush(); part != More; part, got = f.Flush() {
		add(part, got)
	}
	return parts
}

func TestFramer(t *testing.T) {
	a, b := string(order("A", "B", 1)), string(order("A", "B", 2))
	bad := string(broken(order("A", "B", 3)))
	long := string(message("35=B|49=A|56=B|34=4|58=" + strings.Repeat("x", 600)))
	lie := strings.Replace(b, "\x019=", "\x019=1", 1) // a longer body than there is
	data := string(message("35=A|49=A|56=B|34=1|95=23|96=8=FIX.4.2\x019=5\x0110=000\x01"))
	soh := strings.Replace(strings.Replace(a, "\x0135=D", "\x0135=DD", 1), "\x0110=", "10=", 1) // the last SOH of the body is gone
	for _, tc := range []struct {
		name string
		in   string
		want []partOf
	}{
		{"messages", a + b + a, []partOf{{Message, a}, {Message, b}, {Message, a}}},
		{"wrong checksum", a + bad + b, []partOf{{Message, a}, {BadSum, bad}, {Message, b}}},
		{"garbage between", "xyz" + a + "\r\n\r\n" + b + "8=FI", []partOf{{Skipped, "xyz"}, {Message, a}, {Skipped, "\r\n\r\n"}, {Message, b}, {Skipped, "8=FI"}}},
		{"cut at the end", a + b[:len(b)-1], []partOf{{Message, a}, {Skipped, b[:len(b)-1]}}},
		{"cut at the beginning", b[7:] + a, []partOf{{Skipped, b[7:]}, {Message, a}}},
		{"a beginning, then a message", "8=FIX8=FIX.4.48=" + a, []partOf{{Skipped, "8=FIX8=FIX.4.48="}, {Message, a}}},
		{"cut in the middle", a[:len(a)/2] + b, []partOf{{Skipped, a[:len(a)/2]}, {Message, b}}},
		{"longer than the limit", a + long + b, []partOf{{Message, a}, {TooLarge, long}, {Message, b}}},
		{"body length too long", lie + a, []partOf{{Skipped, lie}, {Message, a}}},
		{"body length huge", "8=FIX.4.4\x019=999999999\x01" + a, []partOf{{TooLarge, "8=FIX.4.4\x019=999999999\x01"}, {Message, a}}},
		{"body length of ten digits", "8=FIX.4.4\x019=9999999999\x01" + a, []partOf{{Skipped, "8=FIX.4.4\x019=9999999999\x01"}, {Message, a}}},
		{"body length negative", "8=FIX.4.4\x019=-5\x01" + a, []partOf{{Skipped, "8=FIX.4.4\x019=-5\x01"}, {Message, a}}},
		{"body length empty", "8=FIX.4.4\x019=\x01" + a, []partOf{{Skipped, "8=FIX.4.4\x019=\x01"}, {Message, a}}},
		{"body length zero", "8=FIX.4.4\x019=0\x0110=000\x01" + a, []partOf{{Skipped, "8=FIX.4.4\x019=0\x0110=000\x01"}, {Message, a}}},
		{"body length too short", strings.Replace(a, "\x019=8", "\x019=", 1) + b, []partOf{{Skipped, strings.Replace(a, "\x019=8", "\x019=", 1)}, {Message, b}}},
		{"no checksum field", strings.Replace(a, "\x0110=", "\x0111=", 1) + b, []partOf{{Skipped, strings.Replace(a, "\x0110=", "\x0111=", 1)}, {Message, b}}},
		{"no SOH before the checksum", soh + b, []partOf{{Skipped, soh}, {Message, b}}},
		{"begin string too long", "8=FIX.4.4.4.4.4.4.4.4\x01" + a, []partOf{{Skipped, "8=FIX.4.4.4.4.4.4.4.4\x01"}, {Message, a}}},
		{"a message inside data", data + a, []partOf{{Message, data}, {Message, a}}},
		{"only garbage", strings.Repeat("GET / HTTP/1.1\r\n", 100), []partOf{{Skipped, strings.Repeat("GET / HTTP/1.1\r\n", 100)}}},
		{"nothing", "", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for piece := 1; piece <= len(tc.in)+1; piece++ {
				if got := cut([]byte(tc.in), piece, 512); !slices.Equal(got, tc.want) {
					t.Fatalf("in pieces of %d: %v\nwant %v", piece, got, tc.want)
				}
			}
		})
	}
}

// A peer that lies cannot make a framer hold more than its limit, nor move more
// than a few bytes for each one that comes.
func TestFramerIsBounded(t *testing.T) {
	const limit = 32 << 10
	f := NewFramer(limit)
	for _, lie := range []string{"8=FIX.4.4\x019=32000\x01", "8=FIX", "8=FIX.4.2\x01", "8=FIX.4.4\x019=3200\x0110=000\x01", "8=FIX.4.4\x019=32740\x01", "8=FIX.4.4\x019=16360\x01"} {
		b := bytes.Repeat([]byte(lie), (1<<20)/len(lie))
		all, moved := len(b), 0
		for len(b) > 0 {
			n := min(1500, len(b))
			for rest := b[:n]; ; {
				from := f.from + f.given
				part, _, after := f.Next(rest)
				if f.from < from {
					moved += f.Held()
				}
				if part == More {
					break
				}
				rest = after
			}
			b = b[n:]
			if f.Held() > limit || cap(f.held) > 2*limit {
				t.Fatalf("%q: holds %d bytes in %d", lie, f.Held(), cap(f.held))
			}
		}
		if moved > 8*all {
			t.Errorf("%q: moved %d bytes for %d", lie, moved, all)
		}
	}
}

// naive is the framer's specification: it looks at the whole stream, one byte
// after another, and builds the text that a message would have to be.
func naive(b []byte, limit int) (parts []partOf) {
	skip := func(p Part, n int) {
		if i := len(parts) - 1; p == Skipped && i >= 0 && (parts[i].part == Skipped || parts[i].part == TooLarge) {
			parts[i].text += string(b[:n])
		} else {
			parts = append(parts, partOf{p, string(b[:n])})
		}
		b = b[n:]
	}
	for len(b) > 0 {
		part, n := naiveMessage(b, limit)
		switch {
		case n > 0:
			parts = append(parts, partOf{part, string(b[:n])})
			b = b[n:]
		case part == TooLarge:
			n := strings.Index(string(b[1:]), "8=FIX")
			if n < 0 {
				n = len(b) - 1
			}
			skip(part, n+1)
		default:
			skip(Skipped, 1)
		}
	}
	return parts
}

func naiveMessage(b []byte, limit int) (Part, int) {
	fields := strings.SplitN(string(b), "\x01", 3)
	if len(fields) < 3 || !strings.HasPrefix(fields[0], "8=FIX") || len(fields[0]) > len("8=")+maxBegin || !strings.HasPrefix(fields[1], "9=") {
		return Skipped, 0
	}
	digits := fields[1][2:]
	if digits == "" || len(digits) > 9 || strings.Trim(digits, "0123456789") != "" {
		return Skipped, 0
	}
	var length int
	fmt.Sscanf(digits, "%d", &length)
	if length == 0 {
		return Skipped, 0
	}
	body := len(fields[0]) + len(fields[1]) + 2
	end := body + length
	if end+7 > limit {
		return TooLarge, 0
	}
	if end+7 > len(b) || b[end-1] != 1 {
		return Skipped, 0
	}
	total := 0
	for _, c := range b[:end] {
		total += int(c)
	}
	tail := string(b[end : end+7])
	var sum int
	if strings.Trim(tail[3:6], "0123456789") != "" || tail[:3] != "10=" || tail[6] != 1 {
		return Skipped, 0
	}
	if fmt.Sscanf(tail[3:6], "%d", &sum); sum > 255 {
		return Skipped, 0
	}
	if sum != total%256 {
		return BadSum, end + 7
	}
	return Message, end + 7
}

func checkAgainstNaive(t *testing.T, b []byte, piece, limit int) {
	t.Helper()
	got, want := cut(b, piece, limit), naive(b, limit)
	if !slices.Equal(got, want) {
		t.Fatalf("%q in pieces of %d, limit %d:\n%v\nwant %v", b, piece, limit, got, want)
	}
}

// soup is a stream of messages and pieces of messages.
func soup(rng *rand.Rand) (b []byte) {
	for n := rng.IntN(12); n > 0; n-- {
		m := order("A", "B", rng.IntN(1000))
		switch rng.IntN(8) {
		case 0:
			m = broken(m)
		case 1:
			m = m[rng.IntN(len(m)):]
		case 2:
			m = m[:rng.IntN(len(m))]
		case 3:
			m[rng.IntN(len(m))] ^= 1 << rng.IntN(8)
		case 4:
			m = message("35=B|58=" + strings.Repeat("8=FIX.4.4\x019=1", rng.IntN(20)))
		}
		b = append(b, m...)
	}
	return b
}

func TestFramerAgainstNaive(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		checkAgainstNaive(t, soup(rng), 1+rng.IntN(300), 60+rng.IntN(300))
	}
}

func FuzzFramer(f *testing.F) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		f.Add(soup(rng), byte(rng.IntN(256)), byte(rng.IntN(256)))
	}
	f.Fuzz(func(t *testing.T, b []byte, piece, limit byte) {
		checkAgainstNaive(t, b, 1+int(piece), MinMessage+int(limit))
		for _, p := range cut(b, len(b)+1, 1<<20) {
			if p.part == Message || p.part == BadSum {
				checkParse(t, []byte(p.text))
			}
		}
		checkParse(t, b)
	})
}

// checkParse parses what may be anything: nothing panics, and what comes out is
// inside the message.
func checkParse(t *testing.T, b []byte) {
	t.Helper()
	var h Header
	err := h.Parse(b)
	if err == nil && (h.SeqNum == 0 || len(h.Sender) == 0 || !bytes.Contains(b, h.Target)) {
		t.Fatalf("%q: parsed as %+v", b, h)
	}
	if err == nil {
		id := h.Identity()
		if !id.Is(&h) || id.CompID(h.Side()) != string(h.Sender) {
			t.Fatalf("%q: %+v is not its own identity %+v", b, h, id)
		}
		_ = id.String()
	}
	n := 0
	Fields(b, func(tag int, value []byte) bool { n += len(value) + 2; return true })
	if n > len(b) {
		t.Fatalf("%q: fields of %d bytes", b, n)
	}
}

func TestChecksum(t *testing.T) {
	for n := range 5000 {
		b := bytes.Repeat([]byte{0xff}, n)
		if got, want := Checksum(b), byte(255*n%256); got != want {
			t.Fatalf("%d bytes of 255: %d, want %d", n, got, want)
		}
	}
	rng := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		b := make([]byte, rng.IntN(3000))
		want := byte(0)
		for i := range b {
			b[i] = byte(rng.Uint32())
			want += b[i]
		}
		if got := Checksum(b); got != want {
			t.Fatalf("%d, want %d", got, want)
		}
	}
}
