//go:build logbuf_explore

package explore

import (
	"errors"
	"strings"
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/step"
)

// The store-buffering litmus test: both threads store and then load the
// other's word. Both reading 0 is impossible with atomics, and possible when
// the stores may wait in a buffer.
func storeBuffering() Program {
	var x, y step.Uint64
	var r0, r1 uint64
	return Program{
		Threads: []func(){
			func() { x.Store(1); r0 = y.Load() },
			func() { y.Store(1); r1 = x.Load() },
		},
		Check: func() error {
			if r0 == 0 && r1 == 0 {
				return errors.New("both read 0")
			}
			return nil
		},
	}
}

func TestStoreBuffering(t *testing.T) {
	for _, o := range []Options{{Preemptions: 3}, {Preemptions: 3, TSO: true}} {
		if r := Run(o, storeBuffering); r.Err != nil || !r.Complete {
			t.Errorf("%+v: %v, complete %v after %d runs\n%s", o, r.Err, r.Complete, r.Runs, r.Trace)
		}
	}
	if r := Run(Options{Preemptions: 3, TSO: true, Weak: true}, storeBuffering); r.Err == nil {
		t.Errorf("plain stores: not found in %d runs", r.Runs)
	}
}

// Message passing needs no StoreLoad: it holds with buffered stores, because
// they reach memory in order.
func TestMessagePassing(t *testing.T) {
	program := func() Program {
		var data, flag step.Uint64
		var got uint64
		return Program{
			Threads: []func(){
				func() { data.Store(42); flag.Store(1) },
				func() {
					for flag.Load() == 0 {
						step.Yield()
					}
					got = data.Load()
				},
			},
			Check: func() error {
				if got != 42 {
					return errors.New("flag without data")
				}
				return nil
			},
		}
	}
	for _, o := range []Options{{Preemptions: 4}, {Preemptions: 4, TSO: true}, {Preemptions: 4, TSO: true, Weak: true}} {
		if r := Run(o, program); r.Err != nil || !r.Complete {
			t.Errorf("%+v: %v\n%s", o, r.Err, r.Trace)
		}
	}
}

// A lost update needs one preemption between a load and a store.
func TestLostUpdate(t *testing.T) {
	program := func() Program {
		var n step.Uint64
		inc := func() { n.Store(n.Load() + 1) }
		return Program{
			Threads: []func(){inc, inc},
			Check: func() error {
				if n.Load() != 2 {
					return errors.New("lost update")
				}
				return nil
			},
		}
	}
	if r := Run(Options{}, program); r.Err != nil || !r.Complete {
		t.Errorf("without preemptions: %v", r.Err)
	}
	if r := Run(Options{Preemptions: 1}, program); r.Err == nil {
		t.Error("not found with one preemption")
	}
}

func TestStuckAndPanicAreReported(t *testing.T) {
	r := Run(Options{}, func() Program {
		token := step.NewToken()
		return Program{Threads: []func(){token.Receive}, Check: func() error { return nil }}
	})
	if r.Err == nil || !strings.Contains(r.Err.Error(), "stuck") {
		t.Error(r.Err)
	}
	r = Run(Options{}, func() Program {
		return Program{Threads: []func(){func() { panic("broken") }}, Check: func() error { return nil }}
	})
	if r.Err == nil || !strings.Contains(r.Err.Error(), "broken") {
		t.Error(r.Err)
	}
}

// All orders of two threads of n accesses each are run: the binomial
// coefficient says how many there are.
func TestEveryOrderIsRun(t *testing.T) {
	var x step.Uint64
	r := Run(Options{Preemptions: 100}, func() Program {
		three := func() { x.Load(); x.Load(); x.Load() }
		return Program{Threads: []func(){three, three}, Check: func() error { return nil }}
	})
	// Each thread makes 4 turns: its start, and one per access.
	if r.Runs != 70 || !r.Complete {
		t.Errorf("%d runs, complete %v; C(8,4) is 70", r.Runs, r.Complete)
	}
}

// A defect that takes an interruption at the beginning of a long run is in none
// of the first runs, which differ at their ends; samples find it, and the same
// ones each time.
func TestSamplesInterruptAnywhere(t *testing.T) {
	program := func() Program {
		var early, x step.Uint64
		seen := uint64(1)
		return Program{
			Threads: []func(){
				func() {
					early.Store(1)
					early.Store(2)
					for range 200 {
						x.Load()
					}
				},
				func() { seen = early.Load() + 1 },
			},
			Check: func() error {
				if seen == 2 {
					return errors.New("seen between the stores")
				}
				return nil
			},
		}
	}
	r := Run(Options{Preemptions: 1, MaxRuns: 50}, program)
	if r.Err != nil || r.Complete || !strings.HasPrefix(r.String(), "cut: the first 50 runs, ") {
		t.Errorf("in order: %v, %v", r.Err, r)
	}
	r = Run(Options{Preemptions: 1, MaxRuns: 50, Samples: 5000}, program)
	if r.Err == nil || r.Samples == 0 || r.Runs != 50+r.Samples+1 {
		t.Errorf("with samples: %v, %v", r.Err, r)
	}
	if again := Run(Options{Preemptions: 1, MaxRuns: 50, Samples: 5000}, program); again.Runs != r.Runs || again.Trace != r.Trace {
		t.Errorf("%v, then %v", r, again)
	}
	if r = Run(Options{Preemptions: 1}, program); r.Err == nil {
		t.Errorf("all orders: %v", r)
	}
}

// Samples keep the bound on preemptions.
func TestSamplesKeepTheBound(t *testing.T) {
	var order []int
	r := Run(Options{Preemptions: 2, MaxRuns: 1, Samples: 2000}, func() Program {
		order = nil
		var x step.Uint64
		thread := func(id int) func() {
			return func() {
				for range 10 {
					x.Load()
					order = append(order, id)
				}
			}
		}
		return Program{Threads: []func(){thread(0), thread(1)}, Check: func() error {
			changes := 0
			for i := 1; i < len(order); i++ {
				if order[i] != order[i-1] {
					changes++
				}
			}
			if changes > 3 { // two, and the one where a thread has ended
				return errors.New("more than two preemptions")
			}
			return nil
		}}
	})
	if r.Err != nil || r.Samples != 2000 {
		t.Errorf("%v, %v\n%s", r.Err, r, r.Trace)
	}
}

func TestOtherRunIsReported(t *testing.T) {
	runs := 0
	var x step.Uint64
	r := Run(Options{Preemptions: 1}, func() Program {
		runs++
		accesses := 5 - runs
		return Program{Threads: []func(){
			func() {
				for range accesses {
					x.Load()
				}
			},
			func() { x.Load() },
		}, Check: func() error { return nil }}
	})
	if r.Err == nil || !strings.Contains(r.Err.Error(), "not deterministic") {
		t.Error(r.Err)
	}
}
