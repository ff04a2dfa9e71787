//go:build logbuf_explore

package explore

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"unsafe"

	"github.com/nexus-logbuf/logbuf/internal/step"
)

// Options bounds an exploration.
type Options struct {
	Preemptions int  // the bound; 0 is cooperative only
	MaxRuns     int  // stop after so many runs; 0 means 1 million
	Samples     int  // runs at random after that, if orders are left
	MaxSteps    int  // a run that takes more has a livelock; 0 means 10000
	TSO         bool // store buffers
	Weak        bool // atomic stores are plain, as a mutant: needs TSO
}

// Program is what one run executes. Threads take turns; Check looks at the
// outcome when all have ended.
type Program struct {
	Threads []func()
	Check   func() error
}

// Result says what was explored.
type Result struct {
	Runs     int  // in order, and at random
	Samples  int  // of these, at random
	Steps    int  // over all runs
	Complete bool // every order within the bound was run
	Err      error
	Trace    string // of the run that failed
}

// String says what the bounds have let be explored.
func (r Result) String() string {
	switch {
	case r.Err != nil:
		return fmt.Sprintf("failed in run %d", r.Runs)
	case r.Complete:
		return fmt.Sprintf("all %d runs, %d steps", r.Runs, r.Steps)
	case r.Samples > 0:
		return fmt.Sprintf("cut: the first %d runs and %d at random, %d steps", r.Runs-r.Samples, r.Samples, r.Steps)
	}
	return fmt.Sprintf("cut: the first %d runs, %d steps", r.Runs, r.Steps)
}

// Run explores the programs that make builds, which must all be alike, until
// one fails or all orders are done.
func Run(opts Options, make func() Program) Result {
	if opts.MaxRuns == 0 {
		opts.MaxRuns = 1_000_000
	}
	if opts.MaxSteps == 0 {
		opts.MaxSteps = 10_000
	}
	var res Result
	var path []choice
	for res.Runs < opts.MaxRuns {
		x := res.add(func() *run { return &run{opts: opts, path: path} }, make)
		if res.Err != nil {
			return res
		}
		path = x.path
		for len(path) > 0 && path[len(path)-1].next() {
			path = path[:len(path)-1]
		}
		if len(path) == 0 {
			res.Complete = true
			return res
		}
	}
	// The runs in order differ in their last decisions only; what is left is
	// sampled, with the preemptions anywhere.
	length := res.Steps / res.Runs
	for ; res.Samples < opts.Samples; res.Samples++ {
		res.add(func() *run {
			rnd := rand.New(rand.NewPCG(uint64(res.Samples), 0))
			x := &run{opts: opts, rnd: rnd}
			for range opts.Preemptions {
				x.breaks = append(x.breaks, rnd.IntN(length))
			}
			slices.Sort(x.breaks)
			return x
		}, make)
		if res.Err != nil {
			return res
		}
	}
	return res
}

// add executes a run. One that fails is done again for its trace, which costs
// several times as much as the run.
func (r *Result) add(next func() *run, make func() Program) *run {
	x := next()
	err := x.execute(make)
	r.Runs++
	r.Steps += x.steps
	if err == nil {
		return x
	}
	again := next()
	again.tracing = true
	r.Err, r.Trace = err, ""
	if err2 := again.execute(make); err2 == nil || err2.Error() != err.Error() {
		r.Trace = fmt.Sprintf("the same decisions have another outcome now (%v): the program is not deterministic\n", err2)
	}
	r.Trace += again.trace.String()
	return x
}

// choice is one decision: options are thread numbers, or for a flush the
// thread's number behind the last thread's.
type choice struct {
	options []int
	taken   int
	step    int // of the run
}

// next moves to the following option, and reports whether there is none.
func (c *choice) next() (exhausted bool) {
	c.taken++
	return c.taken >= len(c.options)
}

// thread is one of the program's, as a coroutine.
type thread struct {
	resume  func() (struct{}, bool)
	stop    func()
	pending string      // the access it is about to make
	fence   bool        // which drains its store buffer first
	ready   func() bool // of a thread that waits
	news    bool        // another has written since it yielded last
	idle    bool        // it yielded and there was no news; it goes on with the next
	ended   bool
	buffer  []store
	failed  any // what it panicked with
}

// releases reports whether others may see what leaves the store buffer.
func (t *thread) releases() bool {
	return slices.ContainsFunc(t.buffer, func(s store) bool { return s.release })
}

type store struct {
	what    string
	at      unsafe.Pointer
	v       uint64
	release bool
	do      func()
}

// run is one execution. It is the step.Scheduler while a thread runs.
type run struct {
	opts        Options
	threads     []*thread
	yields      []func(struct{}) bool
	current     int
	path        []choice
	depth       int
	preemptions int
	steps       int
	tracing     bool
	trace       strings.Builder

	runnable, flushes, options []int // of choose and order, used again

	rnd    *rand.Rand // nil: the decisions are those of path
	breaks []int      // steps at which rnd interrupts the thread that runs
}

type stopped struct{}

func (x *run) execute(make func() Program) (err error) {
	program := make()
	step.Explorer = x
	defer func() { step.Explorer = nil }()
	for i, body := range program.Threads {
		x.start(i, body)
	}
	defer func() {
		for _, t := range x.threads {
			t.stop()
		}
	}()
	x.current = -1
	for {
		i, done, err := x.choose()
		if err != nil {
			return err
		}
		if done {
			break
		}
		if err := x.advance(i); err != nil {
			return err
		}
	}
	step.Explorer = nil
	if x.depth < len(x.path) {
		return fmt.Errorf("the end after %d steps, where there was step %d in the run before: the program is not deterministic", x.steps, x.path[x.depth].step)
	}
	return program.Check()
}

func (x *run) start(i int, body func()) {
	t := &thread{pending: "start"}
	x.threads = append(x.threads, t)
	x.yields = append(x.yields, nil)
	seq := func(yield func(struct{}) bool) {
		x.yields[i] = yield
		defer func() {
			if p := recover(); p != nil {
				if _, ok := p.(stopped); !ok {
					t.failed = p
				}
			}
		}()
		body()
	}
	t.resume, t.stop = iter.Pull(iter.Seq[struct{}](seq))
}

// choose decides what happens next: a thread's access, or a flush.
func (x *run) choose() (what int, done bool, err error) {
	n := len(x.threads)
	runnable, flushes := x.runnable[:0], x.flushes[:0]
	all := true
	for i, t := range x.threads {
		if t.ended && !t.releases() {
			x.empty(t)
		}
		if t.releases() {
			flushes = append(flushes, n+i)
		}
		if t.ended {
			continue
		}
		all = false
		if !t.idle && (t.ready == nil || t.ready()) {
			runnable = append(runnable, i)
		}
	}
	x.runnable, x.flushes = runnable, flushes
	if all && len(flushes) == 0 {
		return 0, true, nil
	}
	options := x.order(runnable, flushes)
	if len(options) == 0 {
		return 0, false, fmt.Errorf("stuck: %s", x.waiting())
	}
	if x.steps++; x.steps > x.opts.MaxSteps {
		return 0, false, fmt.Errorf("no end after %d steps", x.opts.MaxSteps)
	}
	if what, err = x.decide(options); err != nil {
		return 0, false, err
	}
	if x.current >= 0 && what != x.current && slices.Contains(runnable, x.current) {
		x.preemptions++
	}
	return what, false, nil
}

// decide takes one of the options: the next one in order, or one at random.
// Where there is but one, nothing is decided.
func (x *run) decide(options []int) (int, error) {
	if len(options) == 1 {
		return options[0], nil
	}
	if x.rnd != nil {
		if options[0] != x.current {
			return options[x.rnd.IntN(len(options))], nil
		}
		if len(x.breaks) == 0 || x.steps < x.breaks[0] {
			return x.current, nil
		}
		x.breaks = x.breaks[1:]
		return options[1+x.rnd.IntN(len(options)-1)], nil
	}
	if x.depth == len(x.path) {
		x.path = append(x.path, choice{options: slices.Clone(options), step: x.steps})
	}
	c := x.path[x.depth]
	x.depth++
	if c.step != x.steps || !slices.Equal(c.options, options) {
		return 0, fmt.Errorf("threads %v can go on at step %d where %v could at step %d in the run before: the program is not deterministic", options, x.steps, c.options, c.step)
	}
	return c.options[c.taken], nil
}

// order lists the options, for now: going on with the current thread first. Without
// preemptions left, nothing else may interrupt it.
func (x *run) order(runnable, flushes []int) []int {
	if slices.Contains(runnable, x.current) {
		x.options = append(x.options[:0], x.current)
		if x.preemptions < x.opts.Preemptions {
			for _, i := range runnable {
				if i != x.current {
					x.options = append(x.options, i)
				}
			}
			x.options = append(x.options, flushes...)
		}
		return x.options
	}
	x.options = append(append(x.options[:0], runnable...), flushes...)
	return x.options
}

// advance lets thread i make its pending access and run up to the next one, or
// flushes the oldest stores of thread i-n, up to the first release: what lies
// before it, nobody else looks at until then.
func (x *run) advance(i int) error {
	if n := len(x.threads); i >= n {
		t := x.threads[i-n]
		for released := false; len(t.buffer) > 0 && !released; {
			released = t.buffer[0].release
			if x.tracing {
				fmt.Fprintf(&x.trace, "%d flush %s\n", i-n, t.buffer[0].what)
			}
			x.flush(t)
		}
		return nil
	}
	t := x.threads[i]
	x.current = i
	if x.tracing {
		fmt.Fprintf(&x.trace, "%d %s\n", i, t.pending)
	}
	if t.fence {
		x.empty(t)
	}
	t.ready = nil
	if _, more := t.resume(); !more {
		t.ended = true
		x.wake(t)
	}
	if t.failed != nil {
		return fmt.Errorf("thread %d: panic: %v", i, t.failed)
	}
	return nil
}

func (x *run) empty(t *thread) {
	for len(t.buffer) > 0 {
		x.flush(t)
	}
}

func (x *run) flush(t *thread) {
	t.buffer[0].do()
	t.buffer = t.buffer[1:]
	x.wake(nil)
}

// wake tells every thread but self that something has changed.
func (x *run) wake(self *thread) {
	for _, t := range x.threads {
		if t != self {
			t.news, t.idle = true, false
		}
	}
}

func (x *run) waiting() string {
	var b strings.Builder
	for i, t := range x.threads {
		if !t.ended {
			fmt.Fprintf(&b, "thread %d waits at %q; ", i, t.pending)
		}
	}
	return b.String()
}

// pause hands control to the scheduler until it is this thread's turn.
func (x *run) pause(t *thread, what string, fence bool) {
	t.pending, t.fence = what, fence
	if !x.yields[x.current](struct{}{}) {
		panic(stopped{})
	}
}

// Access implements step.Scheduler.
func (x *run) Access(what string, at unsafe.Pointer, fence bool) {
	x.pause(x.threads[x.current], what, fence)
}

// Wrote implements step.Scheduler.
func (x *run) Wrote() { x.wake(x.threads[x.current]) }

// Buffer implements step.Scheduler.
func (x *run) Buffer(what string, at unsafe.Pointer, v uint64, release bool, do func()) bool {
	if !x.opts.TSO {
		x.Wrote()
		return false
	}
	t := x.threads[x.current]
	t.buffer = append(t.buffer, store{what, at, v, release, do})
	return true
}

// Forward implements step.Scheduler.
func (x *run) Forward(at unsafe.Pointer) (uint64, bool) {
	b := x.threads[x.current].buffer
	for i := len(b) - 1; i >= 0; i-- {
		if b[i].at == at {
			return b[i].v, true
		}
	}
	return 0, false
}

// Yield implements step.Scheduler. What was written since the thread yielded
// last may have come after it looked, so it looks once more before it idles.
func (x *run) Yield() {
	t := x.threads[x.current]
	t.idle, t.news = !t.news, false
	x.pause(t, "yield", false)
}

// Block implements step.Scheduler.
func (x *run) Block(what string, ready func() bool) {
	t := x.threads[x.current]
	t.ready = ready
	x.pause(t, what, true)
}

// Tracing implements step.Scheduler.
func (x *run) Tracing() bool { return x.tracing }

// Weak implements step.Scheduler.
func (x *run) Weak() bool { return x.opts.Weak }
