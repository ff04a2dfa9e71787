package serve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
)

const maxClients = 256 // at a time; further ones are turned away

// Server accepts clients until its context is done or enough have come. The zero value serves any number.
type Server struct {
	Clients int // accept no more after this many were admitted; 0 = no limit

	mu       sync.Mutex
	admitted int
	listener net.Listener
}

// Serve accepts connections from ln and runs handle for each in a goroutine of its own. It closes ln when ctx is done or Clients were
// admitted, and returns when the last handle has returned. handle need not close its connection. The error is nil unless accepting failed.
func (s *Server) Serve(ctx context.Context, ln net.Listener, handle func(ctx context.Context, nc net.Conn)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.listener = ln
	defer context.AfterFunc(ctx, func() { ln.Close() })()
	var handlers sync.WaitGroup
	defer handlers.Wait()
	places := make(chan struct{}, maxClients)
	for {
		nc, err := ln.Accept()
		switch {
		case err == nil:
		case ctx.Err() != nil || s.full():
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("the listener on %s was closed", ln.Addr())
		default:
			cancel()
			return fmt.Errorf("accept on %s: %w", ln.Addr(), err)
		}
		select {
		case places <- struct{}{}:
			handlers.Go(func() {
				defer func() { nc.Close(); <-places }()
				handle(ctx, nc)
			})
		default:
			nc.Close()
		}
	}
}

// Admit counts a client whose handshake is done. False says that enough have come: it is to be turned away.
func (s *Server) Admit() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Clients == 0 {
		return true
	}
	if s.admitted == s.Clients {
		return false
	}
	s.admitted++
	if s.admitted == s.Clients {
		s.listener.Close()
	}
	return true
}

func (s *Server) full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Clients > 0 && s.admitted == s.Clients
}
