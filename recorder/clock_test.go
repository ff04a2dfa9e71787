package recorder

import (
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
	paced "github.com/nexus-logbuf/logbuf/replay"
)

// setClock makes the recorder's wall clock one that a test can set: it is ahead
// of the system's by what set holds.
func setClock(r *Recorder) (set *atomic.Int64) {
	set = new(atomic.Int64)
	read := r.clock.read
	r.clock.read = func() (int64, time.Duration) {
		wall, since := read()
		return wall + set.Load(), since
	}
	return set
}

// startSet is startFake with a wall clock that can be set.
func startSet(f archive) (r *Recorder, set *atomic.Int64) {
	o, _ := (*Options)(nil).withDefaults()
	r = newRecorder(f, o)
	set = setClock(r)
	go newArchiver(r).run()
	return r, set
}

// The wall clock is followed, whatever it does; from clockStep on that is
// recorded.
func TestClockFollowsTheWallClock(t *testing.T) {
	tests := []struct {
		name  string
		by    time.Duration
		known bool // followed
		step  bool // recorded
	}{
		{"noise", clockNoise, false, false},
		{"slewed", clockNoise + 1, true, false},
		{"slewed back", -clockNoise - 1, true, false},
		{"almost a step", clockStep - 1, true, false},
		{"a step", clockStep, true, true},
		{"a step back", -clockStep, true, true},
		{"years", 30 * 365 * 24 * time.Hour, true, true},
		{"to before 1970", -80 * 365 * 24 * time.Hour, true, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRecorder(new(fakeArchive), Options{})
				c, set := &r.clock, setClock(r)
				c.look()
				time.Sleep(clockTrust - 1)
				set.Store(int64(test.by))
				if d := c.now() - time.Now().UnixNano(); d != 0 {
					t.Errorf("before the look the clock is off by %d ns", d)
				}
				time.Sleep(time.Nanosecond)
				if d := c.now() - time.Now().UnixNano(); d != int64(test.by) {
					t.Errorf("long after a look the wall clock is asked, off by %d ns", d)
				}
				c.look()
				want := int64(0)
				if test.known {
					want = int64(test.by)
				}
				if d := c.now() - time.Now().UnixNano(); d != want {
					t.Errorf("off by %d ns, want %d", d, want)
				}
				wantPending, wantSteps := int64(0), uint64(0)
				if test.step {
					wantPending, wantSteps = int64(test.by), 1
				}
				if c.pending != wantPending || c.steps.Load() != wantSteps {
					t.Errorf("pending %d, %d steps, want %d and %d", c.pending, c.steps.Load(), wantPending, wantSteps)
				}
				set.Store(0)
				c.rest()
				if d := c.now() - time.Now().UnixNano(); d != 0 {
					t.Errorf("at rest the wall clock is asked, off by %d ns", d)
				}
			})
		})
	}
}

// A look that is interrupted between the two clocks' readings does not take
// that for a step.
func TestInterruptedLookIsNoStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(new(fakeArchive), Options{})
		c, n := &r.clock, 0
		c.read = func() (int64, time.Duration) {
			wall := time.Now().UnixNano()
			if n++; n%3 != 0 {
				time.Sleep(time.Second)
			}
			return wall, time.Since(c.base)
		}
		for range 10 {
			c.look()
			if d := c.now() - time.Now().UnixNano(); d != 0 || c.pending != 0 {
				t.Fatalf("off by %d ns, pending %d", d, c.pending)
			}
		}
	})
}

// times is the records' times, in seconds from start, and the clock records'
// as step.
func times(t *testing.T, records []journal.Record, start time.Time) (seconds []int, steps []journal.ClockStep, at []int) {
	t.Helper()
	for _, rec := range records {
		switch rec.Kind {
		case journal.KindClock:
			s, err := journal.ParseClock(rec.Payload)
			if err != nil || rec.Time != s.After || rec.Stream != 0 {
				t.Errorf("clock record %+v: %v", rec, err)
			}
			steps = append(steps, s)
			at = append(at, len(seconds))
		case journal.KindData:
			seconds = append(seconds, int(time.Unix(0, rec.Time).Sub(start)/time.Second))
		}
	}
	return seconds, steps, at
}

// A step while the archiver sleeps is met at once: the next record has the new
// time, and the clock record is before it.
func TestStepWhileAsleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := new(fakeArchive)
		start := time.Now()
		r, set := startSet(f)
		p := mustProducer(t, r, "a", nil)
		for i := range 4 {
			time.Sleep(10 * time.Second)
			if i == 2 {
				set.Store(int64(-time.Hour))
			}
			mustWrite(t, p, "x")
			synctest.Wait()
		}
		mustClose(t, r)
		seconds, steps, at := times(t, f.all(), start)
		if !slices.Equal(seconds, []int{10, 20, 30 - 3600, 40 - 3600}) || !slices.Equal(at, []int{2}) {
			t.Fatalf("times %v, clock records at %v", seconds, at)
		}
		after := start.Add(30*time.Second - time.Hour).UnixNano()
		if want := (journal.ClockStep{Before: after + int64(time.Hour), After: after}); steps[0] != want {
			t.Errorf("step %+v, want %+v", steps[0], want)
		}
		if n := r.Stats().ClockSteps; n != 1 {
			t.Errorf("%d steps counted", n)
		}
	})
}

// An archiver that never sleeps looks every second.
func TestStepWhileAwake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := new(fakeArchive)
		f.before = func(int, []byte) (int, error) { time.Sleep(10 * time.Millisecond); return 0, nil }
		start := time.Now()
		r, set := startSet(f)
		p := mustProducer(t, r, "a", nil)
		for i := range 1000 { // 5 s
			mustWrite(t, p, "x")
			if i == 500 {
				set.Store(int64(time.Hour))
			}
			time.Sleep(5 * time.Millisecond)
		}
		mustClose(t, r)
		_, steps, at := times(t, f.all(), start)
		if len(steps) != 1 || at[0] < 500 || at[0] > 710 {
			t.Errorf("%d clock records, the first behind record %d", len(steps), at)
		}
	})
}

// While a write stands still for minutes nobody compares the clocks, and the
// wall clock is asked. The clock record is before what has new times.
func TestStepWhileAWriteHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := new(fakeArchive)
		f.before = func(n int, _ []byte) (int, error) {
			if n == 0 {
				time.Sleep(5 * time.Minute)
			}
			return 0, nil
		}
		start := time.Now()
		r, set := startSet(f)
		p, q := mustProducer(t, r, "a", nil), mustProducer(t, r, "b", nil)
		mustWrite(t, p, "x")
		synctest.Wait() // it is being written
		for _, by := range []time.Duration{0, time.Hour, time.Hour} {
			time.Sleep(time.Minute)
			set.Store(int64(by))
			mustWrite(t, q, "x")
		}
		mustClose(t, r)
		seconds, steps, at := times(t, f.all(), start)
		if !slices.Equal(seconds, []int{0, 60, 3720, 3780}) || len(steps) != 1 || at[0] != 1 {
			t.Errorf("times %v, clock records at %v", seconds, at)
		}
	})
}

// A step that is found when the recorder is closed is recorded, before what has
// new times.
func TestStepAtClose(t *testing.T) {
	for _, write := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			f := new(fakeArchive)
			r, set := startSet(f)
			p := mustProducer(t, r, "a", nil)
			time.Sleep(2 * dozeFor)
			synctest.Wait() // the archiver sleeps
			set.Store(int64(time.Hour))
			if write {
				mustWrite(t, p, "x")
			}
			mustClose(t, r)
			_, steps, at := times(t, f.all(), time.Now())
			if n := r.Stats().ClockSteps; n != 1 || len(steps) != 1 || at[0] != 0 {
				t.Errorf("%d steps counted, %d recorded at %v", n, len(steps), at)
			}
		})
	}
}

// While the disk is full the archiver goes on looking; the steps that it met are
// one record then.
func TestStepsOnAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFullDisk()
		start := time.Now()
		r, set := startSet(&f.fakeArchive)
		p := mustProducer(t, r, "a", nil)
		f.full.Store(true)
		mustWrite(t, p, "0")
		for _, by := range []time.Duration{time.Hour, time.Minute, 2 * time.Hour} {
			time.Sleep(3 * time.Second)
			set.Store(int64(by))
		}
		time.Sleep(3 * time.Second)
		mustWrite(t, p, "1")
		f.full.Store(false)
		time.Sleep(time.Second)
		mustClose(t, r)
		seconds, steps, at := times(t, f.all(), start)
		if !slices.Equal(seconds, []int{0, 7200 + 12}) || !slices.Equal(at, []int{1}) || steps[0].After-steps[0].Before != int64(2*time.Hour) {
			t.Errorf("times %v, clock records at %v: %+v", seconds, at, steps)
		}
		if n := r.Stats().ClockSteps; n != 3 {
			t.Errorf("%d steps counted", n)
		}
	})
}

// A real archive whose clock went back by an hour: a reader finds the step where
// it was, seeks by time on both sides of it, and a replay keeps its pace.
func TestStepInAnArchive(t *testing.T) {
	dir := t.TempDir()
	o, err := (*Options)(nil).withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	w, err := journal.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := newRecorder(w, o)
	set := setClock(r)
	go newArchiver(r).run()
	p := mustProducer(t, r, "a", nil)
	write := func(s string) {
		t.Helper()
		mustWrite(t, p, s)
		if err := p.WaitDurable(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	write("0")
	write("1")
	set.Store(int64(-time.Hour))
	for r.Stats().ClockSteps == 0 { // a second, or until the archiver has slept
		write("2")
	}
	write("3")
	mustClose(t, r)

	records, ids := readAll(t, dir)
	_, steps, at := times(t, records, time.Now())
	if len(steps) != 1 || time.Duration(steps[0].Before-steps[0].After).Round(time.Second) != time.Hour {
		t.Fatalf("clock records %+v", steps)
	}
	data := replay(t, records, ids["a"]).data
	last, first := at[0]-1, at[0] // before the step and behind it
	if data[first].Time > steps[0].After+int64(time.Minute) {
		first++ // it was in its lane when the archiver looked at the clock, and has the old one's time
	}
	for i, want := range map[int]uint64{last: data[last].Seq, first: 0} {
		rd, err := journal.OpenReader(dir, &journal.ReaderOptions{FromTime: data[i].Time})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := rd.Next(t.Context()); err != nil || got.Seq != want {
			t.Errorf("from the time of record %d on: %+v, %v; want sequence %d", i, got, err, want)
		}
		_ = rd.Close()
	}
	rd, err := journal.OpenReader(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close()
	n := 0
	report, err := paced.Run(t.Context(), rd, func(journal.Record) error { n++; return nil }, &paced.Options{Speed: 1})
	if err != nil || report.ClockSteps != 1 || n != len(data) {
		t.Errorf("replay: %+v, %d records of %d, %v", report, n, len(data), err)
	}
}
