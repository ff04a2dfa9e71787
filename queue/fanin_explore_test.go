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

// readingFanIn reads to the end by one of the ways to read, and notes the lane
// of each record and whether it is late.
func (o *outcome) readingFanIn(f *FanIn, how string, got func(rec []byte)) func() {
	take := func(_ int32, rec []byte) { got(bytes.Clone(rec)) }
	return func() {
		for !f.Drained() {
			n := 0
			switch how {
			case "next":
				if rec, ok := f.Next(); ok {
					take(f.Type(), rec)
					n = 1
				}
			case "drain":
				n = f.Drain(2, take)
			case "peek":
				s := f.Peek(1 << 20)
				if n = s.Records(); n > 0 {
					walked := &outcome{}
					walked.walk(s)
					for _, rec := range walked.got {
						got(rec)
					}
					f.ReleaseTo(s.End())
				}
			}
			if n == 0 && !f.Drained() {
				step.Yield()
			}
		}
		f.Release()
	}
}

// checkFanIn is check for a FanIn: each lane's records in order, whole, once,
// no lane left, and all counted.
func (o *outcome) checkFanIn(f *FanIn) error {
	f.Next() // takes the last lanes away
	if n := len(f.lanes.Load().list); n != 0 {
		return fmt.Errorf("%d lanes left", n)
	}
	if len(f.order) != 0 || len(f.spans.list) != 0 {
		return fmt.Errorf("%d lanes and %d spans kept", len(f.order), len(f.spans.list))
	}
	if s := f.Stats(); s.Records != uint64(len(o.got)) {
		return fmt.Errorf("%d records counted, %d delivered", s.Records, len(o.got))
	}
	_, c, _ := newSPSC(64, 0) // an empty ring, for check
	return o.check(c)
}

// Two producers open their lanes, write and close them, while the FanIn is
// closed behind the last; a third comes too late, or not.
func TestExploreFanIn(t *testing.T) {
	for name, start := range exploredStarts {
		for _, how := range []string{"next", "drain", "peek"} {
			t.Run(name+"/"+how, func(t *testing.T) {
				both(t, 1, func() explore.Program {
					f := must(newFanIn(64, start))
					o := &outcome{}
					left := 2
					producer := func(id byte, sizes ...int) func() {
						return func() {
							p, err := f.NewProducer()
							if err != nil {
								o.fail("NewProducer: %v", err)
								return
							}
							for i, n := range sizes {
								rec := record(id, byte(i), n)
								o.sent(rec)
								if err := write(p, rec); err != nil {
									o.fail("write: %v", err)
								}
							}
							p.Close()
							if left--; left == 0 {
								f.Close()
							}
						}
					}
					return explore.Program{
						Threads: []func(){producer(1, 9, 40), producer(2, 14),
							o.readingFanIn(f, how, func(rec []byte) { o.got = append(o.got, rec) })},
						Check: func() error { return o.checkFanIn(f) },
					}
				})
			})
		}
	}
}

// NewProducer against Close: who is let in is read, who is not gets ErrClosed.
func TestExploreFanInClose(t *testing.T) {
	both(t, 2, func() explore.Program {
		f := must(newFanIn(64, 0))
		o := &outcome{}
		return explore.Program{
			Threads: []func(){
				func() {
					p, err := f.NewProducer()
					if err == ErrClosed {
						return
					}
					rec := record(1, 0, 9)
					o.sent(rec)
					if err := write(p, rec); err != nil {
						o.fail("write: %v", err)
					}
					p.Close()
				},
				func() { f.Close() },
				o.readingFanIn(f, "next", func(rec []byte) { o.got = append(o.got, rec) }),
			},
			Check: func() error { return o.checkFanIn(f) },
		}
	})
}

// stampedRecord is record with a timestamp in front.
func stampedRecord(at int64, p, i byte, n int) []byte {
	return append(binary.LittleEndian.AppendUint64(nil, uint64(at)), record(p, i, n)...)
}

// By time: with a grace longer than the run nothing is ever late, whatever the
// order of the accesses; with a short one, late is what comes behind a greater
// timestamp, and everything comes.
func TestExploreFanInByTime(t *testing.T) {
	for _, grace := range []time.Duration{3, 1 << 40} {
		for _, how := range []string{"next", "peek"} {
			t.Run(fmt.Sprintf("grace %d/%s", grace, how), func(t *testing.T) {
				both(t, 1, func() explore.Program {
					ticks := time.Duration(0)
					f := must(newFanInByTime(64, 40, grace, func() time.Duration { ticks++; return ticks }))
					o := &outcome{}
					last := int64(-1)
					left := 2
					a, b := must(f.NewProducer()), must(f.NewProducer())
					producer := func(p *Producer, id byte, at ...int64) func() {
						return func() {
							for i, at := range at {
								o.sent(record(id, byte(i), 5))
								if err := write(p, stampedRecord(at, id, byte(i), 5)); err != nil {
									o.fail("write: %v", err)
								}
							}
							p.Close()
							if left--; left == 0 {
								f.Close()
							}
						}
					}
					return explore.Program{
						Threads: []func(){producer(a, 1, 10, 30), producer(b, 2, 20, 30), o.readingFanIn(f, how, func(rec []byte) {
							at := int64(binary.LittleEndian.Uint64(rec))
							if f.Late() != (at < last) || f.Late() && grace > 3 {
								o.fail("late %v: timestamp %d behind %d", f.Late(), at, last)
							}
							last = max(last, at)
							o.got = append(o.got, rec[timeLen:])
						})},
						Check: func() error { return o.checkFanIn(f) },
					}
				})
			})
		}
	}
}
