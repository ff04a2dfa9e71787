package replay

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
)

// loop runs passes over what again gives.
func loop(ctx context.Context, again func() (source, error), sink Sink, opts Options) (Report, error) {
	opts.Reopen = func() (*journal.Reader, error) { panic("not used") }
	p := newPlayer(sink, &opts)
	p.reopen = again
	src, err := again()
	if err != nil {
		return Report{}, err
	}
	return p.run(ctx, src)
}

func TestRunLoops(t *testing.T) {
	tests := []struct {
		name  string
		at    []time.Duration
		opts  Options
		want  []time.Duration // delivered, after the first
		times []time.Duration // as shown, after the first
	}{
		{
			name: "a mean interval between passes", at: []time.Duration{0, 10 * ms, 40 * ms}, opts: Options{Speed: 1, Loops: 3},
			want:  []time.Duration{0, 10 * ms, 40 * ms, 60 * ms, 70 * ms, 100 * ms, 120 * ms, 130 * ms, 160 * ms},
			times: []time.Duration{0, 10 * ms, 40 * ms, 60 * ms, 70 * ms, 100 * ms, 120 * ms, 130 * ms, 160 * ms},
		},
		{
			name: "twice as fast", at: []time.Duration{0, 10 * ms, 40 * ms}, opts: Options{Speed: 2, Loops: 2},
			want:  []time.Duration{0, 5 * ms, 20 * ms, 30 * ms, 35 * ms, 50 * ms},
			times: []time.Duration{0, 10 * ms, 40 * ms, 60 * ms, 70 * ms, 100 * ms},
		},
		{
			name: "without pauses", at: []time.Duration{0, 10 * ms}, opts: Options{Loops: 2},
			want: []time.Duration{0, 0, 0, 0}, times: []time.Duration{0, 10 * ms, 20 * ms, 30 * ms},
		},
		{
			name: "a fixed rate", at: []time.Duration{0, time.Hour}, opts: Options{Rate: 100, Loops: 2},
			want: []time.Duration{0, 10 * ms, 20 * ms, 30 * ms}, times: []time.Duration{0, time.Hour, 2 * time.Hour, 3 * time.Hour},
		},
		{
			name: "gaps are cut in each pass", at: []time.Duration{0, time.Hour}, opts: Options{Speed: 1, MaxGap: 10 * ms, Loops: 2},
			want: []time.Duration{0, 10 * ms, 20 * ms, 30 * ms}, times: []time.Duration{0, time.Hour, 2 * time.Hour, 3 * time.Hour},
		},
		{
			name: "a clock that was stepped back", at: []time.Duration{0, time.Hour, 0, 10 * ms}, opts: Options{Speed: 1, MaxGap: 10 * ms, Loops: 2},
			want:  []time.Duration{0, 10 * ms, 10 * ms, 20 * ms, 20*ms + 10*ms/3, 30*ms + 10*ms/3, 30*ms + 10*ms/3, 40*ms + 10*ms/3},
			times: []time.Duration{0, time.Hour, 0, 10 * ms, 10*ms + 10*ms/3, time.Hour + 10*ms + 10*ms/3, 10*ms + 10*ms/3, 20*ms + 10*ms/3},
		},
		{name: "one record", at: []time.Duration{0}, opts: Options{Speed: 1, Loops: 3}, want: []time.Duration{0, 0, 0}, times: []time.Duration{0, 0, 0}},
		{name: "no record", opts: Options{Speed: 1, Loops: -1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var c clock
				var times []time.Duration
				rep, err := loop(t.Context(), func() (source, error) { return recorded(test.at...), nil }, func(rec journal.Record) error {
					times = append(times, time.Duration(rec.Time)-time.Hour)
					return c.sink(rec)
				}, test.opts)
				if err != nil || !slices.Equal(c.seen, test.want) || !slices.Equal(times, test.times) {
					t.Errorf("error %v; delivered at %v, want %v; times %v, want %v", err, c.seen, test.want, times, test.times)
				}
				if n := max(1, len(test.at)); rep.Passes != uint64(len(test.want)/n) {
					t.Errorf("%d passes, want %d", rep.Passes, len(test.want)/n)
				}
			})
		})
	}
}

// closing is a source that notes that it was closed.
type closing struct {
	*script
	closed *int
}

func (c closing) Close() error { *c.closed++; return nil }

// A journal that is followed in a loop for ever ends with its context; what Reopen gave is closed, what Run was given is not.
func TestRunLoopsForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 95*ms)
		defer cancel()
		opened, closed := 0, 0
		rep, err := loop(ctx, func() (source, error) {
			opened++
			return closing{recorded(0, 10*ms), &closed}, nil
		}, new(clock).sink, Options{Speed: 1, Loops: -1})
		if !errors.Is(err, context.DeadlineExceeded) || rep.Records != 10 || rep.Passes != 6 {
			t.Errorf("%d records in %d passes, error %v; want 10, the sixth pass begun, and the deadline", rep.Records, rep.Passes, err)
		}
		if opened != 6 || closed != 5 {
			t.Errorf("%d opened, %d closed; want 6, and all closed but the first", opened, closed)
		}
	})
}

// A loop of records that are filtered out must not spin for ever, and control records of a later pass have that pass's times.
func TestRunLoopsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rep, err := loop(t.Context(), func() (source, error) { return recorded(0, ms), nil }, new(clock).sink,
			Options{Loops: -1, Filter: func(journal.Record) bool { return false }})
		if err != nil || rep.Records != 0 || rep.Passes != 0 {
			t.Errorf("nothing wanted: report %+v, error %v", rep, err)
		}
		broken := errors.New("broken")
		passes := 0
		var marks []int64
		_, err = loop(t.Context(), func() (source, error) {
			if passes++; passes > 2 {
				return nil, broken
			}
			src := recorded(0, time.Second)
			src.recs = slices.Insert(src.recs, 0, journal.Record{Kind: journal.KindMark, Time: int64(time.Hour)})
			return src, nil
		}, func(rec journal.Record) error {
			if rec.Kind == journal.KindMark {
				marks = append(marks, rec.Time-int64(time.Hour))
			}
			return nil
		}, Options{Loops: -1})
		if !errors.Is(err, broken) || !slices.Equal(marks, []int64{0, int64(2 * time.Second)}) {
			t.Errorf("error %v, marks at %v; want that of Reopen, marks at 0 and 2 s", err, marks)
		}
	})
}

func TestRunAtARate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c clock
		rep, err := run(t.Context(), recorded(0, time.Hour, 0, -time.Hour), c.sink, &Options{Rate: 3, MaxGap: ms})
		third := time.Second / 3
		if want := []time.Duration{0, third, 2 * third, time.Second}; err != nil || len(c.seen) != 4 || c.seen[3] != want[3] || c.seen[1] != want[1] {
			t.Errorf("delivered at %v, error %v; want %v", c.seen, err, want)
		}
		if rep.GapsCut != 0 || rep.Elapsed != time.Second {
			t.Errorf("a fixed rate has no gaps to cut and starts at once: %+v", rep)
		}
	})
}

func TestToWriter(t *testing.T) {
	var b bytes.Buffer
	sink := ToWriter(&b)
	for _, rec := range []journal.Record{
		{Kind: journal.KindData, Payload: []byte("one")}, {Kind: journal.KindMark, Payload: []byte("\x01no")}, {Kind: 7, Payload: []byte("two")},
	} {
		if err := sink(rec); err != nil {
			t.Fatal(err)
		}
	}
	if b.String() != "onetwo" {
		t.Errorf("wrote %q", b.String())
	}
	if err := ToWriter(errWriter{})(journal.Record{Kind: journal.KindData}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("error %v", err)
	}
}

type errWriter struct{}

func (errWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// What is no clock step in the first pass is none in the second: a stream that is new behind another's times, here, and whose last times were
// from before the one step there is.
func TestLoopsForgetTimesOfStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		again := func() (source, error) {
			src := recorded(0, 2*time.Hour, time.Hour, 2*time.Hour, 0, 10*ms)
			src.recs[2].Stream, src.recs[3].Stream = 2, 2
			return src, nil
		}
		rep, err := loop(t.Context(), again, new(clock).sink, Options{Speed: 1, Loops: 3})
		if err != nil || rep.ClockSteps != 3 {
			t.Errorf("%d clock steps in 3 passes, error %v; want 1 in each", rep.ClockSteps, err)
		}
	})
}
