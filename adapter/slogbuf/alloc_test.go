package slogbuf_test

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/adapter/slogbuf"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// A line costs no allocation: neither one that is written nor one that is
// dropped, nor one of a logger with attributes and groups of its own.
func TestNoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	l := open(t, &recorder.ProducerOptions{Overload: recorder.OverloadWait, LaneSize: 1 << 20})
	full := open(t, &recorder.ProducerOptions{LaneSize: 4096})
	full.hang()
	h := slogbuf.NewHandler(l.w, nil)
	plain := slog.New(h)
	nested := valuer(func() slog.Value {
		plain.LogAttrs(context.Background(), slog.LevelInfo, "inner") // needs an encoder of its own
		return slog.StringValue("outer")
	})
	line := []byte(`{"level":"info","message":"from another logger"}` + "\n")
	tests := []struct {
		name string
		log  *slog.Logger
	}{
		{"JSON", slog.New(h)},
		{"text", slog.New(slogbuf.NewHandler(l.w, &slogbuf.Options{Text: true}))},
		{"derived", slog.New(h).With("service", "api", "err", io.EOF).WithGroup("g")},
		{"full lane", slog.New(slogbuf.NewHandler(full.w, nil))},
	}
	for _, test := range tests {
		n := testing.AllocsPerRun(2000, func() {
			test.log.LogAttrs(context.Background(), slog.LevelInfo, "request", slog.String("path", "/x"), slog.Int("status", 200),
				slog.Duration("took", time.Second), slog.Bool("cached", true))
		})
		if n != 0 {
			t.Errorf("%s: a line allocates %v times", test.name, n)
		}
	}
	n := testing.AllocsPerRun(2000, func() {
		plain.LogAttrs(context.Background(), slog.LevelInfo, "outer", slog.Any("nested", nested))
	})
	if n != 0 {
		t.Errorf("two lines, one within the other, allocate %v times", n)
	}
	if n := testing.AllocsPerRun(2000, func() { _, _ = l.w.Write(line) }); n != 0 {
		t.Errorf("Write allocates %v times", n)
	}
}
