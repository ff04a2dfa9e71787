package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/capture"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/journal"
)

func TestCheckMachine(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	closed := filepath.Join(dir, "closed")
	if err := os.Mkdir(closed, 0o500); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, dir, want string
		rights          bool // the case is about rights, which root is above
	}{
		{"there", dir, "", false},
		{"to be made", filepath.Join(dir, "a/b/c"), "", false},
		{"a file", file, "is no directory", false},
		{"below a file", filepath.Join(file, "a"), "not a directory", false},
		{"closed", closed, "cannot be written to: permission denied", true},
		{"below a closed one", filepath.Join(closed, "a"), "cannot be made in " + closed + ": permission denied", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.rights && writable(closed) == nil {
				t.Skip("this user, or this system, is above rights")
			}
			err := CheckMachine(&capture.Config{Dir: tc.dir, Journal: journal.Options{Failover: tc.dir}})
			if tc.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || cli.ExitCode(err) != cli.ExitUsage || strings.Count(err.Error(), tc.want) != 2 {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 2 {
		t.Errorf("something was made: %v", left)
	}
}
