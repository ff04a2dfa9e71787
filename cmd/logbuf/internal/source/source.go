package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/gobwas/ws"
	"github.com/nexus-logbuf/logbuf/adapter/wsbuf"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// StopTime is how long a source may go on after its context is done: for the
// peer's close frame, and for putting into the lane what has been read.
const StopTime = time.Second

// lasting is how long a connection must have held for the pauses between
// attempts to begin anew.
const lasting = 10 * time.Second

// State is what a source is doing.
type State uint8

// States.
const (
	Connecting State = iota
	Live
	Waiting // before connecting again
	Ended
)

// String returns a word for the state.
func (s State) String() string {
	return [...]string{"connecting", "live", "waiting", "ended"}[s]
}

// Status is a snapshot of a source.
type Status struct {
	Name        string
	State       State
	Connections uint64 // made
	Gaps        uint64 // times that a connection was lost and the gap noted
	LastError   error  // that ended the last connection or attempt, nil when it ended well
}

// Source runs one Spec into one producer.
type Source struct {
	spec Spec
	opts Options
	p    *recorder.Producer
	gate *Gate
	warn func(format string, args ...any)

	mu     sync.Mutex
	status Status
}

// BySession tells whether the source of that specification and those options
// records FIX sessions, into Options.Sessions, and has no producer of its own.
func BySession(spec Spec, opts *Options) bool {
	return opts.Frame == FIX && spec.Kind != WebSocket
}

// New makes a source that records into p, which it closes in the end; p is nil
// if BySession. If the Spec accepts connections, p is a shared producer. warn is
// called with what a person should know at once, from any goroutine.
func New(spec Spec, opts *Options, p *recorder.Producer, gate *Gate, warn func(format string, args ...any)) *Source {
	return &Source{spec: spec, opts: opts.withDefaults(), p: p, gate: gate, warn: warn, status: Status{Name: spec.Name}}
}

// Status may be called from any goroutine.
func (s *Source) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

// session is one connection.
type session interface {
	// record takes from the connection until it ends. patience outlives ctx by
	// StopTime; waits for space in the lane end with it.
	record(ctx, patience context.Context) error
	close()
}

// Run records until the source has ended, ctx is done, or the recorder fails.
// The error is nil after a good end and after ctx.
func (s *Source) Run(ctx context.Context) error {
	if s.p != nil {
		defer s.p.Close()
	}
	defer s.set(func(st *Status) { st.State = Ended })
	patience, giveUp := context.WithCancelCause(context.WithoutCancel(ctx))
	defer giveUp(nil)
	unhook := context.AfterFunc(ctx, func() {
		t := time.AfterFunc(StopTime, func() { giveUp(context.Cause(ctx)) })
		context.AfterFunc(patience, func() { t.Stop() })
	})
	defer unhook()
	run := s.loop
	if s.spec.Accepts() {
		run = s.accept
	}
	err := run(ctx, patience)
	if err == nil || ctx.Err() != nil {
		return nil
	}
	s.set(func(st *Status) { st.LastError = err })
	return s.named(err)
}

// named says which source an error is about, unless it says so itself: by the
// name that the user gave it, or by its address.
func (s *Source) named(err error) error {
	where := s.spec.where()
	switch {
	case strings.Contains(err.Error(), where) && where != "-":
		return err
	case strings.Contains(where, s.spec.Name):
		return fmt.Errorf("%s: %w", where, err)
	}
	return fmt.Errorf("%s: %w", s.spec.Name, err)
}

func (s *Source) loop(ctx, patience context.Context) error {
	var lost time.Time // when the last connection ended; zero: there was none
	pause := s.opts.RetryMin
	for attempt := 0; ; attempt++ {
		s.set(func(st *Status) { st.State = Connecting })
		began := time.Now()
		sess, err := s.connect(ctx)
		if attempt == 0 {
			s.gate.first(err == nil)
		}
		if err == nil {
			s.noteGap(lost, time.Now())
			s.set(func(st *Status) { st.State = Live; st.Connections++; st.LastError = nil })
			if !lost.IsZero() {
				s.warn("%s: connected again, %v after the connection was lost", s.spec.Name, time.Since(lost).Round(time.Millisecond))
			}
			err = sess.record(ctx, patience)
			sess.close()
			lost = time.Now()
		}
		if over, err := s.over(ctx, err, lost.IsZero()); over {
			return err
		}
		if time.Since(began) > lasting {
			pause = s.opts.RetryMin
		}
		wait := pause - rand.N(pause/2)
		s.set(func(st *Status) { st.State = Waiting; st.LastError = err })
		s.warn("%v; connecting again in %v", s.named(err), wait.Round(time.Millisecond))
		if !sleep(ctx, wait) {
			s.noteGap(lost, time.Now())
			return nil
		}
		pause = min(2*pause, s.opts.RetryMax)
	}
}

// over decides whether a source whose connection, or attempt, ended with err is
// over, and with which error.
func (s *Source) over(ctx context.Context, err error, never bool) (bool, error) {
	var rerr *RecordError
	switch {
	case errors.As(err, &rerr):
		return true, rerr
	case ctx.Err() != nil:
		return true, nil
	case s.spec.Kind == Stdin || s.opts.Reconnect == Never:
		return true, badEnd(err)
	case s.opts.Reconnect == Always:
		return false, nil
	case never:
		select {
		case <-s.gate.decided:
		case <-ctx.Done():
			return true, nil
		}
		if s.gate.passed() {
			return false, err
		}
		if _, ok := errors.AsType[*net.OpError](err); ok {
			err = fmt.Errorf("%w; --reconnect always goes on trying", err)
		}
		return true, err
	}
	return badEnd(err) == nil, nil
}

// badEnd is err unless it is one of the good ends of a connection.
func badEnd(err error) error {
	var closed *wsbuf.CloseError
	if err == io.EOF || errors.As(err, &closed) && closed.Code == ws.StatusNormalClosure {
		return nil
	}
	return err
}

// noteGap puts a gap of unknown size into the archive.
func (s *Source) noteGap(from, to time.Time) {
	if from.IsZero() {
		return
	}
	if s.p == nil { // the messages' own numbers will tell
		return
	}
	s.p.LoseBetween(0, 0, journal.LossSource, from.UnixNano(), to.UnixNano())
	s.set(func(st *Status) { st.Gaps++ })
}

func (s *Source) set(change func(*Status)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.status)
}

// sleep waits d and reports whether ctx let it.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *Source) connect(ctx context.Context) (session, error) {
	switch s.spec.Kind {
	case WebSocket:
		return s.dialWebSocket(ctx)
	case TCP:
		return s.dialTCP(ctx)
	case Stdin:
		return &stream{s: s, r: s.opts.Stdin}, nil
	}
	panic(fmt.Sprintf("source: Spec.Kind is %d", s.spec.Kind))
}
