package wsbuf

import (
	"fmt"
	"strconv"

	"github.com/gobwas/ws"
)

// ProtocolError is what Record returns when the peer breaks the protocol. The
// frame it names is not in the recording; every frame before it is.
type ProtocolError struct {
	Frame  uint64        // number of the frame on this connection, from 1
	Offset int64         // of the frame's first byte, counted from the end of the handshake
	Code   ws.StatusCode // sent to the peer: 1002, 1007, or 1009 for a frame larger than Options.MaxSkip
	What   string        // what is wrong with it
}

func (e *ProtocolError) Error() string {
	return fmt.Sprintf("websocket protocol error in frame %d (byte %d of the connection): %s", e.Frame, e.Offset, e.What)
}

// CloseError is what Record returns when the peer closed the connection with a
// close frame, the usual end. Everything up to the close frame is recorded, and
// that too.
type CloseError struct {
	Code   ws.StatusCode // 1005 when the frame had none
	Reason string
}

func (e *CloseError) Error() string {
	s := "the peer closed the connection: " + strconv.Itoa(int(e.Code))
	if name := codeName(e.Code); name != "" {
		s += " (" + name + ")"
	}
	if e.Reason != "" {
		s += ": " + strconv.Quote(e.Reason)
	}
	return s
}

func codeName(c ws.StatusCode) string {
	switch c {
	case ws.StatusNormalClosure:
		return "normal closure"
	case ws.StatusGoingAway:
		return "going away"
	case ws.StatusProtocolError:
		return "protocol error"
	case ws.StatusUnsupportedData:
		return "unsupported data"
	case ws.StatusNoStatusRcvd:
		return "no status"
	case ws.StatusInvalidFramePayloadData:
		return "invalid payload"
	case ws.StatusPolicyViolation:
		return "policy violation"
	case ws.StatusMessageTooBig:
		return "message too big"
	case ws.StatusInternalServerError:
		return "internal error"
	case 1012:
		return "service restart"
	case 1013:
		return "try again later"
	}
	return ""
}

// RecordError is what Record and Send return when the producer takes no more: the
// recorder is closed or has failed, the ring is full under
// recorder.OverloadFail, or the context ended a wait for space in it. The fault
// is not the connection's.
type RecordError struct {
	Frame uint64 // number of frames that have come on this connection
	Size  int    // payload bytes of the frame that was not recorded
	Err   error  // the producer's
}

func (e *RecordError) Error() string {
	return fmt.Sprintf("a frame of %d bytes was not recorded, after %d frames from the peer: %v", e.Size, e.Frame, e.Err)
}

// Unwrap gives the producer's error.
func (e *RecordError) Unwrap() error { return e.Err }

// HandshakeError is what Dial returns when the server answered the handshake
// with something other than a WebSocket connection.
type HandshakeError struct {
	URL    string
	Status int    // HTTP status, such as 401
	Reason string // the status line's words
	Body   string // the beginning of the body, at most 256 bytes, on one line
}

func (e *HandshakeError) Error() string {
	s := fmt.Sprintf("%s: the server answered %d %s instead of opening a WebSocket", e.URL, e.Status, e.Reason)
	if e.Body != "" {
		s += ": " + e.Body
	}
	return s
}
