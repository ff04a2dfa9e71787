//go:build logbuf_explore

package channel

import (
	"context"
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/explore"
	"github.com/nexus-logbuf/logbuf/internal/step"
)

// The programs below run the shipped channels in every order of their shared
// accesses up to a bound on preemptions; see queue/explore_test.go.

var long = os.Getenv("LOGBUF_EXPLORE") == "long"

const (
	longRuns    = 150_000
	longSamples = 50_000
)

func explored(t *testing.T, o explore.Options, make func() explore.Program) explore.Result {
	t.Helper()
	if long {
		o.Preemptions++
		o.MaxRuns, o.Samples = longRuns, longSamples
	}
	r := explore.Run(o, make)
	t.Logf("at most %d preemptions: %v", o.Preemptions, r)
	return r
}

// holds runs the exploration with and without store buffers.
func holds(t *testing.T, preemptions int, make func() explore.Program) {
	for _, tso := range []bool{false, true} {
		t.Run(map[bool]string{false: "SC", true: "TSO"}[tso], func(t *testing.T) {
			r := explored(t, explore.Options{Preemptions: preemptions, TSO: tso}, make)
			if r.Err != nil {
				t.Fatalf("run %d: %v\n%s", r.Runs, r.Err, r.Trace)
			}
			if !r.Complete && !long {
				t.Errorf("stopped after %d runs", r.Runs)
			}
		})
	}
}

// receiving receives to the end and checks that got records arrived for each
// of the sent ones.
type receiving struct {
	sent, got map[byte]int
	err       error
}

func newReceiving() *receiving { return &receiving{sent: map[byte]int{}, got: map[byte]int{}} }

func (r *receiving) thread(recv func() ([]byte, error)) func() {
	return func() {
		for {
			rec, err := recv()
			if err != nil {
				if err != io.EOF {
					r.err = err
				}
				return
			}
			if int(rec[1]) != r.got[rec[0]] {
				r.err = fmt.Errorf("record %d of sender %d came as number %d", rec[1], rec[0], r.got[rec[0]])
			}
			r.got[rec[0]]++
		}
	}
}

func (r *receiving) check() error {
	if r.err != nil {
		return r.err
	}
	for id, n := range r.sent {
		if r.got[id] != n {
			return fmt.Errorf("sender %d was told that %d records are sent, %d arrived", id, n, r.got[id])
		}
	}
	return nil
}

func sending(r *receiving, id byte, n int, tx sender) func() {
	return func() {
		for i := range n {
			if err := tx.TrySend([]byte{id, byte(i)}); err == nil {
				r.sent[id]++
			} else {
				r.err = err
			}
		}
		tx.Close()
	}
}

func TestExploreSPSC(t *testing.T) {
	holds(t, 3, func() explore.Program {
		tx, rx, _ := NewSPSC(64, nil)
		r := newReceiving()
		return explore.Program{
			Threads: []func(){
				sending(r, 1, 2, tx),
				r.thread(func() ([]byte, error) { return rx.Recv(context.Background()) }),
			},
			Check: r.check,
		}
	})
}

func TestExploreMPSC(t *testing.T) {
	holds(t, 2, func() explore.Program {
		tx, rx, _ := NewMPSC(64, nil)
		r := newReceiving()
		return explore.Program{
			Threads: []func(){
				sending(r, 1, 1, tx.Clone()),
				sending(r, 2, 1, tx),
				r.thread(func() ([]byte, error) { return rx.Recv(context.Background()) }),
			},
			Check: r.check,
		}
	})
}

// A claim is aborted in front of a record that is committed, and one is open
// when the last handle is closed.
func TestExploreMPSCAbortAndLeak(t *testing.T) {
	holds(t, 2, func() explore.Program {
		tx, rx, _ := NewMPSC(128, nil)
		r := newReceiving()
		return explore.Program{
			Threads: []func(){
				func() {
					if c, err := tx.TryClaim(2); err == nil {
						c.Abort()
					}
					tx.TryClaim(2) // leaked
					tx.Close()
				},
				sending(r, 2, 1, tx.Clone()),
				r.thread(func() ([]byte, error) { return rx.Recv(context.Background()) }),
			},
			Check: r.check,
		}
	})
}

// Committing with a store that may wait in a buffer breaks the handshake: the
// sender reads the flag before its record is visible. The senders never close,
// so that no Close makes up for it.
func TestExploreFindsPlainCommit(t *testing.T) {
	program := func() explore.Program {
		tx, rx, _ := NewSPSC(64, nil)
		return explore.Program{
			Threads: []func(){
				func() { tx.TrySend([]byte{1, 0}) },
				func() { rx.Recv(context.Background()) },
			},
			Check: func() error { return nil },
		}
	}
	if r := explored(t, explore.Options{Preemptions: 2, TSO: true}, program); r.Err != nil {
		t.Fatalf("as shipped: %v\n%s", r.Err, r.Trace)
	}
	if r := explored(t, explore.Options{Preemptions: 2, TSO: true, Weak: true}, program); r.Err == nil {
		t.Fatal("not found")
	}
}

// The seed's receiver (nexus-logbuf 2.2.0, channel/spsc.rs), over this
// channel's ring and flag, has two defects: it does not look again between
// setting the flag and parking, and it takes "empty, then no sender" for the
// end. The explorer finds each, and neither when both are mended.
func TestExploreFindsTheSeedsDefects(t *testing.T) {
	seed := func(rx *Receiver, lookAgain, pollAgain bool) func() ([]byte, error) {
		c := rx.core
		return func() ([]byte, error) {
			for {
				if rec, ok := c.ring.Next(); ok {
					return rec, nil
				}
				if c.senders.Load() == 0 {
					if pollAgain && !c.ring.Drained() {
						step.Yield()
						continue
					}
					return nil, io.EOF
				}
				c.parker.Arm()
				if lookAgain && (c.ring.Ready() || c.senders.Load() == 0) {
					c.parker.Disarm()
					continue
				}
				c.parker.Park(nil, nil)
			}
		}
	}
	for _, d := range []struct {
		name                 string
		lookAgain, pollAgain bool
		found                bool
	}{
		{"mended", true, true, false},
		{"lost wake-up", false, true, true},
		{"lost last record", true, false, true},
	} {
		t.Run(d.name, func(t *testing.T) {
			r := explored(t, explore.Options{Preemptions: 2}, func() explore.Program {
				tx, rx, _ := NewSPSC(64, nil)
				r := newReceiving()
				recv := seed(rx, d.lookAgain, d.pollAgain)
				if d.name == "lost wake-up" { // no Close, which would wake in its stead
					return explore.Program{
						Threads: []func(){func() { tx.TrySend([]byte{1, 0}) }, func() { recv() }},
						Check:   func() error { return nil },
					}
				}
				return explore.Program{Threads: []func(){sending(r, 1, 1, tx), r.thread(recv)}, Check: r.check}
			})
			if found := r.Err != nil; found != d.found {
				t.Fatalf("error %v\n%s", r.Err, r.Trace)
			}
			t.Log(r.Err)
		})
	}
}
