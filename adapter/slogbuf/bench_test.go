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

// BenchmarkHandler is one line into an archive in the page cache, and in
// parallel, beside the cost of encoding it with slog alone. Lines are dropped
// when the disk is slower; the metric says how many.
func BenchmarkHandler(b *testing.B) {
	run := func(name string, log *slog.Logger, each func(*slog.Logger)) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				each(log)
			}
		})
		b.Run(name+"/parallel", func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					each(log)
				}
			})
		})
	}
	one := func(log *slog.Logger) {
		log.LogAttrs(context.Background(), slog.LevelInfo, "request", slog.String("path", "/x"), slog.Int("status", 200),
			slog.Duration("took", time.Second), slog.Bool("cached", true))
	}
	perRequest := func(log *slog.Logger) {
		log = log.With("request", 17, "user", "u-4711", "remote", "192.0.2.7")
		one(log)
		one(log)
		one(log)
	}
	l := open(b, &recorder.ProducerOptions{LaneSize: 4 << 20})
	ours, std := slog.New(slogbuf.NewHandler(l.w, nil)), slog.New(slog.NewJSONHandler(io.Discard, nil))
	run("slogbuf", ours, one)
	run("slog to io.Discard", std, one)
	run("slogbuf, With and 3 lines", ours, perRequest)
	run("slog to io.Discard, With and 3 lines", std, perRequest)
	st := l.w.Stats()
	b.Logf("%d lines, %d dropped", st.Records+st.Lost, st.Lost)
}
