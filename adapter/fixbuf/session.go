package fixbuf

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/queue"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// session is one FIX session, and its stream. Connections come and go.
type session struct {
	r     *Recorder
	id    Identity
	name  string
	onGap func(Gap)
	begun time.Time
	ready chan struct{} // closed when the stream is made, or cannot be
	dead  atomic.Bool   // it cannot: the next message begins the session anew

	// Held by who uses the producer: both directions write. Under OverloadWait
	// that may take a while, so what others look at has a lock of its own, which is
	// taken behind this one and never held while anybody waits.
	writing sync.Mutex

	mu     sync.Mutex
	p      *recorder.Producer
	err    error // why there is none
	closed bool
	count  SessionStats
	early  loss // what came before there was a stream
}

type loss struct{ records, bytes uint64 }

// SessionStats is what was seen of a session since its Recorder was made.
type SessionStats struct {
	Name     string // of the session and its stream
	Identity Identity

	Sequences [2]Sequence // of Identity.Low's messages and of Identity.High's
	In, Out   uint64      // whole messages received and sent, those with a wrong CheckSum included
	BadSum    uint64      // messages whose CheckSum is wrong
	Malformed uint64      // messages without the fields that a session needs
	TooLarge  uint64      // messages longer than a quarter of the lane, recorded in pieces
	Skipped   uint64      // bytes that are no message

	// Recording is what became of it: how many records the archive has, and how many are
	// lost, by the recorder's count.
	Recording recorder.ProducerStats
}

// opened takes the session's stream, or the reason why there is none.
func (s *session) opened(p *recorder.Producer, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.p, s.err = p, err
	if err != nil {
		s.dead.Store(true)
		s.r.unrecorded.Add(s.early.records)
		s.r.unrecordedBytes.Add(s.early.bytes)
		return
	}
	if s.early.records > 0 {
		p.Lose(s.early.records, s.early.bytes, journal.LossOverload)
	}
	if s.closed {
		_ = p.Close() // never fails
	}
}

// openPatience is how long the first messages of a session wait for its stream to be
// made, unless under OverloadWait. A disk that hangs may hold that up, and must not
// hold up the session.
const openPatience = time.Second

// await waits for the stream: under OverloadWait until there is one or the Recorder
// is closed, else not for long, and messages that come before there is one are
// counted as lost.
func (s *session) await() error {
	select {
	case <-s.ready:
		return s.failure()
	default:
	}
	var patience <-chan time.Time
	if s.r.opts.Overload != recorder.OverloadWait {
		t := time.NewTimer(openPatience - time.Since(s.begun))
		defer t.Stop()
		patience = t.C
	}
	select {
	case <-s.ready:
		return s.failure()
	case <-s.r.open.Done():
		return recorder.ErrClosed
	case <-patience:
		return nil
	}
}

func (s *session) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *session) close() {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.p != nil {
		_ = s.p.Close() // never fails
	}
}

// record takes one part of a direction's bytes. h is its header, nil for what has
// none.
func (s *session) record(part Part, outbound bool, b []byte, h *Header, now int64) error {
	gap, err := s.locked(part, outbound, b, h, now)
	if gap.Missing.To > 0 && s.onGap != nil {
		s.onGap(gap)
	}
	return err
}

func (s *session) locked(part Part, outbound bool, b []byte, h *Header, now int64) (gap Gap, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	gap, p, err := s.admit(part, outbound, len(b), h)
	if p == nil {
		return gap, err
	}
	return gap, s.write(p, part, outbound, b, now)
}

// admit counts a part and returns the producer to write it with; nil if there is
// none, when the part is counted as lost.
func (s *session) admit(part Part, outbound bool, n int, h *Header) (gap Gap, p *recorder.Producer, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	gap = s.see(part, outbound, n, h)
	switch {
	case s.err != nil:
		s.r.lose(n)
	case s.p == nil:
		s.early.records++
		s.early.bytes += uint64(n)
	}
	return gap, s.p, s.err
}

// see counts a part. mu is held.
func (s *session) see(part Part, outbound bool, n int, h *Header) (gap Gap) {
	c := &s.count
	switch part {
	case BadSum:
		c.BadSum++
	case TooLarge:
		c.TooLarge++
	}
	if part == Skipped || part == TooLarge {
		c.Skipped += uint64(n)
		return gap
	}
	if outbound {
		c.Out++
	} else {
		c.In++
	}
	if h == nil {
		c.Malformed++
	} else if part == Message {
		side := h.Side()
		if step := c.Sequences[side].See(h); step.Gap.To > 0 {
			gap = Gap{Session: s.name, Sender: s.id.CompID(side), Missing: step.Gap}
		}
	}
	return gap
}

// write puts the part into the lane, in as many records as it takes. writing is
// held.
func (s *session) write(p *recorder.Producer, part Part, outbound bool, b []byte, now int64) error {
	kind, flags := uint8(journal.KindData), uint8(journal.FlagFinal)
	switch part {
	case BadSum:
		kind = KindBadSum
	case Skipped, TooLarge:
		kind = KindSkipped
	}
	if outbound {
		flags |= journal.FlagOutbound
	}
	for kind == KindSkipped && len(b) > min(p.MaxRecord(), s.r.limit()) {
		n := min(p.MaxRecord(), s.r.limit())
		if err := s.put(p, now, kind, flags&^journal.FlagFinal, b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return s.put(p, now, kind, flags, b)
}

// put writes one record. One that the recorder has dropped, and counted, is no
// error.
func (s *session) put(p *recorder.Producer, now int64, kind, flags uint8, b []byte) error {
	if p.Overload() == recorder.OverloadWait {
		return s.wait(p, now, kind, flags, b)
	}
	err := p.WriteAt(now, kind, flags, b)
	if err != nil && errors.Is(err, queue.ErrFull) && p.Overload() == recorder.OverloadDrop {
		return nil
	}
	return err
}

// wait is put that waits for room, though not beyond the Recorder's Close.
func (s *session) wait(p *recorder.Producer, now int64, kind, flags uint8, b []byte) error {
	c, err := p.Claim(s.r.open, kind, flags, len(b))
	if err != nil {
		if s.r.open.Err() != nil && errors.Is(err, s.r.open.Err()) {
			p.Lose(0, uint64(len(b)), journal.LossOverload)
		}
		return err
	}
	c.SetTime(now)
	copy(c.Bytes(), b)
	if !c.Commit() {
		return recorder.ErrClosed
	}
	return nil
}

// lose says in the archive that n bytes came that could not be recorded.
func (s *session) lose(n uint64) {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count.Skipped += n
	if s.p != nil {
		s.p.Lose(0, n, journal.LossSource)
	}
}

func (s *session) stats() SessionStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.count
	c.Name, c.Identity = s.name, s.id
	if s.p != nil {
		c.Recording = s.p.Stats()
	}
	c.Recording.Lost += s.lostEarly().records
	return c
}

// lostEarly is what the recorder does not count because there is no stream yet.
func (s *session) lostEarly() loss {
	if s.p != nil {
		return loss{}
	}
	return s.early
}
