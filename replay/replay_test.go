package replay

import (
	"context"
	"errors"
	"io"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
)

// script is a source that gives records from memory and then err.
type script struct {
	recs []journal.Record
	gaps map[int]error // before the record with this index, once
	next int
	err  error
	wait time.Duration // what one Next takes
}

func (s *script) Next(ctx context.Context) (journal.Record, error) {
	time.Sleep(s.wait)
	if err := s.gaps[s.next]; err != nil {
		delete(s.gaps, s.next)
		return journal.Record{}, err
	}
	s.next++
	if len(s.recs) == 0 {
		return journal.Record{}, s.err
	}
	rec := s.recs[0]
	s.recs = s.recs[1:]
	return rec, nil
}

// recorded makes data records of stream 1 with payload "x" at the given times.
func recorded(at ...time.Duration) *script {
	s := &script{err: io.EOF}
	for i, d := range at {
		s.recs = append(s.recs, journal.Record{Seq: uint64(i), Time: int64(time.Hour + d), Kind: journal.KindData, Stream: 1, Payload: []byte("x")})
	}
	return s
}

// clock notes when records are delivered, from the first call on.
type clock struct {
	start time.Time
	seen  []time.Duration
	seqs  []uint64
	cost  time.Duration // what one delivery takes
}

func (c *clock) sink(rec journal.Record) error {
	if c.start.IsZero() {
		c.start = time.Now()
	}
	c.seen = append(c.seen, time.Since(c.start))
	c.seqs = append(c.seqs, rec.Seq)
	time.Sleep(c.cost)
	return nil
}

// run is Run on any source.
func run(ctx context.Context, src source, sink Sink, opts *Options) (Report, error) {
	return newPlayer(sink, opts).run(ctx, src)
}

func TestRunKeepsTheSchedule(t *testing.T) {
	tests := []struct {
		name string
		src  *script
		opts *Options
		cost time.Duration // of a delivery
		want []time.Duration
		late time.Duration // the latest
	}{
		{name: "no pauses", src: recorded(0, time.Second, time.Hour), want: []time.Duration{0, 0, 0}},
		{name: "as recorded", src: recorded(0, time.Second, time.Hour), opts: &Options{Speed: 1}, want: []time.Duration{0, time.Second, time.Hour}},
		{name: "ten times", src: recorded(0, time.Second, time.Hour), opts: &Options{Speed: 10}, want: []time.Duration{0, 100 * ms, 6 * time.Minute}},
		{
			name: "gaps cut", src: recorded(0, time.Second, time.Hour, time.Hour+time.Second), opts: &Options{Speed: 1, MaxGap: 5 * time.Second},
			want: []time.Duration{0, time.Second, 6 * time.Second, 7 * time.Second},
		},
		{
			name: "a slow sink does not shift what comes after", src: recorded(0, ms, 2*ms, time.Second), opts: &Options{Speed: 1}, cost: 10 * ms,
			want: []time.Duration{0, 10 * ms, 20 * ms, time.Second}, late: 18 * ms,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := clock{cost: test.cost}
				n := len(test.src.recs)
				report, err := run(t.Context(), test.src, c.sink, test.opts)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(c.seen, test.want) {
					t.Errorf("delivered at %v, want %v", c.seen, test.want)
				}
				if report.Records != uint64(n) || report.Bytes != uint64(n) || report.LastSeq != uint64(n-1) {
					t.Errorf("report %+v, want %d records of 1 byte", report, n)
				}
				if report.Lateness.Max != test.late {
					t.Errorf("late by %v at most, want %v", report.Lateness.Max, test.late)
				}
				if want := c.seen[n-1] + test.cost; report.Elapsed != want {
					t.Errorf("elapsed %v, want %v", report.Elapsed, want)
				}
			})
		})
	}
}

// A reader that is slow to open its first block must not make the first record late: T0 is the first delivery.
func TestRunBeginsWithTheFirstDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := recorded(0, time.Second)
		src.wait = 100 * ms
		var c clock
		report, err := run(t.Context(), src, c.sink, &Options{Speed: 1})
		if err != nil || report.Lateness.Max != 0 || report.Elapsed != time.Second+src.wait {
			t.Errorf("report %+v, error %v; want no lateness in 1.1s", report, err)
		}
	})
}

func TestRunFilterAndEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := recorded(0, time.Second, 2*time.Second, 3*time.Second, 4*time.Second)
		src.recs = slices.Insert(src.recs, 4, journal.Record{Seq: 4, Kind: journal.KindLoss, Time: 1})
		src.recs = slices.Insert(src.recs, 1, journal.Record{Seq: 1, Kind: journal.KindStream, Time: int64(900 * time.Hour)})
		var c clock
		report, err := run(t.Context(), src, c.sink, &Options{
			Speed: 1, LastSeq: 3, Filter: func(rec journal.Record) bool { return rec.Seq >= 1 },
		})
		if err != nil {
			t.Fatal(err)
		}
		if want := []uint64{1, 1, 2, 3}; !slices.Equal(c.seqs, want) {
			t.Errorf("delivered %v, want %v: the stream definition, then 1 to 3", c.seqs, want)
		}
		if want := []time.Duration{0, 0, time.Second, 2 * time.Second}; !slices.Equal(c.seen, want) {
			t.Errorf("delivered at %v, want %v", c.seen, want)
		}
		if report.Control != 1 || report.Records != 3 || report.FirstSeq != 1 || report.Recorded() != 2*time.Second {
			t.Errorf("report %+v", report)
		}
	})
}

// A reader that follows would wait for ever after the last record that is wanted.
func TestRunReadsNothingBehindItsEnd(t *testing.T) {
	src := recorded(0, 1, 2, 3)
	src.err = errors.New("read behind the end")
	src.recs[3].Seq = 5 // 3 and 4 are lost
	report, err := run(t.Context(), &script{recs: src.recs[:3], err: src.err}, new(clock).sink, &Options{LastSeq: 2})
	if err != nil || report.Records != 3 {
		t.Errorf("to the last: %d records, error %v; want 3", report.Records, err)
	}
	report, err = run(t.Context(), src, new(clock).sink, &Options{LastSeq: 4})
	if err != nil || report.Records != 3 || report.LastSeq != 2 {
		t.Errorf("to one that is lost: %d records, error %v; want 3", report.Records, err)
	}
}

func TestRunFlushesBeforeItSleeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, flushed := time.Now(), []time.Duration(nil)
		_, err := run(t.Context(), recorded(0, 0, time.Second, time.Second), func(journal.Record) error { return nil }, &Options{
			Speed: 1, BeforeWait: func() error { flushed = append(flushed, time.Since(start)); return nil },
		})
		if err != nil || !slices.Equal(flushed, []time.Duration{0}) {
			t.Errorf("flushed at %v, error %v; want once, before the only pause", flushed, err)
		}
	})
}

func TestRunErrors(t *testing.T) {
	broken := errors.New("broken")
	ok := func(journal.Record) error { return nil }
	fail := func(err error) Sink { return func(journal.Record) error { return err } }
	tests := []struct {
		name string
		src  *script
		sink Sink
		opts *Options
		want error
	}{
		{name: "the source's", src: &script{err: broken}, sink: ok, want: broken},
		{name: "the sink's", src: recorded(0, 1), sink: fail(broken), want: broken},
		{name: "the sink's, also io.EOF", src: recorded(0, 1), sink: fail(io.EOF), want: io.EOF},
		{
			name: "the flush's", src: recorded(0, 1), sink: ok, want: broken,
			opts: &Options{Speed: 1, BeforeWait: func() error { return broken }},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if _, err := run(t.Context(), test.src, test.sink, test.opts); !errors.Is(err, test.want) {
					t.Errorf("error %v, want %v", err, test.want)
				}
			})
		})
	}
}

// A gap is told and counted, and the schedule goes on behind it. A sequence that is given again ends the replay.
func TestRunGoesOnBehindGaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gap := journal.Gap{FirstSeq: 1, LastSeq: 4}
		var c clock
		var told []journal.Gap
		src := recorded(0, time.Second)
		src.gaps = map[int]error{1: &journal.GapError{Gap: gap}, 2: &journal.GapError{Gap: journal.Gap{FirstSeq: 9, LastSeq: math.MaxUint64}}}
		report, err := run(t.Context(), src, c.sink, &Options{Speed: 1, Gap: func(g journal.Gap) error { told = append(told, g); return nil }})
		if err != nil || report.Gaps != 2 || report.Missing != 4 || len(told) != 2 || told[0] != gap || !slices.Equal(c.seen, []time.Duration{0, time.Second}) {
			t.Errorf("report %+v, error %v, told %v, delivered at %v", report, err, told, c.seen)
		}
		broken := errors.New("broken")
		for _, test := range []struct{ met, want error }{{&journal.GapError{Gap: gap}, broken}, {&journal.ReissueError{Epoch: 2}, &journal.ReissueError{}}} {
			src := recorded(0, time.Second)
			src.gaps = map[int]error{1: test.met}
			report, err = run(t.Context(), src, c.sink, &Options{Gap: func(journal.Gap) error { return broken }})
			if !errors.Is(err, test.want) && !errors.Is(err, test.met) || report.Records != 1 {
				t.Errorf("%v gives %v after %d records", test.met, err, report.Records)
			}
		}
	})
}

func TestRunIsCancelledInAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(90*time.Minute, func() { cancel(cause) })
		var c clock
		start := time.Now()
		report, err := run(ctx, recorded(0, time.Hour, 2*time.Hour), c.sink, &Options{Speed: 1})
		if !errors.Is(err, cause) || report.Records != 2 || time.Since(start) != 90*time.Minute {
			t.Errorf("error %v after %v and %d records; want the cause after 90 minutes and 2 records", err, time.Since(start), report.Records)
		}
	})
}

// follower waits for a record that never comes, as a reader that follows does.
type follower struct{}

func (follower) Next(ctx context.Context) (journal.Record, error) {
	<-ctx.Done()
	return journal.Record{}, ctx.Err()
}

func TestRunIsCancelledWhileItFollows(t *testing.T) {
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(ms, func() { cancel(cause) })
	if _, err := run(ctx, follower{}, new(clock).sink, nil); !errors.Is(err, cause) {
		t.Errorf("error %v, want the cause", err)
	}
}

func TestRunIsCancelledWithoutPauses(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	report, err := run(ctx, recorded(0, 0, 0), func(journal.Record) error { cancel(); return nil }, nil)
	if !errors.Is(err, context.Canceled) || report.Records != 1 {
		t.Errorf("error %v after %d records, want context.Canceled after 1", err, report.Records)
	}
}

func TestRunPanicsOnImpossibleOptions(t *testing.T) {
	nan := 0.0
	nan /= nan
	for _, opts := range []Options{
		{Speed: -1}, {Speed: nan}, {MaxGap: -1}, {Rate: -1}, {Rate: nan}, {Rate: 1, Speed: 1}, {Loops: 2}, {Loops: -1},
		{Late: LateDrop + 1}, {Tolerance: -1},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("options %+v: no panic", opts)
				}
			}()
			run(t.Context(), recorded(), nil, &opts)
		}()
	}
}

// forever gives the same record for ever.
type forever struct{ rec journal.Record }

func (f *forever) Next(context.Context) (journal.Record, error) { return f.rec, nil }

func TestRunDoesNotAllocatePerRecord(t *testing.T) {
	const n = 10_000
	got := testing.AllocsPerRun(5, func() {
		left := n
		_, err := run(t.Context(), &forever{rec: journal.Record{Kind: journal.KindData, Stream: 1}}, func(journal.Record) error {
			if left--; left == 0 {
				return io.EOF
			}
			return nil
		}, &Options{Speed: 1})
		if err != io.EOF {
			t.Fatal(err)
		}
	})
	if got > 20 {
		t.Errorf("%v allocations for %d records, want those of one run only", got, n)
	}
}
