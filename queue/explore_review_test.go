//go:build logbuf_explore

package queue

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/internal/explore"
	"github.com/nexus-logbuf/logbuf/internal/step"
)

// G: what Due finds and holds back, it has seen: the grace runs.
func TestExploreDueSees(t *testing.T) {
	explored(t, explore.Options{Preemptions: 2}, func() explore.Program {
		f, _ := newFanInByTime(64, 0, time.Second, func() time.Duration { return 5 })
		p, _ := f.NewProducer()
		f.NewProducer() // empty: holds back
		var err error
		return explore.Program{
			Threads: []func(){
				func() { p.Write(binary.LittleEndian.AppendUint64(nil, 7)) },
				func() {
					if _, holds := f.Due(); holds && f.byTime.count == 0 {
						err = fmt.Errorf("Due holds a record back for the grace and has not noted when it was seen")
					}
				},
			},
			Check: func() error { return err },
		}
	})
}

// Two claims leaked one after the other, so two retirements, a slow producer and
// a Close. There are too many orders for all of them.
func TestExploreTwoRetirements(t *testing.T) {
	for _, closer := range []bool{false, true} {
		t.Run(fmt.Sprint(closer), func(t *testing.T) {
			explored(t, explore.Options{Preemptions: 2, MaxRuns: 50_000, Samples: 10_000}, func() explore.Program {
				p, c, _ := newMPSC(128, 24)
				o := &outcome{}
				leak, _ := p.TryClaim(1)
				_ = leak
				left := 2
				done := func() {
					if left--; left == 0 && !closer {
						p.Close()
					}
				}
				th := []func(){
					func() {
						defer done()
						p.TryClaim(2) // leaked; maybe in the second ring
						rec := record(1, 0, 3)
						o.begins(rec)
						if cl, err := p.TryClaim(12); err == nil {
							copy(cl.Bytes(), rec)
							if cl.CommitN(3) {
								o.sent(rec)
							}
						} else if err == ErrFull || !closer {
							o.fail("%v", err)
						}
					},
					func() {
						defer done()
						rec := record(2, 0, 4)
						o.begins(rec)
						if err := write(p, rec); err == nil {
							o.sent(rec)
						} else if !closer {
							o.fail("%v", err)
						}
						rec = record(2, 1, 4)
						o.begins(rec)
						if o.err == nil && len(o.want[2]) == 1 {
							if err := write(p, rec); err == nil {
								o.sent(rec)
							} else if !closer {
								o.fail("%v", err)
							}
						}
					},
					func() {
						last := c.Position()
						for !c.Drained() {
							o.pin(c)
							if at := c.Position(); int64(at-last) < 0 {
								o.fail("position %d behind %d", at, last)
							}
							last = c.Position()
							if rec, ok := c.Next(); ok {
								o.got = append(o.got, bytes.Clone(rec))
								continue
							}
							if !c.PassStalled(0) && !c.Drained() {
								step.Yield()
							}
						}
						c.Release()
					},
				}
				if closer {
					th = append(th, func() { p.Close() })
				}
				return explore.Program{Threads: th, Check: func() error { return o.check(c) }}
			})
		})
	}
}
