package main

import (
	"bytes"
	"encoding/csv"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The example runs, and what the tool exports has what it recorded.
func TestRun(t *testing.T) {
	tool := filepath.Join(t.TempDir(), "logbuf")
	build := exec.Command("go", "build", "-o", tool, "./cmd/logbuf")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	dir := t.TempDir()
	var out bytes.Buffer
	if err := run(dir, tool, &out); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	for _, want := range []string{" 0 lost\n", "960 orders of 19680 lots\n", "span batch: 120 times", "span check: 960 times", "goroutines were sampled"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("nothing says %q:\n%s", want, &out)
		}
	}
	f, err := os.Open(filepath.Join(dir, "orders.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) != 961 {
		t.Errorf("%d lines, error %v; want 960 orders and a head", len(rows), err)
	}
	trace, err := os.ReadFile(filepath.Join(dir, "trace.perfetto-trace"))
	if err != nil || !bytes.Contains(trace, []byte("worker 2")) || !bytes.Contains(trace, []byte(".(*gateway).work")) {
		t.Errorf("a trace of %d bytes, error %v", len(trace), err)
	}
}
