package wsbuf

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gobwas/ws"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/queue"
	"github.com/nexus-logbuf/logbuf/recorder"
)

const outbound = journal.FlagOutbound

// phase is what the next byte of a direction belongs to.
type phase uint8

const (
	inHandshake phase = iota // to an HTTP head
	unanswered               // to what follows the request; its answer has not been seen
	inFrames
	over // to nothing that is recorded
)

// side is one direction of a tapped connection. It assembles a frame that comes
// in pieces in memory of its own and claims room for it when it is whole: an
// open claim would hold up the other direction where they share a producer.
type side struct {
	tap    *Tap
	dir    uint8 // outbound or 0
	limit  int   // largest payload to record, bytes
	unpack *unpacker

	mu         sync.Mutex // of all below, and of what the producer is used for
	p          *recorder.Producer
	phase      phase
	expect     expected
	compressed bool // the message in hand is

	buf   []byte    // the beginning of a head or a frame, or bytes behind the request
	h     ws.Header // of the frame in buf, once it is known
	total int       // bytes of it, header and all; 0: not known yet

	skip    int64  // payload to come of a frame that is too large
	skipped uint64 // and what has come

	frames uint64 // whose header was read
	offset int64  // bytes behind the handshake that the parser has passed
	now    int64  // time of the bytes in hand; 0: not asked for yet
	plain  []byte // an unmasked payload
	err    error  // the first that there was
}

func (s *side) init(t *Tap, p *recorder.Producer, dir uint8, o *TapOptions) {
	s.tap, s.p, s.dir, s.limit = t, p, dir, o.MaxFrame
	if p == nil {
		return
	}
	s.limit = min(s.limit, p.MaxRecord())
	if o.Inflate {
		s.unpack = &unpacker{limit: s.limit, record: s.record, gap: s.gap}
	}
}

// pass looks at bytes that pass. It does not keep b.
func (s *side) pass(b []byte) {
	if len(b) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = 0
	s.parse(b)
}

func (s *side) parse(b []byte) {
	for len(b) > 0 {
		switch s.phase {
		case inHandshake:
			b = s.head(b)
		case unanswered:
			b = s.early(b)
		case inFrames:
			b = s.frame(b)
		case over:
			return
		}
	}
}

// frame takes a frame, or a part of one, from the front of b and returns the
// rest.
func (s *side) frame(b []byte) []byte {
	switch {
	case s.skip > 0:
		return s.skipOver(b)
	case len(s.buf) > 0:
		return s.assemble(b)
	}
	h, size := parseHeader(b)
	if size == 0 {
		s.buf = append(s.buf, b...)
		return nil
	}
	if !s.begin(h, size) {
		return b[size:]
	}
	if len(b) < s.total {
		s.buf = append(s.buf, b...)
		return nil
	}
	rest := b[s.total:]
	s.take(b[size:s.total], false)
	return rest
}

// assemble goes on with the frame in buf.
func (s *side) assemble(b []byte) []byte {
	if s.total == 0 {
		need := ws.MinHeaderSize
		if len(s.buf) >= need {
			need, _ = headerSize(s.buf[1])
		}
		n := min(need-len(s.buf), len(b))
		s.buf, b = append(s.buf, b[:n]...), b[n:]
		h, size := parseHeader(s.buf)
		if size == 0 {
			return b
		}
		if !s.begin(h, size) {
			s.buf = s.buf[:0]
			return b
		}
	}
	n := min(s.total-len(s.buf), len(b))
	s.buf, b = append(s.buf, b[:n]...), b[n:]
	if len(s.buf) == s.total {
		s.take(s.buf[s.total-int(s.h.Length):], true)
		s.buf = s.buf[:0]
	}
	return b
}

// begin looks at a frame's header. It returns false if the frame is not to be
// recorded.
func (s *side) begin(h ws.Header, size int) bool {
	s.frames++
	if what := s.expect.check(h, size); what != "" {
		s.fail(&ProtocolError{Frame: s.frames, Offset: s.offset, Code: ws.StatusProtocolError, What: what})
		return false
	}
	if !h.OpCode.IsControl() {
		s.expect.open = !h.Fin
		if h.OpCode != ws.OpContinuation {
			s.compressed = h.Rsv&rsv1 != 0
		}
	}
	s.offset += int64(size)
	if h.Length <= int64(s.limit) {
		s.h, s.total = h, size+int(h.Length)
		return true
	}
	s.skip, s.skipped = h.Length, 0
	if s.compressed && s.unpack != nil && !h.OpCode.IsControl() {
		_ = s.unpack.giveUp(errLongCompressed) // record returns no errors
	}
	return false
}

// skipOver passes over the payload of a frame that is too large.
func (s *side) skipOver(b []byte) []byte {
	n := min(s.skip, int64(len(b)))
	s.skip -= n
	s.skipped += uint64(n)
	s.offset += n
	if s.skip == 0 {
		s.p.Lose(1, s.skipped, journal.LossTooLarge)
	}
	return b[n:]
}

// take records a frame that is whole. owned says that the payload is not the
// application's.
func (s *side) take(payload []byte, owned bool) {
	h := s.h
	s.total = 0
	s.offset += h.Length
	if h.Masked {
		if !owned {
			s.plain = append(s.plain[:0], payload...)
			payload = s.plain
		}
		ws.Cipher(payload, h.Mask, 0)
	}
	flags := flagsOf(h.OpCode, h.Fin)
	switch {
	case h.OpCode.IsControl():
	case s.compressed && s.unpack != nil:
		_ = s.unpack.frame(h.OpCode, h.Fin, payload) // record returns no errors
		return
	case s.compressed:
		flags |= journal.FlagCompressed
	}
	_ = s.record(flags, payload)
	if h.OpCode == ws.OpClose { // nothing may follow
		s.finish()
	}
}

// record takes a frame to the lane. The error is always nil: what is not
// recorded is counted and noted here.
func (s *side) record(flags uint8, payload []byte) error {
	s.write(journal.KindData, flags|s.dir, payload)
	return nil
}

func (s *side) write(kind, flags uint8, payload []byte) {
	if s.now == 0 {
		s.now = time.Now().UnixNano()
	}
	claim, err := s.p.ClaimAt(s.tap.ctx, s.now, kind, flags, len(payload))
	if err == nil {
		copy(claim.Bytes(), payload)
		claim.Commit() // false: the recorder has counted it
	}
	switch policy := s.p.Overload(); {
	case err == nil, err == queue.ErrFull && policy == recorder.OverloadDrop:
	case err == queue.ErrFull, errors.Is(err, context.Canceled):
		s.p.Lose(1, uint64(len(payload)), journal.LossOverload) // it is nobody's but ours
	case s.err == nil:
		s.err = &RecordError{Frame: s.frames, Size: len(payload), Err: err}
	}
}

// gap notes that something could not be inflated and is recorded as it came.
func (s *side) gap(err error) {
	s.p.Lose(0, 0, journal.LossSource)
	if s.err == nil {
		s.err = err
	}
}

// fail ends the recording of this direction. What passes from here on is
// missing, and nobody knows how much it will be.
func (s *side) fail(err error) {
	if s.err == nil {
		s.err = err
	}
	frames := s.phase == inFrames
	s.finish()
	if frames {
		s.p.Lose(0, 0, journal.LossSource)
	}
}

// cut is told of a Write that wrote n of size bytes.
func (s *side) cut(n, size int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != over {
		s.fail(fmt.Errorf("the last frames may not have been sent: %d of %d bytes were written: %w", n, size, err))
	}
}

// end ends the recording with the connection.
func (s *side) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = 0
	if a := s.tap.answer.Load(); s.phase == unanswered && a != nil {
		s.parse(s.answered(a))
	}
	s.finish()
}

// finish counts what is not whole.
func (s *side) finish() {
	if s.phase == inFrames {
		if s.unpack != nil {
			_ = s.unpack.flush() // record returns no errors
		}
		switch {
		case s.skip > 0:
			s.p.Lose(1, s.skipped, journal.LossTooLarge)
		case s.total > 0:
			s.p.Lose(1, uint64(len(s.buf)-(s.total-int(s.h.Length))), journal.LossSource)
		}
	}
	s.phase = over
	s.buf, s.plain, s.skip, s.total = nil, nil, 0, 0
}

func (s *side) failure(direction string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", direction, s.err)
}
