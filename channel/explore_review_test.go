//go:build logbuf_explore

package channel

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/internal/explore"
	"github.com/nexus-logbuf/logbuf/internal/step"
)

// D: the receiver looks while a claim is between tail and mark, and sleeps with
// no alarm; the claim is leaked. Each alarm is simulated: where there is one,
// the receiver goes on when somebody has made a step; where there is none, it
// sleeps until it is woken.
func TestExploreStallAlarm(t *testing.T) {
	r := explored(t, explore.Options{Preemptions: 2}, func() explore.Program {
		tx, rx, _ := NewMPSC(128, &Options{StallLimit: time.Nanosecond})
		ring := rx.core.ring.(stalling)
		rx.core.again = func() (time.Duration, bool) {
			if _, ok := ring.Stalled(); !ok {
				return 0, false
			}
			if !ring.PassStalled(0) {
				step.Yield() // the alarm's sleep
			}
			return 0, true
		}
		got := 0
		return explore.Program{
			Threads: []func(){
				func() { tx.TryClaim(2) }, // leaked
				func() { tx.TrySend([]byte{1, 0}) },
				func() {
					if _, err := rx.Recv(context.Background()); err == nil {
						got++
					}
				},
			},
			Check: func() error {
				if got != 1 {
					return fmt.Errorf("got %d", got)
				}
				return nil
			},
		}
	})
	if r.Err != nil {
		t.Fatalf("run %d: %v\n%s", r.Runs, r.Err, r.Trace)
	}
}

func TestExploreFanInJoinClose(t *testing.T) {
	holds(t, 1, func() explore.Program {
		f, rx, _ := NewFanIn(64, nil)
		r := newReceiving()
		s1, _ := f.NewSender()
		return explore.Program{
			Threads: []func(){
				sending(r, 1, 1, s1),
				func() {
					if s, err := f.NewSender(); err == nil {
						sending(r, 2, 1, s)()
					}
				},
				func() { f.Close() },
				r.thread(func() ([]byte, error) { return rx.Recv(context.Background()) }),
			},
			Check: r.check,
		}
	})
}

func TestExplorePriorityCloneClose(t *testing.T) {
	holds(t, 2, func() explore.Program {
		txs, rx, _ := NewPriority(2, 64, nil)
		r := newReceiving()
		return explore.Program{
			Threads: []func(){
				func() {
					c := txs[0].Clone()
					txs[0].Close()
					sending(r, 1, 1, c)()
				},
				func() {
					txs[1].TryClaim(2)
					sending(r, 2, 1, txs[1])()
				},
				r.thread(func() ([]byte, error) {
					rec, err := rx.Recv(context.Background())
					_ = io.EOF
					return rec, err
				}),
			},
			Check: r.check,
		}
	})
}
