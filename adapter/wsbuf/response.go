package wsbuf

import (
	"bufio"
	"bytes"
	"net"
	"net/http"

	"github.com/nexus-logbuf/logbuf/recorder"
)

// ResponseTap is an http.ResponseWriter that taps the connection when a
// WebSocket library takes it over (http.Hijacker). Give it to the library in
// place of the one that the handler got.
type ResponseTap struct {
	http.ResponseWriter

	in, out *recorder.Producer
	opts    *TapOptions
	answer  *negotiated
	tap     *Tap
}

// TapResponse makes a ResponseTap of w. Producers and options are those of
// NewTap: in takes what the client sends, out what the server does. They stay
// unused if the connection is not taken over.
func TapResponse(w http.ResponseWriter, in, out *recorder.Producer, opts *TapOptions) *ResponseTap {
	return &ResponseTap{ResponseWriter: w, in: in, out: out, opts: opts}
}

// Tap is the connection's, nil before Hijack.
func (r *ResponseTap) Tap() *Tap { return r.tap }

// Unwrap is for http.ResponseController.
func (r *ResponseTap) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// WriteHeader notes the answer where a library sends it through net/http.
func (r *ResponseTap) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		r.answer = negotiate(status, r.Header())
	}
	r.ResponseWriter.WriteHeader(status)
}

// Hijack implements http.Hijacker: the connection it returns is a *Tap.
func (r *ResponseTap) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	nc, brw, err := http.NewResponseController(r.ResponseWriter).Hijack()
	if err != nil {
		return nc, brw, err
	}
	// What net/http has read beyond the request passes the tap like the rest, and
	// is buffered again: libraries look whether there is any.
	early, _ := brw.Reader.Peek(brw.Reader.Buffered())
	if len(early) > 0 {
		nc = &unreadConn{nc, bytes.Clone(early)}
	}
	t := NewTap(nc, r.in, r.out, r.opts)
	t.in.phase, t.in.expect.masked = unanswered, true
	if r.answer != nil {
		t.answer.Store(r.answer)
		t.out.pending(r.answer)
	}
	r.tap = t
	br := bufio.NewReaderSize(t, brw.Reader.Size())
	if len(early) > 0 {
		_, _ = br.Peek(len(early)) // they are at hand
	}
	return t, bufio.NewReadWriter(br, bufio.NewWriterSize(t, brw.Writer.Size())), nil
}

// pending begins the frames of a direction whose handshake has passed.
func (s *side) pending(a *negotiated) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open(a)
}

// unreadConn gives some bytes before it reads on. Its Read is for one goroutine
// at a time.
type unreadConn struct {
	net.Conn
	head []byte
}

func (c *unreadConn) Read(b []byte) (int, error) {
	if len(c.head) == 0 {
		return c.Conn.Read(b)
	}
	n := copy(b, c.head)
	c.head = c.head[n:]
	return n, nil
}
