package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/nexus-logbuf/logbuf/adapter/slogbuf"
	"github.com/nexus-logbuf/logbuf/journal"
)

// jsonPrinter prints one object per line. It writes the object by hand: encoding/json would be most of the time of
// `cat --format json`. The fields are described in `logbuf help formats`; they are stable.
type jsonPrinter struct {
	names *streamNames
	buf   []byte
}

func (p *jsonPrinter) print(w io.Writer, rec journal.Record) error {
	b := append(p.buf[:0], `{"seq":`...)
	b = strconv.AppendUint(b, rec.Seq, 10)
	b = append(b, `,"time":"`...)
	b = time.Unix(0, rec.Time).UTC().AppendFormat(b, timeLayout)
	b = append(b, `","unix_ns":`...)
	b = strconv.AppendInt(b, rec.Time, 10)
	if rec.Stream != 0 {
		b = append(b, `,"stream":`...)
		b = appendJSONString(b, []byte(p.names.of(rec.Stream)))
		b = append(b, `,"stream_id":`...)
		b = strconv.AppendUint(b, uint64(rec.Stream), 10)
	}
	b = append(b, `,"kind":"`...)
	b = append(b, kindName(rec)...)
	b = append(b, '"')
	if isControl(rec) {
		b = appendControlJSON(b, rec)
	} else {
		b = appendDataJSON(b, rec)
	}
	p.buf = append(b, '}', '\n')
	_, err := w.Write(p.buf)
	return err
}

func appendDataJSON(b []byte, rec journal.Record) []byte {
	code := rec.Flags & journal.FlagSourceMask
	b = append(b, `,"code":`...)
	b = strconv.AppendUint(b, uint64(code), 10)
	if level, ok := slogbuf.LevelOf(rec); ok {
		b = append(b, `,"level":"`...)
		b = append(b, level.String()...)
		b = append(b, '"')
	}
	if rec.Kind == journal.KindData && opcodes[code] != "" {
		b = append(b, `,"opcode":"`...)
		b = append(b, opcodes[code]...)
		b = append(b, '"')
	}
	for _, flag := range []struct {
		bit  uint8
		text string
	}{
		{journal.FlagFinal, `,"final":true`},
		{journal.FlagCompressed, `,"compressed":true`},
		{journal.FlagOutbound, `,"outbound":true`},
		{journal.FlagTruncated, `,"truncated":true`},
	} {
		if rec.Flags&flag.bit != 0 {
			b = append(b, flag.text...)
		}
	}
	b = append(b, `,"size":`...)
	b = strconv.AppendInt(b, int64(len(rec.Payload)), 10)
	return appendPayloadJSON(b, rec.Payload)
}

func appendPayloadJSON(b, payload []byte) []byte {
	if utf8.Valid(payload) {
		return appendJSONString(append(b, `,"payload":`...), payload)
	}
	b = append(b, `,"payload_base64":"`...)
	b = base64.StdEncoding.AppendEncode(b, payload)
	return append(b, '"')
}

// lossJSON is the object "loss" of a loss record, and the elements of "losses" in verify's report.
type lossJSON struct {
	First   uint64 `json:"first"`
	Records uint64 `json:"records"`
	Bytes   uint64 `json:"bytes"`
	From    string `json:"from"`
	To      string `json:"to"`
	Reason  string `json:"reason"`
}

func newLossJSON(l journal.Loss) lossJSON {
	return lossJSON{
		First: l.First, Records: l.Records, Bytes: l.Bytes,
		From: timeJSON(l.From), To: timeJSON(l.To), Reason: l.Reason.String(),
	}
}

func timeJSON(ns int64) string { return time.Unix(0, ns).UTC().Format(timeLayout) }

// appendControlJSON appends what a control record of a known kind says, and the bytes of others as they are.
func appendControlJSON(b []byte, rec journal.Record) []byte {
	switch rec.Kind {
	case journal.KindStream, journal.KindClose:
		return b // a stream's name is in "stream" already; a close says no more
	case journal.KindMark:
		if text := afterVersion(rec.Payload); utf8.Valid(text) {
			return appendJSONString(append(b, `,"text":`...), text)
		}
	case journal.KindOpen:
		if epoch, err := journal.ParseOpen(rec.Payload); err == nil {
			return strconv.AppendUint(append(b, `,"epoch":`...), epoch, 10)
		}
	case journal.KindLoss:
		loss, err := journal.ParseLoss(rec.Payload)
		if err != nil {
			break
		}
		text, err := json.Marshal(newLossJSON(loss))
		if err != nil {
			panic(fmt.Sprintf("loss record of plain fields does not marshal: %v", err))
		}
		return append(append(b, `,"loss":`...), text...)
	}
	b = append(b, `,"payload_base64":"`...)
	b = base64.StdEncoding.AppendEncode(b, rec.Payload)
	return append(b, '"')
}

// appendJSONString appends text, which must be valid UTF-8, as a JSON string.
func appendJSONString(b, text []byte) []byte {
	b = append(b, '"')
	plain := 0 // text[plain:i] is not yet copied
	for i, c := range text {
		if c >= ' ' && c != '"' && c != '\\' && c != 0x7f {
			continue
		}
		b = append(b, text[plain:i]...)
		b = appendJSONEscape(b, c)
		plain = i + 1
	}
	return append(append(b, text[plain:]...), '"')
}

func appendJSONEscape(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, `\n`...)
	case '\r':
		return append(b, `\r`...)
	case '\t':
		return append(b, `\t`...)
	}
	return fmt.Appendf(b, `\u%04x`, c)
}
