package tracebuf

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/nexus-logbuf/logbuf/journal"
)

// decodable is a Decoder and an event that it can decode.
func decodable(t testing.TB) (*Decoder, journal.Record) {
	t.Helper()
	l, err := layoutOf(reflect.TypeFor[dense]())
	must(t, err)
	def, id := defineEvent("order", l)
	var d Decoder
	must(t, d.Learn(journal.Record{Kind: KindDefine, Payload: def}))
	b := binary.LittleEndian.AppendUint32(nil, id)
	b = binary.LittleEndian.AppendUint32(b, 3)
	return &d, journal.Record{Kind: KindEvent, Payload: append(b, make([]byte, l.size)...)}
}

// The bytes of definitions are those of the package documentation. Archives
// have them: they must not change.
func TestDefinitionBytes(t *testing.T) {
	l, err := layoutOf(reflect.TypeFor[struct {
		At  uint16 `trace:"at,unit=s"`
		Buy [2]bool
	}]())
	must(t, err)
	event, _ := defineEvent("ev", l)
	counter, _ := defineCounter(Float64, "n", "B")
	stack, _ := defineStack([]Frame{{"f", "a.go", 7}})
	tests := []struct {
		name string
		got  []byte
		want string
	}{
		{"process", defineProcess(0x01020304, Process{"p", 0x0a, 0x0b}), "01 01 0000 04030201 0b00000000000000 0a000000 0100 70"},
		{"track", defineTrack(TrackInfo{ID: 5, Name: "t", Shared: true, Process: 4}), "01 02 0000 05000000 04000000 01 0100 74"},
		{"event", event, "01 03 0000 fb2f02cb 0400 0200 0200 6576" +
			" 07 0000 0000 0200 6174 0100 73" + " 01 0200 0200 0300 427579 0000"},
		{"counter", counter, "01 04 0000 3769526e 0b 0100 6e 0100 42"},
		{"stack", stack, "01 05 0000 00000000 d715d7149e3b554e 0100 07000000 0100 66 0400 612e676f"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want, err := hex.DecodeString(strings.ReplaceAll(tt.want, " ", ""))
			must(t, err)
			if !bytes.Equal(tt.got, want) {
				t.Errorf("%x, want\n%x", tt.got, want)
			}
		})
	}
}

func TestHostileRecords(t *testing.T) {
	d, good := decodable(t)
	var other Decoder
	definition := func(what uint8, rest ...byte) []byte {
		def, _ := hashed(append(appendDefine(what, 0), rest...))
		return def
	}
	tests := []struct {
		name    string
		d       *Decoder
		kind    uint8
		payload []byte
		want    string
	}{
		{"no telemetry", d, 2, nil, "no kind of telemetry"},
		{"empty event", d, KindEvent, nil, "shorter than its 8 bytes"},
		{"short begin", d, KindBegin, good.Payload[:15], "shorter than its 16 bytes"},
		{"body too short", d, KindEvent, good.Payload[:31], "has 32 bytes"},
		{"body too long", d, KindEvent, append(bytes.Clone(good.Payload), 0), "has 32 bytes"},
		{"long end", d, KindEnd, good.Payload, "the end of a span has 16 bytes"},
		{"long sample", d, KindSample, make([]byte, 25), "a sample has 24 bytes"},
		{"unknown event", &other, KindEvent, good.Payload, "no definition"},
		{"unknown counter", d, KindCounter, make([]byte, 16), "no definition"},
		{"unknown stack", d, KindSample, make([]byte, 24), "no definition"},
		{"short definition", &other, KindDefine, []byte{1, 3, 0}, "ends too early"},
		{"a later version", &other, KindDefine, []byte{2, 3, 0, 0, 0, 0, 0, 0}, "version 2: this program reads version 1"},
		{"wrong hash", &other, KindDefine, []byte{1, 3, 0, 0, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0}, "its hash is not its id"},
		{"wrong hash of a stack", &other, KindDefine, append([]byte{1, 5, 0, 0}, make([]byte, 20)...), "its hash is not its id"},
		{"field outside the body", &other, KindDefine, definition(defEvent, 4, 0, 1, 0, 1, 0, 'e', 9, 0, 0, 0, 0, 1, 0, 'f', 0, 0), `"f", uint64 of 0 at 0, is outside`},
		{"array outside the body", &other, KindDefine, definition(defEvent, 4, 0, 1, 0, 1, 0, 'e', 7, 0, 0, 0, 3, 1, 0, 'f', 0, 0), "outside"},
		{"field of no type", &other, KindDefine, definition(defEvent, 4, 0, 1, 0, 1, 0, 'e', 99, 0, 0, 0, 0, 1, 0, 'f', 0, 0), "outside"},
		{"name too long", &other, KindDefine, definition(defEvent, 0, 0, 0, 0, 255, 255, 'e'), "ends too early"},
		{"name not UTF-8", &other, KindDefine, definition(defEvent, 0, 0, 0, 0, 1, 0, 255), "not UTF-8"},
		{"bytes behind", &other, KindDefine, definition(defEvent, 0, 0, 0, 0, 1, 0, 'e', 7), "1 bytes too many"},
		{"counter of text", &other, KindDefine, definition(defCounter, byte(Text), 1, 0, 'c', 0, 0), "a counter of type text"},
		{"many fields, few bytes", &other, KindDefine, definition(defEvent, 0, 0, 255, 255, 1, 0, 'e'), "ends too early"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.d.Decode(journal.Record{Kind: tt.kind, Payload: tt.payload})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
	if _, err := other.Decode(good); !errors.Is(err, ErrUndefined) {
		t.Errorf("error %v: something hostile was learned", err)
	}
	if err := other.Learn(journal.Record{Kind: KindDefine, Payload: definition(99, 1, 2, 3)}); err != nil {
		t.Errorf("a definition of a later kind: %v", err)
	}
}

// A Decoder does not grow for ever, and does not count what comes again.
func TestLearnIsBounded(t *testing.T) {
	d, _ := decodable(t)
	before := d.learned
	l, err := layoutOf(reflect.TypeFor[dense]())
	must(t, err)
	def, _ := defineEvent("order", l)
	rec := journal.Record{Kind: KindDefine, Payload: def}
	must(t, d.Learn(rec))
	if d.learned != before {
		t.Error("a definition that came again was counted again")
	}
	d.learned = maxLearned + 1
	if err := d.Learn(rec); err == nil || !strings.Contains(err.Error(), "256 MiB") {
		t.Errorf("error %v", err)
	}
}

// Whatever the bytes, Decode returns, and what it returns can be looked at.
func FuzzDecode(f *testing.F) {
	l, err := layoutOf(reflect.TypeFor[nested]())
	must(f, err)
	event, id := defineEvent("e", l)
	counter, _ := defineCounter(Int64, "c", "")
	stack, _ := defineStack([]Frame{{"f", "a.go", 7}})
	f.Add(event[8:], uint8(defEvent), uint8(KindEvent), binary.LittleEndian.AppendUint32(nil, id))
	f.Add(counter[8:], uint8(defCounter), uint8(KindCounter), counter[4:])
	f.Add(stack[16:], uint8(defStack), uint8(KindSample), make([]byte, 24))
	f.Fuzz(func(t *testing.T, rest []byte, what, kind uint8, payload []byte) {
		def, id := hashed(append(appendDefine(what, 0), rest...))
		var d Decoder
		_ = d.Learn(journal.Record{Kind: KindDefine, Payload: def})
		_ = d.Learn(journal.Record{Kind: KindDefine, Payload: rest})
		if what == defStack {
			hash := binary.LittleEndian.AppendUint64(nil, hashOf(what, rest))
			def = append(append(appendDefine(what, 0), hash...), rest...)
			_ = d.Learn(journal.Record{Kind: KindDefine, Payload: def})
			payload = append(make([]byte, 8), append(hash, payload...)...)
		} else if len(payload) >= 4 {
			payload = append(binary.LittleEndian.AppendUint32(nil, id), payload[4:]...)
		}
		if e := d.events[id]; e != nil { // make the length right, so that fields are read
			payload = append(payload, make([]byte, spanLen+e.size)...)[:spanLen+e.size]
			if kind == KindEvent {
				payload = payload[:eventLen+e.size]
			}
		}
		e, err := d.Decode(journal.Record{Kind: kind, Payload: payload})
		if err != nil {
			return
		}
		for _, f := range e.Fields {
			f.Append(nil, e.Body)
			for i := range f.Len {
				_, _, _ = f.Int(e.Body, i), f.Uint(e.Body, i), f.Float(e.Body, i)
			}
		}
	})
}
