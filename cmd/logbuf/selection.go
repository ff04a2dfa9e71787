package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// selection is which records of an archive a command is to look at: the flags --from-seq, --to-seq, --from-time,
// --to-time, --last, --stream and --level, and in which order: --order and --window. All bounds are inclusive.
type selection struct {
	fromSeq uint64
	toSeq   uint64
	endSeq  bool // toSeq was given
	from    cli.When
	to      cli.When
	last    uint64
	hasLast bool // last was given
	hasFrom bool // fromSeq was given
	streams []string
	level   level
	whole   bool         // messages, not frames
	order   string       // "time", or "seq" or empty
	window  cli.Duration // of order time
}

func (s *selection) addFlags(f *pflag.FlagSet) {
	f.Uint64Var(&s.fromSeq, "from-seq", 0, "start at this sequence `number`")
	f.Uint64Var(&s.toSeq, "to-seq", 0, "end after this sequence `number`")
	f.Var(&s.from, "from-time", "only records of this `time` or later: 2026-11-21T09:30:00.5Z, '2026-11-21 09:30' or 2026-11-21 (local), -15m (ago), or Unix ns")
	f.Var(&s.to, "to-time", "only records of this `time` or earlier")
	f.StringArrayVar(&s.streams, "stream", nil, "only records of the stream with this `name`; may be given several times")
	f.Var(&s.level, "level", "only log lines of this `level` or above: debug, info, warn, error, error+4 (see the package adapter/slogbuf)")
}

// addMessages adds --messages, for the commands that read with a pass.
func (s *selection) addMessages(f *pflag.FlagSet) {
	f.BoolVar(&s.whole, "messages", false, "WebSocket messages, not frames: fragments joined, compressed ones inflated")
}

// addLast adds --last, for the commands that do not begin at the end anyway.
func (s *selection) addLast(f *pflag.FlagSet) {
	f.Uint64Var(&s.last, "last", 0, "start this `number` of records before the end, of all streams")
}

// defaultWindow is how much too late a record may come with --order time: more than lanes that are drained in turn lag behind each other.
const defaultWindow = cli.Duration(time.Second)

// addOrder adds --order and --window.
func (s *selection) addOrder(cmd *cobra.Command) {
	s.window = defaultWindow
	cmd.Flags().StringVar(&s.order, "order", "seq", "`order` of the output: seq, as written, or time")
	cmd.Flags().Var(&s.window, "window", "with --order time: hold records back until one is later by this `duration`")
	complete(cmd, "order", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return []string{"seq", "time"}, cobra.ShellCompDirectiveNoFileComp
	})
}

// check completes the selection after the flags were read.
func (s *selection) check(f *pflag.FlagSet) error {
	if err := s.checkOrder(f); err != nil {
		return err
	}
	s.hasLast, s.hasFrom = f.Changed("last"), f.Changed("from-seq")
	if s.hasLast && s.hasFrom {
		return cli.Usagef("--last and --from-seq both say where to start: give one of them")
	}
	s.endSeq = f.Changed("to-seq")
	if s.endSeq && s.fromSeq > s.toSeq {
		return cli.Usagef("--from-seq %d is after --to-seq %d", s.fromSeq, s.toSeq)
	}
	if s.from.Given && s.to.Given && s.from.Nanos > s.to.Nanos {
		return cli.Usagef("--from-time %v is after --to-time %v", &s.from, &s.to)
	}
	return nil
}

func (s *selection) checkOrder(f *pflag.FlagSet) error {
	switch {
	case s.order != "" && s.order != "seq" && s.order != "time":
		return cli.Usagef("--order %q: must be seq or time", s.order)
	case s.order == "time" && s.window == 0:
		return cli.Usagef("--window 0 orders nothing")
	case s.order == "time" && s.whole:
		return cli.Usagef("--messages needs --order seq: frames are put together in the order in which they were written")
	case s.order != "time" && f.Changed("window"):
		return cli.Usagef("--window is for --order time")
	}
	return nil
}

// narrow tells the reader where to start, and in which order to read.
func (s *selection) narrow(opts *journal.ReaderOptions) {
	opts.FromSeq, opts.FromTime = s.fromSeq, s.from.Nanos
	if s.to.Given && s.to.Nanos != 0 {
		opts.ToTime = s.to.Nanos
	}
	if s.byTime() {
		opts.Window = time.Duration(s.window)
	}
}

// any reports whether anything but all was selected.
func (s *selection) any() bool {
	return s.fromSeq > 0 || s.endSeq || s.from.Given || s.to.Given || s.hasLast || len(s.streams) > 0 || s.level.given
}

func (s *selection) byTime() bool { return s.order == "time" }

// open opens an archive where the selection begins, and completes opts.
func (s *selection) open(dir string, opts *journal.ReaderOptions) (*archive, error) {
	if s.hasLast {
		end, err := openArchive(dir, &journal.ReaderOptions{End: true, Durable: opts.Durable, Salvage: opts.Salvage})
		if err != nil {
			return nil, err
		}
		next := end.reader.NextSeq()
		end.close()
		if s.endSeq && s.toSeq < next {
			next = s.toSeq + 1
		}
		s.fromSeq = next - min(next, s.last)
	}
	s.narrow(opts)
	if s.whole {
		return openMessages(dir, opts)
	}
	return openArchive(dir, opts)
}

// past tells whether rec and all records after it lie behind the end. Times say nothing about that: lanes are drained
// one after another, and clocks are stepped.
func (s *selection) past(rec journal.Record) bool { return !s.byTime() && s.behind(rec) }

func (s *selection) behind(rec journal.Record) bool { return s.endSeq && rec.Seq > s.toSeq }

// match tells whether rec is wanted. Control records of no stream belong to all of them.
func (s *selection) match(rec journal.Record, names *streamNames) bool {
	switch {
	case rec.Seq < s.fromSeq || s.behind(rec):
		return false
	case s.from.Given && rec.Time < s.from.Nanos:
		return false
	case s.to.Given && rec.Time > s.to.Nanos:
		return false
	case s.level.hides(rec):
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
