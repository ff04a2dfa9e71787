package capture

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nexus-logbuf/logbuf/adapter/fixbuf"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/source"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// Causes that end a run in good order.
var (
	errTimeUp   = errors.New("the time is up")
	errForced   = errors.New("stopped at once")
	errRecorder = errors.New("the recorder has failed") // the reason is the recorder's
)

// panicTime is how long a source that panics may hold up the end of the program,
// for what others have recorded.
const panicTime = 5 * time.Second

// run is a recording under way.
type run struct {
	cfg     Config
	rec     *recorder.Recorder
	sources []*source.Source
	fix     *fixbuf.Recorder // of FIX sessions; nil when none are recorded
	gaps    atomic.Int64     // told of
	start   time.Time

	unrecorded bool        // the recorder has failed, and the run goes on; of watch's goroutine
	draining   func() bool // the sources have ended, or were told to

	mu     sync.Mutex
	errs   []error // of the sources that ended badly
	maxLag time.Duration
}

// Run records until every source has ended, ctx is done, or cfg.For is over, and
// seals the archive. The report is nil only if the recording could not begin.
// The error is nil if the recording went as it should: being interrupted is no
// error, records dropped under overload are none.
func Run(ctx context.Context, config *Config) (*Report, error) {
	r := &run{cfg: config.withDefaults()}
	if err := r.open(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if r.cfg.For > 0 {
		t := time.AfterFunc(r.cfg.For, func() { cancel(errTimeUp) })
		defer t.Stop()
	}
	r.start = time.Now()
	r.draining = func() bool { return ctx.Err() != nil }
	r.cfg.Began(r.snapshot)
	ended := make(chan struct{})
	go r.runSources(ctx, ended)
	if r.fix != nil { // messages that wait for room give up in time
		defer context.AfterFunc(ctx, func() { time.AfterFunc(source.StopTime, func() { _ = r.fix.Close() }) })()
	}
	stopWatching := r.watch(cancel)
	select {
	case <-ended:
	case <-r.cfg.Force:
	}
	elapsed := time.Since(r.start)
	closeErr := r.close()
	stopWatching()
	return r.report(ctx, elapsed, closeErr)
}

// open opens the recorder and makes a producer for each source.
func (r *run) open() error {
	rec, err := recorder.Open(r.cfg.Dir, &recorder.Options{
		Journal: r.cfg.Journal, MemoryLimit: r.cfg.memory(),
	})
	if err != nil {
		return err
	}
	r.rec = rec
	if found := rec.Recovered(); found.TornBytes > 0 {
		r.cfg.Warn("%s: the last recording was cut off; %d bytes behind its last whole block are in %s", r.cfg.Dir, found.TornBytes, found.TornFile)
	}
	if o := r.cfg.sessions(); o != nil {
		o.OnGap = r.gap
		r.fix = fixbuf.NewRecorder(rec, o)
	}
	gate := source.NewGate(len(r.cfg.Sources))
	for i := range r.cfg.Sources {
		s := &r.cfg.Sources[i]
		p, err := r.producer(s)
		if err != nil {
			return errors.Join(err, r.close())
		}
		r.sources = append(r.sources, source.New(s.Spec, &s.Options, p, gate, r.cfg.Warn))
	}
	return nil
}

// producer makes the producer of a source; those that record FIX sessions have
// none.
func (r *run) producer(s *Source) (*recorder.Producer, error) {
	if source.BySession(s.Spec, &s.Options) {
		s.Options.Sessions = r.fix
		return nil, nil
	}
	return r.rec.Producer(s.Name, &recorder.ProducerOptions{LaneSize: s.Ring, Overload: s.overload(), Urgent: s.Urgent, Shared: s.Accepts()})
}

// gap says that a FIX message is missing on the wire.
func (r *run) gap(g fixbuf.Gap) {
	const most = 100
	sender := strconv.Quote(g.Sender) // the peer chooses it
	switch n := r.gaps.Add(1); {
	case n < most:
		r.cfg.Warn("%s: %s has sent no MsgSeqNum %s", g.Session, sender, g.Missing)
	case n == most:
		r.cfg.Warn("%s: %s has sent no MsgSeqNum %s; further gaps are not told: logbuf fix sessions %s --gaps lists them", g.Session, sender, g.Missing, r.cfg.Dir)
	}
}

// runSources runs all of them and closes ended when the last one has.
func (r *run) runSources(ctx context.Context, ended chan<- struct{}) {
	defer close(ended)
	var all sync.WaitGroup
	for _, s := range r.sources {
		all.Go(func() {
			defer r.rec.CloseOnPanic(panicTime)
			if err := s.Run(ctx); err != nil {
				r.mu.Lock()
				r.errs = append(r.errs, err)
				r.mu.Unlock()
				if ctx.Err() == nil && len(r.sources) > 1 {
					r.cfg.Warn("%v; this source has ended", err)
				}
			}
		})
	}
	all.Wait()
}

// watch looks at the state now and then: for the status line, the longest lag,
// and a recorder that has failed, which ends the run. The function it returns
// stops that, after one last look.
func (r *run) watch(cancel context.CancelCauseFunc) (stop func()) {
	done, gone := make(chan struct{}), make(chan struct{})
	tell := notices{dir: r.cfg.Dir, warn: r.cfg.Warn}
	go func() {
		defer close(gone)
		tick := time.NewTicker(r.cfg.WatchEvery)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			s := r.snapshot()
			if s.Stats.Err != nil {
				r.failed(s.Stats.Err, cancel)
			}
			r.cfg.Watch(s)
			tell.see(&s.Stats.Journal)
		}
	}()
	return func() {
		close(done)
		<-gone
	}
}

// failed ends the run when the recorder has failed, unless connections go through it:
// those are worth more than the end.
func (r *run) failed(err error, cancel context.CancelCauseFunc) {
	switch {
	case !r.cfg.Forwards():
		cancel(errRecorder)
	case !r.unrecorded:
		r.unrecorded = true
		r.cfg.Warn("%s: NOTHING IS RECORDED ANY MORE: %v; connections are forwarded all the same, until Ctrl-C", r.cfg.Dir, err)
	}
}

func (r *run) snapshot() *Snapshot {
	s := &Snapshot{Elapsed: time.Since(r.start), Stats: r.rec.Stats(), Sources: r.statuses(), Draining: r.draining()}
	r.mu.Lock()
	r.maxLag = max(r.maxLag, s.Stats.Lag)
	r.mu.Unlock()
	return s
}

func (r *run) statuses() []source.Status {
	out := make([]source.Status, 0, len(r.sources))
	for _, s := range r.sources {
		out = append(out, s.Status())
	}
	return out
}

// close drains the lanes and seals the archive, or gives up when forced.
func (r *run) close() error {
	if r.fix != nil {
		_ = r.fix.Close() // never fails
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-r.cfg.Force:
			cancel(errForced)
		case <-done:
		}
	}()
	return r.rec.Close(ctx)
}

// report puts together what happened.
func (r *run) report(ctx context.Context, elapsed time.Duration, closeErr error) (*Report, error) {
	stats := r.rec.Stats()
	rep := newReport(&r.cfg, stats, r.statuses(), r.rec.Recovered())
	if r.fix != nil {
		rep.rings(r.fix.Stats())
	}
	rep.Elapsed, rep.Seconds = elapsed, elapsed.Seconds()
	if r.fix != nil {
		st := r.fix.Stats()
		rep.NoSession, rep.NoSessionBytes = st.Unrecorded, st.UnrecordedBytes
	}
	cause := context.Cause(ctx)
	rep.Interrupted = cause != nil && cause != errTimeUp && cause != errRecorder
	r.mu.Lock()
	defer r.mu.Unlock()
	// A short run ends between two looks, but not before its slowest sync.
	rep.MaxLag = max(r.maxLag, stats.Journal.MaxSync)
	rep.MaxLagMs = float64(rep.MaxLag) / float64(time.Millisecond)
	var lost *recorder.NotWrittenError
	if errors.As(closeErr, &lost) {
		for _, s := range lost.Streams {
			rep.NotWritten += s.Records
		}
	}
	var errs []error
	if closeErr != nil {
		errs = append(errs, fmt.Errorf("%s: %w; %s", r.cfg.Dir, closeErr, safe(rep, r.lastFile(&stats.Journal))))
	}
	for _, err := range r.errs {
		// What the recorder told the sources it says itself, once.
		var rerr *source.RecordError
		if closeErr == nil || !errors.As(err, &rerr) {
			errs = append(errs, err)
		}
	}
	err := errors.Join(errs...)
	if err != nil {
		rep.Error = err.Error()
	}
	return rep, err
}

// lastFile is the path of the last segment. One in the fail-over directory
// carries its own.
func (r *run) lastFile(s *journal.Stats) string {
	if filepath.Base(s.SegmentFile) != s.SegmentFile {
		return s.SegmentFile
	}
	return filepath.Join(r.cfg.Dir, s.SegmentFile)
}

// safe says what survives of a recording whose last file is, or was, file.
func safe(rep *Report, file string) string {
	if rep.DurableSeq == 0 {
		return "no record is known to be durable"
	}
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		return fmt.Sprintf("records up to sequence %d were durable, wherever that file is now", rep.DurableSeq-1)
	}
	return fmt.Sprintf("in the end, records up to sequence %d are durable", rep.DurableSeq-1)
}
