package feed

import (
	"math/rand/v2"
	"time"
)

const (
	burstOneIn = 400 // frames, on average, between the starts of bursts
	burstMin   = 10  // frames in the shortest burst
	burstMax   = 200 // frames in the longest
)

// schedule gives each frame its due time, absolute from the start. Frame i is
// due at i/rate; a burst is a run of frames that are all due with its first, and
// is followed by the silence that it saved up, so the mean rate holds.
type schedule struct {
	rate  float64 // frames per second; 0: everything is due at once
	rng   *rand.Rand
	i     uint64
	burst int           // frames left in the burst
	due   time.Duration // of the burst's first frame
}

func newSchedule(rate float64, rng *rand.Rand) schedule {
	return schedule{rate: rate, rng: rng}
}

func (s *schedule) next() time.Duration {
	if s.rate <= 0 {
		return 0
	}
	i := s.i
	s.i++
	if s.burst > 0 {
		s.burst--
		return s.due
	}
	s.due = time.Duration(float64(i) / s.rate * float64(time.Second))
	if s.rng.IntN(burstOneIn) == 0 {
		s.burst = burstMin + s.rng.IntN(burstMax-burstMin)
	}
	return s.due
}
