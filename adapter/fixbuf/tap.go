package fixbuf

import (
	"sync"
	"sync/atomic"
	"time"
)

// Tap records the bytes of one connection. In and Out may be called from two
// goroutines at once; calls of the same one take turns.
//
// An error says that something was not recorded, and which session it is about; it never stops
// the Tap, which goes on with the next message. What is dropped under
// recorder.OverloadDrop is counted by the recorder and no error.
type Tap struct {
	r       *Recorder
	current atomic.Pointer[session] // of the last message, either way

	in, out half

	mu     sync.Mutex
	orphan uint64 // bytes that came before there was a session
}

// half is one direction of a connection.
type half struct {
	mu     sync.Mutex
	framer Framer
	header Header
}

// NewTap makes a tap for a new connection.
func (r *Recorder) NewTap() *Tap {
	t := &Tap{r: r}
	t.in.framer.limit, t.out.framer.limit = r.limit(), r.limit()
	return t
}

// In records bytes that were received, in any pieces. b is not kept.
func (t *Tap) In(b []byte) error { return t.feed(&t.in, false, b) }

// Out records bytes that are sent, in any pieces. b is not kept.
func (t *Tap) Out(b []byte) error { return t.feed(&t.out, true, b) }

// Session is the name of the connection's session: of its last message. It is
// empty before the first one.
func (t *Tap) Session() string {
	if s := t.current.Load(); s != nil {
		return s.name
	}
	return ""
}

// Close records what is left of both directions, as bytes that are no message.
// Bytes of a connection that never had a session are counted in
// Stats.UnrecordedBytes.
func (t *Tap) Close() error {
	now := time.Now().UnixNano()
	err := t.flush(&t.in, false, now)
	if outErr := t.flush(&t.out, true, now); err == nil {
		err = outErr
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.orphan > 0 {
		t.r.unrecordedBytes.Add(t.orphan)
		t.orphan = 0
	}
	return err
}

func (t *Tap) feed(h *half, outbound bool, p []byte) (err error) {
	now := time.Now().UnixNano()
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		part, b, rest := h.framer.Next(p)
		if part == More {
			return err
		}
		p = rest
		if e := t.take(h, part, outbound, b, now); err == nil {
			err = e
		}
	}
}

func (t *Tap) flush(h *half, outbound bool, now int64) (err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		part, b := h.framer.Flush()
		if part == More {
			return err
		}
		if e := t.take(h, part, outbound, b, now); err == nil {
			err = e
		}
	}
}

// take finds the session of a part and records it there.
func (t *Tap) take(h *half, part Part, outbound bool, b []byte, now int64) error {
	s := t.current.Load()
	header := &h.header
	if part == Skipped || part == TooLarge || header.Parse(b) != nil {
		if s == nil {
			t.mu.Lock()
			t.orphan += uint64(len(b))
			t.mu.Unlock()
			return nil
		}
		return s.record(part, outbound, b, nil, now)
	}
	if s == nil || s.dead.Load() || !s.id.Is(header) {
		var err error
		if s, err = t.enter(header); err != nil {
			t.r.lose(len(b))
			return err
		}
	}
	return s.record(part, outbound, b, header, now)
}

// enter goes over to the session of a message.
func (t *Tap) enter(h *Header) (*session, error) {
	s, err := t.r.session(h)
	if err != nil {
		return nil, err
	}
	t.current.Store(s)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.orphan > 0 {
		s.lose(t.orphan)
		t.orphan = 0
	}
	return s, nil
}
