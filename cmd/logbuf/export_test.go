package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/journal"
)

// Ctrl-C leaves no half of a file behind, and nothing under the name that was asked for.
func TestExportInterrupted(t *testing.T) {
	dir := archiveWith(t, "one\n", "two\n")
	for _, format := range exportFormats {
		dirOut := t.TempDir()
		e := &exporting{format: format, out: filepath.Join(dirOut, "out")}
		cmd := newExportCmd()
		cmd.SetErr(io.Discard)
		a, err := openArchive(dir, &journal.ReaderOptions{Control: true})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cli.ErrInterrupted)
		if err := e.toFile(ctx, cmd, a); err == nil || !strings.Contains(err.Error(), "interrupted; "+e.out+" was not written") {
			t.Errorf("%s: error %v", format, err)
		}
		e.out = "-"
		cmd.SetOut(io.Discard)
		if err := e.toStdout(ctx, cmd, a); err == nil || !strings.Contains(err.Error(), "the export is not complete") {
			t.Errorf("%s to standard output: error %v", format, err)
		}
		a.close()
		if left, err := os.ReadDir(dirOut); err != nil || len(left) > 0 {
			t.Errorf("%s: %v is left behind, error %v", format, left, err)
		}
	}
}

// archiveWith makes an archive of payloads without a stream.
func archiveWith(t *testing.T, payloads ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "archive")
	w, err := journal.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range payloads {
		if _, err := w.Append(journal.Record{Time: archiveStart.UnixNano(), Payload: []byte(p)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}
