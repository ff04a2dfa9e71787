package wsbuf

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"sync"
	"sync/atomic"

	"github.com/nexus-logbuf/logbuf/recorder"
)

// TapOptions are the options of NewTap and TapResponse. Nil or a zero field is
// the default.
type TapOptions struct {
	// MaxFrame is the largest payload that is recorded, in bytes; larger ones are
	// counted as lost. Default, and upper limit: the largest record that the
	// producer takes.
	MaxFrame int

	// Inflate records each compressed message (permessage-deflate) whole, as one
	// frame, inflated. Default: the frames are recorded as they pass, with
	// journal.FlagCompressed, and Messages inflates them later.
	Inflate bool
}

// Tap is a net.Conn that passes everything on to another one, unchanged, and
// records the WebSocket frames that pass: a program keeps its WebSocket library
// and its code, and gives the library a Tap for its connection.
//
// It looks on from the first byte of the HTTP handshake. Frames that are read
// go to one producer, frames that are written to another, or to the same one if
// that is shared. Either may be nil: then that direction is not recorded.
//
// A Tap never delays the connection's bytes and never fails it: a frame that
// finds the ring full is counted as lost, and where it can not make sense of
// what passes, the recording of that direction ends with a gap in the archive
// and an error that Err returns. Only a producer that was made with
// recorder.OverloadWait holds up a Read or a Write.
//
// Any goroutine may call its methods, as it may with any net.Conn.
type Tap struct {
	net.Conn // what is tapped; bytes that pass it by are not seen

	in, out side
	writing sync.Mutex                 // one Write at a time, as in the recording
	answer  atomic.Pointer[negotiated] // of the handshake; nil: not known yet
	ctx     context.Context            // until Close, for waits for room
	cancel  context.CancelFunc
}

// NewTap taps nc, a connection whose handshake has not begun: in takes the
// frames that are read from it, out those that are written to it. TLS must be
// below: nc is where the HTTP request is in plain text. It works for either side
// of the connection.
//
// The producers are the tap's until its Close has returned. After that they may
// be closed, or be given to the next tap. A stream of its own for each connection
// keeps their frames apart: records do not say which connection they are from.
// It panics on options that make no sense.
func NewTap(nc net.Conn, in, out *recorder.Producer, opts *TapOptions) *Tap {
	var o TapOptions
	if opts != nil {
		o = *opts
	}
	if o.MaxFrame < 0 {
		panic(fmt.Sprintf("wsbuf: negative option: MaxFrame %d", o.MaxFrame))
	}
	setDefault(&o.MaxFrame, math.MaxInt32)
	t := &Tap{Conn: nc}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.in.init(t, in, 0, &o)
	t.out.init(t, out, outbound, &o)
	return t
}

// Read reads from the connection and records the frames that end in what it
// read.
func (t *Tap) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	t.in.pass(b[:n])
	if err != nil && !isTimeout(err) {
		t.in.end()
	}
	return n, err
}

// Write records the frames that end in b and writes it to the connection. They
// are recorded first, so that in a shared producer a question stands before its
// answer. A Write that fails ends the recording of its direction with a gap: of
// its last frames nobody knows whether they were sent.
func (t *Tap) Write(b []byte) (int, error) {
	t.writing.Lock()
	defer t.writing.Unlock()
	t.out.pass(b)
	n, err := t.Conn.Write(b)
	if n < len(b) {
		t.out.cut(n, len(b), err)
	}
	return n, err
}

// Close closes the connection and ends the recording: a frame of which only a
// part has passed is counted as lost.
func (t *Tap) Close() error {
	err := t.Conn.Close()
	t.cancel()
	t.in.end()
	t.out.end()
	return err
}

// Err says what is not recorded as it should be, and why; nil when all is well.
// For each direction it is the first such thing: ErrNotWebSocket, *ProtocolError
// for bytes that are no frames, *RecordError for a recorder that takes no more,
// an error about a message that could not be inflated, or about a Write that
// failed. Frames that the ring had no room for are not among them: the
// producer's Stats count those.
func (t *Tap) Err() error {
	return errors.Join(t.in.failure("received"), t.out.failure("sent"))
}

// isTimeout tells a deadline from the end of a connection.
func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}
