package sizing

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
)

const ms = int64(time.Millisecond)

// event is a record of 1000-byte frames, or a loss of some.
type event struct {
	at   int64 // ms
	n    int   // records at that time
	loss *journal.Loss
}

func overload(records uint64, from, to int64) *journal.Loss {
	return &journal.Loss{Records: records, Bytes: records * 984, From: from * ms, To: to * ms, Reason: journal.LossOverload}
}

// Worked out by hand: a frame is 984 + 16 = 1000 bytes.
func TestAdvise(t *testing.T) {
	start := time.Date(2026, 11, 21, 9, 30, 0, 0, time.UTC).UnixNano()
	for _, tc := range []struct {
		name   string
		stall  time.Duration
		events []event
		peaks  [5]uint64 // 1 ms, 10 ms, 100 ms, 1 s, 10 s
		burst  uint64
		ring   int64
		steps  int
	}{
		{name: "nothing", ring: 4096},
		{name: "one record", events: []event{{at: 0, n: 1}}, peaks: [5]uint64{1000, 1000, 1000, 1000, 1000}, burst: 1000, ring: 4096},
		{name: "a burst in a trickle", events: []event{{0, 1, nil}, {400, 1, nil}, {800, 30, nil}, {805, 20, nil}, {850, 10, nil}, {2000, 1, nil}, {9000, 1, nil}, {60000, 1, nil}},
			peaks: [5]uint64{30_000, 50_000, 60_000, 62_000, 64_000}, burst: 62_000, ring: 131072},
		{name: "both ends of a window belong to it", events: []event{{0, 1, nil}, {1, 1, nil}, {12, 1, nil}, {23, 1, nil}, {1000, 1, nil}},
			peaks: [5]uint64{2000, 2000, 4000, 5000, 5000}, burst: 5000, ring: 16384},
		{name: "a longer stall", stall: 30 * time.Second, events: []event{{0, 10, nil}, {15000, 10, nil}, {29000, 10, nil}},
			peaks: [5]uint64{10_000, 10_000, 10_000, 10_000, 10_000}, burst: 30_000, ring: 65536},
		{name: "overload counts as offered", events: []event{{0, 20, nil}, {30, 0, overload(50, 10, 30)}, {40, 1, nil}},
			peaks: [5]uint64{20_000, 26_000, 71_000, 71_000, 71_000}, burst: 71_000, ring: 262144},
		{name: "a long overload, as a whole", events: []event{{0, 20, nil}, {20100, 0, overload(400, 100, 20100)}},
			peaks: [5]uint64{20_000, 20_000, 20_000, 20_000, 200_000}, burst: 400_000, ring: 1 << 20},
		{name: "a loss of unknown size, and of other reasons", events: []event{{0, 1, nil}, {1, 0, &journal.Loss{Reason: journal.LossSource}},
			{2, 0, &journal.Loss{Records: 9, Bytes: 9, Reason: journal.LossWrite}}}, peaks: [5]uint64{1000, 1000, 1000, 1000, 1000}, burst: 1000, ring: 4096},
		{name: "a record that was too large", events: []event{{0, 1, nil}, {1, 0, &journal.Loss{Records: 1, Bytes: 99_984, Reason: journal.LossTooLarge}}},
			peaks: [5]uint64{1000, 1000, 1000, 1000, 1000}, burst: 1000, ring: 524288},
		{name: "a record that no ring can take", events: []event{{0, 1, nil}, {1, 0, &journal.Loss{Records: 1, Bytes: 99_999_984, Reason: journal.LossTooLarge}}},
			peaks: [5]uint64{1000, 1000, 1000, 1000, 1000}, burst: 1000, ring: 4096},
		{name: "a little late", events: []event{{0, 10, nil}, {500, 10, nil}, {400, 10, nil}},
			peaks: [5]uint64{20_000, 20_000, 20_000, 30_000, 30_000}, burst: 30_000, ring: 65536},
		{name: "the clock is set back within a burst", events: []event{{3600_000, 10, nil}, {3600_005, 10, nil}, {0, 10, nil}, {5, 10, nil}, {10, 5, nil}},
			peaks: [5]uint64{20_000, 40_000, 45_000, 45_000, 45_000}, burst: 45_000, ring: 131072, steps: 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			stall := tc.stall
			if stall == 0 {
				stall = DefaultStall
			}
			m := NewMeter(stall)
			for _, e := range tc.events {
				if e.loss != nil {
					l := *e.loss
					l.From, l.To = l.From+start, l.To+start
					m.Loss(l)
				}
				for range e.n {
					m.Record(start+e.at*ms, 984)
				}
			}
			a := m.Advise()
			for i, p := range a.Peaks {
				if p.Bytes != tc.peaks[i] || p.Seconds != Windows[i].Seconds() {
					t.Errorf("within %v: %d bytes, want %d", Windows[i], p.Bytes, tc.peaks[i])
				}
			}
			if a.Burst.Bytes != tc.burst || a.Ring != tc.ring || a.ClockSteps != tc.steps || a.TooMuch {
				t.Errorf("%+v, want a burst of %d, a ring of %d, %d steps", a, tc.burst, tc.ring, tc.steps)
			}
			if tc.burst > 0 && (a.Margin < Margin || a.Margin != float64(a.Ring)/float64(tc.burst)) {
				t.Errorf("margin %v", a.Margin)
			}
		})
	}
}

func TestTooMuch(t *testing.T) {
	m := NewMeter(time.Second)
	m.Record(0, 984)
	m.Loss(*overload(1_000_000, 0, 10))
	if a := m.Advise(); !a.TooMuch || a.Ring != 1<<30 || a.Overlong(time.Second) {
		t.Errorf("%+v", a)
	}
	m.Loss(*overload(1, 10, 2000))
	if a := m.Advise(); !a.Overlong(time.Second) || a.Overlong(2*time.Second) {
		t.Errorf("%+v", a)
	}
}

// What a window finds lies between the true peaks of its width and of 1.001
// times that, and its memory is bounded.
func TestWindowAgainstAll(t *testing.T) {
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 1))
		w := window{width: time.Duration(rng.Int64N(int64(time.Second)) + int64(time.Millisecond))}
		var times []int64
		at := rng.Int64N(math.MaxInt64/2) - math.MaxInt64/4
		for range 5000 {
			if rng.IntN(50) == 0 {
				at += rng.Int64N(3 * int64(w.width))
			}
			at += rng.Int64N(int64(w.width)/200 + 1)
			times = append(times, at)
			w.add(at, at, 7)
		}
		low, high := most(times, int64(w.width)), most(times, int64(w.width)+int64(w.width)/grains+1)
		if got := int(w.peak / 7); got < low || got > high {
			t.Errorf("seed %d: %d in %v, want %d to %d", seed, got, w.width, low, high)
		}
		if n := cap(w.steps); n > 4*(grains+1) {
			t.Errorf("seed %d: memory for %d steps", seed, n)
		}
	}
}

// most is how many of the times lie within width, by looking at all.
func most(times []int64, width int64) (most int) {
	for i, t := range times {
		j, _ := slices.BinarySearch(times[i:], t+width+1)
		most = max(most, j)
	}
	return most
}

// Whatever times an archive has, measuring ends and counts each byte once at most.
func TestWildTimes(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	wild := []int64{math.MinInt64, math.MinInt64 + 1, -1, 0, 1, math.MaxInt64 - 1, math.MaxInt64}
	m := NewMeter(MinStall)
	for range 10_000 {
		m.Record(wild[rng.IntN(len(wild))], 984)
		m.Loss(journal.Loss{Records: rng.Uint64(), Bytes: rng.Uint64(), From: wild[rng.IntN(len(wild))], To: wild[rng.IntN(len(wild))], Reason: journal.LossOverload})
	}
	if a := m.Advise(); a.Burst.Bytes > m.bytes+m.lostBytes || a.Peaks[4].Bytes > m.bytes+m.lostBytes {
		t.Errorf("%+v", a)
	}
}
