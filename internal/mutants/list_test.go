package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// Each mutant changes one place of the source as it stands.
func TestMutantsFit(t *testing.T) {
	for _, m := range mutants {
		source, err := os.ReadFile(filepath.Join("../..", m.file))
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(source, []byte(m.old)); n != 1 {
			t.Errorf("%s: the line to change stands %d times in %s: %q", m.name, n, m.file, m.old)
		}
	}
}
