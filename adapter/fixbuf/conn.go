package fixbuf

import (
	"net"
	"sync"
	"sync/atomic"
)

// Conn is a network connection whose reads and writes are recorded. What it
// does on the network is what the connection in it does, whatever becomes of
// the recording: errors of that are told by Err.
//
// What is written is recorded before it is sent, so that the archive never has
// an answer before the question. When a Write fails, the record may have more
// than was sent.
//
// It has the methods of net.Conn only. Of TLS, put the *tls.Conn in it: what is
// recorded is what the engine reads and writes.
type Conn struct {
	net.Conn
	tap     *Tap
	writing sync.Mutex // concurrent writes are recorded in the order in which they are sent
	failed  atomic.Pointer[error]
}

// NewConn records nc as a connection of its own. The tap is closed with it.
func NewConn(nc net.Conn, r *Recorder) *Conn {
	return &Conn{Conn: nc, tap: r.NewTap()}
}

// Read reads from the connection and records what it got.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.note(c.tap.In(b[:n]))
	}
	return n, err
}

// Write records b and writes it to the connection.
func (c *Conn) Write(b []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.note(c.tap.Out(b))
	return c.Conn.Write(b)
}

// Close closes the connection, and records what is left of it.
func (c *Conn) Close() error {
	err := c.Conn.Close()
	c.note(c.tap.Close())
	return err
}

// Session is the name of the connection's session, empty before its first
// message.
func (c *Conn) Session() string { return c.tap.Session() }

// Err is the first error of the recording, nil while there is none. Any
// goroutine may call it.
func (c *Conn) Err() error {
	if p := c.failed.Load(); p != nil {
		return *p
	}
	return nil
}

func (c *Conn) note(err error) {
	if err != nil {
		first := err // only this one is kept beyond the call
		c.failed.CompareAndSwap(nil, &first)
	}
}
