package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/capture"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
)

// CheckMachine tells why this machine does not let cfg be recorded, as far as
// that can be seen without making or connecting anything. The error carries exit
// code 64.
func CheckMachine(cfg *capture.Config) error {
	var errs []error
	for key, dir := range map[string]string{"dir": cfg.Dir, "failover": cfg.Journal.Failover} {
		if dir == "" {
			continue
		}
		if _, err := Directory(dir); err != nil {
			errs = append(errs, fmt.Errorf("%s %s: %w", key, dir, err))
		}
	}
	return cli.Exit(cli.ExitUsage, errors.Join(errs...))
}

// Directory tells whether a directory exists. The error says why it cannot be
// written to, or be made.
func Directory(dir string) (exists bool, err error) {
	st, err := os.Stat(dir)
	switch {
	case err == nil && !st.IsDir():
		return false, errors.New("is no directory")
	case err == nil:
		if err := writable(dir); err != nil {
			return true, fmt.Errorf("cannot be written to: %w", err)
		}
		return true, nil
	case !errors.Is(err, fs.ErrNotExist):
		return false, reason(err)
	}
	parent, err := filepath.Abs(dir)
	for err != nil || parent != filepath.Dir(parent) {
		parent = filepath.Dir(parent)
		if st, err = os.Stat(parent); err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	switch {
	case err != nil:
		return false, reason(err)
	case !st.IsDir():
		return false, fmt.Errorf("cannot be made: %s is no directory", parent)
	}
	if err := writable(parent); err != nil {
		return false, fmt.Errorf("cannot be made in %s: %w", parent, err)
	}
	return false, nil
}
