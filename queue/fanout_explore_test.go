//go:build logbuf_explore

package queue

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/explore"
	"github.com/nexus-logbuf/logbuf/internal/step"
)

// The first byte of a record is the worker it must reach: outcome.check then
// checks each worker's records as it does each producer's.

func TestExploreFanOut(t *testing.T) {
	for _, inTurn := range []bool{false, true} {
		t.Run(fmt.Sprintf("in turn %v", inTurn), func(t *testing.T) {
			bothSome(t, 1, func() explore.Program { return exploreFanOut(inTurn) })
		})
	}
}

// exploreFanOut sends three records; a lane holds one of them.
func exploreFanOut(inTurn bool) explore.Program {
	f, cs, _ := newFanOut(2, 64, 0)
	o := [2]*outcome{{}, {}}
	send := func(w, i byte) {
		rec := record(w, i, 40)
		send := func() error { return f.SendNext(1, rec) }
		if !inTurn {
			key := keyOf(f, int(w))
			o[w].sent(rec)
			send = func() error { return f.Send(key, 1, rec) }
		}
		err := send()
		for ; err == ErrFull; err = send() {
			step.Yield()
		}
		if err != nil {
			o[w].fail("send: %v", err)
		}
	}
	return explore.Program{
		Threads: []func(){
			func() {
				send(0, 0)
				send(1, 0)
				send(0, 1)
				f.Close()
			},
			o[0].reading(cs[0], "next"),
			o[1].reading(cs[1], "next"),
		},
		Check: func() error {
			if inTurn {
				return checkInTurn(o, 3)
			}
			for w, c := range cs {
				if err := o[w].check(c); err != nil {
					return fmt.Errorf("worker %d: %w", w, err)
				}
			}
			return nil
		},
	}
}

// checkInTurn checks that the workers have got n whole records between them,
// none twice, and each in the order of sending.
func checkInTurn(o [2]*outcome, n int) error {
	seen := map[string]bool{}
	for w, o := range o {
		if o.err != nil {
			return o.err
		}
		last := -1
		for _, rec := range o.got {
			at := int(rec[1])*2 + int(rec[0])
			if at <= last || seen[string(rec)] {
				return fmt.Errorf("worker %d: %x", w, o.got)
			}
			if !bytes.Equal(rec, record(rec[0], rec[1], 40)) {
				return fmt.Errorf("worker %d: record %x", w, rec)
			}
			last, seen[string(rec)] = at, true
		}
	}
	if len(seen) != n {
		return fmt.Errorf("%d of %d records arrived", len(seen), n)
	}
	return nil
}

// A producer, a forwarder and a worker: what the lane refuses is not lost, nor
// given back before it is copied.
func TestExploreForward(t *testing.T) {
	both(t, 1, func() explore.Program {
		p, c, _ := newSPSC(64, 0)
		f, cs, _ := newFanOut(1, 64, 0)
		o := &outcome{}
		return explore.Program{
			Threads: []func(){
				func() {
					for i, n := range []int{16, 40} { // neither ring holds both
						rec := record(1, byte(i), n)
						o.sent(rec)
						if err := write(p, rec); err != nil {
							o.fail("write: %v", err)
						}
					}
					p.Close()
				},
				func() {
					for !c.Drained() {
						n, err := f.Forward(c, 2, nil)
						if err != nil && err != ErrFull {
							o.fail("forward: %v", err)
						}
						if n == 0 && !c.Drained() {
							step.Yield()
						}
					}
					f.Close()
				},
				o.reading(cs[0], "next"),
			},
			Check: func() error {
				if c.head != c.pos {
					return fmt.Errorf("source: head %d, pos %d", c.head, c.pos)
				}
				return o.check(cs[0])
			},
		}
	})
}
