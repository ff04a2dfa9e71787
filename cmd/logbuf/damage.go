package main

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/journal"
)

// readError gives an error of the journal its exit code, and says what to do.
func readError(dir string, err error) error {
	var corrupt *journal.CorruptionError
	switch {
	case errors.As(err, &corrupt):
		found := *corrupt
		return cli.Exit(cli.ExitCorrupt, &damageError{dir: dir, found: &found})
	case errors.Is(err, journal.ErrVersion):
		return cli.Exit(cli.ExitUnreadable, fmt.Errorf("%w; a later logbuf is needed", err))
	}
	return cli.Exit(cli.ExitUnreadable, err)
}

// damageError says where an archive is damaged, what is lost, and how to read on.
type damageError struct {
	dir   string
	found *journal.CorruptionError
}

// Error is of two or three lines.
func (e *damageError) Error() string {
	c := e.found
	text := fmt.Sprintf("%s is corrupt at offset %d: %s; %s\nAll records before it are verified. ",
		filepath.Join(e.dir, c.File), c.Offset, c.Reason, lostRange(c.FirstSeq, c.LastSeq))
	text += "For the whole extent: logbuf verify " + shellWord(e.dir)
	if c.LastSeq+1 > c.FirstSeq && c.LastSeq != math.MaxUint64 {
		text += fmt.Sprintf("\nTo read on behind it: --from-seq %d", c.LastSeq+1)
	}
	return text
}

// Unwrap gives the journal's error to errors.As.
func (e *damageError) Unwrap() error { return e.found }
