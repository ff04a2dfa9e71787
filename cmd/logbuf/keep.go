package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/spf13/cobra"
)

// work is a command that changes an archive, or makes another one of it, and may take a while: it has a progress bar on
// a terminal, and Ctrl-C ends it between two steps.
type work struct {
	ctx    context.Context
	status *cli.Status
	end    func()
}

func newWork(cmd *cobra.Command) *work {
	ctx, stop := readContext(cmd)
	status := cli.NewStatus(cmd.ErrOrStderr())
	return &work{ctx: ctx, status: status, end: func() { status.Clear(); stop() }}
}

// progress is what the journal calls with how far it is.
func (w *work) progress(what string) func(done, total int64) {
	start := time.Now()
	return func(done, total int64) { w.status.Progress(what, done, total, start) }
}

// workError gives the error of work on an archive its exit code and says what to do.
func workError(dir string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return errors.New("interrupted; what is done is done, and the same command goes on from there")
	case errors.Is(err, journal.ErrLocked), errors.Is(err, journal.ErrDiverged):
		return err
	case errors.Is(err, journal.ErrNotArchive), errors.Is(err, journal.ErrVersion):
		return readError(dir, err)
	}
	var corrupt *journal.CorruptionError
	if errors.As(err, &corrupt) {
		return readError(dir, err)
	}
	return err
}

// limits are the flags that say how much of an archive to keep.
type limits struct {
	size    cli.Size
	age     cli.Duration
	records uint64
	segs    int
}

func (l *limits) retention() (journal.Retention, error) {
	if l.segs < 0 {
		return journal.Retention{}, cli.Usagef("--keep-segments %d is negative", l.segs)
	}
	return journal.Retention{MaxBytes: int64(l.size), MaxAge: time.Duration(l.age), MaxRecords: l.records, MaxSegments: l.segs}, nil
}

// zoned returns how to print a time, nanoseconds since the Unix epoch.
func zoned(utc bool) func(ns int64) string {
	zone := time.Local
	if utc {
		zone = time.UTC
	}
	return func(ns int64) string { return time.Unix(0, ns).In(zone).Format(timeLayout) }
}

// recordSpan names the records from first up to, without it, next.
func recordSpan(first, next uint64) string {
	switch next {
	case first:
		return "no records"
	case first + 1:
		return fmt.Sprintf("record %d", first)
	}
	return fmt.Sprintf("records %d to %d", first, next-1)
}
