package serve

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

const (
	writeBuffer  = 64 << 10        // bytes
	closeTimeout = 2 * time.Second // for the last words, and for the peer's answer
)

// PeerError says that the other side of a connection is gone, or takes nothing.
type PeerError struct {
	Peer string // its address
	Err  error  // what happened
}

// Error names the peer.
func (e *PeerError) Error() string { return fmt.Sprintf("%s: %v", e.Peer, e.Err) }

// Unwrap gives what happened to errors.Is.
func (e *PeerError) Unwrap() error { return e.Err }

// peer is the writing side of a connection, buffered. Its methods may be called from any goroutine, one at a time: the caller locks mu.
type peer struct {
	nc   net.Conn
	name string
	mu   sync.Mutex
	bw   *bufio.Writer

	patience time.Duration // for one write; 0 = no limit
	deadline sync.Mutex    // of hurried, and of the connection's write deadline
	hurried  bool
}

func newPeer(nc net.Conn, name string, patience time.Duration) *peer {
	p := &peer{nc: nc, name: name, patience: patience}
	p.bw = bufio.NewWriterSize((*limited)(p), writeBuffer)
	return p
}

// limited is the connection with a deadline for each write.
type limited peer

// Write gives the peer its patience for each piece of a long write: it may be slow, but not stop.
func (l *limited) Write(b []byte) (written int, err error) {
	for {
		n, err := l.write(b[written:min(written+writeBuffer, len(b))])
		written += n
		if err != nil || written == len(b) {
			return written, err
		}
	}
}

func (l *limited) write(b []byte) (int, error) {
	l.deadline.Lock()
	if !l.hurried && l.patience > 0 {
		l.nc.SetWriteDeadline(time.Now().Add(l.patience))
	}
	l.deadline.Unlock()
	n, err := l.nc.Write(b)
	if err == nil {
		return n, nil
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("the peer does not read: it has taken %d of %d bytes in %v", n, len(b), l.patience)
	}
	return n, &PeerError{l.name, err}
}

// hurry gives whatever is being written or waited for, and all that follows, no more than closeTimeout together.
func (p *peer) hurry() {
	p.deadline.Lock()
	defer p.deadline.Unlock()
	if !p.hurried {
		p.hurried = true
		p.nc.SetDeadline(time.Now().Add(closeTimeout))
	}
}

// hurryAfter calls hurry when ctx is done. stop undoes it.
func (p *peer) hurryAfter(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, p.hurry)
}

// lastWord gives the peer as long to end its side as it has to take a write: it may have much to read before it comes to our end.
func (p *peer) lastWord() {
	p.deadline.Lock()
	defer p.deadline.Unlock()
	if !p.hurried && p.patience > 0 {
		p.nc.SetReadDeadline(time.Now().Add(p.patience))
	}
}
