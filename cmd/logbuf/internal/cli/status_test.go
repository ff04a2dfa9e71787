package cli

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestStatusIsSilentWhereNobodyLooks(t *testing.T) {
	var b bytes.Buffer
	s := NewStatus(&b)
	s.Set("at %d", 1)
	s.Progress("reading", 1, 2, time.Now())
	s.Clear()
	if b.Len() != 0 || s.Active() {
		t.Errorf("drew %q on a buffer", b.String())
	}
	s.Println("a word")
	if b.String() != "a word\n" {
		t.Errorf("printed %q", b.String())
	}
	b.Reset()
	s.Println("%s", "a peer's \x1b[2Jname\u202e\n\tübrig")
	if b.String() != "a peer's \ufffd[2Jname\ufffd\n\tübrig\n" {
		t.Errorf("printed %q", b.String())
	}
}

// screen is what a terminal of one line shows after the bytes: \r goes to its start.
func screen(b []byte) string {
	var line []rune
	col := 0
	for _, r := range string(b) {
		switch r {
		case '\r':
			col = 0
		case '\n':
			line, col = nil, 0
		default:
			if col == len(line) {
				line = append(line, ' ')
			}
			line[col] = r
			col++
		}
	}
	return strings.TrimRight(string(line), " ")
}

func TestStatusOnATerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		s := &Status{w: &b, tty: true, width: func() int { return 20 }}
		expect := func(want string) {
			t.Helper()
			if got := screen(b.Bytes()); got != want {
				t.Errorf("the screen shows %q, want %q", got, want)
			}
		}
		s.Set("a long line")
		expect("a long line")
		s.Set("too soon")
		expect("a long line")
		time.Sleep(statusEvery)
		s.Set("short")
		expect("short")
		time.Sleep(statusEvery)
		s.Set("wider than the terminal is: %d", 1)
		expect("wider than the term")
		s.Println("said")
		expect("")
		s.Set("again at once")
		expect("again at once")
		s.Clear()
		expect("")
		if !strings.Contains(b.String(), "said\n") {
			t.Errorf("%q does not hold the printed line", b.String())
		}
	})
}

func TestStatusProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		s := &Status{w: &b, tty: true, width: func() int { return 120 }}
		start := time.Now()
		time.Sleep(time.Second)
		for _, test := range []struct {
			done, total int64
			want        string
		}{
			{5 << 20, 10 << 20, "verifying [############............]  50%  5.0 MiB of 10 MiB  5.0 MiB/s"},
			{20 << 20, 10 << 20, "verifying [########################] 100%  20 MiB of 10 MiB  20 MiB/s"},
			{0, 0, "verifying [########################] 100%  0 B of 0 B  0 B/s"},
		} {
			s.Progress("verifying", test.done, test.total, start)
			if got := screen(b.Bytes()); got != test.want {
				t.Errorf("the screen shows %q, want %q", got, test.want)
			}
			s.Clear()
		}
	})
}
