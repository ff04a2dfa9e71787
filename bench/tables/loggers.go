package main

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/nexus-logbuf/logbuf/adapter/slogbuf"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
	"github.com/rs/zerolog"
	"github.com/rs/zerolog/diode"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// logger is a way to log.
type logger struct {
	name string
	open func(d *disk) (logSink, error)
}

// logSink is a logger at work.
type logSink struct {
	line  func(n int) // logs a line; any number of goroutines at once
	close func() error
	count func(dir string) (int, error)
	lost  func() int // lines that the logger says it lost; −1: it does not say
}

// diodeLines is the size of zerolog's diode: as many lines as fit a lane of
// ringSize.
const diodeLines = ringSize / 128

var loggers = []logger{
	{"slog, slogbuf", func(d *disk) (logSink, error) {
		return intoArchive(d, journal.SyncNone, func(w *slogbuf.Writer) func(int) { return slogLine(slogbuf.NewHandler(w, nil)) })
	}},
	{"slog, slogbuf, synced every 10 ms", func(d *disk) (logSink, error) {
		return intoArchive(d, journal.SyncInterval, func(w *slogbuf.Writer) func(int) { return slogLine(slogbuf.NewHandler(w, nil)) })
	}},
	{"slog, file", func(d *disk) (logSink, error) {
		f, err := d.file()
		return logSink{line: slogLine(slog.NewJSONHandler(f, nil)), close: f.Close, count: countLines, lost: none}, err
	}},
	{"slog, bufio of 256 KiB", func(d *disk) (logSink, error) {
		f, err := d.file()
		w := bufio.NewWriterSize(f, 256<<10) // slog's handler has a lock around it
		return logSink{
			line:  slogLine(slog.NewJSONHandler(w, nil)),
			close: func() error { return first(w.Flush(), f.Close()) },
			count: countLines, lost: none,
		}, err
	}},
	{"zap, slogbuf.Writer", func(d *disk) (logSink, error) {
		return intoArchive(d, journal.SyncNone, func(w *slogbuf.Writer) func(int) { return zapLine(w) })
	}},
	{"zap, BufferedWriteSyncer of 256 KiB", func(d *disk) (logSink, error) {
		f, err := d.file()
		w := &zapcore.BufferedWriteSyncer{WS: f}
		return logSink{line: zapLine(w), close: func() error { return first(w.Stop(), f.Close()) }, count: countLines, lost: none}, err
	}},
	{"zerolog, slogbuf.Writer", func(d *disk) (logSink, error) {
		return intoArchive(d, journal.SyncNone, func(w *slogbuf.Writer) func(int) { return zerologLine(w) })
	}},
	{"zerolog, diode", func(d *disk) (logSink, error) {
		f, err := d.file()
		var missed atomic.Int64
		w := diode.NewWriter(f, diodeLines, 10*time.Millisecond, func(n int) { missed.Add(int64(n)) })
		return logSink{line: zerologLine(w), close: w.Close, count: countLines, lost: unknown}, err
	}},
	{"zerolog, file", func(d *disk) (logSink, error) {
		f, err := d.file()
		return logSink{line: zerologLine(f), close: f.Close, count: countLines, lost: none}, err
	}},
}

func none() int    { return 0 }
func unknown() int { return -1 }

func intoArchive(d *disk, sync journal.Sync, log func(*slogbuf.Writer) func(int)) (logSink, error) {
	rec, err := recorder.Open(d.dir, &recorder.Options{Journal: journal.Options{Sync: sync, SegmentSize: 1 << 30, FS: d.fs()}})
	if err != nil {
		return logSink{}, err
	}
	w, err := slogbuf.NewWriter(rec, "log", &recorder.ProducerOptions{LaneSize: ringSize})
	if err != nil {
		return logSink{}, err
	}
	return logSink{
		line: log(w), close: func() error { return rec.Close(context.Background()) }, count: countRecords,
		lost: func() int { return int(w.Stats().Lost) },
	}, nil
}

// The same line with each library.

//go:noinline
func slogLine(h slog.Handler) func(int) {
	log := slog.New(h)
	return func(n int) {
		log.LogAttrs(context.Background(), slog.LevelInfo, "request served", slog.String("method", "GET"), slog.String("path", "/orders/4711"),
			slog.Int("status", 200), slog.Int("n", n), slog.Duration("took", 1234567))
	}
}

func zapLine(w zapcore.WriteSyncer) func(int) {
	log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), w, zapcore.InfoLevel))
	return func(n int) {
		log.Info("request served", zap.String("method", "GET"), zap.String("path", "/orders/4711"),
			zap.Int("status", 200), zap.Int("n", n), zap.Duration("took", 1234567))
	}
}

func zerologLine(w io.Writer) func(int) {
	log := zerolog.New(w).With().Timestamp().Logger()
	return func(n int) {
		log.Info().Str("method", "GET").Str("path", "/orders/4711").Int("status", 200).Int("n", n).Dur("took", 1234567).Msg("request served")
	}
}
