//go:build logbuf_explore

package queue

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/explore"
	"github.com/nexus-logbuf/logbuf/internal/step"
)

// The programs below run the shipped ring in every order of its shared
// accesses up to a bound on preemptions. Each run checks that the consumer got
// each producer's records in order, whole, once, and nothing else, that no
// thread is stuck, and that the ring is empty and all its space free at the
// end.

// outcome is what one run of a program is checked against.
type outcome struct {
	want map[byte][][]byte // by producer: what must arrive
	got  [][]byte
	err  error
	pins []*ring

	// In the order of accesses: before the call that claims a record, and after
	// it is committed.
	clock        int
	began, ended map[string]int
}

// begins notes that a record is about to be claimed.
func (o *outcome) begins(rec []byte) {
	if o.began == nil {
		o.began, o.ended = map[string]int{}, map[string]int{}
	}
	o.clock++
	o.began[string(rec)] = o.clock
}

// checkOrder checks that the records of an MPSC ring came in one order: none
// behind one whose claim was begun after it was committed.
func (o *outcome) checkOrder() error {
	newest := 0
	for i, rec := range o.got {
		if end := o.ended[string(rec)]; end != 0 && end < newest {
			return fmt.Errorf("record %x was committed before one was begun that came before it: %x", rec, o.got[:i])
		}
		newest = max(newest, o.began[string(rec)])
	}
	return nil
}

// pin keeps the ring that c reads from the garbage collector: which accesses
// the consumer makes to rings that it has left depends on whether they are
// still there, and the explorer needs the same ones in each run.
func (o *outcome) pin(c *Consumer) {
	if n := len(o.pins); n == 0 || o.pins[n-1] != c.ring {
		o.pins = append(o.pins, c.ring)
	}
}

func (o *outcome) fail(format string, args ...any) {
	if o.err == nil {
		o.err = fmt.Errorf(format, args...)
	}
}

// record is payload n bytes long that names its producer and its number.
func record(p, i byte, n int) []byte {
	b := bytes.Repeat([]byte{p<<4 | i}, max(n, 2))
	b[0], b[1] = p, i
	return b
}

func (o *outcome) check(c *Consumer) error {
	if o.err != nil {
		return o.err
	}
	next := map[byte]int{}
	for _, rec := range o.got {
		p := rec[0]
		i := next[p]
		if i >= len(o.want[p]) || !bytes.Equal(rec, o.want[p][i]) {
			return fmt.Errorf("record %x of producer %d, number %d, is not what it sent", rec, p, i)
		}
		next[p]++
	}
	for p, want := range o.want {
		if next[p] != len(want) {
			return fmt.Errorf("producer %d sent %d records, %d arrived", p, len(want), next[p])
		}
	}
	if err := o.checkOrder(); err != nil {
		return err
	}
	if c.head != c.pos || c.released != c.pos {
		return fmt.Errorf("space not given back: head %d, released %d, pos %d", c.head, c.released, c.pos)
	}
	return nil
}

// sent notes, in the order of a producer's calls, a record that must arrive. If
// its beginning was noted, it is committed now.
func (o *outcome) sent(rec []byte) {
	if o.want == nil {
		o.want = map[byte][][]byte{}
	}
	o.want[rec[0]] = append(o.want[rec[0]], rec)
	if o.began[string(rec)] != 0 {
		o.clock++
		o.ended[string(rec)] = o.clock
	}
}

// reading is a consumer thread: to the end, by one of the ways to read.
func (o *outcome) reading(c *Consumer, how string) func() {
	return func() {
		for !c.Drained() {
			switch how {
			case "next":
				if rec, ok := c.Next(); ok {
					o.got = append(o.got, bytes.Clone(rec))
					continue
				}
			case "drain":
				if c.Drain(2, func(_ int32, rec []byte) { o.got = append(o.got, bytes.Clone(rec)) }) > 0 {
					continue
				}
			case "peek":
				if s := c.Peek(1 << 20); s.Records() > 0 {
					o.walk(s)
					c.ReleaseTo(s.End())
					continue
				}
			}
			if !c.Drained() {
				step.Yield()
			}
		}
		c.Release()
	}
}

func (o *outcome) walk(s Span) {
	for b := s.Frames(); len(b) > 0; {
		h := header(uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 | uint64(b[7])<<56)
		if !h.skip() {
			o.got = append(o.got, bytes.Clone(b[headerLen:h.length()]))
		}
		b = b[h.stride():]
	}
}

// write writes rec as soon as it fits.
func write(w interface{ WriteTyped(int32, []byte) error }, rec []byte) error {
	for {
		err := w.WriteTyped(1, rec)
		if err != ErrFull {
			return err
		}
		step.Yield()
	}
}

// long raises the bound by one preemption, and bounds the number of runs in
// turn: what is left after longRuns is sampled. make explore-long sets it.
var long = os.Getenv("LOGBUF_EXPLORE") == "long"

const (
	longRuns    = 80_000
	longSamples = 40_000
)

// explored runs all orders within the bound on preemptions. Only where o says
// how many runs there may be is it no failure to leave some out.
func explored(t *testing.T, o explore.Options, make func() explore.Program) {
	t.Helper()
	mayCut := o.MaxRuns != 0
	if long {
		o.Preemptions++
		o.MaxRuns, o.Samples, mayCut = max(o.MaxRuns, longRuns), longSamples, true
	}
	r := explore.Run(o, make)
	if r.Err != nil {
		t.Fatalf("run %d: %v\n%s", r.Runs, r.Err, r.Trace)
	}
	t.Logf("at most %d preemptions: %v", o.Preemptions, r)
	if !r.Complete && !mayCut {
		t.Errorf("stopped after %d runs", r.Runs)
	}
}

// both runs the exploration with and without store buffers.
func both(t *testing.T, preemptions int, make func() explore.Program) {
	t.Run("SC", func(t *testing.T) { explored(t, explore.Options{Preemptions: preemptions}, make) })
	t.Run("TSO", func(t *testing.T) { explored(t, explore.Options{Preemptions: preemptions, TSO: true}, make) })
}

// bothSome is both for programs of so many threads that with store buffers only
// the first runs are in order; others are at random.
func bothSome(t *testing.T, preemptions int, make func() explore.Program) {
	t.Run("SC", func(t *testing.T) { explored(t, explore.Options{Preemptions: preemptions}, make) })
	t.Run("TSO", func(t *testing.T) {
		explored(t, explore.Options{Preemptions: preemptions, TSO: true, MaxRuns: 50_000, Samples: 20_000}, make)
	})
}

var exploredStarts = map[string]uint64{"start": 0, "wrap": 40, "2to64": 1<<64 - 24}

func TestExploreSPSC(t *testing.T) {
	for name, start := range exploredStarts {
		for _, how := range []string{"next", "drain", "peek"} {
			t.Run(name+"/"+how, func(t *testing.T) {
				both(t, 2, func() explore.Program {
					p, c, _ := newSPSC(64, start)
					o := &outcome{}
					return explore.Program{
						Threads: []func(){
							func() {
								for i, n := range []int{9, 20, 3} { // fills, wraps, waits
									rec := record(1, byte(i), n)
									o.sent(rec)
									if err := write(p, rec); err != nil {
										o.fail("write: %v", err)
									}
								}
								p.Close()
							},
							o.reading(c, how),
						},
						Check: func() error { return o.check(c) },
					}
				})
			})
		}
	}
}

// Short records behind one for which room was made, which go the short way through
// WriteTyped; in the small rings of the other programs there is never room.
func TestExploreSPSCShort(t *testing.T) {
	for _, how := range []string{"next", "drain", "peek"} {
		t.Run(how, func(t *testing.T) {
			both(t, 2, func() explore.Program {
				p, c, _ := newSPSC(2048, 0)
				copy(p.ring.mem.data[headerLen:], bytes.Repeat([]byte{1}, 256)) // of an earlier lap
				o := &outcome{}
				return explore.Program{
					Threads: []func(){
						func() {
							for i, n := range []int{3, shortMin, shortMid + 1} {
								rec := record(1, byte(i), n)
								o.sent(rec)
								if i > 0 && !p.fits(n) {
									o.fail("no room for record %d", i)
								}
								if err := write(p, rec); err != nil {
									o.fail("write: %v", err)
								}
							}
							p.Close()
						},
						o.reading(c, how),
					},
					Check: func() error { return o.check(c) },
				}
			})
		})
	}
}

// Claims behind a record for which room was made, over headers of an earlier lap.
func TestExploreSPSCCommit(t *testing.T) {
	for _, how := range []string{"next", "drain", "peek"} {
		t.Run(how, func(t *testing.T) {
			both(t, 2, func() explore.Program {
				p, c, _ := newSPSC(2048, 0)
				copy(p.ring.mem.data[headerLen:], bytes.Repeat([]byte{1}, 256)) // of an earlier lap
				o := &outcome{}
				commit := func(i byte, n int, settle func(Claim) bool) {
					rec := record(1, i, n)
					o.sent(rec)
					cl, err := p.TryClaim(n)
					step.Copy(cl.Bytes(), rec) // as the explorer knows of the word that the claim has zeroed
					if err != nil || !settle(cl) {
						o.fail("record %d: %v", i, err)
					}
				}
				return explore.Program{
					Threads: []func(){
						func() {
							commit(0, 3, Claim.Commit)
							commit(1, 9, Claim.Commit)
							commit(2, 5, func(cl Claim) bool { return cl.CommitN(5) })
							p.Close()
						},
						o.reading(c, how),
					},
					Check: func() error { return o.check(c) },
				}
			})
		})
	}
}

// What the consumer writes into the lines that it gives back, see memory.own, is
// written before they are the producer's: the third record waits for the first
// one's space, all of which is given back at once, and is written over the end
// of its line.
func TestExploreSPSCLines(t *testing.T) {
	both(t, 2, func() explore.Program {
		p, c, _ := newSPSC(256, 0)
		o := &outcome{}
		return explore.Program{
			Threads: []func(){
				func() {
					for i, n := range []int{64, 168, 56} {
						rec := record(1, byte(i), n)
						o.sent(rec)
						if err := write(p, rec); err != nil {
							o.fail("write: %v", err)
						}
					}
					p.Close()
				},
				o.reading(c, "next"),
			},
			Check: func() error { return o.check(c) },
		}
	})
}

func TestExploreSPSCClaims(t *testing.T) {
	both(t, 3, func() explore.Program {
		p, c, _ := newSPSC(64, 40)
		o := &outcome{}
		return explore.Program{
			Threads: []func(){
				func() {
					p.TryClaim(8) // forgotten
					for i := range byte(2) {
						cl, err := p.TryClaim(16)
						for err == ErrFull {
							step.Yield()
							cl, err = p.TryClaim(16)
						}
						rec := record(1, i, 5)
						o.sent(rec)
						copy(cl.Bytes(), rec)
						cl.CommitN(len(rec))
						cl.Abort() // does nothing
					}
					if cl, err := p.TryClaim(1); err == nil {
						cl.Abort()
					}
					p.Close()
				},
				o.reading(c, "next"),
			},
			Check: func() error { return o.check(c) },
		}
	})
}

// last closes the ring behind the last of n producers.
func last(n int, p *SharedProducer) func() {
	left := n
	return func() {
		if left--; left == 0 {
			p.Close()
		}
	}
}

func TestExploreMPSC(t *testing.T) {
	for name, start := range exploredStarts {
		for _, how := range []string{"next", "peek"} {
			t.Run(name+"/"+how, func(t *testing.T) {
				both(t, 2, func() explore.Program {
					p, c, _ := newMPSC(64, start)
					o := &outcome{}
					done := last(2, p)
					producer := func(id byte, sizes ...int) func() {
						return func() {
							for i, n := range sizes {
								rec := record(id, byte(i), n)
								o.begins(rec)
								if err := write(p, rec); err != nil {
									o.fail("write: %v", err)
								}
								o.sent(rec)
							}
							done()
						}
					}
					return explore.Program{
						Threads: []func(){producer(1, 9, 20), producer(2, 14), o.reading(c, how)},
						Check:   func() error { return o.check(c) },
					}
				})
			})
		}
	}
}

// One producer settles in every way while another writes, and copies of the
// settled claims are used again.
func TestExploreMPSCClaims(t *testing.T) {
	for _, how := range []string{"commit", "commitN", "abort"} {
		t.Run(how, func(t *testing.T) {
			both(t, 2, func() explore.Program {
				p, c, _ := newMPSC(64, 40)
				o := &outcome{}
				done := last(2, p)
				return explore.Program{
					Threads: []func(){
						func() {
							cl, err := p.TryClaim(16)
							for err == ErrFull {
								step.Yield()
								cl, err = p.TryClaim(16)
							}
							switch how {
							case "commit":
								rec := record(1, 0, 16)
								o.sent(rec)
								copy(cl.Bytes(), rec)
								cl.Commit()
							case "commitN":
								rec := record(1, 0, 3)
								o.sent(rec)
								// What is given back holds what looks like a record.
								copy(cl.Bytes(), []byte{8: 8, 12: 1, 15: 0})
								copy(cl.Bytes(), rec)
								cl.CommitN(3)
							default:
								cl.Abort()
							}
							cl.Abort() // of a settled claim: nothing, whatever lies there by now
							done()
						},
						func() {
							rec := record(2, 0, 24)
							o.sent(rec)
							if err := write(p, rec); err != nil {
								o.fail("write: %v", err)
							}
							done()
						},
						o.reading(c, "next"),
					},
					Check: func() error { return o.check(c) },
				}
			})
		})
	}
}

// The ring is closed while a claim is open and another producer writes. What
// Commit and Write answered is what happened.
func TestExploreMPSCCloseAgainstCommit(t *testing.T) {
	for _, short := range []bool{false, true} {
		t.Run(fmt.Sprintf("commitN=%v", short), func(t *testing.T) {
			both(t, 2, func() explore.Program {
				p, c, _ := newMPSC(128, 104)
				o := &outcome{}
				return explore.Program{
					Threads: []func(){
						func() {
							cl, err := p.TryClaim(20)
							if err != nil {
								if err != ErrClosed {
									o.fail("claim: %v", err)
								}
								return
							}
							n := 20
							if short {
								n = 6
							}
							rec := record(1, 0, n)
							copy(cl.Bytes(), rec)
							if cl.CommitN(n) {
								o.sent(rec)
							}
							copy(cl.Bytes(), "late") // a settled claim has no bytes
						},
						func() {
							rec := record(2, 0, 10)
							if err := p.WriteTyped(1, rec); err == nil {
								o.sent(rec)
							} else if err != ErrClosed {
								o.fail("write: %v", err)
							}
							p.Close()
						},
						o.reading(c, "next"),
					},
					Check: func() error { return o.check(c) },
				}
			})
		})
	}
}

// A leaked claim does not keep what was committed behind it from a closed
// ring's consumer, in whatever place it lies.
func TestExploreMPSCLeakedClaim(t *testing.T) {
	for name, start := range map[string]uint64{"index0": 0, "at the end": 104, "before padding": 96} {
		t.Run(name, func(t *testing.T) {
			both(t, 2, func() explore.Program {
				p, c, _ := newMPSC(128, start)
				o := &outcome{}
				done := last(2, p)
				return explore.Program{
					Threads: []func(){
						func() {
							if _, err := p.TryClaim(16); err != nil {
								o.fail("claim: %v", err)
							}
							done()
						},
						func() {
							rec := record(2, 0, 10)
							o.sent(rec)
							if err := p.WriteTyped(1, rec); err != nil {
								o.fail("write: %v", err)
							}
							done()
						},
						o.reading(c, "next"),
					},
					Check: func() error {
						if err := o.check(c); err != nil {
							return err
						}
						if n := c.Stats().Abandoned; n != 1 {
							return fmt.Errorf("%d claims abandoned", n)
						}
						return nil
					},
				}
			})
		})
	}
}

// The explorer itself: a ring whose producer publishes before it copies must
// fail. The thread does by hand what WriteTyped does, in the wrong order.
func TestExplorerFindsPublishBeforeCopy(t *testing.T) {
	r := explore.Run(explore.Options{Preemptions: 2}, func() explore.Program {
		p, c, _ := newSPSC(64, 0)
		o := &outcome{}
		return explore.Program{
			Threads: []func(){
				func() {
					rec := record(1, 0, 8)
					o.sent(rec)
					p.reserve(8)
					at := p.tail
					p.publish(makeHeader(1, headerLen+8))
					step.Copy(p.ring.mem.bytes(at+headerLen, 8), rec)
					p.Close()
				},
				o.reading(c, "next"),
			},
			Check: func() error { return o.check(c) },
		}
	})
	if r.Err == nil {
		t.Fatalf("not found in %d runs", r.Runs)
	}
	if errors.Is(r.Err, ErrFull) {
		t.Fatal(r.Err)
	}
}

// A claim is passed while its owner commits, another producer writes, and, in
// one variant, the ring is closed. What Commit answered is what happened.
func TestExploreMPSCPassStalled(t *testing.T) {
	for _, closing := range []bool{false, true} {
		t.Run(fmt.Sprintf("close=%v", closing), func(t *testing.T) {
			both(t, 2, func() explore.Program {
				p, c, _ := newMPSC(64, 24)
				o := &outcome{}
				left := 2
				done := func() {
					if left--; left == 0 || closing {
						p.Close()
					}
				}
				return explore.Program{
					Threads: []func(){
						func() {
							defer done()
							rec := record(1, 0, 6)
							o.begins(rec)
							cl, err := p.TryClaim(6)
							if err != nil {
								return
							}
							copy(cl.Bytes(), rec)
							if cl.Commit() {
								o.sent(rec)
							}
						},
						func() {
							defer done()
							rec := record(2, 0, 4)
							o.begins(rec)
							if err := write(p, rec); err == nil {
								o.sent(rec)
							} else if err != ErrClosed || !closing {
								o.fail("write: %v", err)
							}
						},
						func() {
							for !c.Drained() {
								o.pin(c)
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
					},
					Check: func() error { return o.check(c) },
				}
			})
		})
	}
}

// The check of the order itself: two records that follow one another must not
// come the other way round, two that overlap may.
func TestExplorerOrderIsChecked(t *testing.T) {
	a, b := record(1, 0, 4), record(2, 0, 4)
	for _, d := range []struct {
		name    string
		overlap bool
		got     [][]byte
		ok      bool
	}{
		{"one after the other", false, [][]byte{a, b}, true},
		{"the other way round", false, [][]byte{b, a}, false},
		{"overlapping", true, [][]byte{b, a}, true},
	} {
		o := &outcome{got: d.got}
		o.begins(a)
		if d.overlap {
			o.begins(b)
			o.sent(a)
		} else {
			o.sent(a)
			o.begins(b)
		}
		o.sent(b)
		if err := o.checkOrder(); (err == nil) != d.ok {
			t.Errorf("%s: %v", d.name, err)
		}
	}
}
