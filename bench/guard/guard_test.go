package main

import (
	"os"
	"path/filepath"
	"testing"
)

// Every call that is counted works, and has a count in the file.
func TestCalls(t *testing.T) {
	counts, compiler, err := readCounts("counts.txt")
	if err != nil || compiler == "" {
		t.Fatal(compiler, err)
	}
	t.Setenv("TMPDIR", t.TempDir())
	for _, c := range calls {
		if counts[c.name] <= 0 {
			t.Errorf("%s: no count", c.name)
		}
		if err := repeat(c.name, 1024); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		atEnds = nil
	}
	if len(counts) != len(calls) {
		t.Errorf("%d counts for %d calls", len(counts), len(calls))
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
