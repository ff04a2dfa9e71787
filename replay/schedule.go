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
	speed  float64
	maxGap time.Duration

	started bool
	origin  int64            // time of the first record
	shift   time.Duration    // added to every due time: negative by gaps cut, positive by clock steps
	front   time.Duration    // latest due time so far
	last    map[uint16]int64 // time of each stream's last record

	gapsCut    uint64
	gapTime    time.Duration // sum of what was cut
	clockSteps uint64
}

// due takes the next record in journal order and says when it is due. Journal order is kept, so a record whose time lies before that of one
// already taken is due together with it.
func (s *schedule) due(stream uint16, t int64) time.Duration {
	if !s.started {
		s.started, s.origin, s.last = true, t, make(map[uint16]int64)
	}
	last, known := s.last[stream]
	s.last[stream] = t
	ahead := time.Duration(subSat(int64(s.at(t)), int64(s.front)))
	if known && subSat(last, t) > int64(stepBack) && -ahead > s.scale(int64(stepBack)) {
		s.clockSteps++
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

// at maps a time of the recording onto the replay.
func (s *schedule) at(t int64) time.Duration { return addSat(s.scale(subSat(t, s.origin)), s.shift) }

// scale maps a duration of the recording onto the replay. Speed 1 is exact; others are within a part in 2^52.
func (s *schedule) scale(ns int64) time.Duration {
	if s.speed == 1 {
		return time.Duration(ns)
	}
	switch f := float64(ns) / s.speed; {
	case f >= math.MaxInt64:
		return math.MaxInt64
	case f <= math.MinInt64:
		return math.MinInt64
	default:
		return time.Duration(f)
	}
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
