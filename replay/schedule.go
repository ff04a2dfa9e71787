package replay

import (
	"math"
	"time"
)

// stepBack is how far a stream's own time must go back to count as a stepped clock. Shared producers take their time before they claim, so
// that their records can be out of order by microseconds; a machine under load can stretch that to milliseconds.
const stepBack = 100 * time.Millisecond

// schedule says when records are due. All durations are of the replay, counted from T0.
type schedule struct {
	speed  float64 // above 0; not used with a rate
	rate   float64 // records per second; 0 = as recorded
	maxGap time.Duration

	started bool
	taken   uint64           // records so far
	origin  int64            // time of the first record
	high    int64            // latest time of a record since the clock was last stepped back; it is due at front
	shift   time.Duration    // added to every due time: negative by gaps cut, positive by clock steps and lateness
	front   time.Duration    // latest due time so far
	last    map[uint16]int64 // time of each stream's last record in this pass

	gapsCut    uint64
	gapTime    time.Duration // sum of what was cut
	clockSteps uint64
}

// due takes the next record in journal order and says when it is due. Journal order is kept, so a record whose time lies before that of one
// already taken is due together with it.
func (s *schedule) due(stream uint16, t int64) time.Duration {
	if !s.started {
		s.started, s.origin, s.high, s.last = true, t, t, make(map[uint16]int64)
	}
	last, known := s.last[stream]
	s.last[stream] = t
	stepped := known && subSat(last, t) > int64(stepBack) && subSat(s.high, t) > int64(stepBack)
	if stepped {
		s.clockSteps++
		s.high = t
	}
	s.high = max(s.high, t)
	if s.rate > 0 {
		s.front = max(s.front, addSat(duration(float64(s.taken)/s.rate*1e9), s.shift))
		s.taken++
		return s.front
	}
	ahead := time.Duration(subSat(int64(s.at(t)), int64(s.front)))
	if stepped {
		s.shift = addSat(s.shift, -ahead)
		ahead = 0
	}
	if s.maxGap > 0 && ahead > s.maxGap {
		s.gapsCut++
		s.gapTime = addSat(s.gapTime, ahead-s.maxGap)
		s.shift = addSat(s.shift, s.maxGap-ahead)
		ahead = s.maxGap
	}
	s.front = addSat(s.front, max(ahead, 0))
	return s.front
}

// delay moves the record taken last, and all after it, by d.
func (s *schedule) delay(d time.Duration) {
	s.shift = addSat(s.shift, d)
	s.front = addSat(s.front, d)
}

// newPass forgets what the streams' times were: those of another pass are no steps of a clock.
func (s *schedule) newPass() { clear(s.last) }

// at maps a time of the recording onto the replay.
func (s *schedule) at(t int64) time.Duration { return addSat(s.scale(subSat(t, s.origin)), s.shift) }

// scale maps a duration of the recording onto the replay. Speed 1 is exact; others are within a part in 2^52.
func (s *schedule) scale(ns int64) time.Duration {
	if s.speed == 1 {
		return time.Duration(ns)
	}
	return duration(float64(ns) / s.speed)
}

// duration is ns, held at the ends of int64.
func duration(ns float64) time.Duration {
	switch {
	case ns >= math.MaxInt64:
		return math.MaxInt64
	case ns <= math.MinInt64:
		return math.MinInt64
	}
	return time.Duration(ns)
}

// subSat is a − b, held at the ends of int64: times come from files and may be anything.
func subSat(a, b int64) int64 {
	d := a - b
	switch {
	case a >= 0 && b < 0 && d < 0:
		return math.MaxInt64
	case a < 0 && b > 0 && d >= 0:
		return math.MinInt64
	}
	return d
}

// addSat is a + b, held at the ends.
func addSat(a, b time.Duration) time.Duration {
	d := a + b
	switch {
	case a > 0 && b > 0 && d < 0:
		return math.MaxInt64
	case a < 0 && b < 0 && d >= 0:
		return math.MinInt64
	}
	return d
}
