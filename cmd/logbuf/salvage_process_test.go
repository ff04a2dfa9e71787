//go:build !windows

package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
)

// Ctrl-C at any moment of a salvage leaves a whole copy, or nothing; kill -9 leaves a whole copy, or what says by its name that it is none,
// and the next salvage works. The archive stays as it was.
func TestSalvageInterrupted(t *testing.T) {
	dir := t.TempDir()
	src := filepath.Join(dir, "day1")
	w, err := journal.Open(src, &journal.Options{SegmentSize: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	if err := appendGenerated(w, 5000, 500); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	runs := 12
	if testing.Short() {
		runs = 4
	}
	for i := range runs {
		out := filepath.Join(dir, "out")
		p := start(t, nil, "salvage", src, "--out", out)
		time.Sleep(time.Duration(i*i) * 2 * time.Millisecond)
		sig := syscall.SIGINT
		if i%2 == 1 {
			sig = syscall.SIGKILL
		}
		if err := p.Process.Signal(sig); err != nil && !strings.Contains(err.Error(), "finished") {
			t.Fatal(err)
		}
		code := p.exit(t)
		_, err := os.Stat(out)
		_, partial := os.Stat(out + ".partial")
		switch there := err == nil; {
		case there:
			rep, err := journal.Verify(out, nil)
			if err != nil || rep.Verdict != journal.Clean || rep.Records != 5000 {
				t.Fatalf("run %d: %+v, %v", i, rep, err)
			}
		case code == 0:
			t.Fatalf("run %d: exit code 0 and no copy", i)
		case sig == syscall.SIGINT && partial == nil && code != -1: // -1: before the program could listen
			t.Fatalf("run %d: exit code %d, and %s.partial is there; stderr: %s", i, code, out, p.errors())
		}
		if err := os.RemoveAll(out); err != nil {
			t.Fatal(err)
		}
	}
	rep, err := journal.Salvage(src, filepath.Join(dir, "out"), nil)
	if err != nil || rep.Records != 5000 || rep.GapCount != 0 {
		t.Fatalf("%+v, %v", rep, err)
	}
}
