package fixbuf

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nexus-logbuf/logbuf/recorder"
)

// Recorder records sessions, each into a stream of its own. Its methods may be
// called from any goroutine.
type Recorder struct {
	rec  *recorder.Recorder
	opts Options

	open context.Context // done when Close is called: messages that wait for room give up
	shut context.CancelFunc

	unrecorded, unrecordedBytes atomic.Uint64

	mu       sync.RWMutex
	sessions map[string]*session // by key
	closed   bool
}

// NewRecorder records into rec, which must outlive it and needs room for the
// lanes: recorder.Options.MemoryLimit of at least Options.Memory. It
// panics on options that make no sense.
func NewRecorder(rec *recorder.Recorder, opts *Options) *Recorder {
	r := &Recorder{rec: rec, opts: opts.withDefaults(), sessions: map[string]*session{}}
	r.open, r.shut = context.WithCancel(context.Background())
	return r
}

// Record records a whole message of any session, for engines that have their
// messages at hand; outbound says that this side sends it. A message that no
// Framer would call one is refused with an error and not recorded. Other errors
// are those of recorder.Producer.WriteAt, except that a message that was dropped
// for want of room, and counted, is no error.
func (r *Recorder) Record(outbound bool, msg []byte) error {
	part, n := next(msg, len(msg), true)
	if n != len(msg) || part != Message && part != BadSum {
		r.lose(len(msg))
		return fmt.Errorf("fixbuf: %d bytes are not one message: they begin with %d bytes of %v", len(msg), n, part)
	}
	var h Header
	if err := h.Parse(msg); err != nil {
		r.lose(len(msg))
		return err
	}
	s, err := r.session(&h)
	if err != nil {
		r.lose(len(msg))
		return err
	}
	return s.record(part, outbound, msg, &h, time.Now().UnixNano())
}

// Close closes the streams of all sessions. What was recorded still goes to the
// archive; what comes later is refused with recorder.ErrClosed, and what waits for
// room under OverloadWait is given up and counted as lost. Taps are to be closed before it.
func (r *Recorder) Close() error {
	r.shut()
	r.mu.Lock()
	r.closed = true
	sessions := slices.Collect(maps.Values(r.sessions))
	r.mu.Unlock()
	for _, s := range sessions {
		s.close()
	}
	return nil
}

// limit is the longest message that is recorded as one, bytes.
func (r *Recorder) limit() int {
	if r.opts.LaneSize == 0 {
		return DefaultMaxMessage
	}
	return r.opts.LaneSize / 4
}

// lose counts a message that belongs to no session.
func (r *Recorder) lose(n int) {
	r.unrecorded.Add(1)
	r.unrecordedBytes.Add(uint64(n))
}

// session finds the session of a message, or begins it.
func (r *Recorder) session(h *Header) (*session, error) {
	var buf [maxBegin + 2*MaxCompID + 2]byte
	if len(h.BeginString) > maxBegin || len(h.Sender) > MaxCompID || len(h.Target) > MaxCompID {
		return nil, fmt.Errorf("fixbuf: CompIDs of %d and %d bytes: the longest that is recorded is %d", len(h.Sender), len(h.Target), MaxCompID)
	}
	low, high := h.Sender, h.Target
	if h.Side() == 1 {
		low, high = high, low
	}
	key := append(buf[:0], h.BeginString...)
	key = append(append(key, soh), low...)
	key = append(append(key, soh), high...)
	r.mu.RLock()
	s := r.sessions[string(key)]
	r.mu.RUnlock()
	if s == nil {
		var err error
		if s, err = r.admit(string(key), h.Identity()); err != nil {
			return nil, err
		}
	}
	return s, s.await()
}

// admit puts a session into the map, if there is room, and has its stream made.
func (r *Recorder) admit(key string, id Identity) (*session, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.sessions[key]; s != nil {
		return s, nil
	}
	switch {
	case r.closed:
		return nil, recorder.ErrClosed
	case len(r.sessions) >= r.opts.MaxSessions:
		return nil, fmt.Errorf("fixbuf: session %s is one more than Options.MaxSessions, %d: it is not recorded", id, r.opts.MaxSessions)
	}
	s := &session{r: r, id: id, name: id.String(), onGap: r.opts.OnGap, begun: time.Now(), ready: make(chan struct{})}
	r.sessions[key] = s
	first := len(r.sessions) <= firstSessions
	go func() {
		defer close(s.ready)
		p, err := r.producer(s.name, first)
		s.opened(p, err)
		if err != nil { // the next message tries again
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.sessions[key] == s {
				delete(r.sessions, key)
			}
		}
	}()
	return s, nil
}

// producer makes the producer of a session, one of the first or not.
func (r *Recorder) producer(name string, first bool) (p *recorder.Producer, err error) {
	o := recorder.ProducerOptions{LaneSize: r.opts.LaneSize, Overload: r.opts.Overload, Urgent: r.opts.Urgent}
	if o.LaneSize != 0 {
		return r.rec.Producer(name, &o)
	}
	if o.LaneSize = firstLaneSize; first {
		if p, err = r.rec.Producer(name, &o); err == nil {
			return p, nil
		}
	}
	o.LaneSize = furtherLaneSize
	return r.rec.Producer(name, &o)
}

// Stats is what a Recorder has seen.
type Stats struct {
	Sessions []SessionStats // by name

	// Messages that could not be recorded because they belong to no session that is,
	// and their bytes: beyond MaxSessions, without or with too long CompIDs, on a
	// connection that never had a session.
	Unrecorded      uint64
	UnrecordedBytes uint64
}

// Stats returns the counters, also after Close.
func (r *Recorder) Stats() Stats {
	st := Stats{Unrecorded: r.unrecorded.Load(), UnrecordedBytes: r.unrecordedBytes.Load()}
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, s := range r.sessions {
		st.Sessions = append(st.Sessions, s.stats())
	}
	slices.SortFunc(st.Sessions, func(a, b SessionStats) int { return strings.Compare(a.Name, b.Name) })
	return st
}
