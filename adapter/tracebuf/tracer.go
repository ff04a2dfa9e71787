package tracebuf

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nexus-logbuf/logbuf/recorder"
)

// Options are the options of New. Nil or a zero value is the default.
type Options struct {
	// Stream is the name of the stream for definitions, and before a slash in
	// the names of the tracks' streams. Default trace.
	Stream string

	// Process is the name of this run of the program. Default: the file name
	// of the program.
	Process string
}

// Tracer is what the events, counters and tracks of a program have in common.
// Any goroutine may call its methods.
type Tracer struct {
	rec     *recorder.Recorder
	stream  string
	process uint32 // number of the process and first number of a track
	reg     *registry
	stacks  stackTable

	start time.Time    // the monotonic clock's zero
	base  atomic.Int64 // the wall clock then, ns since the Unix epoch; moved when that is set

	used atomic.Bool // something was written since the definitions were
	last atomic.Uint32

	stop    chan struct{}
	stopped sync.WaitGroup
	closing sync.Once
}

// defineEvery is after how long definitions are written again.
const defineEvery = 10 * time.Second

// New makes a Tracer that writes to rec, and starts the goroutine that writes
// definitions, until Close. Close the Tracer before the Recorder.
func New(rec *recorder.Recorder, opts *Options) (*Tracer, error) {
	return newTracer(rec, opts, defineEvery)
}

func newTracer(rec *recorder.Recorder, opts *Options, every time.Duration) (*Tracer, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.Stream == "" {
		o.Stream = "trace"
	}
	if o.Process == "" {
		o.Process = filepath.Base(os.Args[0])
	}
	if err := checkName(o.Process); err != nil {
		return nil, fmt.Errorf("tracebuf: Options.Process: %w", err)
	}
	p, err := rec.Producer(o.Stream, &recorder.ProducerOptions{Overload: recorder.OverloadFail})
	if err != nil {
		return nil, fmt.Errorf("tracebuf: %w", err)
	}
	now := time.Now()
	t := &Tracer{
		rec: rec, stream: o.Stream, process: rand.Uint32(), reg: newRegistry(p),
		start: now, stop: make(chan struct{}),
	}
	t.base.Store(now.UnixNano())
	t.last.Store(t.process)
	def := defineProcess(t.process, Process{Name: o.Process, PID: uint32(os.Getpid()), Start: now.UnixNano()})
	if err := t.reg.add(def, 0, o.Process); err != nil {
		_ = p.Close() // never fails
		return nil, fmt.Errorf("tracebuf: %w", err)
	}
	t.stopped.Go(func() { t.reg.run(t.stop, every, &t.used, t.look) })
	return t, nil
}

// Close writes the definitions a last time and waits until there is room for
// all of them or ctx is done. It does not close the tracks; what is written to
// them after Close may lose its definitions when the archive is trimmed. The
// error says that definitions are missing.
func (t *Tracer) Close(ctx context.Context) error {
	var err error
	t.closing.Do(func() {
		close(t.stop)
		t.stopped.Wait()
		if err = t.reg.finish(ctx); err == nil && t.reg.again() {
			err = t.reg.finish(ctx)
		}
		_ = t.reg.p.Close() // never fails
	})
	return err
}

// now is the time of a record, see Time in the package documentation.
func (t *Tracer) now() int64 { return t.base.Load() + int64(time.Since(t.start)) }

// clockStep is a difference from which on the wall clock was set, or the
// machine slept.
const clockStep = 50 * time.Millisecond

// look follows a wall clock that was set.
func (t *Tracer) look() {
	now := time.Now()
	if off := now.UnixNano() - t.base.Load() - int64(now.Sub(t.start)); time.Duration(off).Abs() >= clockStep {
		t.base.Add(off)
	}
}
