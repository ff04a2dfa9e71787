package monitor

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/capture"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/source"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
)

var start = time.Unix(1_700_000_000, 0)

// well is a recording that keeps up.
func well() *capture.Snapshot {
	return &capture.Snapshot{
		Stats: recorder.Stats{
			Streams: []recorder.StreamStats{
				{Name: "btc", ProducerStats: recorder.ProducerStats{Records: 100, LaneCapacity: 1 << 18}},
				{Name: "eth", ProducerStats: recorder.ProducerStats{Records: 100, LaneCapacity: 1 << 18}},
			},
			Lag: 3 * time.Millisecond, UndurableRecords: 7, UndurableBytes: 700,
		},
		Sources: []source.Status{{Name: "btc", State: source.Live, Connections: 1}, {Name: "eth", State: source.Waiting}},
	}
}

// lose books records that stream i has lost.
func lose(s *capture.Snapshot, i int, reason journal.LossReason, n uint64) {
	st := &s.Stats.Streams[i]
	st.Lost += n
	st.ByReason = append(st.ByReason, recorder.LossCount{Reason: reason, Records: n})
}

func TestKeepingUp(t *testing.T) {
	for _, tc := range []struct {
		name string
		opts journal.Options
		with func(*capture.Snapshot)
		want string // part of the only reason; empty: keeps up
	}{
		{"all is well", journal.Options{}, func(*capture.Snapshot) {}, ""},
		{"failed", journal.Options{}, func(s *capture.Snapshot) { s.Stats.Err = errors.New("fsync a.lbj: input/output error") }, "the recording has failed: fsync a.lbj: input/output error"},
		{"disk full", journal.Options{}, func(s *capture.Snapshot) { s.Stats.Journal.FullSince = start.Add(-90 * time.Second) }, "the disk has been full for 1m30s"},
		{"lag", journal.Options{}, func(s *capture.Snapshot) { s.Stats.Lag = 11 * time.Second }, "7 records (700 B) are not durable yet, the oldest for 11s; the limit is 10s"},
		{"lag that the policy makes", journal.Options{SyncEvery: time.Minute}, func(s *capture.Snapshot) { s.Stats.Lag = 2 * time.Minute }, ""},
		{"lag beyond it", journal.Options{SyncEvery: time.Minute}, func(s *capture.Snapshot) { s.Stats.Lag = 131 * time.Second }, "the limit is 2m10s"},
		{"lag that nobody minds", journal.Options{Sync: journal.SyncNone}, func(s *capture.Snapshot) { s.Stats.Lag = time.Hour }, ""},
		{"overload", journal.Options{}, func(s *capture.Snapshot) { lose(s, 1, journal.LossOverload, 12345) }, `12,345 records lost within the last minute, because the disk or this machine is too slow: 12,345 of "eth"`},
		{"overload of several", journal.Options{}, func(s *capture.Snapshot) {
			lose(s, 0, journal.LossOverload, 1)
			lose(s, 1, journal.LossWrite, 2)
			lose(s, 1, journal.LossStalled, 3)
		}, `6 records lost within the last minute, because the disk or this machine is too slow: 5 of "eth", the rest of 1 other stream`},
		{"what the source has lost", journal.Options{}, func(s *capture.Snapshot) { lose(s, 0, journal.LossSource, 5); lose(s, 0, journal.LossTooLarge, 5) }, ""},
		{"a short claim", journal.Options{}, func(s *capture.Snapshot) { s.Stats.Streams[0].StalledFor = time.Second }, ""},
		{"a stalled claim", journal.Options{}, func(s *capture.Snapshot) { s.Stats.Streams[0].StalledFor = 4 * time.Second }, `"btc": a claim has been open for 4s`},
		{"no source", journal.Options{}, func(s *capture.Snapshot) { s.Sources[0].State = source.Waiting }, "no source is connected (2 waiting)"},
		{"the only source left has gone", journal.Options{}, func(s *capture.Snapshot) { s.Sources[0].State = source.Ended }, "no source is connected (1 waiting, 1 ended)"},
		{"a name with a line break", journal.Options{}, func(s *capture.Snapshot) {
			s.Stats.Streams[0].Name, s.Stats.Streams[0].StalledFor = "a\nb", time.Minute
		}, `"a\nb": a claim`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := well()
			tc.with(s)
			got := NewChecker(&tc.opts).Look(start, s)
			if tc.want == "" && got != nil || tc.want != "" && (len(got) != 1 || !strings.Contains(got[0], tc.want) || strings.Contains(got[0], "\n")) {
				t.Errorf("reasons %q, want %q", got, tc.want)
			}
		})
	}
}

// A loss is a reason for a minute, however often somebody asks.
func TestLossIsForgotten(t *testing.T) {
	for _, every := range []time.Duration{time.Second, 10 * time.Millisecond, 20 * time.Second} {
		c, s := NewChecker(&journal.Options{}), well()
		c.Look(start, s)
		lose(s, 0, journal.LossOverload, 10)
		lost := start.Add(every)
		var last time.Duration
		for now := lost; now.Sub(lost) < 3*time.Minute; now = now.Add(every) {
			if c.Look(now, s) != nil {
				last = now.Sub(lost)
			}
			if len(c.looks) > 130 {
				t.Fatalf("%d looks are kept", len(c.looks))
			}
		}
		if last < lossMemory-every-lookEvery || last > lossMemory+every+lookEvery {
			t.Errorf("looking every %v: a reason until %v after the loss", every, last)
		}
	}
}

// Records that wait while none is written: a disk that does not answer.
func TestStill(t *testing.T) {
	c, s := NewChecker(&journal.Options{Sync: journal.SyncNone}), well()
	reasons := func(after time.Duration) []string { return c.Look(start.Add(after), s) }
	if r := reasons(0); r != nil {
		t.Error(r)
	}
	s.Stats.LagRecords = 40 // an idle recording that gets something to write
	if r := reasons(time.Hour); r != nil {
		t.Errorf("at once: %q", r)
	}
	if r := reasons(time.Hour + 11*time.Second); !slices.Equal(r, []string{"nothing was written for 11s, and 40 records wait in the rings"}) {
		t.Errorf("reasons %q", r)
	}
	s.Stats.Streams[0].Records++
	if r := reasons(time.Hour + 12*time.Second); r != nil {
		t.Errorf("when it goes on: %q", r)
	}
}
