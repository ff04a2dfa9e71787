package serve

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// pipe is a TCP connection on loopback, both ends.
func pipe(t *testing.T) (ours, theirs *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	a, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a.(*net.TCPConn), b.(*net.TCPConn)
}

func TestTCP(t *testing.T) {
	ours, theirs := pipe(t)
	conn := NewTCP(t.Context(), ours, time.Minute)
	theirs.CloseWrite() // a peer that has nothing to say still reads
	got := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(theirs)
		theirs.Close()
		got <- string(b)
	}()
	if _, err := io.WriteString(conn, "hello"); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if s := <-got; s != "hello" {
		t.Errorf("the peer read %q", s)
	}
}

// A reset is noticed in a pause, when nothing is written.
func TestTCPPeerIsGone(t *testing.T) {
	ours, theirs := pipe(t)
	conn := NewTCP(t.Context(), ours, time.Minute)
	theirs.SetLinger(0)
	theirs.Close()
	<-conn.Context().Done()
	var perr *PeerError
	if err := context.Cause(conn.Context()); !errors.As(err, &perr) {
		t.Errorf("cause %v", err)
	}
	conn.Close()
}

func TestTCPPeerDoesNotRead(t *testing.T) {
	ours, _ := pipe(t)
	conn := NewTCP(t.Context(), ours, 50*time.Millisecond)
	var err error
	for b := make([]byte, 1<<20); err == nil; {
		_, err = conn.Write(b)
	}
	var perr *PeerError
	if !errors.As(err, &perr) {
		t.Errorf("error %v", err)
	}
	if conn.Close() == nil {
		t.Error("close after a failed write says that all is well")
	}
}

// slowConn takes everything, and notes the deadline that each piece had.
type slowConn struct {
	net.Conn
	deadline time.Time
	pieces   []int
}

func (c *slowConn) RemoteAddr() net.Addr               { return &net.TCPAddr{} }
func (c *slowConn) SetWriteDeadline(t time.Time) error { c.deadline = t; return nil }

func (c *slowConn) Write(b []byte) (int, error) {
	if !time.Now().Before(c.deadline) {
		return 0, os.ErrDeadlineExceeded
	}
	time.Sleep(time.Minute)
	c.pieces = append(c.pieces, len(b))
	return len(b), nil
}

// A peer that is slow, but reads, gets one long record all the same: its patience is for each piece.
func TestPatienceIsForEachPiece(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &slowConn{}
		p := newPeer(c, "slow", 90*time.Second)
		if n, err := p.bw.Write(make([]byte, 10*writeBuffer+1)); err != nil || n != 10*writeBuffer+1 {
			t.Errorf("%d bytes, error %v", n, err)
		}
		if err := p.bw.Flush(); err != nil || len(c.pieces) != 11 || slices.Max(c.pieces) > writeBuffer {
			t.Errorf("pieces %v, error %v", c.pieces, err)
		}
	})
}

// Ctrl-C ends a write without a limit that nobody takes.
func TestTCPStops(t *testing.T) {
	ours, _ := pipe(t)
	ctx, cancel := context.WithCancel(t.Context())
	conn := NewTCP(ctx, ours, 0)
	time.AfterFunc(50*time.Millisecond, cancel)
	var err error
	for b := make([]byte, 1<<20); err == nil; {
		_, err = conn.Write(b)
	}
	conn.Close()
}
