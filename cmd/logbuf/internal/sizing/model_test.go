package sizing

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
)

// play lets arrivals, records of 984 bytes at each millisecond, meet a ring of
// that size whose archiver stands still where stalled says so. It feeds what the
// archive would have to m, if there is one, and returns how many were lost.
func play(arrivals []int, stalled []bool, ring int64, m *Meter) (lost uint64) {
	const frame = 1000
	used := int64(0)
	var open journal.Loss // a run of losses that the next record will be behind
	settle := func() {
		if open.Records > 0 && m != nil {
			m.Loss(open)
		}
		open = journal.Loss{}
	}
	for i, n := range arrivals {
		at := int64(i) * ms
		if !stalled[i] {
			used = 0
		}
		for range n {
			if used+frame > ring {
				if open.Records == 0 {
					open = journal.Loss{From: at, Reason: journal.LossOverload}
				}
				open.Records, open.Bytes, open.To = open.Records+1, open.Bytes+984, at
				lost++
				continue
			}
			settle()
			used += frame
			if m != nil {
				m.Record(at, 984)
			}
		}
	}
	settle()
	return lost
}

// What the advice is for: with the same arrivals and the same stalls, none longer
// than what was asked for, the ring advised loses nothing, whatever the ring was
// that the archive was recorded with.
func TestAdviceWouldHaveHeldIt(t *testing.T) {
	overflowed := 0
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 7))
		stall := 1 + rng.IntN(300)
		arrivals, stalled := make([]int, 4000), make([]bool, 4000)
		for i := range arrivals {
			arrivals[i] = rng.IntN(3)
			if rng.IntN(200) == 0 {
				arrivals[i] = rng.IntN(300)
			}
		}
		for i := 0; i < len(stalled); i += stall + 1 + rng.IntN(500) {
			for j := range 1 + rng.IntN(stall) {
				if i+j < len(stalled) {
					stalled[i+j] = true
				}
			}
		}
		m := NewMeter(time.Duration(stall) * time.Millisecond)
		if play(arrivals, stalled, 4096+rng.Int64N(1<<18), m) > 0 {
			overflowed++
		}
		a := m.Advise()
		if lost := play(arrivals, stalled, a.Ring, nil); lost > 0 {
			t.Errorf("seed %d: stalls to %d ms: a ring of %d loses %d records; %+v", seed, stall, a.Ring, lost, a)
		}
		// Not the margin, nor rounding up, makes it so.
		if lost := play(arrivals, stalled, int64(a.Burst.Bytes), nil); lost > 0 {
			t.Errorf("seed %d: stalls to %d ms: a ring of %d, the burst, loses %d records", seed, stall, a.Burst.Bytes, lost)
		}
	}
	if overflowed < 50 {
		t.Errorf("only %d of 200 recordings lost anything: the losses were not tested", overflowed)
	}
}
