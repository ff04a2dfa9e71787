package wsbuf

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// ErrNotWebSocket is in the error of a Tap whose connection is not, or not at
// once, a WebSocket: the server refused the handshake, or the connection begins
// with something else.
var ErrNotWebSocket = errors.New("wsbuf: not a WebSocket connection")

// maxHead is the largest head of a request or an answer that is read, and the
// most that is held of what a client sends before it has the answer, bytes.
const maxHead = 64 << 10

// negotiated is what the handshake led to.
type negotiated struct {
	err     error // nil: a WebSocket
	deflate bool  // with permessage-deflate
	record  []byte
}

// head takes bytes of an HTTP head from the front of b and returns the rest.
func (s *side) head(b []byte) []byte {
	from := max(0, len(s.buf)-3)
	old := len(s.buf)
	s.buf = append(s.buf, b[:min(len(b), maxHead-len(s.buf))]...)
	if !isPrefix(s.buf, "GET ") && !isPrefix(s.buf, "HTTP/1.") {
		s.refuse(fmt.Errorf("%w: it begins with %q", ErrNotWebSocket, s.buf[:min(len(s.buf), 16)]))
		return nil
	}
	end := headEnd(s.buf, from)
	if end < 0 {
		if len(s.buf) == maxHead {
			s.refuse(fmt.Errorf("%w: the head of its handshake is longer than %d bytes", ErrNotWebSocket, maxHead))
		}
		return nil
	}
	head := s.buf[:end]
	s.buf = nil
	if head[0] == 'G' {
		s.expect.masked, s.phase = true, unanswered
	} else {
		s.response(head)
	}
	return b[end-old:]
}

// isPrefix reports whether b and p agree as far as both go.
func isPrefix(b []byte, p string) bool {
	n := min(len(b), len(p))
	return string(b[:n]) == p[:n]
}

// headEnd finds the empty line that ends a head, and returns where it ends, or
// -1. Lines may end without CR, as the HTTP libraries have it.
func headEnd(b []byte, from int) int {
	for i := from; ; {
		n := bytes.IndexByte(b[i:], '\n')
		if n < 0 {
			return -1
		}
		i += n + 1
		switch rest := b[i:]; {
		case len(rest) > 0 && rest[0] == '\n':
			return i + 1
		case len(rest) > 1 && rest[0] == '\r' && rest[1] == '\n':
			return i + 2
		}
	}
}

// response makes sense of the server's answer.
func (s *side) response(head []byte) {
	r, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(head)), &http.Request{Method: http.MethodGet})
	if err != nil {
		s.refuse(fmt.Errorf("%w: bad answer to the handshake: %w", ErrNotWebSocket, err))
		return
	}
	r.Body.Close()
	if r.StatusCode != http.StatusSwitchingProtocols && r.StatusCode < 200 {
		return // for your information; another head follows
	}
	s.tap.answer.CompareAndSwap(nil, negotiate(r.StatusCode, r.Header))
	s.open(s.tap.answer.Load())
}

// negotiate reads the answer to a handshake.
func negotiate(status int, h http.Header) *negotiated {
	if status != http.StatusSwitchingProtocols {
		return &negotiated{err: fmt.Errorf("%w: the server answered %d %s", ErrNotWebSocket, status, http.StatusText(status))}
	}
	if up := h.Get("Upgrade"); !strings.EqualFold(strings.TrimSpace(up), "websocket") {
		return &negotiated{err: fmt.Errorf("%w: the server switched to %q", ErrNotWebSocket, up)}
	}
	extensions := strings.Join(h.Values("Sec-WebSocket-Extensions"), ", ")
	a := &negotiated{record: answer(h.Get("Sec-WebSocket-Protocol"), extensions)}
	for e := range strings.SplitSeq(extensions, ",") {
		name, _, _ := strings.Cut(e, ";")
		a.deflate = a.deflate || strings.EqualFold(strings.TrimSpace(name), deflateName)
	}
	return a
}

// open begins the frames of this direction, if the answer was that there will be
// any.
func (s *side) open(a *negotiated) {
	if a.err != nil {
		s.fail(a.err)
		return
	}
	if s.p == nil {
		s.finish()
		return
	}
	s.phase, s.expect.deflate = inFrames, a.deflate
	s.write(KindHandshake, s.dir, a.record)
}

// refuse gives up on the handshake, and so on both directions.
func (s *side) refuse(err error) {
	s.tap.answer.CompareAndSwap(nil, &negotiated{err: err})
	s.fail(err)
}

// early takes bytes behind the request. A client sends none before it has the
// answer, and the tap sees that first; but one that does is heard.
func (s *side) early(b []byte) []byte {
	if a := s.tap.answer.Load(); a != nil {
		held := s.answered(a)
		if len(held) == 0 {
			return b
		}
		return append(held, b...)
	}
	if len(s.buf)+len(b) > maxHead {
		s.refuse(fmt.Errorf("%w: more than %d bytes came behind the request, before its answer", ErrNotWebSocket, maxHead))
		return nil
	}
	s.buf = append(s.buf, b...)
	return nil
}

// answered goes on from the handshake, and returns the bytes that were held.
func (s *side) answered(a *negotiated) []byte {
	held := s.buf
	s.buf = nil
	s.open(a)
	return held
}
