//go:build logbuf_explore

package queue

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/explore"
	"github.com/nexus-logbuf/logbuf/internal/step"
)

// Two handles claim, one slot between them, while the consumer passes what it
// finds open. Each handle's counters are what its calls have answered, and the
// ring's are their sum.
func TestExploreClones(t *testing.T) {
	for _, how := range []string{"commit", "commitN", "abort", "write"} {
		t.Run(how, func(t *testing.T) {
			both(t, 2, func() explore.Program { return exploreClones(how) })
		})
	}
}

func exploreClones(how string) explore.Program {
	ring, c, _ := newMPSC(64, 24)
	ring.home.current.Load().slots = newSlots(ring.home.current.Load())[:1]
	handles := [2]*SharedProducer{ring.Clone(), ring.Clone()}
	var told [2]Stats
	o := &outcome{}
	done := last(2, ring)
	thread := func(i byte) func() {
		return func() {
			defer done()
			if how == "write" {
				rec := record(i, 0, 6)
				o.begins(rec)
				if err := handles[i].WriteTyped(1, rec); err != nil {
					o.fail("write: %v", err)
				}
				o.sent(rec)
				told[i].Records, told[i].Bytes = 1, 6
				return
			}
			cl, err := handles[i].TryClaim(6)
			if err != nil {
				o.fail("claim: %v", err)
				return
			}
			tell(o, &told[i], cl, i, how)
			cl.Abort() // of a settled claim
		}
	}
	return explore.Program{
		Threads: []func(){thread(0), thread(1), func() {
			for !c.Drained() {
				o.pin(c)
				if rec, ok := c.Next(); ok {
					o.got = append(o.got, bytes.Clone(rec))
				} else if !c.PassStalled(0) && !c.Drained() {
					step.Yield()
				}
			}
			c.Release()
		}},
		Check: func() error {
			if err := o.check(c); err != nil {
				return err
			}
			return checkTold(ring, c, handles, told, how)
		},
	}
}

// tell settles cl and notes the answer.
func tell(o *outcome, told *Stats, cl Claim, i byte, how string) {
	ok, n := false, 6
	switch how {
	case "abort":
		cl.Abort()
		return
	case "commitN":
		n = 3
	}
	rec := record(i, 0, n)
	copy(cl.Bytes(), rec)
	if ok = cl.CommitN(n); !ok {
		told.Abandoned = 1
		return
	}
	o.sent(rec)
	told.Records, told.Bytes = 1, uint64(n)
}

func checkTold(ring *SharedProducer, c *Consumer, handles [2]*SharedProducer, told [2]Stats, how string) error {
	var sum Stats
	for i, p := range handles {
		s := p.Stats()
		sum = sum.add(s)
		want := told[i]
		want.HighWater, want.Padding = s.HighWater, s.Padding // nobody is told
		switch {
		case how == "abort" && s.Aborts == 0: // it came too late
			want.Abandoned = 1
		case how == "abort":
			want.Aborts = 1
		case how == "write": // passed, and written again
			want.Abandoned = s.Abandoned
		}
		if s != want {
			return fmt.Errorf("handle %d: %+v, was told %+v", i, s, want)
		}
	}
	if total := ring.Stats(); total != sum || total != c.Stats() {
		return fmt.Errorf("the ring has counted %+v, its handles %+v", total, sum)
	}
	return nil
}
