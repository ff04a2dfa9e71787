package source

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/nexus-logbuf/logbuf/adapter/fixbuf"
	"github.com/nexus-logbuf/logbuf/adapter/wsbuf"
)

// Frame says how a byte stream is cut into records.
type Frame uint8

// Ways of framing.
const (
	// Line makes a record of each line, its newline included. A line longer than
	// the largest record becomes several, of which only the last has
	// journal.FlagFinal.
	Line Frame = iota
	// Raw makes a record of whatever one read gives.
	Raw
	// FIX makes a record of each FIX message, in the stream of its session; see
	// package fixbuf.
	FIX
	// Len32 makes a record of each message that comes behind its length, 4 bytes in
	// network order. A message that is too long is skipped and counted as lost.
	Len32
	// Len32LE is Len32 with the length in little-endian order.
	Len32LE
)

// ParseFrame reads "line", "raw", "fix", "len32" or "len32le".
func ParseFrame(s string) (Frame, error) {
	switch s {
	case "line":
		return Line, nil
	case "raw":
		return Raw, nil
	case "fix":
		return FIX, nil
	case "len32":
		return Len32, nil
	case "len32le":
		return Len32LE, nil
	}
	return 0, fmt.Errorf("%q: must be line, raw, fix, len32 or len32le", s)
}

// Reconnect says when a source that has ended is connected again.
type Reconnect uint8

// Policies.
const (
	// OnDrop reconnects a connection that broke, and lets one that was closed in
	// good order (WebSocket close code 1000, end of a TCP stream) be over. The
	// first connection may fail only if that of another source succeeds.
	OnDrop Reconnect = iota
	// Never makes the first end the last.
	Never
	// Always reconnects whatever happened, and keeps trying from the start.
	Always
)

// ParseReconnect reads "drop", "never" or "always".
func ParseReconnect(s string) (Reconnect, error) {
	switch s {
	case "drop":
		return OnDrop, nil
	case "never":
		return Never, nil
	case "always":
		return Always, nil
	}
	return 0, fmt.Errorf("%q: must be drop, never or always", s)
}

// Options are what the sources of a run have in common. The zero value is the
// default.
type Options struct {
	Frame     Frame            // of TCP streams and standard input
	Sessions  *fixbuf.Recorder // of Frame FIX: takes the messages, instead of the source's producer
	Reconnect Reconnect        // of WebSocket and TCP

	// For WebSocket.
	Header       http.Header // of the handshake
	Subprotocols []string
	Subscribe    [][]byte    // text messages sent after each handshake, in order
	TLS          *tls.Config // nil: the system's roots
	MaxFrame     int         // bytes; 0: the largest record
	Outbound     bool        // record what is sent, too
	Deflate      wsbuf.Deflate

	IdleTimeout time.Duration // of a connection without a byte; 0: none
	DialTimeout time.Duration // default 10 s

	Stdin io.Reader // what "-" reads

	// RetryMin and RetryMax are the first and the longest pause before
	// connecting again; each is up to half shorter at random. Defaults 200 ms and
	// 30 s.
	RetryMin, RetryMax time.Duration
}

func (o *Options) withDefaults() Options {
	c := *o
	if c.DialTimeout == 0 {
		c.DialTimeout = 10 * time.Second
	}
	if c.RetryMin == 0 {
		c.RetryMin = 200 * time.Millisecond
	}
	if c.RetryMax == 0 {
		c.RetryMax = 30 * time.Second
	}
	return c
}
