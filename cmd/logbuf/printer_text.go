package main

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/nexus-logbuf/logbuf/journal"
)

// timeLayout has nine digits always, so that lines align and sort.
const timeLayout = "2006-01-02T15:04:05.000000000Z07:00"

// line makes what text and hex have in common: sequence, time, stream, kind, size.
type line struct {
	names  *streamNames
	labels *labels
	zone   *time.Location
	width  int // of the stream column: the longest name so far
	buf    []byte
}

// Columns of a line. The stream column grows with the names, up to its limit.
const (
	seqWidth       = 10
	streamWidth    = 6
	maxStreamWidth = 32
	kindWidth      = 8
	sizeWidth      = 6
)

func newLine(names *streamNames, zone *time.Location) line {
	return line{names: names, labels: newLabels(), zone: zone, width: streamWidth}
}

// start puts the columns before the payload into buf. A control record has a star for its sequence and no size.
func (l *line) start(rec journal.Record) {
	l.buf = l.buf[:0]
	if isControl(rec) {
		l.right("*", seqWidth)
	} else {
		var digits [20]byte
		l.right(string(strconv.AppendUint(digits[:0], rec.Seq, 10)), seqWidth)
	}
	l.buf = append(l.buf, "  "...)
	l.buf = time.Unix(0, rec.Time).In(l.zone).AppendFormat(l.buf, timeLayout)
	l.buf = append(l.buf, "  "...)
	from := len(l.buf)
	l.buf = appendSafe(l.buf, []byte(l.names.of(rec.Stream)))
	cols := utf8.RuneCount(l.buf[from:])
	l.width = min(max(l.width, cols), maxStreamWidth)
	l.pad(l.width - cols + 2)
	if isControl(rec) {
		return
	}
	label := l.labels.of(rec)
	l.buf = append(l.buf, label...)
	l.pad(kindWidth - len(label))
	var digits [20]byte
	l.right(string(strconv.AppendInt(digits[:0], int64(len(rec.Payload)), 10)), sizeWidth)
	l.buf = append(l.buf, "  "...)
}

// end takes away the spaces that wait for a payload, for lines that have none.
func (l *line) end() { l.buf = bytes.TrimRight(l.buf, " ") }

func (l *line) right(s string, width int) {
	l.pad(width - len(s))
	l.buf = append(l.buf, s...)
}

func (l *line) pad(n int) {
	for range n {
		l.buf = append(l.buf, ' ')
	}
}

// at writes a time as this line's column does.
func (l *line) at(ns int64) string { return time.Unix(0, ns).In(l.zone).Format(timeLayout) }

// textPrinter prints one line per record.
type textPrinter struct {
	line  line
	trace traceText
}

func (p *textPrinter) print(w io.Writer, rec journal.Record) error {
	l := &p.line
	l.start(rec)
	switch {
	case isControl(rec):
		l.buf = append(l.buf, describeControl(rec, l.at)...)
	case len(rec.Payload) == 0:
		l.end()
	default:
		var ok bool
		if l.buf, ok = p.trace.append(l.buf, rec); !ok {
			l.buf = appendPayload(l.buf, rec.Payload)
		}
	}
	l.buf = append(l.buf, '\n')
	_, err := w.Write(l.buf)
	return err
}

// appendPayload appends a payload so that it stays on its line and cannot move a terminal: UTF-8 as it is with control
// and invisible characters escaped, everything else as a quoted Go string.
func appendPayload(dst, payload []byte) []byte {
	if !utf8.Valid(payload) {
		return strconv.AppendQuote(dst, string(payload))
	}
	return appendSafe(dst, payload)
}

// appendSafe appends text with everything escaped that does not print: control characters, bidirectional overrides, byte
// order marks, bytes that are no UTF-8.
func appendSafe(dst, text []byte) []byte {
	for len(text) > 0 {
		n := plainPrefix(text)
		dst = append(dst, text[:n]...)
		if text = text[n:]; len(text) == 0 {
			break
		}
		r, size := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && size == 1:
			dst = fmt.Appendf(dst, `\x%02x`, text[0])
		case strconv.IsPrint(r):
			dst = append(dst, text[:size]...)
		default:
			quoted := strconv.QuoteRune(r) // '\n', '\x1b', '\u202e'
			dst = append(dst, quoted[1:len(quoted)-1]...)
		}
		text = text[size:]
	}
	return dst
}

// plainPrefix counts the leading bytes that are printable ASCII: most payloads are nothing else.
func plainPrefix(text []byte) int {
	for i, b := range text {
		if b < ' ' || b > '~' {
			return i
		}
	}
	return len(text)
}
