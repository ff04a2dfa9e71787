package cli

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// statusEvery is the shortest time between two drawings: faster than the eye needs, slow enough to cost nothing.
const statusEvery = 100 * time.Millisecond

// Status is one line at the bottom of a terminal that is drawn over and over. On a writer that is not a terminal it
// draws nothing, and Println still prints. Safe for concurrent use.
type Status struct {
	mu    sync.Mutex
	w     io.Writer
	tty   bool
	width func() int
	last  time.Time
	shown int // columns of the line on the screen; 0 = none
}

// NewStatus makes a status line on w, usually stderr.
func NewStatus(w io.Writer) *Status {
	return &Status{w: w, tty: IsTerminal(w), width: func() int { return terminalWidth(w) }}
}

// Active tells whether Set draws, so that callers can save themselves making the text.
func (s *Status) Active() bool { return s.tty }

// Set draws the line anew. Drawings less than 100 ms after the last are skipped. A line longer than the terminal is
// wide is cut.
func (s *Status) Set(format string, args ...any) {
	if !s.tty {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shown > 0 && time.Since(s.last) < statusEvery {
		return
	}
	s.last = time.Now()
	s.draw(fmt.Sprintf(format, args...))
}

// Progress draws a bar: what, how far, bytes done of total, rate since start.
func (s *Status) Progress(what string, done, total int64, start time.Time) {
	if !s.tty {
		return
	}
	const cells = 24
	share := 1.0
	if total > 0 {
		share = min(1, float64(done)/float64(total))
	}
	full := int(share * cells)
	s.Set("%s [%s%s] %3.0f%%  %s of %s  %s", what, strings.Repeat("#", full), strings.Repeat(".", cells-full),
		100*share, Bytes(done), Bytes(total), ByteRate(done, time.Since(start)))
}

// Println takes the status line off the screen and prints a line for good. The next Set draws again at once. What a peer has put into the
// line, such as a name, cannot steer the terminal.
func (s *Status) Println(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
	fmt.Fprintln(s.w, printable(fmt.Sprintf(format, args...)))
}

// printable is text without control characters and the like. The ends of lines stay.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || strconv.IsPrint(r) {
			return r
		}
		return utf8.RuneError
	}, text)
}

// Clear takes the status line off the screen. Call it before the last words of a command.
func (s *Status) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
}

func (s *Status) draw(line string) {
	if limit := s.width() - 1; utf8.RuneCountInString(line) > limit {
		line = string([]rune(line)[:max(limit, 0)])
	}
	cols := utf8.RuneCountInString(line)
	fmt.Fprintf(s.w, "\r%s%s", line, strings.Repeat(" ", max(s.shown-cols, 0)))
	s.shown = max(cols, 1)
}

func (s *Status) clear() {
	if s.shown == 0 {
		return
	}
	fmt.Fprintf(s.w, "\r%s\r", strings.Repeat(" ", s.shown))
	s.shown = 0
}
