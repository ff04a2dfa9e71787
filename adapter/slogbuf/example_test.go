package slogbuf_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"

	"github.com/nexus-logbuf/logbuf/adapter/slogbuf"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// Log with slog into an archive, and read the lines back.
func ExampleNewHandler() {
	dir, err := os.MkdirTemp("", "slogbuf")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	rec, err := recorder.Open(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	w, err := slogbuf.NewWriter(rec, "app", nil)
	if err != nil {
		log.Fatal(err)
	}

	logger := slog.New(slogbuf.NewHandler(w, &slogbuf.Options{
		HandlerOptions: slog.HandlerOptions{ReplaceAttr: withoutTime},
	}))
	logger.Info("listening", "port", 8080)
	logger.With("request", 17).Warn("slow", "ms", 412)

	if err := rec.Close(context.Background()); err != nil { // now all is on the disk
		log.Fatal(err)
	}
	r, err := journal.OpenReader(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	for line, err := range r.All() {
		if err != nil {
			log.Fatal(err)
		}
		level, _ := slogbuf.LevelOf(line)
		fmt.Printf("%v: %s", level, line.Payload)
	}
	// Output:
	// INFO: {"level":"INFO","msg":"listening","port":8080}
	// WARN: {"level":"WARN","msg":"slow","request":17,"ms":412}
}

// withoutTime makes the lines of the example the same each time.
func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

// Any logger that writes a line with one call can write to a Writer: here
// package log, and zap and zerolog likewise.
func ExampleWriter() {
	dir, err := os.MkdirTemp("", "slogbuf")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	rec, err := recorder.Open(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer rec.Close(context.Background())
	w, err := slogbuf.NewWriter(rec, "app", nil)
	if err != nil {
		log.Fatal(err)
	}

	logger := log.New(w, "app: ", 0)
	logger.Print("listening")
	logger.Print("ready")

	if err := w.Sync(); err != nil { // before os.Exit, say
		log.Fatal(err)
	}
	fmt.Println(w.Stats().Records, "lines,", w.Stats().Lost, "lost")
	// Output: 2 lines, 0 lost
}
