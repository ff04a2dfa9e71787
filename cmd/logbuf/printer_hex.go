package main

import (
	"encoding/hex"
	"io"

	"github.com/nexus-logbuf/logbuf/journal"
)

// hexPrinter prints a line that begins with '#', then the payload as `hexdump -C` does.
type hexPrinter struct{ line line }

func (p *hexPrinter) print(w io.Writer, rec journal.Record) error {
	l := &p.line
	l.start(rec)
	if isControl(rec) {
		l.buf = append(l.buf, describeControl(rec, l.at)...)
	}
	l.end()
	l.buf = append(l.buf, '\n')
	if _, err := w.Write([]byte("# ")); err != nil {
		return err
	}
	if _, err := w.Write(l.buf); err != nil || isControl(rec) {
		return err
	}
	dump := hex.Dumper(w)
	if _, err := dump.Write(rec.Payload); err != nil {
		return err
	}
	return dump.Close()
}
