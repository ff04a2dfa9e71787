package main

import (
	"strconv"

	"github.com/nexus-logbuf/logbuf/adapter/tracebuf"
	"github.com/nexus-logbuf/logbuf/journal"
)

// traceText makes telemetry readable where its definitions came before it. The zero traceText is ready.
type traceText struct {
	d     tracebuf.Decoder
	value []byte
}

var traceWords = map[uint8]string{
	tracebuf.KindEvent: "", tracebuf.KindBegin: "begin ", tracebuf.KindEnd: "end ", tracebuf.KindCounter: "counter ", tracebuf.KindSample: "sample ",
}

// append appends what a record says. ok is false if it is no telemetry, or cannot be decoded: then nothing is appended.
func (t *traceText) append(dst []byte, rec journal.Record) (text []byte, ok bool) {
	if !tracebuf.IsKind(rec.Kind) {
		return dst, false
	}
	e, err := t.d.Decode(rec)
	if err != nil {
		return dst, false
	}
	if rec.Kind == tracebuf.KindDefine {
		return append(dst, "definition"...), true
	}
	dst = append(dst, traceWords[rec.Kind]...)
	dst = appendSafe(dst, []byte(e.Name))
	if rec.Kind == tracebuf.KindBegin || rec.Kind == tracebuf.KindEnd {
		dst = append(dst, " #"...)
		dst = strconv.AppendUint(dst, uint64(e.Span), 10)
	}
	for _, f := range e.Fields {
		if rec.Kind != tracebuf.KindCounter { // a counter's field has its name
			dst = appendSafe(append(dst, ' '), []byte(f.Name))
		}
		t.value = f.Append(t.value[:0], e.Body)
		dst = appendSafe(append(dst, '='), t.value)
		dst = appendSafe(dst, []byte(f.Unit))
	}
	if rec.Kind == tracebuf.KindSample && len(e.Stack) > 0 {
		dst = strconv.AppendUint(dst, uint64(e.Count), 10)
		dst = append(dst, " in "...)
		dst = appendSafe(dst, []byte(e.Stack[0].Function))
	}
	return dst, true
}
