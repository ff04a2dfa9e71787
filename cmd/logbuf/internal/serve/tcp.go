package serve

import (
	"context"
	"errors"
	"io"
	"net"
	"time"
)

// TCP is a TCP connection that a replay is written to, in a buffer. What the peer sends is read and thrown away. One goroutine.
type TCP struct {
	p      *peer
	ctx    context.Context
	cancel context.CancelCauseFunc
	unhook func() bool
	gone   chan struct{} // closed when the peer has sent its last byte
}

// NewTCP writes to nc. A write that the peer does not take within patience fails; 0 = no limit.
func NewTCP(ctx context.Context, nc net.Conn, patience time.Duration) *TCP {
	t := &TCP{p: newPeer(nc, "tcp://"+nc.RemoteAddr().String(), patience), gone: make(chan struct{})}
	t.ctx, t.cancel = context.WithCancelCause(ctx)
	t.unhook = t.p.hurryAfter(t.ctx)
	go t.drain()
	return t
}

// drain finds out in a long pause, too, that the connection was reset. A peer that has only said its last word may still read.
func (t *TCP) drain() {
	defer close(t.gone)
	if _, err := io.Copy(io.Discard, t.p.nc); err != nil && !errors.Is(err, net.ErrClosed) {
		t.cancel(&PeerError{t.p.name, err})
	}
}

// Context is done when ctx of NewTCP is, or when the connection broke; its cause is then a *PeerError.
func (t *TCP) Context() context.Context { return t.ctx }

// Write implements io.Writer. Its errors are *PeerError.
func (t *TCP) Write(b []byte) (int, error) { return t.p.bw.Write(b) }

// Flush writes out what is buffered.
func (t *TCP) Flush() error { return t.p.bw.Flush() }

// Close writes out what is buffered, tells the peer that no more comes, waits for it to close too, as long as a write may take,
// and closes.
func (t *TCP) Close() error {
	defer t.cancel(nil)
	defer t.unhook()
	err := t.p.bw.Flush()
	if c, ok := t.p.nc.(*net.TCPConn); ok && err == nil {
		if err = c.CloseWrite(); err != nil {
			err = &PeerError{t.p.name, err}
		} else {
			t.p.lastWord()
			<-t.gone
		}
	}
	t.p.nc.Close() // all that there is to say about the data has been said
	<-t.gone
	return err
}
