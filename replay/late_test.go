package replay

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
)

// The sink takes 100 ms for the second record; records come every 20 ms.
func TestRunLatePolicies(t *testing.T) {
	tests := []struct {
		name string
		opts Options
		want []time.Duration
		seqs []uint64
		rep  Report // Dropped, Shifts, ShiftTime, Lateness.Max
	}{
		{
			name: "catch up", seqs: []uint64{0, 1, 2, 3, 4, 5, 6, 7},
			want: []time.Duration{0, 20 * ms, 120 * ms, 120 * ms, 120 * ms, 120 * ms, 120 * ms, 140 * ms},
			rep:  Report{Lateness: Lateness{Max: 80 * ms}},
		},
		{
			name: "shift", opts: Options{Late: LateShift}, seqs: []uint64{0, 1, 2, 3, 4, 5, 6, 7},
			want: []time.Duration{0, 20 * ms, 120 * ms, 140 * ms, 160 * ms, 180 * ms, 200 * ms, 220 * ms},
			rep:  Report{Shifts: 1, ShiftTime: 80 * ms, Lateness: Lateness{Max: 80 * ms}},
		},
		{
			name: "shift, where no pause is long enough to be cut", opts: Options{Late: LateShift, MaxGap: 30 * ms}, seqs: []uint64{0, 1, 2, 3, 4, 5, 6, 7},
			want: []time.Duration{0, 20 * ms, 120 * ms, 140 * ms, 160 * ms, 180 * ms, 200 * ms, 220 * ms},
			rep:  Report{Shifts: 1, ShiftTime: 80 * ms, Lateness: Lateness{Max: 80 * ms}},
		},
		{
			name: "drop", opts: Options{Late: LateDrop}, seqs: []uint64{0, 1, 6, 7},
			want: []time.Duration{0, 20 * ms, 120 * ms, 140 * ms},
			rep:  Report{Dropped: 4, DroppedBytes: 4},
		},
		{
			name: "drop what is later than 50 ms", opts: Options{Late: LateDrop, Tolerance: 50 * ms}, seqs: []uint64{0, 1, 4, 5, 6, 7},
			want: []time.Duration{0, 20 * ms, 120 * ms, 120 * ms, 120 * ms, 140 * ms},
			rep:  Report{Dropped: 2, DroppedBytes: 2, Lateness: Lateness{Max: 40 * ms}},
		},
		{
			name: "shift within the tolerance", opts: Options{Late: LateShift, Tolerance: 80 * ms}, seqs: []uint64{0, 1, 2, 3, 4, 5, 6, 7},
			want: []time.Duration{0, 20 * ms, 120 * ms, 120 * ms, 120 * ms, 120 * ms, 120 * ms, 140 * ms},
			rep:  Report{Lateness: Lateness{Max: 80 * ms}},
		},
	}
	for _, test := range tests {
		for _, rate := range []float64{0, 50} { // a fixed rate of 50/s is the same schedule
			t.Run(test.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					test.opts.Speed, test.opts.Rate = 1, rate
					src := recorded(0, 20*ms, 40*ms, 60*ms, 80*ms, 100*ms, 120*ms, 140*ms)
					if rate > 0 {
						test.opts.Speed = 0
						src = recorded(0, 0, time.Hour, 0, 0, -time.Hour, 0, 1)
					}
					var c clock
					rep, err := run(t.Context(), src, func(rec journal.Record) error {
						c.cost = 0
						if rec.Seq == 1 {
							c.cost = 100 * ms
						}
						return c.sink(rec)
					}, &test.opts)
					if err != nil {
						t.Fatal(err)
					}
					if !slices.Equal(c.seen, test.want) || !slices.Equal(c.seqs, test.seqs) {
						t.Errorf("rate %v: delivered %v at %v, want %v at %v", rate, c.seqs, c.seen, test.seqs, test.want)
					}
					got := Report{Dropped: rep.Dropped, DroppedBytes: rep.DroppedBytes, Shifts: rep.Shifts, ShiftTime: rep.ShiftTime, Lateness: Lateness{Max: rep.Lateness.Max}}
					if got != test.rep || rep.Records != uint64(len(test.seqs)) {
						t.Errorf("rate %v: report %+v, want %+v", rate, got, test.rep)
					}
				})
			})
		}
	}
}

// Dropping fragments one by one would make continuations of nothing, and messages of other messages' parts.
func TestMessagesAreDroppedWhole(t *testing.T) {
	const (
		fin = journal.FlagFinal
		out = journal.FlagOutbound
	)
	type rec struct {
		stream uint16
		flags  uint8
		on     bool // in time
		want   bool
	}
	tests := []struct {
		name string
		recs []rec
	}{
		{name: "whole messages", recs: []rec{{1, 1 | fin, true, true}, {1, 1 | fin, false, false}, {1, 2 | fin, true, true}}},
		{name: "dropped from its start", recs: []rec{{1, 1, false, false}, {1, 0, true, false}, {1, fin, true, false}, {1, 1 | fin, true, true}}},
		{name: "kept from its start", recs: []rec{{1, 2, true, true}, {1, 0, false, true}, {1, fin, false, true}, {1, 1 | fin, false, false}}},
		{name: "control frames between fragments", recs: []rec{{1, 1, true, true}, {1, 9 | fin, false, false}, {1, 10 | fin, true, true}, {1, fin, false, true}}},
		{name: "streams and directions", recs: []rec{
			{1, 1, true, true}, {2, 1, false, false}, {1, 1 | out, false, false}, {1, fin, false, true}, {2, fin, true, false}, {1, fin | out, true, false},
		}},
		{name: "a message that never ended", recs: []rec{{1, 1, true, true}, {1, 1, false, false}, {1, fin, true, false}, {1, 1, false, false}, {1, 1 | fin, true, true}, {1, fin, true, true}}},
		{name: "no opcodes at all", recs: []rec{{1, 0, true, true}, {1, 0, false, false}, {1, fin, true, true}, {1, fin, false, false}}},
	}
	for _, test := range tests {
		m := make(messages)
		for i, r := range test.recs {
			if got := m.keep(journal.Record{Kind: journal.KindData, Stream: r.stream, Flags: r.flags}, r.on); got != r.want {
				t.Errorf("%s: record %d kept: %v, want %v", test.name, i, got, r.want)
			}
		}
		if len(m) != 0 && test.name != "streams and directions" {
			t.Errorf("%s: %d messages are still open", test.name, len(m))
		}
	}
	m := make(messages)
	m.keep(journal.Record{Kind: journal.KindData, Flags: 1}, false)
	if !m.keep(journal.Record{Kind: 5}, true) || m.keep(journal.Record{Kind: 5, Flags: fin}, false) {
		t.Error("records of a user's kind are taken for fragments")
	}
}

func TestRunDropsWholeMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := recorded(0, 20*ms, 30*ms, 100*ms, 130*ms)
		for i, flags := range []uint8{1 | journal.FlagFinal, 1, 9 | journal.FlagFinal, journal.FlagFinal, 1 | journal.FlagFinal} {
			src.recs[i].Flags = flags
		}
		c := clock{}
		rep, err := run(t.Context(), src, func(rec journal.Record) error {
			c.cost = 0
			if rec.Seq <= 1 {
				c.cost = 100 * ms
			}
			return c.sink(rec)
		}, &Options{Speed: 1, Late: LateDrop, Tolerance: 90 * ms})
		// 0 at 0, 1 (opens a message) at 100, late by 80; 2 at 200, late by 170: dropped; 3 ends the message, late by 100; 4 late by 70.
		if want := []uint64{0, 1, 3, 4}; err != nil || !slices.Equal(c.seqs, want) || rep.Dropped != 1 {
			t.Errorf("delivered %v, %d dropped, error %v; want %v", c.seqs, rep.Dropped, err, want)
		}
	})
}
