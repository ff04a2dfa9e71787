package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/spf13/pflag"
)

// selection is which records of an archive a command is to look at: the flags --from-seq, --to-seq, --from-time,
// --to-time and --stream. All bounds are inclusive.
type selection struct {
	fromSeq uint64
	toSeq   uint64
	endSeq  bool // toSeq was given
	from    cli.When
	to      cli.When
	streams []string
}

func (s *selection) addFlags(f *pflag.FlagSet) {
	f.Uint64Var(&s.fromSeq, "from-seq", 0, "start at this sequence `number`")
	f.Uint64Var(&s.toSeq, "to-seq", 0, "end after this sequence `number`")
	f.Var(&s.from, "from-time", "only records of this `time` or later: 2026-11-21T09:30:00.5Z, 2026-11-21, -15m, or Unix ns")
	f.Var(&s.to, "to-time", "only records of this `time` or earlier")
	f.StringArrayVar(&s.streams, "stream", nil, "only records of the stream with this `name`; may be given several times")
}

// check completes the selection after the flags were read.
func (s *selection) check(f *pflag.FlagSet) error {
	s.endSeq = f.Changed("to-seq")
	if s.endSeq && s.fromSeq > s.toSeq {
		return cli.Usagef("--from-seq %d is after --to-seq %d", s.fromSeq, s.toSeq)
	}
	if s.from.Given && s.to.Given && s.from.Nanos > s.to.Nanos {
		return cli.Usagef("--from-time %v is after --to-time %v", &s.from, &s.to)
	}
	return nil
}

// narrow tells the reader where to start.
func (s *selection) narrow(opts *journal.ReaderOptions) {
	opts.FromSeq, opts.FromTime = s.fromSeq, s.from.Nanos
}

// past tells whether rec and all records after it lie behind the end. Times say nothing about that: lanes are drained
// one after another, and clocks are stepped.
func (s *selection) past(rec journal.Record) bool { return s.endSeq && rec.Seq > s.toSeq }

// match tells whether rec is wanted. Control records of no stream belong to all of them.
func (s *selection) match(rec journal.Record, names *streamNames) bool {
	switch {
	case rec.Seq < s.fromSeq || s.past(rec):
		return false
	case s.from.Given && rec.Time < s.from.Nanos:
		return false
	case s.to.Given && rec.Time > s.to.Nanos:
		return false
	case len(s.streams) == 0 || rec.Stream == 0 && isControl(rec):
		return true
	}
	return slices.Contains(s.streams, names.of(rec.Stream))
}

// unknownStreams are the names asked for that names does not have.
func (s *selection) unknownStreams(names *streamNames) error {
	known := names.all()
	for _, want := range s.streams {
		if slices.Contains(known, want) {
			continue
		}
		if len(known) == 0 {
			return fmt.Errorf("no stream is named %q: the archive has none", want)
		}
		return fmt.Errorf("no stream is named %q; there are: %s", want, strings.Join(quoteAll(known), ", "))
	}
	return nil
}

func quoteAll(names []string) []string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = fmt.Sprintf("%q", name)
	}
	return quoted
}

// isControl tells records about the archive from those that carry data and are numbered.
func isControl(rec journal.Record) bool { return rec.Kind >= journal.KindStream }
