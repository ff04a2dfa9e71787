package main

import (
	"errors"
	"fmt"
	"io"
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
	more  int  // damaged places besides this one
	exact bool // the range and more are what journal.Verify found
}

// look makes the range of what is lost exact. A reader stops at damage and knows only how far it could reach; what is whole behind it shows
// when all is read. That is worth a pass over the archive, with a progress bar: who reads the message acts on it.
func (e *damageError) look(stderr io.Writer) {
	if e.exact {
		return
	}
	report, err := runVerify(stderr, e.dir, 0)
	if err != nil {
		return // the message keeps what the reader said
	}
	for _, p := range report.Problems {
		if p.File == e.found.File && p.Offset == e.found.Offset {
			e.exact, e.more = true, report.ProblemCount-1
			e.found.FirstSeq, e.found.LastSeq = p.FirstSeq, p.LastSeq
			return
		}
	}
}

// Error is of two or three lines.
func (e *damageError) Error() string {
	c := e.found
	text := fmt.Sprintf("%s is corrupt at offset %d: %s; %s\nAll records before it are verified. ",
		filepath.Join(e.dir, c.File), c.Offset, c.Reason, lostRange(c.FirstSeq, c.LastSeq))
	if e.more > 0 {
		text += fmt.Sprintf("There is more damage, in %s. ", cli.Plural(e.more, "place"))
	}
	text += "For the whole extent: logbuf verify " + shellWord(e.dir)
	if c.LastSeq+1 > c.FirstSeq && c.LastSeq != math.MaxUint64 {
		text += fmt.Sprintf("\nTo read on behind it: --from-seq %d", c.LastSeq+1)
	}
	return text
}

// Unwrap gives the journal's error to errors.As.
func (e *damageError) Unwrap() error { return e.found }
