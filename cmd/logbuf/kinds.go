package main

import (
	"fmt"

	"github.com/gobwas/ws"
	"github.com/nexus-logbuf/logbuf/adapter/slogbuf"
	"github.com/nexus-logbuf/logbuf/adapter/wsbuf"
	"github.com/nexus-logbuf/logbuf/journal"
)

// opcodes are the source codes that have a name: those of WebSocket frames.
var opcodes = func() (names [16]string) {
	for _, op := range []ws.OpCode{ws.OpText, ws.OpBinary, ws.OpClose, ws.OpPing, ws.OpPong} {
		names[op] = wsbuf.OpName(op)
	}
	return names
}()

var controlKinds = map[uint8]string{
	journal.KindStream: "stream", journal.KindLoss: "loss", journal.KindClock: "clock",
	journal.KindMark: "mark", journal.KindClose: "close", journal.KindOpen: "open",
}

// kindName names the kind of a record: data, user-2 … user-63, stream, loss, clock, mark, close, open, control-0x46 ….
func kindName(rec journal.Record) string {
	if rec.Kind == journal.KindData {
		return "data"
	}
	if name, ok := controlKinds[rec.Kind]; ok {
		return name
	}
	if isControl(rec) {
		return fmt.Sprintf("control-%#x", rec.Kind)
	}
	return fmt.Sprintf("user-%d", rec.Kind)
}

// labels are the words of the text format for all kinds and flags of data, made once: formatting them anew for each record would be most of
// the work of `cat`.
type labels struct {
	cache map[uint16]string
}

func newLabels() *labels { return &labels{cache: make(map[uint16]string)} }

// of gives "<text", ">ping", "<binary+", "<data": direction, source code or kind, and what the other flags say: + more
// fragments follow, ~ compressed as received, ! cut by a limit. Log lines with a level have that: "INFO".
func (l *labels) of(rec journal.Record) string {
	key := uint16(rec.Kind)<<8 | uint16(rec.Flags)
	label, ok := l.cache[key]
	if !ok {
		label = makeLabel(rec)
		l.cache[key] = label
	}
	return label
}

func makeLabel(rec journal.Record) string {
	if level, ok := slogbuf.LevelOf(rec); ok {
		return level.String()
	}
	code := rec.Flags & journal.FlagSourceMask
	label := kindName(rec)
	switch {
	case rec.Kind == wsbuf.KindHandshake:
		label = "handshake"
	case rec.Kind != journal.KindData || code == 0:
	case opcodes[code] != "":
		label = opcodes[code]
	default:
		label = fmt.Sprintf("code-%d", code)
	}
	direction := "<"
	if rec.Flags&journal.FlagOutbound != 0 {
		direction = ">"
	}
	label = direction + label
	for _, mark := range []struct {
		set  bool
		text string
	}{
		{code != 0 && rec.Flags&journal.FlagFinal == 0, "+"},
		{rec.Flags&journal.FlagCompressed != 0, "~"},
		{rec.Flags&journal.FlagTruncated != 0, "!"},
	} {
		if mark.set {
			label += mark.text
		}
	}
	return label
}
