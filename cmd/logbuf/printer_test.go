package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/nexus-logbuf/logbuf/journal"
)

// defined are streams without an archive.
type defined map[uint16]string

func (d defined) StreamName(id uint16) string { return d[id] }
func (d defined) Streams() map[uint16]string  { return d }

// printAll prints records with the names trades (1) and book (2).
func printAll(t *testing.T, f format, recs ...journal.Record) string {
	t.Helper()
	names := newStreamNames(defined{1: "trades", 2: "book", 3: "a name of its own length"})
	p := (&printing{format: f, utc: true}).printer(names)
	var b bytes.Buffer
	for _, rec := range recs {
		if err := p.print(&b, rec); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

var opening = time.Date(2026, 11, 21, 9, 30, 0, 123456789, time.UTC).UnixNano()

// samples has a record of every sort.
func samples() []journal.Record {
	loss := journal.Loss{
		Stream: 2, First: 7, Records: 3, Bytes: 120, From: opening, To: opening + 1e9, Reason: journal.LossOverload,
	}
	gap := journal.Loss{Stream: 2, First: 7, From: opening, To: opening + 1e9, Reason: journal.LossSource}
	return []journal.Record{
		{Seq: 0, Time: opening, Kind: journal.KindStream, Stream: 1, Payload: []byte("\x01\x00\x00\x00\x00\x00\x00\x00\x09\x00\x00\x00\x00\x00\x00\x00trades")},
		{Seq: 0, Time: opening, Kind: journal.KindData, Flags: 1 | journal.FlagFinal, Stream: 1, Payload: []byte(`{"px":101.5}`)},
		{Seq: 1, Time: opening, Kind: journal.KindData, Flags: 2 | journal.FlagOutbound, Stream: 2, Payload: []byte("\x00\xff\x1b[2J")},
		{Seq: 2, Time: opening, Kind: journal.KindData, Stream: 3, Payload: []byte("a line\n\x1b]0;title\x07 \u202e grün")},
		{Seq: 3, Time: opening, Kind: journal.KindData, Flags: 10 | journal.FlagFinal | journal.FlagCompressed | journal.FlagTruncated, Stream: 1},
		{Seq: 4, Time: opening, Kind: 7, Flags: 3, Stream: 9, Payload: []byte("seventeen bytes..")},
		{Seq: 5, Time: opening, Kind: journal.KindLoss, Stream: 2, Payload: loss.Append(nil)},
		{Seq: 5, Time: opening, Kind: journal.KindLoss, Stream: 2, Payload: gap.Append(nil)},
		{Seq: 5, Time: opening, Kind: journal.KindLoss, Stream: 2, Payload: []byte{9}},
		{Seq: 5, Time: opening, Kind: journal.KindMark, Payload: []byte("\x01half \x1btime")},
		{Seq: 5, Time: opening, Kind: journal.KindClose, Payload: []byte{1}},
		{Seq: 5, Time: opening, Kind: 0x55, Payload: []byte{1}},
	}
}

const wantText = `         *  2026-11-21T09:30:00.123456789Z  trades  stream 1 is "trades"
         0  2026-11-21T09:30:00.123456789Z  trades  <text       12  {"px":101.5}
         1  2026-11-21T09:30:00.123456789Z  book    >binary+     6  "\x00\xff\x1b[2J"
         2  2026-11-21T09:30:00.123456789Z  a name of its own length  <data       27  a line\n\x1b]0;title\a \u202e grün
         3  2026-11-21T09:30:00.123456789Z  trades                    <pong~!      0
         4  2026-11-21T09:30:00.123456789Z  #9                        <user-7+    17  seventeen bytes..
         *  2026-11-21T09:30:00.123456789Z  book                      lost 3 records, 120 bytes (overload), number 7 to 9 of the stream, from 2026-11-21T09:30:00.123456789Z to 2026-11-21T09:30:01.123456789Z
         *  2026-11-21T09:30:00.123456789Z  book                      lost an unknown number of records (source gap), from 2026-11-21T09:30:00.123456789Z to 2026-11-21T09:30:01.123456789Z
         *  2026-11-21T09:30:00.123456789Z  book                      loss that cannot be read: journal: loss record of 1 bytes is not one of version 1 or later (48 bytes at least)
         *  2026-11-21T09:30:00.123456789Z  -                         mark: half \x1btime
         *  2026-11-21T09:30:00.123456789Z  -                         closed in good order
         *  2026-11-21T09:30:00.123456789Z  -                         control record of kind 0x55, 1 byte, not known to this version
`

const wantHex = `#          *  2026-11-21T09:30:00.123456789Z  trades  stream 1 is "trades"
#          0  2026-11-21T09:30:00.123456789Z  trades  <text       12
00000000  7b 22 70 78 22 3a 31 30  31 2e 35 7d              |{"px":101.5}|
#          1  2026-11-21T09:30:00.123456789Z  book    >binary+     6
00000000  00 ff 1b 5b 32 4a                                 |...[2J|
`

func TestTextAndHex(t *testing.T) {
	if got := printAll(t, formatText, samples()...); got != wantText {
		t.Errorf("text is\n%s\nwant\n%s", got, wantText)
	}
	if got := printAll(t, formatHex, samples()[:3]...); got != wantHex {
		t.Errorf("hex is\n%s\nwant\n%s", got, wantHex)
	}
}

func TestRawHasPayloadsOnly(t *testing.T) {
	want := ""
	for _, rec := range samples() {
		if rec.Kind < journal.KindStream {
			want += string(rec.Payload)
		}
	}
	if got := printAll(t, formatRaw, samples()...); got != want {
		t.Errorf("raw is %q, want %q", got, want)
	}
}

const wantJSON = `{"seq":0,"time":"2026-11-21T09:30:00.123456789Z","unix_ns":1795253400123456789,"stream":"trades","stream_id":1,"kind":"stream"}
{"seq":0,"time":"2026-11-21T09:30:00.123456789Z","unix_ns":1795253400123456789,"stream":"trades","stream_id":1,"kind":"data","code":1,"opcode":"text","final":true,"size":12,"payload":"{\"px\":101.5}"}
{"seq":1,"time":"2026-11-21T09:30:00.123456789Z","unix_ns":1795253400123456789,"stream":"book","stream_id":2,"kind":"data","code":2,"opcode":"binary","outbound":true,"size":6,"payload_base64":"AP8bWzJK"}
{"seq":2,"time":"2026-11-21T09:30:00.123456789Z","unix_ns":1795253400123456789,"stream":"a name of its own length","stream_id":3,"kind":"data","code":0,"size":27,"payload":"a line\n\u001b]0;title\u0007 ` + "\u202e" + ` grün"}
{"seq":3,"time":"2026-11-21T09:30:00.123456789Z","unix_ns":1795253400123456789,"stream":"trades","stream_id":1,"kind":"data","code":10,"opcode":"pong","final":true,"compressed":true,"truncated":true,"size":0,"payload":""}
{"seq":4,"time":"2026-11-21T09:30:00.123456789Z","unix_ns":1795253400123456789,"stream":"#9","stream_id":9,"kind":"user-7","code":3,"size":17,"payload":"seventeen bytes.."}
{"seq":5,"time":"2026-11-21T09:30:00.123456789Z","unix_ns":1795253400123456789,"stream":"book","stream_id":2,"kind":"loss","loss":{"first":7,"records":3,"bytes":120,"from":"2026-11-21T09:30:00.123456789Z","to":"2026-11-21T09:30:01.123456789Z","reason":"overload"}}
{"seq":5,"time":"2026-11-21T09:30:00.123456789Z","unix_ns":1795253400123456789,"stream":"book","stream_id":2,"kind":"loss","loss":{"first":7,"records":0,"bytes":0,"from":"2026-11-21T09:30:00.123456789Z","to":"2026-11-21T09:30:01.123456789Z","reason":"source gap"}}
{"seq":5,"time":"2026-11-21T09:30:00.123456789Z","unix_ns":1795253400123456789,"stream":"book","stream_id":2,"kind":"loss","payload_base64":"CQ=="}
{"seq":5,"time":"2026-11-21T09:30:00.123456789Z","unix_ns":1795253400123456789,"kind":"mark","text":"half \u001btime"}
{"seq":5,"time":"2026-11-21T09:30:00.123456789Z","unix_ns":1795253400123456789,"kind":"close"}
{"seq":5,"time":"2026-11-21T09:30:00.123456789Z","unix_ns":1795253400123456789,"kind":"control-0x55","payload_base64":"AQ=="}
`

func TestJSON(t *testing.T) {
	got := printAll(t, formatJSON, samples()...)
	if got != wantJSON {
		t.Errorf("json is\n%s\nwant\n%s", got, wantJSON)
	}
	for _, line := range strings.Split(strings.TrimSpace(got), "\n") {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
}

// What goes into JSON comes out, whatever it is, and nothing in text can move a terminal or leave its line.
func FuzzPayload(f *testing.F) {
	for _, rec := range samples() {
		f.Add(rec.Payload)
	}
	f.Add([]byte("\u2028\ufeff\x7f\u009b\\\"\xc3"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		rec := journal.Record{Kind: journal.KindData, Stream: 1, Payload: payload}
		var object struct {
			Payload *string `json:"payload"`
			Base64  *string `json:"payload_base64"`
		}
		if err := json.Unmarshal([]byte(printAll(t, formatJSON, rec)), &object); err != nil {
			t.Fatal(err)
		}
		var got []byte
		if object.Payload != nil {
			got = []byte(*object.Payload)
		} else if b, err := base64.StdEncoding.DecodeString(*object.Base64); err == nil {
			got = b
		}
		if !bytes.Equal(got, payload) {
			t.Errorf("JSON gives %q back for %q", got, payload)
		}
		checkSafe(t, printAll(t, formatText, rec))
	})
}

func checkSafe(t *testing.T, text string) {
	t.Helper()
	if !utf8.ValidString(text) || strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "\n") {
		t.Errorf("%q is not one line of UTF-8", text)
	}
	for _, r := range text[:len(text)-1] {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r == 0x2028 || r == 0xfeff {
			t.Errorf("%q has %U", text, r)
		}
	}
}

func TestPrintersDoNotAllocate(t *testing.T) {
	rec := samples()[1]
	for _, f := range []format{formatText, formatJSON, formatRaw} {
		names := newStreamNames(defined{1: "trades"})
		p := (&printing{format: f, utc: true}).printer(names)
		var b bytes.Buffer
		b.Grow(1 << 20)
		got := testing.AllocsPerRun(100, func() {
			b.Reset()
			if err := p.print(&b, rec); err != nil {
				t.Fatal(err)
			}
		})
		if got > 0 {
			t.Errorf("%s: %v allocations per record", f, got)
		}
	}
}

func BenchmarkPrinters(b *testing.B) {
	rec := samples()[1]
	rec.Payload = []byte(strings.Repeat(`{"e":"trade","p":"101.50","q":"0.002"},`, 4))
	for _, f := range formats {
		b.Run(string(f), func(b *testing.B) {
			names := newStreamNames(defined{1: "trades"})
			p := (&printing{format: f, utc: true}).printer(names)
			var out bytes.Buffer
			b.SetBytes(int64(len(rec.Payload)))
			b.ReportAllocs()
			for b.Loop() {
				out.Reset()
				if err := p.print(&out, rec); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
