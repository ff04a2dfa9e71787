// Logging is one program that logs with log/slog, zap and zerolog into one
// archive, a stream each, and reads it back.
//
//	go run ./examples/logging            # into a directory for temporary files, which is removed
//	go run ./examples/logging -dir logs  # into logs, to look at with logbuf cat
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"strings"
	"sync"

	"github.com/rs/zerolog"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/nexus-logbuf/logbuf/adapter/slogbuf"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("logging: ")
	dir := flag.String("dir", "", "archive to log into; default one in a directory for temporary files")
	flag.Parse()
	if err := run(*dir, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(dir string, out io.Writer) error {
	if dir == "" {
		temp, err := os.MkdirTemp("", "logging-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(temp)
		dir = temp
	}
	if err := record(dir, out); err != nil {
		return err
	}
	return readBack(dir, out)
}

// record logs with each of the libraries. When it returns, every line is on the
// disk.
func record(dir string, out io.Writer) (err error) {
	rec, err := recorder.Open(dir, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rec.Close(context.Background())) }()

	writers := make(map[string]*slogbuf.Writer)
	for _, stream := range []string{"slog", "zap", "zerolog"} {
		if writers[stream], err = slogbuf.NewWriter(rec, stream, nil); err != nil {
			return err
		}
	}
	withSlog(writers["slog"])
	withZap(writers["zap"])
	withZerolog(writers["zerolog"])
	for _, stream := range []string{"slog", "zap", "zerolog"} {
		if err := writers[stream].Flush(context.Background()); err != nil {
			return err
		}
		st := writers[stream].Stats()
		fmt.Fprintf(out, "%-8s %d lines, %d lost\n", stream, st.Records, st.Lost)
	}
	return nil
}

// withSlog serves three requests at once.
func withSlog(w *slogbuf.Writer) {
	logger := slog.New(slogbuf.NewHandler(w, &slogbuf.Options{
		HandlerOptions: slog.HandlerOptions{Level: slog.LevelDebug},
		SyncLevel:      slog.LevelError, // an error is on the disk when Error returns
	}))
	var wg sync.WaitGroup
	for n := range 3 {
		wg.Go(func() {
			request := logger.With("request", n)
			request.Debug("begins", "path", "/orders")
			request.Info("done", "status", 200)
		})
	}
	wg.Wait()
	logger.Warn("a line of 300 kB is longer than the lane can take", "body", strings.Repeat("x", 300_000))
	logger.Error("the last one", "err", io.ErrUnexpectedEOF)
}

// withZap gives zap the writer as its WriteSyncer.
func withZap(w *slogbuf.Writer) {
	encoder := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig())
	logger := zap.New(zapcore.NewCore(encoder, w, zapcore.InfoLevel))
	logger.Info("started", zap.Int("port", 8080))
	logger.Error("refused", zap.String("peer", "192.0.2.7"))
}

// withZerolog gives zerolog the writer, with the levels.
func withZerolog(w *slogbuf.Writer) {
	logger := zerolog.New(leveled{w}).With().Timestamp().Logger()
	logger.Info().Int("port", 8080).Msg("started")
	logger.Error().Str("peer", "192.0.2.7").Msg("refused")
}

// leveled tells the archive zerolog's levels, so that `logbuf cat --level` knows
// them. Without it, zerolog.New(w) does.
type leveled struct{ *slogbuf.Writer }

// WriteLevel implements zerolog.LevelWriter. zerolog's levels go in steps of
// one, slog's in steps of four, with info at 0.
func (l leveled) WriteLevel(level zerolog.Level, line []byte) (int, error) {
	return l.Writer.WriteLevel(4*slog.Level(level-zerolog.InfoLevel), line)
}

// readBack prints what the archive has, as `logbuf cat` does.
func readBack(dir string, out io.Writer) error {
	r, err := journal.OpenReader(dir, &journal.ReaderOptions{Control: true})
	if err != nil {
		return err
	}
	defer r.Close()
	for rec, err := range r.All() {
		if err != nil {
			return err
		}
		stream := r.StreamName(rec.Stream)
		switch level, known := slogbuf.LevelOf(rec); {
		case rec.Kind == journal.KindLoss:
			loss, err := journal.ParseLoss(rec.Payload)
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "%-8s lost %d line of %d bytes: %v\n", stream, loss.Records, loss.Bytes, loss.Reason)
		case known:
			fmt.Fprintf(out, "%-8s %-5v %s", stream, level, rec.Payload)
		case rec.Kind == journal.KindData:
			fmt.Fprintf(out, "%-8s       %s", stream, rec.Payload)
		}
	}
	return nil
}
