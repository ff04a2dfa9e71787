package replay

import (
	"math"
	"testing"
	"time"
)

const ms = time.Millisecond

func TestScheduleDue(t *testing.T) {
	type rec struct {
		stream uint16
		at     time.Duration // since the origin of the recording
	}
	tests := []struct {
		name   string
		speed  float64
		maxGap time.Duration
		recs   []rec
		want   []time.Duration
		cut    uint64
		steps  uint64
	}{
		{name: "as recorded", speed: 1, recs: []rec{{1, 0}, {1, 10 * ms}, {1, 35 * ms}}, want: []time.Duration{0, 10 * ms, 35 * ms}},
		{name: "ten times", speed: 10, recs: []rec{{1, 0}, {1, 10 * ms}, {1, 35 * ms}}, want: []time.Duration{0, ms, 3500 * time.Microsecond}},
		{name: "half", speed: 0.5, recs: []rec{{1, 0}, {1, 10 * ms}}, want: []time.Duration{0, 20 * ms}},
		{
			name: "gaps are cut in time of the replay", speed: 10, maxGap: 50 * ms, cut: 2,
			recs: []rec{{1, 0}, {1, 500 * ms}, {1, 10500 * ms}, {1, 10600 * ms}, {1, 99 * time.Second}},
			want: []time.Duration{0, 50 * ms, 100 * ms, 110 * ms, 160 * ms},
		},
		{
			name: "lanes drained one after another are no clock step", speed: 1,
			recs: []rec{{1, 0}, {2, 0}, {1, 500 * ms}, {2, 3 * ms}, {2, 400 * ms}, {1, 600 * ms}},
			want: []time.Duration{0, 0, 500 * ms, 500 * ms, 500 * ms, 600 * ms},
		},
		{
			name: "a little back within a stream is no clock step", speed: 1,
			recs: []rec{{1, 0}, {1, 100 * ms}, {1, 1 * ms}, {1, 110 * ms}},
			want: []time.Duration{0, 100 * ms, 100 * ms, 110 * ms},
		},
		{
			name: "a clock stepped back moves the schedule once for all streams", speed: 1, steps: 1,
			recs: []rec{{1, 0}, {2, 1 * ms}, {1, 10 * ms}, {1, -time.Hour}, {2, -time.Hour + 5*ms}, {1, -time.Hour + 20*ms}},
			want: []time.Duration{0, 1 * ms, 10 * ms, 10 * ms, 15 * ms, 30 * ms},
		},
		{
			name: "a clock stepped back at ten times the speed", speed: 10, steps: 1,
			recs: []rec{{1, 0}, {1, 100 * ms}, {1, -time.Hour}, {1, -time.Hour + 100*ms}},
			want: []time.Duration{0, 10 * ms, 10 * ms, 20 * ms},
		},
		{
			name: "a first record later than the next of another stream", speed: 1,
			recs: []rec{{1, 0}, {2, -time.Second}, {2, 5 * ms}},
			want: []time.Duration{0, 0, 5 * ms},
		},
	}
	const origin = int64(1_763_717_400_000_000_000)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := schedule{speed: test.speed, maxGap: test.maxGap}
			for i, r := range test.recs {
				if got := s.due(r.stream, origin+int64(r.at)); got != test.want[i] {
					t.Errorf("record %d at %v is due at %v, want %v", i, r.at, got, test.want[i])
				}
			}
			if s.gapsCut != test.cut || s.clockSteps != test.steps {
				t.Errorf("%d gaps cut, %d clock steps; want %d, %d", s.gapsCut, s.clockSteps, test.cut, test.steps)
			}
		})
	}
}

// Times come from files: whatever they are, due times never go back and nothing overflows into the past.
func TestScheduleHostileTimes(t *testing.T) {
	times := []int64{0, math.MaxInt64, math.MinInt64, -1, 1, math.MaxInt64 - 1, math.MinInt64 + 1, 1 << 62, -1 << 62}
	for _, speed := range []float64{1, 1e-300, 1e300, 10} {
		for _, maxGap := range []time.Duration{0, 1, time.Second, math.MaxInt64} {
			for start := range times {
				s := schedule{speed: speed, maxGap: maxGap}
				front := time.Duration(0)
				for i := range 3 * len(times) {
					due := s.due(uint16(i%2), times[(start+i*i)%len(times)])
					if due < front {
						t.Fatalf("speed %v, max gap %v: due went back from %v to %v", speed, maxGap, front, due)
					}
					if maxGap > 0 && due-front > maxGap {
						t.Fatalf("speed %v, max gap %v: a pause of %v", speed, maxGap, due-front)
					}
					front = due
				}
			}
		}
	}
}

// A day in steps of a microsecond at an odd speed: the last due time is that of one multiplication, not of 86 million
// roundings.
func TestScheduleDoesNotDrift(t *testing.T) {
	s := schedule{speed: 3}
	const n = 1_000_000
	var due time.Duration
	for i := range int64(n) {
		due = s.due(1, i*86_400)
	}
	if want := time.Duration(int64(n-1) * 86_400 / 3); due != want {
		t.Errorf("due at %v, want %v", due, want)
	}
}

func TestSaturatingArithmetic(t *testing.T) {
	const lo, hi = math.MinInt64, math.MaxInt64
	slow, fast := schedule{speed: 1e-9}, schedule{speed: 1e9}
	for _, test := range []struct {
		s    schedule
		ns   int64
		want time.Duration
	}{{slow, 1e12, hi}, {slow, -1e12, lo}, {fast, 5e9, 5}, {fast, 1, 0}, {schedule{speed: 0.5}, 3, 6}} {
		if got := test.s.scale(test.ns); got != test.want {
			t.Errorf("%d ns at speed %v take %d ns, want %d", test.ns, test.s.speed, got, test.want)
		}
	}
	for _, test := range []struct{ a, b, want int64 }{
		{5, 3, 2}, {hi, -1, hi}, {0, lo, hi}, {lo, 1, lo}, {-1, hi, lo}, {-2, hi, lo}, {lo, lo, 0}, {hi, hi, 0}, {-1, lo, hi},
	} {
		if got := subSat(test.a, test.b); got != test.want {
			t.Errorf("subSat(%d, %d) = %d, want %d", test.a, test.b, got, test.want)
		}
	}
	for _, test := range []struct{ a, b, want time.Duration }{
		{2, 3, 5}, {hi, 1, hi}, {lo, -1, lo}, {lo, hi, -1}, {hi, hi, hi}, {lo, lo, lo},
	} {
		if got := addSat(test.a, test.b); got != test.want {
			t.Errorf("addSat(%d, %d) = %d, want %d", test.a, test.b, got, test.want)
		}
	}
}
