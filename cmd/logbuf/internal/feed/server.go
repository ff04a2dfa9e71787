package feed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"
)

const (
	handshakeTimeout = 10 * time.Second
	closeTimeout     = 2 * time.Second // for the consumer's answer to our close frame
	maxConns         = 1024
	maxSymbol        = 32 // bytes
)

// DefaultSymbol is what a connection to the path "/" gets.
const DefaultSymbol = "BTC-USD"

// Options says what a Server sends. The zero value is the default.
type Options struct {
	Seed   uint64  // 0 is a seed like any other
	Rate   float64 // frames per second on each connection; 0: as fast as the consumer reads
	Frames uint64  // frames on each connection before a normal close; 0: no end
	Ledger bool    // keep a Ledger of each connection: 16 bytes for each frame
}

// Stats are a Server's counts so far.
type Stats struct {
	Conns, Open      int
	Frames, Bytes    uint64 // sent: frames of all kinds, and their payload bytes
	Received, Failed uint64 // frames received; connections that ended without a close handshake
}

// Server sends generated frames to each WebSocket connection. Its methods may be
// called from any goroutine.
type Server struct {
	opts     Options
	finish   chan struct{}
	finished sync.Once

	frames, bytes, received, failed atomic.Uint64
	open                            atomic.Int64

	mu      sync.Mutex
	conns   int
	ledgers []*Ledger
}

// NewServer makes a server; nil options are the defaults.
func NewServer(opts *Options) *Server {
	s := &Server{finish: make(chan struct{})}
	if opts != nil {
		s.opts = *opts
	}
	return s
}

// Serve accepts connections from ln until ctx is done or Finish is called, says
// goodbye to each (close 1001 after ctx, 1000 after Finish) and waits for them.
// It closes ln. The error is nil unless accepting failed.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stopAccept := context.AfterFunc(ctx, func() { ln.Close() })
	defer stopAccept()
	go func() {
		select {
		case <-s.finish:
			ln.Close()
		case <-ctx.Done():
		}
	}()

	var conns sync.WaitGroup
	defer conns.Wait()
	for {
		nc, err := ln.Accept()
		if err != nil {
			if s.stopping(ctx) {
				return nil
			}
			if errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("feed: the listener on %s was closed", ln.Addr())
			}
			cancel()
			return fmt.Errorf("feed: accept on %s: %w", ln.Addr(), err)
		}
		if s.open.Load() >= maxConns {
			nc.Close()
			continue
		}
		s.open.Add(1)
		conns.Go(func() {
			defer s.open.Add(-1)
			defer nc.Close()
			s.serveConn(ctx, nc)
		})
	}
}

// Finish ends every connection with a normal close after the frame in hand, and
// Serve with it.
func (s *Server) Finish() { s.finished.Do(func() { close(s.finish) }) }

// Stats returns the counts so far.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	conns := s.conns
	s.mu.Unlock()
	return Stats{
		Conns: conns, Open: int(s.open.Load()),
		Frames: s.frames.Load(), Bytes: s.bytes.Load(),
		Received: s.received.Load(), Failed: s.failed.Load(),
	}
}

// Ledgers returns the ledgers in the order in which connections were accepted.
// Call it after Serve has returned.
func (s *Server) Ledgers() []*Ledger {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*Ledger(nil), s.ledgers...)
}

func (s *Server) stopping(ctx context.Context) bool {
	select {
	case <-s.finish:
		return true
	default:
		return ctx.Err() != nil
	}
}

func (s *Server) serveConn(ctx context.Context, nc net.Conn) {
	symbol, err := upgrade(nc)
	if err != nil {
		s.failed.Add(1) // the upgrader has answered with the reason
		return
	}
	led := &Ledger{Symbol: symbol}
	s.mu.Lock()
	s.conns++
	if s.opts.Ledger {
		s.ledgers = append(s.ledgers, led)
	}
	s.mu.Unlock()
	c := newConn(s, nc, led)
	led.Err = c.run(ctx)
	if !led.Clean {
		s.failed.Add(1)
	}
}

// upgrade answers the handshake and returns the symbol asked for: the path, or
// the query parameter "symbol".
func upgrade(nc net.Conn) (symbol string, err error) {
	nc.SetDeadline(time.Now().Add(handshakeTimeout))
	defer nc.SetDeadline(time.Time{})
	u := ws.Upgrader{
		OnRequest: func(uri []byte) (err error) {
			symbol, err = symbolOf(string(uri))
			return err
		},
		Protocol: func([]byte) bool { return true },
	}
	_, err = u.Upgrade(nc)
	return symbol, err
}

func symbolOf(uri string) (string, error) {
	path, query, _ := strings.Cut(uri, "?")
	symbol := strings.Trim(path, "/")
	for pair := range strings.SplitSeq(query, "&") {
		if v, ok := strings.CutPrefix(pair, "symbol="); ok {
			symbol = v
		}
	}
	if symbol == "" {
		return DefaultSymbol, nil
	}
	bad := strings.IndexFunc(symbol, func(r rune) bool {
		return r != '-' && r != '.' && r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
	if bad >= 0 || len(symbol) > maxSymbol {
		return "", ws.RejectConnectionError(
			ws.RejectionStatus(404),
			ws.RejectionReason(fmt.Sprintf("no such symbol: up to %d letters, digits, '.', '_' and '-'\n", maxSymbol)),
		)
	}
	return symbol, nil
}
