package sizing

import (
	"math/bits"
	"time"
)

// Peak is the most that came within some time.
type Peak struct {
	Seconds float64 `json:"seconds"`
	Bytes   uint64  `json:"bytes"`   // of frames
	UnixNs  int64   `json:"unix_ns"` // time of the record at which it was reached
}

// Advice is what a Meter has found.
type Advice struct {
	Records      uint64  `json:"records"`
	Bytes        uint64  `json:"frame_bytes"`
	LargestFrame int     `json:"largest_frame_bytes"`
	Peaks        []Peak  `json:"peaks"`       // of Windows
	Burst        Peak    `json:"worst_burst"` // what a stall would have had to hold, losses to overload included
	Ring         int64   `json:"ring_bytes"`  // advised; a power of two
	Margin       float64 `json:"margin"`      // Ring is so many times the burst
	TooMuch      bool    `json:"too_much"`    // no ring is that large: the disk, or its share of it, is too slow for the stream

	LostRecords    uint64  `json:"overload_lost_records"`
	LostBytes      uint64  `json:"overload_lost_frame_bytes"`
	LongestSeconds float64 `json:"overload_longest_seconds"` // first to last record that one loss record counts
	ClockSteps     int     `json:"clock_steps_back"`
}

// Advise makes up the advice.
func (m *Meter) Advise() Advice {
	a := Advice{
		Records: m.records, Bytes: m.bytes, LargestFrame: m.largest, Burst: m.stall.found(),
		LostRecords: m.lostRecords, LostBytes: m.lostBytes, LongestSeconds: m.longest.Seconds(), ClockSteps: m.steps,
	}
	for i := range m.windows {
		a.Peaks = append(a.Peaks, m.windows[i].found())
	}
	want := max(Margin*a.Burst.Bytes, largestTimes*uint64(m.largest), minRing)
	a.TooMuch = want > maxRing
	a.Ring = 1 << bits.Len64(min(want, maxRing)-1)
	if a.Burst.Bytes > 0 {
		a.Margin = float64(a.Ring) / float64(a.Burst.Bytes)
	}
	return a
}

// Overlong reports whether an overload lasted longer than the stall that was
// sized for: then the ring must be larger than the one that overflowed, whatever
// the advice.
func (a *Advice) Overlong(stall time.Duration) bool { return a.LongestSeconds > stall.Seconds() }

func (w *window) found() Peak { return Peak{w.width.Seconds(), w.peak, w.at} }
