package slogbuf_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/adapter/slogbuf"
	"github.com/nexus-logbuf/logbuf/journal"
)

// The archive has the record's time and level, whatever the line says.
func TestTimeAndLevel(t *testing.T) {
	tests := []struct{ level, want slog.Level }{
		{-1 << 31, -8}, {-9, -8}, {-8, -8}, {-7, -8}, {-6, -6}, {-5, -6},
		{slog.LevelDebug, slog.LevelDebug}, {-1, -2},
		{slog.LevelInfo, slog.LevelInfo}, {1, 0}, {2, 2}, {3, 2},
		{slog.LevelWarn, slog.LevelWarn}, {slog.LevelError, slog.LevelError},
		{12, 12}, {16, 16}, {19, 18}, {20, 20}, {21, 20}, {1<<31 - 1, 20},
	}
	l := open(t, nil)
	h := slogbuf.NewHandler(l.w, &slogbuf.Options{HandlerOptions: slog.HandlerOptions{
		ReplaceAttr: func([]string, slog.Attr) slog.Attr { return slog.Attr{} }, // the line is {}
	}})
	began := time.Now()
	for i, test := range tests {
		if err := h.Handle(context.Background(), slog.NewRecord(time.Unix(int64(i), 42), test.level, "", 0)); err != nil {
			t.Fatal(err)
		}
	}
	_ = h.Handle(context.Background(), slog.NewRecord(time.Time{}, 0, "", 0))
	_, _ = l.w.WriteLevel(slog.LevelWarn, []byte("{}\n"))
	_, _ = l.w.Write([]byte("{}\n"))
	recs, _ := l.records()
	if len(recs) != len(tests)+3 {
		t.Fatal(len(recs), "records")
	}
	for i, rec := range recs {
		if string(rec.Payload) != "{}\n" || rec.Stream != 1 {
			t.Errorf("record %d is %q of stream %d", i, rec.Payload, rec.Stream)
		}
		if i >= len(tests) {
			if at := time.Unix(0, rec.Time); at.Before(began) || at.After(time.Now()) {
				t.Errorf("record %d has time %v", i, at)
			}
			continue
		}
		if level, ok := slogbuf.LevelOf(rec); level != tests[i].want || !ok {
			t.Errorf("level %v is %v, want %v", tests[i].level, level, tests[i].want)
		}
		if rec.Time != int64(i)*1e9+42 {
			t.Errorf("record %d has time %d", i, rec.Time)
		}
	}
	if level, ok := slogbuf.LevelOf(recs[len(recs)-2]); level != slog.LevelWarn || !ok {
		t.Errorf("WriteLevel: %v, %v", level, ok)
	}
	if last := recs[len(recs)-1]; last.Kind != journal.KindData || last.Flags != 0 {
		t.Errorf("Write: kind %d, flags %d", last.Kind, last.Flags)
	}
	if _, ok := slogbuf.LevelOf(recs[len(recs)-1]); ok {
		t.Error("a line of Write has a level")
	}
}

func TestEnabled(t *testing.T) {
	l := open(t, nil)
	var v slog.LevelVar
	for _, test := range []struct {
		opts *slogbuf.Options
		want slog.Level
	}{
		{nil, slog.LevelInfo},
		{&slogbuf.Options{HandlerOptions: slog.HandlerOptions{Level: slog.LevelWarn}}, slog.LevelWarn},
		{&slogbuf.Options{HandlerOptions: slog.HandlerOptions{Level: &v}}, slog.LevelDebug},
	} {
		v.Set(slog.LevelDebug)
		h := slogbuf.NewHandler(l.w, test.opts).WithGroup("g")
		if !h.Enabled(t.Context(), test.want) || h.Enabled(t.Context(), test.want-1) {
			t.Errorf("the least level is not %v", test.want)
		}
	}
}
