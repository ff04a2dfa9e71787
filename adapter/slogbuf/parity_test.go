package slogbuf_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/adapter/slogbuf"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// values are what attributes may have that slog treats differently.
var values = []func() slog.Value{
	func() slog.Value { return slog.StringValue("plain") },
	func() slog.Value { return slog.StringValue("two words \"quoted\" \x00 \xff é <&>") },
	func() slog.Value { return slog.StringValue("") },
	func() slog.Value { return slog.IntValue(-5) },
	func() slog.Value { return slog.Uint64Value(math.MaxUint64) },
	func() slog.Value { return slog.Float64Value(math.NaN()) },
	func() slog.Value { return slog.Float64Value(1e21) },
	func() slog.Value { return slog.BoolValue(true) },
	func() slog.Value { return slog.DurationValue(1500 * time.Millisecond) },
	func() slog.Value {
		return slog.TimeValue(time.Date(2026, 11, 21, 9, 30, 0, 123456789, time.FixedZone("", 3600)))
	},
	func() slog.Value { return slog.AnyValue(nil) },
	func() slog.Value { return slog.AnyValue(errors.New("an error = <&>")) },
	func() slog.Value { return slog.AnyValue([]byte("bytes")) },
	func() slog.Value { return slog.AnyValue([]string{"a", "b c"}) },
	func() slog.Value { return slog.AnyValue(map[string]int{"x": 1}) },
	func() slog.Value { return slog.AnyValue(&struct{ A, B string }{"a b", "<c>"}) },
	func() slog.Value { return slog.AnyValue(func() {}) }, // cannot be encoded as JSON
	func() slog.Value { return slog.AnyValue(slog.LevelWarn) },
	func() slog.Value { return slog.AnyValue((*nilPanics)(nil)) },
	func() slog.Value { return slog.AnyValue(marshaler(func() string { return `"x  y"` })) },
	func() slog.Value { return slog.AnyValue(marshaler(func() string { return `{"broken` })) },
	func() slog.Value { return slog.AnyValue(marshaler(func() string { panic("in a Marshaler") })) },
	func() slog.Value {
		return slog.AnyValue(valuer(func() slog.Value { return slog.StringValue("by LogValue") }))
	},
	func() slog.Value {
		return slog.AnyValue(valuer(func() slog.Value { return slog.GroupValue(slog.Int("in", 1), slog.Any("err", errors.New("e"))) }))
	},
	func() slog.Value { return slog.AnyValue(&slog.Source{}) },
	func() slog.Value { return slog.AnyValue(&slog.Source{Function: "f", File: "a file.go", Line: 7}) },
	func() slog.Value { return slog.GroupValue() },
	func() slog.Value { return slog.GroupValue(slog.Int("x", 1), slog.Attr{}, slog.String("y", "z")) },
	func() slog.Value { return slog.GroupValue(slog.Group("deep", slog.Any("m", map[string]int{"k": 2}))) },
	func() slog.Value { return slog.Value{} },
}

var keys = []string{"a", "b", "a key", "", "drop", "rename", "group", slog.TimeKey}

// replacers are users' ReplaceAttr functions.
var replacers = []func([]string, slog.Attr) slog.Attr{
	nil,
	func(groups []string, a slog.Attr) slog.Attr {
		switch a.Key {
		case "drop":
			return slog.Attr{}
		case "rename":
			a.Key = fmt.Sprint("renamed", groups)
		case "group":
			return slog.Group("g", slog.Any("was", a.Value), slog.Int("depth", len(groups)), slog.Int("drop", 1))
		case slog.MessageKey:
			a.Value = slog.StringValue(a.Value.String() + "!")
		}
		return a
	},
	func(groups []string, a slog.Attr) slog.Attr {
		a.Value = slog.AnyValue(valuer(func() slog.Value { return slog.StringValue(fmt.Sprint(groups, a.Value.Kind())) }))
		return a
	},
	func([]string, slog.Attr) slog.Attr { return slog.Attr{} },
	func(_ []string, a slog.Attr) slog.Attr { // twice is not once
		switch a.Value.Kind() {
		case slog.KindInt64:
			a.Value = slog.Int64Value(a.Value.Int64() + 1)
		case slog.KindString:
			a.Value = slog.StringValue(a.Value.String() + "+")
		}
		return a
	},
}

func randomAttrs(rng *rand.Rand) []slog.Attr {
	attrs := make([]slog.Attr, rng.IntN(8))
	for i := range attrs {
		attrs[i] = slog.Attr{Key: keys[rng.IntN(len(keys))], Value: values[rng.IntN(len(values))]()}
		if rng.IntN(10) == 0 {
			attrs[i] = slog.Attr{}
		}
	}
	return attrs
}

// derive makes the same random calls of WithAttrs and WithGroup on both.
func derive(rng *rand.Rand, a, b slog.Handler) (slog.Handler, slog.Handler) {
	for range rng.IntN(4) {
		if rng.IntN(3) == 0 {
			name := keys[rng.IntN(3)] // slog's handlers make a group of the empty name, against what slog.Handler says
			a, b = a.WithGroup(name), b.WithGroup(name)
		} else {
			attrs := randomAttrs(rng)
			a, b = a.WithAttrs(attrs), b.WithAttrs(attrs)
		}
	}
	return a, b
}

// The records are what slog's handlers write, byte for byte, newline included.
func TestSameBytesAsSlog(t *testing.T) {
	l := open(t, &recorder.ProducerOptions{Overload: recorder.OverloadWait, LaneSize: 1 << 20})
	var pcs [1]uintptr
	runtime.Callers(1, pcs[:])
	var want []string
	for seed := range uint64(4000) {
		rng := rand.New(rand.NewPCG(seed, 0))
		o := slogbuf.Options{Text: rng.IntN(2) == 0, HandlerOptions: slog.HandlerOptions{
			AddSource: rng.IntN(4) == 0, ReplaceAttr: replacers[rng.IntN(len(replacers))],
		}}
		var buf bytes.Buffer
		var std slog.Handler = slog.NewJSONHandler(&buf, &o.HandlerOptions)
		if o.Text {
			std = slog.NewTextHandler(&buf, &o.HandlerOptions)
		}
		std, ours := derive(rng, std, slogbuf.NewHandler(l.w, &o))
		for range 2 {
			r := slog.NewRecord(time.Unix(rng.Int64N(1e10), rng.Int64N(1e9)).UTC(), slog.Level(rng.IntN(30)-10), "a message", pcs[0])
			r.AddAttrs(randomAttrs(rng)...)
			buf.Reset()
			if err := std.Handle(context.Background(), r); err != nil {
				t.Fatal(err)
			}
			if err := ours.Handle(context.Background(), r); err != nil {
				t.Fatal(err)
			}
			want = append(want, buf.String())
		}
	}
	recs, _ := l.records()
	if len(recs) != len(want) {
		t.Fatalf("%d records of %d lines", len(recs), len(want))
	}
	for i, rec := range recs {
		if string(rec.Payload) != want[i] {
			t.Fatalf("seed %d:\n got %s\nwant %s", i/2, rec.Payload, want[i])
		}
	}
}
