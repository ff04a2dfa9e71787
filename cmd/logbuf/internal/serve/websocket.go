package serve

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/gobwas/ws"
	"github.com/nexus-logbuf/logbuf/journal"
)

const (
	handshakeTimeout = 10 * time.Second
	maxReceive       = 16 << 20 // largest frame accepted from a client, bytes; its payload is not kept
)

// ErrClientClosed is the cause of a WebSocket's context when the client has closed the connection in good order.
var ErrClientClosed = errors.New("closed by the client")

// Upgrade answers a client's handshake. choose is given the request's path and query, and turns the client away with its error, whose text
// the client gets with status 404. The first subprotocol that the client offers is accepted.
func Upgrade(nc net.Conn, choose func(uri string) error) error {
	nc.SetDeadline(time.Now().Add(handshakeTimeout))
	defer nc.SetDeadline(time.Time{})
	u := ws.Upgrader{
		OnRequest: func(uri []byte) error {
			if err := choose(string(uri)); err != nil {
				return ws.RejectConnectionError(ws.RejectionStatus(404), ws.RejectionReason(err.Error()+"\n"))
			}
			return nil
		},
		Protocol: func([]byte) bool { return true },
	}
	_, err := u.Upgrade(nc)
	return err
}

// WebSocket is a client that gets records as frames. One goroutine calls its methods; a second, of its own, reads what the client sends:
// pings are answered, messages are counted and thrown away.
type WebSocket struct {
	p      *peer
	frames frames
	ctx    context.Context
	cancel context.CancelCauseFunc
	unhook func() bool
	header [ws.MaxHeaderSize]byte
	gone   chan struct{} // closed when the reading goroutine ends
	saying bool          // a close frame was sent; guarded by p.mu
}

// NewWebSocket serves a client after Upgrade. webSocket says that the records are frames of a WebSocket: then continuations without a
// beginning are left out; otherwise each record is a message. A write that the client does not take within patience fails; 0 = no limit.
func NewWebSocket(ctx context.Context, nc net.Conn, webSocket bool, patience time.Duration) *WebSocket {
	w := &WebSocket{p: newPeer(nc, nc.RemoteAddr().String(), patience), gone: make(chan struct{})}
	w.frames = frames{emit: w.write, webSocket: webSocket}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	w.unhook = w.p.hurryAfter(w.ctx)
	go w.read()
	return w
}

// Context is done when ctx of NewWebSocket is, or when the client is gone; its cause is then a *PeerError, which wraps ErrClientClosed if
// the client has said goodbye.
func (w *WebSocket) Context() context.Context { return w.ctx }

// Counts returns what became of the records so far.
func (w *WebSocket) Counts() Counts { return w.frames.counts }

// Inbound tells whether a record is one that the client was sent, as opposed to one that it sent itself.
func Inbound(rec journal.Record) bool { return rec.Flags&journal.FlagOutbound == 0 }

// Send sends a record as a frame, buffered. Fragments stay fragments, control frames go where they stand. A recorded close frame is sent at
// the end if no record comes after it. An error that is a *PeerError is about the client, another about the record.
func (w *WebSocket) Send(rec journal.Record) error { return w.frames.take(rec) }

// Flush writes out what is buffered.
func (w *WebSocket) Flush() error {
	w.p.mu.Lock()
	defer w.p.mu.Unlock()
	return w.p.bw.Flush()
}

// Close ends with the recorded close frame or one with code 1000, waits for the client's as long as a write may take, and closes the
// connection.
func (w *WebSocket) Close() error {
	err := w.frames.cut()
	if err == nil {
		err = w.sayGoodbye(w.frames.end())
	}
	return w.hangUp(err)
}

// Abort ends with a close frame of that code, without the rest of a message that was begun.
func (w *WebSocket) Abort(code ws.StatusCode, reason string) error {
	const room = ws.MaxControlFramePayloadSize - 2
	return w.hangUp(w.sayGoodbye(ws.NewCloseFrameBody(code, reason[:min(len(reason), room)])))
}

func (w *WebSocket) hangUp(err error) error {
	if err == nil {
		w.p.lastWord()
		<-w.gone
	}
	w.p.nc.Close() // both sides have said what they had to say, or cannot
	<-w.gone
	w.unhook()
	if cause := context.Cause(w.ctx); err == nil && !errors.Is(cause, ErrClientClosed) {
		var perr *PeerError
		if errors.As(cause, &perr) {
			err = &PeerError{w.p.name, fmt.Errorf("no answer to the close frame: %w", perr.Err)}
		}
	}
	w.cancel(nil)
	return err
}

// sayGoodbye sends a close frame, unless one was sent in answer to the client's.
func (w *WebSocket) sayGoodbye(payload []byte) error {
	w.p.mu.Lock()
	defer w.p.mu.Unlock()
	if w.saying {
		return nil
	}
	w.saying = true
	if err := w.frame(ws.OpClose, true, payload); err != nil {
		return err
	}
	return w.p.bw.Flush()
}

func (w *WebSocket) write(op ws.OpCode, final bool, payload []byte) error {
	w.p.mu.Lock()
	defer w.p.mu.Unlock()
	if w.saying {
		return &PeerError{w.p.name, ErrClientClosed}
	}
	return w.frame(op, final, payload)
}

// frame writes one frame into the buffer. p.mu is held.
func (w *WebSocket) frame(op ws.OpCode, final bool, payload []byte) error {
	h := ws.Header{Fin: final, OpCode: op, Length: int64(len(payload))}
	if err := ws.WriteHeaderBuffer(w.p.bw, h, w.header[:]); err != nil {
		return err
	}
	_, err := w.p.bw.Write(payload)
	return err
}

// read takes what the client sends until its close frame or an error, and ends the context with that.
func (w *WebSocket) read() {
	defer close(w.gone)
	br := bufio.NewReader(w.p.nc)
	for {
		h, err := ws.ReadHeader(br)
		if err == nil {
			err = w.received(h, br)
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("went away without a close frame")
		}
		if err != nil {
			w.cancel(&PeerError{w.p.name, err})
			return
		}
	}
}

// received deals with one frame of the client's.
func (w *WebSocket) received(h ws.Header, br *bufio.Reader) error {
	switch {
	case !h.Masked:
		return errors.New("sent a frame without a mask")
	case h.Length > maxReceive || h.OpCode.IsControl() && h.Length > ws.MaxControlFramePayloadSize:
		return fmt.Errorf("sent a frame of %d bytes", h.Length)
	case !h.OpCode.IsControl():
		_, err := br.Discard(int(h.Length))
		return err
	}
	payload := make([]byte, h.Length)
	if _, err := io.ReadFull(br, payload); err != nil {
		return err
	}
	ws.Cipher(payload, h.Mask, 0)
	switch h.OpCode {
	case ws.OpPing:
		return w.answer(ws.OpPong, payload)
	case ws.OpClose:
		w.p.hurry()
		if err := w.answer(ws.OpClose, payload[:min(len(payload), 2)]); err != nil {
			return err
		}
		return ErrClientClosed
	}
	return nil
}

// answer sends a control frame at once, unless goodbye was said.
func (w *WebSocket) answer(op ws.OpCode, payload []byte) error {
	w.p.mu.Lock()
	defer w.p.mu.Unlock()
	if w.saying {
		return nil
	}
	w.saying = op == ws.OpClose
	if err := w.frame(op, true, payload); err != nil {
		return err
	}
	return w.p.bw.Flush()
}
