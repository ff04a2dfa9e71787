package sizing

import (
	"math/bits"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
)

// Windows are the widths that a Meter looks at besides the stall.
var Windows = []time.Duration{time.Millisecond, 10 * time.Millisecond, 100 * time.Millisecond, time.Second, 10 * time.Second}

// Limits and defaults.
const (
	DefaultStall = time.Second
	MinStall     = time.Millisecond
	MaxStall     = time.Hour

	// Hold is how much earlier than the latest a record may be without the clock
	// having been set back.
	Hold = time.Second

	// Margin is what the worst burst is multiplied with.
	Margin = 2

	minRing = 4 << 10
	maxRing = 1 << 30
	// A ring should take this many of its largest records.
	largestTimes = 4
)

// Meter measures one stream. Its memory grows with the records that lie within
// its windows, up to 256 KiB.
type Meter struct {
	windows [5]window // of Windows
	stall   window

	begun  bool
	latest int64 // time, with shift
	shift  int64 // makes up for steps of the clock
	steps  int

	records, bytes uint64
	largest        int // frame

	lostRecords, lostBytes uint64        // to overload; bytes of frames
	longest                time.Duration // of the overloads
}

// NewMeter makes a meter for stalls of that length, MinStall to MaxStall.
func NewMeter(stall time.Duration) *Meter {
	m := &Meter{stall: window{width: stall}}
	for i, w := range Windows {
		m.windows[i].width = w
	}
	return m
}

// Record counts a record: its time in nanoseconds, and its payload's length.
// Records come by time, as far as the reader can order them.
func (m *Meter) Record(t int64, payload int) {
	n := journal.FrameLen(payload)
	m.records++
	m.bytes += uint64(n)
	m.largest = max(m.largest, n)
	at := m.monotonic(t)
	for i := range m.windows {
		m.windows[i].add(at, t, uint64(n))
	}
	m.stall.add(at, t, uint64(n))
}

// Loss counts a loss record, by the time of its end, among the records.
func (m *Meter) Loss(l journal.Loss) {
	if l.Records == 0 {
		return // of unknown size
	}
	each := journal.FrameLen(int(min((l.Bytes+l.Records-1)/l.Records, journal.DefaultMaxBlock)))
	if l.Reason == journal.LossTooLarge && each <= journal.DefaultMaxBlock {
		m.largest = max(m.largest, each)
	}
	high, bytes := bits.Mul64(l.Records, uint64(each))
	if l.Reason != journal.LossOverload || high != 0 || bytes > 1<<50 {
		return // or no loss record that a recorder writes
	}
	m.lostRecords += l.Records
	m.lostBytes += bytes
	span := time.Duration(max(l.To-l.From, 0))
	m.longest = max(m.longest, span)
	at := m.monotonic(l.To)
	m.stall.add(at, l.To, bytes)
	for i := range m.windows {
		w := &m.windows[i]
		share := bytes
		if span > w.width { // it came evenly, as far as anybody knows
			share = uint64(float64(bytes) * float64(w.width) / float64(span))
		}
		w.add(at, l.To, share)
	}
}

// monotonic is a time that does not go back by more than Hold: behind a clock
// that was set back, time goes on from where it was.
func (m *Meter) monotonic(t int64) int64 {
	t += m.shift
	switch {
	case !m.begun || t >= m.latest:
		m.begun, m.latest = true, t
	case uint64(m.latest)-uint64(t) > uint64(Hold):
		m.steps++
		m.shift += m.latest - t // wraps around like the sum above
		t = m.latest
	}
	return t
}
