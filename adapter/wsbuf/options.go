package wsbuf

import (
	"crypto/tls"
	"fmt"
	"math"
	"net/http"
	"time"
)

// Options are the options of Dial and NewConn. Nil or a zero field is the
// default.
type Options struct {
	// MaxFrame is the largest payload that is recorded, in bytes. Default, and
	// upper limit: the largest record that the producer takes.
	MaxFrame int

	// MaxSkip is the largest payload that is read and thrown away, in bytes; a
	// larger one ends the connection. Default 64 MiB.
	MaxSkip int64

	// Outbound records what this side sends too: pongs, close frames and the
	// messages of Send, with journal.FlagOutbound.
	Outbound bool

	// Server says that the peer is a client: its frames must be masked, and ours
	// are not.
	Server bool

	// Deflate says whether Dial offers permessage-deflate, and how what comes
	// compressed is recorded. Default DeflateOff. For NewConn, anything else says
	// that the extension was negotiated. What is sent is never compressed.
	Deflate Deflate

	// IdleTimeout is the longest time without a byte from the peer. Default 0: no
	// limit; TCP's keep-alive still finds peers that are gone.
	IdleTimeout time.Duration

	// WriteTimeout is the longest time that a frame may take to be sent, and
	// therefore the longest that a peer which pings and does not read can hold up
	// its own reading. Default 5 s.
	WriteTimeout time.Duration

	// CloseTimeout is how long Record waits, after its context is done, for the
	// peer to answer the close frame. What arrives meanwhile is recorded.
	// Default 1 s.
	CloseTimeout time.Duration

	// ReadBuffer is the size of the connection's read buffer, in bytes. Default
	// 64 KiB, at least 4 KiB.
	ReadBuffer int

	// The rest is for Dial.

	Header           http.Header   // further headers of the handshake; Host replaces the URL's
	Subprotocols     []string      // offered in this order
	TLS              *tls.Config   // for wss; nil: the system's roots
	HandshakeTimeout time.Duration // for connecting, TLS and the handshake together; default 10 s
}

const (
	defaultMaxSkip          = 64 << 20
	defaultWriteTimeout     = 5 * time.Second
	defaultCloseTimeout     = time.Second
	defaultHandshakeTimeout = 10 * time.Second
	defaultReadBuffer       = 64 << 10
	minReadBuffer           = 4 << 10
)

// withDefaults returns a copy with every field set. Nonsense is a programmer's
// mistake and panics with the numbers.
func (o *Options) withDefaults() Options {
	var c Options
	if o != nil {
		c = *o
	}
	if c.MaxFrame < 0 || c.MaxSkip < 0 || c.ReadBuffer < 0 || c.IdleTimeout < 0 || c.WriteTimeout < 0 || c.CloseTimeout < 0 || c.HandshakeTimeout < 0 {
		panic(fmt.Sprintf("wsbuf: negative option: MaxFrame %d, MaxSkip %d, ReadBuffer %d, IdleTimeout %v, WriteTimeout %v, CloseTimeout %v, HandshakeTimeout %v",
			c.MaxFrame, c.MaxSkip, c.ReadBuffer, c.IdleTimeout, c.WriteTimeout, c.CloseTimeout, c.HandshakeTimeout))
	}
	setDefault(&c.MaxFrame, math.MaxInt32)
	setDefault(&c.MaxSkip, defaultMaxSkip)
	setDefault(&c.WriteTimeout, defaultWriteTimeout)
	setDefault(&c.CloseTimeout, defaultCloseTimeout)
	setDefault(&c.HandshakeTimeout, defaultHandshakeTimeout)
	setDefault(&c.ReadBuffer, defaultReadBuffer)
	c.ReadBuffer = max(c.ReadBuffer, minReadBuffer)
	return c
}

func setDefault[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}
