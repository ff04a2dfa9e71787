package slogbuf_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/adapter/slogbuf"
)

// valuer is a LogValuer by a function; marshaler encodes itself by one.
type valuer func() slog.Value

func (v valuer) LogValue() slog.Value { return v() }

type marshaler func() string

func (m marshaler) MarshalJSON() ([]byte, error) { return []byte(m()), nil }
func (m marshaler) MarshalText() ([]byte, error) { return []byte(m()), nil }

// Code of users may panic: the line says so, and everything goes on.
func TestPanicInUserCode(t *testing.T) {
	for _, asText := range []bool{false, true} {
		l := open(t, nil)
		log := slog.New(slogbuf.NewHandler(l.w, &slogbuf.Options{Text: asText}))
		log.Info("one", "v", valuer(func() slog.Value { panic("in a LogValuer") }))
		log.Info("two", "v", marshaler(func() string { panic("in a Marshaler") }))
		log.With("v", marshaler(func() string { panic("in With") })).Info("three")
		log.Info("four", "v", (*nilPanics)(nil))
		recs, _ := l.records()
		all := text(recs)
		null := `"v":null`
		if asText {
			null = "v=<nil>"
		}
		for _, want := range []string{"LogValue panicked", "!PANIC: in a Marshaler", "!PANIC: in With", null} {
			if !strings.Contains(all, want) {
				t.Errorf("nothing says %q:\n%s", want, all)
			}
		}
		if len(recs) != 4 {
			t.Errorf("%d lines", len(recs))
		}
	}
}

type nilPanics struct{ x string }

func (n *nilPanics) MarshalText() ([]byte, error) { return []byte(n.x), nil }

// A ReplaceAttr that panics, or ends its goroutine, takes its own line with it.
func TestReplaceAttrDoesNotReturn(t *testing.T) {
	l := open(t, nil)
	log := slog.New(slogbuf.NewHandler(l.w, &slogbuf.Options{HandlerOptions: slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			switch a.Value.String() {
			case "panic":
				panic("in ReplaceAttr")
			case "exit":
				runtime.Goexit()
			}
			return a
		},
	}}))
	for _, how := range []string{"panic", "exit"} {
		done := make(chan any)
		go func() {
			defer func() { done <- recover() }()
			log.Info("lost", "how", how)
		}()
		<-done
	}
	log.Info("after it")
	recs, losses := l.records()
	if all := text(recs); len(recs) != 1 || len(losses) != 0 || !strings.Contains(all, "after it") {
		t.Errorf("%d losses and\n%s", len(losses), all)
	}
	if n := l.w.Stats().Abandoned; n != 0 {
		t.Errorf("%d claims were left open", n)
	}
}

// Code of users may log, through the same handler, and may block: others go on.
func TestUserCodeLogsAndBlocks(t *testing.T) {
	l := open(t, nil)
	log := slog.New(slogbuf.NewHandler(l.w, nil)).With("a", 1)
	log.Info("first") // its encoder is the next one's, too
	log.Warn("outer", "v", valuer(func() slog.Value {
		log.Error("inner", "v", marshaler(func() string { log.Info("innermost"); return "1" }))
		return slog.StringValue("done")
	}))

	blocked, release, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		log.Info("blocked", "v", valuer(func() slog.Value { close(blocked); <-release; return slog.IntValue(1) }))
	}()
	<-blocked
	for range 100 {
		log.Info("meanwhile")
	}
	if err := l.w.Flush(t.Context()); err != nil { // nothing holds up the lane
		t.Fatal(err)
	}
	close(release)
	<-done
	recs, _ := l.records()
	var got []string
	n := 0
	for line := range strings.Lines(text(recs)) {
		_, rest, _ := strings.Cut(line, `"msg":"`)
		msg, _, _ := strings.Cut(rest, `"`)
		if msg != "meanwhile" {
			level, _ := slogbuf.LevelOf(recs[n])
			got = append(got, level.String()+" "+msg)
		}
		n++
	}
	if want := "[INFO first INFO innermost ERROR inner WARN outer INFO blocked]"; fmt.Sprint(got) != want || len(recs) != 105 {
		t.Errorf("%d lines; %v, want %v", len(recs), got, want)
	}
}

// What With is given is evaluated then and once, however many goroutines use the
// logger, and may be changed afterwards.
func TestWithEvaluatesOnce(t *testing.T) {
	type request struct{ ID int }
	for _, asText := range []bool{false, true} {
		l := open(t, nil)
		var calls atomic.Int64
		count := valuer(func() slog.Value { return slog.Int64Value(calls.Add(1)) })
		req, raw := &request{ID: 1}, []byte("abc")
		log := slog.New(slogbuf.NewHandler(l.w, &slogbuf.Options{Text: asText})).With("n", count, "req", req, "raw", raw)
		req.ID, raw[0] = 2, 'X'

		// A line that is under way has the handler's encoder: the other makes another.
		log.Info("outer", "v", valuer(func() slog.Value { log.Info("inner"); return slog.IntValue(0) }))
		recs, _ := l.records()
		if len(recs) != 2 || calls.Load() != 1 {
			t.Fatalf("%d lines, %d calls", len(recs), calls.Load())
		}
		want := `"n":1,"req":{"ID":1},"raw":"YWJj"`
		if asText {
			want = `n=1 req=&{ID:1} raw="abc"`
		}
		for _, rec := range recs {
			if !bytes.Contains(rec.Payload, []byte(want)) {
				t.Errorf("%s\nhas no %s", rec.Payload, want)
			}
		}
	}
}

// The source is the caller's line, as with slog's handlers.
func TestAddSource(t *testing.T) {
	l := open(t, nil)
	h := slogbuf.NewHandler(l.w, &slogbuf.Options{HandlerOptions: slog.HandlerOptions{AddSource: true}})
	var pcs [1]uintptr
	runtime.Callers(1, pcs[:])
	if err := h.Handle(context.Background(), slog.NewRecord(time.Now(), 0, "x", pcs[0])); err != nil {
		t.Fatal(err)
	}
	recs, _ := l.records()
	if all := text(recs); !strings.Contains(all, `slogbuf_test.TestAddSource","file":"`) {
		t.Error(all)
	}
}
