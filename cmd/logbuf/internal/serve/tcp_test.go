package serve

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
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
