package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/spf13/cobra"
)

const diffLong = `Compare two archives record by record, by sequence: time, kind, flags, name of the
stream, payload. The first difference is printed with both records, then how many
there are of each sort. How the records lie in blocks, segments and epochs, and the
numbers of the streams, make no difference; nor do control records.

Exit codes: 0 no difference, 1 a difference, others as for every command.`

const diffExample = `  # is the copy what the original is?
  logbuf diff day1 /backup/day1

  # two recordings of one stream: the same messages, in the same order?
  logbuf diff a b --ignore-time

  # one of several streams: its records have other numbers in the two, so by payload
  cmp <(logbuf cat a -o raw --stream trades) <(logbuf cat b -o raw --stream trades)

  # only up to where both have come
  logbuf diff day1 /backup/day1 --to-seq 48212 --json`

// diffing is the flags of diff.
type diffing struct {
	sel        selection
	ignoreTime bool
	first      bool
	asJSON     bool
	utc        bool
}

func newDiffCmd() *cobra.Command {
	var d diffing
	cmd := &cobra.Command{
		Use:     "diff A B",
		Short:   "Compare two archives and show the first difference",
		Long:    diffLong,
		Example: diffExample,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return cli.Usagef("needs the directories of two archives, got %d arguments", len(args))
			}
			return errors.Join(oneDir(cmd, args[:1]), oneDir(cmd, args[1:]))
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 1 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := d.sel.check(cmd.Flags()); err != nil {
				return err
			}
			return d.run(cmd, args)
		},
	}
	f := cmd.Flags()
	d.sel.addFlags(f)
	complete(cmd, "stream", completeStream)
	f.BoolVar(&d.ignoreTime, "ignore-time", false, "times may differ")
	f.BoolVar(&d.first, "first", false, "end at the first difference, without counting on")
	f.BoolVar(&d.asJSON, "json", false, "print one JSON object")
	f.BoolVar(&d.utc, "utc", false, "times in UTC (json always is), not in local time")
	return cmd
}

// diffReport is what diff found. The fields are stable; new ones may be added.
type diffReport struct {
	A         string     `json:"a"`
	B         string     `json:"b"`
	Same      bool       `json:"same"`
	RecordsA  uint64     `json:"records_a"` // read of A
	RecordsB  uint64     `json:"records_b"`
	Equal     uint64     `json:"equal"`
	Different uint64     `json:"different"`
	OnlyA     uint64     `json:"only_in_a"`
	OnlyB     uint64     `json:"only_in_b"`
	Complete  bool       `json:"complete"` // both were compared to their ends
	First     *diffFirst `json:"first,omitempty"`
}

// diffFirst is the first difference: a record of both, or of one.
type diffFirst struct {
	Seq  uint64          `json:"seq"`
	What []string        `json:"what"` // time, kind, flags, stream, payload; only in a; only in b
	A    json.RawMessage `json:"a,omitempty"`
	B    json.RawMessage `json:"b,omitempty"`

	recA, recB *journal.Record
}

func (d *diffing) run(cmd *cobra.Command, dirs []string) error {
	ctx, stop := readContext(cmd)
	defer stop()
	var sides [2]*diffSide
	for i, dir := range dirs {
		sel := d.sel
		a, err := sel.open(dir, &journal.ReaderOptions{})
		if err != nil {
			return err
		}
		defer a.close()
		sides[i] = &diffSide{pass: &pass{archive: a, sel: &sel, say: sayOn(cmd)}}
	}
	a, b := sides[0], sides[1]
	report := &diffReport{A: dirs[0], B: dirs[1]}
	if err := d.compare(ctx, report, a, b); errors.Is(err, cli.ErrInterrupted) {
		return errors.New("interrupted before the end: nothing is printed")
	} else if err != nil {
		return err
	}
	report.RecordsA, report.RecordsB = a.n, b.n
	report.Same = report.Different+report.OnlyA+report.OnlyB == 0
	if report.Complete {
		a.warnTorn(cmd)
		b.warnTorn(cmd)
		if err := errors.Join(d.sel.unknownStreams(a.names), d.sel.unknownStreams(b.names)); err != nil && a.n+b.n == 0 {
			return err
		}
	}
	if err := d.print(cmd.OutOrStdout(), report, a, b); err != nil || report.Same {
		return err
	}
	return &cli.ExitError{Code: cli.ExitFailed}
}

// diffSide is one of the two archives.
type diffSide struct {
	*pass
	rec  journal.Record // the next one
	n    uint64
	over bool
}

// next goes to the next record of the selection.
func (s *diffSide) next(ctx context.Context) error {
	for {
		rec, err := s.reader.Next(ctx)
		if goesOn, failed := s.passes(err); failed != nil {
			return failed
		} else if goesOn {
			continue
		}
		switch {
		case errors.Is(err, io.EOF) || err == nil && s.sel.past(rec):
			s.over = true
			return nil
		case err != nil:
			return s.nextError(ctx, err)
		case s.sel.match(rec, s.names):
			s.rec = rec
			s.n++
			return nil
		}
	}
}

// compare goes through both, side by side.
func (d *diffing) compare(ctx context.Context, r *diffReport, a, b *diffSide) error {
	if err := errors.Join(a.next(ctx), b.next(ctx)); err != nil {
		return err
	}
	for !a.over || !b.over {
		var what []string
		moveA, moveB := !a.over && (b.over || a.rec.Seq <= b.rec.Seq), !b.over && (a.over || b.rec.Seq <= a.rec.Seq)
		switch {
		case moveA && moveB:
			what = d.differences(a, b)
			if r.Different++; what == nil {
				r.Different--
				r.Equal++
			}
		case moveA:
			what = []string{"only in a"}
			r.OnlyA++
		default:
			what = []string{"only in b"}
			r.OnlyB++
		}
		if what != nil && r.First == nil {
			r.First = newDiffFirst(what, a, b, moveA, moveB)
			if d.first {
				return nil
			}
		}
		if moveA {
			if err := a.next(ctx); err != nil {
				return err
			}
		}
		if moveB {
			if err := b.next(ctx); err != nil {
				return err
			}
		}
	}
	r.Complete = true
	return nil
}

// differences names what differs between two records of one sequence.
func (d *diffing) differences(a, b *diffSide) (what []string) {
	x, y := &a.rec, &b.rec
	if !d.ignoreTime && x.Time != y.Time {
		what = append(what, "time")
	}
	if x.Kind != y.Kind {
		what = append(what, "kind")
	}
	if x.Flags != y.Flags {
		what = append(what, "flags")
	}
	if (x.Stream != 0 || y.Stream != 0) && a.names.of(x.Stream) != b.names.of(y.Stream) {
		what = append(what, "stream")
	}
	if !bytes.Equal(x.Payload, y.Payload) {
		what = append(what, "payload")
	}
	return what
}

func newDiffFirst(what []string, a, b *diffSide, inA, inB bool) *diffFirst {
	f := &diffFirst{What: what}
	keep := func(s *diffSide, in bool) (*journal.Record, json.RawMessage) {
		if !in {
			return nil, nil
		}
		rec := s.rec.Clone()
		f.Seq = rec.Seq
		var buf bytes.Buffer
		if err := (&jsonPrinter{names: s.names}).print(&buf, rec); err != nil {
			panic(fmt.Sprintf("printing into memory failed: %v", err))
		}
		return &rec, bytes.TrimSpace(buf.Bytes())
	}
	f.recA, f.A = keep(a, inA)
	f.recB, f.B = keep(b, inB)
	return f
}

func (d *diffing) print(w io.Writer, r *diffReport, a, b *diffSide) error {
	out := cli.NewOutput(w)
	if d.asJSON {
		if err := json.NewEncoder(out).Encode(r); err != nil {
			return err
		}
		return out.Flush()
	}
	if f := r.First; f != nil {
		fmt.Fprintf(out, "first difference at record %d: %s\n", f.Seq, strings.Join(f.What, ", "))
		for _, side := range []struct {
			rec   *journal.Record
			mark  string
			names *streamNames
		}{{f.recA, "A ", a.names}, {f.recB, "B ", b.names}} {
			if side.rec == nil {
				continue
			}
			if _, err := io.WriteString(out, side.mark); err != nil {
				return err
			}
			if err := (&printing{format: formatText, utc: d.utc}).printer(side.names).print(out, *side.rec); err != nil {
				return err
			}
		}
		if f.recA != nil && f.recB != nil {
			describeDifference(out, f.recA, f.recB)
		}
	}
	if !r.Same && d.first {
		return out.Flush()
	}
	fmt.Fprintf(out, "%s equal, %s different, %s only in A, %s only in B\n",
		cli.Plural(r.Equal, "record"), cli.Count(r.Different), cli.Count(r.OnlyA), cli.Count(r.OnlyB))
	return out.Flush()
}

// describeDifference says where payloads begin to differ and how far times are apart.
func describeDifference(w io.Writer, x, y *journal.Record) {
	if x.Time != y.Time {
		fmt.Fprintf(w, "time: B is %v later\n", time.Duration(y.Time-x.Time))
	}
	if bytes.Equal(x.Payload, y.Payload) {
		return
	}
	n := 0
	for n < min(len(x.Payload), len(y.Payload)) && x.Payload[n] == y.Payload[n] {
		n++
	}
	fmt.Fprintf(w, "payload: %s in A, %d in B; the first %d are the same\n", cli.Plural(len(x.Payload), "byte"), len(y.Payload), n)
}
