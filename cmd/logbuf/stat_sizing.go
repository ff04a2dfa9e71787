package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/sizing"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// sizingFlags are --sizing and what belongs to it.
type sizingFlags struct {
	wanted bool
	stall  cli.Duration
}

func (s *sizingFlags) addFlags(f *pflag.FlagSet) {
	s.stall = cli.Duration(sizing.DefaultStall)
	f.BoolVar(&s.wanted, "sizing", false, "say how large a ring each stream needs, from what it has offered")
	f.Var(&s.stall, "stall", "--sizing: how long the disk may stall")
}

func (s *sizingFlags) check(f *pflag.FlagSet, fast bool) error {
	switch d := time.Duration(s.stall); {
	case !s.wanted && f.Changed("stall"):
		return cli.Usagef("--stall is for --sizing")
	case s.wanted && fast:
		return cli.Usagef("--fast reads no records: it cannot say how large a ring they need")
	case d < sizing.MinStall || d > sizing.MaxStall:
		return cli.Usagef("--stall %v: must be %v to %v", s.stall, cli.Duration(sizing.MinStall), cli.Duration(sizing.MaxStall))
	}
	return nil
}

// sizingReport is what --sizing finds. The fields are stable; new ones may be added.
type sizingReport struct {
	Dir          string         `json:"dir"`
	StallSeconds float64        `json:"stall_seconds"`
	Factor       int            `json:"factor"` // ring_bytes is at least so many times worst_burst
	Rings        int64          `json:"ring_bytes_of_all"`
	Gaps         int            `json:"gaps"` // places where the archive misses records, which could not be counted
	Late         uint64         `json:"late"` // records that could not be put in the order of time
	Streams      []streamSizing `json:"streams"`
	SpanSeconds  float64        `json:"span_seconds"` // from the earliest record to the latest

	stall       time.Duration
	first, last int64 // times of records, Unix ns; first is above last when there are none
}

// span is the time that the records cover.
func (r *sizingReport) span() time.Duration { return time.Duration(max(r.last-r.first, 0)) }

type streamSizing struct {
	ID   uint16 `json:"id"`
	Name string `json:"name"`
	sizing.Advice
}

func runSizing(cmd *cobra.Command, dir string, sel *selection, stall time.Duration, asJSON, utc bool) error {
	sel.order, sel.window = "time", cli.Duration(sizing.Hold)
	a, err := sel.open(dir, &journal.ReaderOptions{Control: true})
	if err != nil {
		return err
	}
	defer a.close()
	ctx, stop := readContext(cmd)
	defer stop()
	rep, err := measure(ctx, a, sel, stall, sayOn(cmd), cli.NewStatus(cmd.ErrOrStderr()))
	if errors.Is(err, cli.ErrInterrupted) {
		return errors.New("interrupted before the end: nothing is printed")
	}
	if err != nil {
		return err
	}
	out := cli.NewOutput(cmd.OutOrStdout())
	if asJSON {
		err = json.NewEncoder(out).Encode(rep)
	} else {
		printSizing(out, rep, zoned(utc))
	}
	if err := errors.Join(err, out.Flush()); err != nil {
		return err
	}
	a.warnTorn(cmd)
	return sel.unknownStreams(a.names)
}

// measure reads the archive by time.
func measure(ctx context.Context, a *archive, sel *selection, stall time.Duration, say func(string, ...any), status *cli.Status) (*sizingReport, error) {
	defer status.Clear()
	rep := &sizingReport{Dir: a.dir, StallSeconds: stall.Seconds(), Factor: sizing.Margin, Streams: []streamSizing{}, stall: stall, first: math.MaxInt64, last: math.MinInt64}
	meters := make(map[uint16]*sizing.Meter)
	start := time.Now()
	for n := int64(1); ; n++ {
		rec, err := a.reader.Next(ctx)
		if gap, ok := errors.AsType[*journal.GapError](err); ok {
			warnGap(say, uint64(rep.Gaps), gap.Gap)
			rep.Gaps++
			continue
		}
		switch {
		case errors.Is(err, io.EOF):
			rep.finish(a, meters)
			return rep, nil
		case err != nil && ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err != nil:
			return nil, readError(a.dir, err)
		}
		if sel.match(rec, a.names) && (rec.Kind == journal.KindLoss || !isControl(rec)) {
			m := meters[rec.Stream]
			if m == nil {
				m = sizing.NewMeter(stall)
				meters[rec.Stream] = m
			}
			if rec.Kind != journal.KindLoss {
				m.Record(rec.Time, len(rec.Payload))
				rep.first, rep.last = min(rep.first, rec.Time), max(rep.last, rec.Time)
			} else if loss, err := journal.ParseLoss(rec.Payload); err == nil {
				m.Loss(loss)
			}
		}
		if n%progressEvery == 0 {
			status.Set("reading: record %s, %s", cli.Count(rec.Seq), cli.Rate(n, time.Since(start)))
		}
	}
}

func (r *sizingReport) finish(a *archive, meters map[uint16]*sizing.Meter) {
	for id, m := range meters {
		s := streamSizing{id, a.names.of(id), m.Advise()}
		r.Rings += s.Ring
		r.Streams = append(r.Streams, s)
	}
	slices.SortFunc(r.Streams, func(a, b streamSizing) int { return int(a.ID) - int(b.ID) })
	r.Late = a.reader.Late()
	r.SpanSeconds = r.span().Seconds()
}

// printSizing prints for people. Errors of w stick in it.
func printSizing(w io.Writer, r *sizingReport, zoned func(ns int64) string) {
	fmt.Fprintf(w, "%s: rings for a disk that stalls for %v (--stall)\n\n", r.Dir, cli.Duration(r.stall))
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(table, "STREAM")
	for _, d := range sizing.Windows {
		fmt.Fprintf(table, "\t%v", d)
	}
	fmt.Fprintln(table, "\tLOST\tBURST\tRING\tMARGIN\tWORST AT")
	for i := range r.Streams {
		s := &r.Streams[i]
		fmt.Fprintf(table, "%s", appendSafe(nil, []byte(s.Name)))
		for _, p := range s.Peaks {
			fmt.Fprintf(table, "\t%s", cli.Bytes(p.Bytes))
		}
		ring, at := cli.Bytes(s.Ring), "-"
		if s.TooMuch {
			ring = "too much"
		}
		if s.Burst.Bytes > 0 {
			at = zoned(s.Burst.UnixNs)
		}
		fmt.Fprintf(table, "\t%s\t%s\t%s\t%.1f\t%s\n", cli.Bytes(s.LostBytes), cli.Bytes(s.Burst.Bytes), ring, s.Margin, at)
	}
	table.Flush()
	fmt.Fprintf(w, "\nA column is the most that came within that time; LOST is what overload cost. RING is twice the BURST within %v, or four of\n"+
		"the largest frames, rounded up to a power of two: together %s. More: logbuf stat --help\n", cli.Duration(r.stall), cli.Bytes(r.Rings))
	for i := range r.Streams {
		for _, note := range sizingNotes(&r.Streams[i], r.stall) {
			fmt.Fprintf(w, "%s: %s\n", appendSafe(nil, []byte(r.Streams[i].Name)), note)
		}
	}
	if r.first <= r.last && r.span() < r.stall {
		fmt.Fprintf(w, "the records cover %s only, less than the stall: a longer recording may ask for more\n", cli.Elapsed(r.span()))
	}
	if r.Late > 0 {
		fmt.Fprintf(w, "%s came too late to be put in the order of time: bursts may have been larger\n", cli.Plural(r.Late, "record"))
	}
	if r.Gaps > 0 {
		fmt.Fprintf(w, "the archive misses records in %s: bursts there are not known\n", cli.Plural(r.Gaps, "place"))
	}
}

// sizingNotes are what the columns do not say of a stream.
func sizingNotes(s *streamSizing, stall time.Duration) (notes []string) {
	longest := time.Duration(s.LongestSeconds * float64(time.Second))
	switch {
	case s.TooMuch:
		notes = append(notes, "no ring would have held this: it is not a burst, the disk is too slow for the stream. A larger ring only puts the loss off")
	case s.Overlong(stall):
		notes = append(notes, fmt.Sprintf("an overload lasted %s, longer than the stall: take more than the ring that overflowed, by %s, or look with --stall %v",
			cli.Elapsed(longest), cli.Bytes(s.LostBytes), cli.Duration(min(longest.Truncate(time.Second)+time.Second, sizing.MaxStall))))
	}
	if s.ClockSteps > 0 {
		notes = append(notes, fmt.Sprintf("its clock was set back %s; the times on both sides count as one after the other", cli.Plural(s.ClockSteps, "time")))
	}
	return notes
}
