package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
)

// pair is a connection that has come and the one that was made for it.
type pair struct {
	s      *Source
	ctx    context.Context
	client net.Conn // who came; what it sends has no flag
	server net.Conn // whom it wants; what it sends has journal.FlagOutbound
	quiet  quiet

	mu  sync.Mutex
	tap *fixTap // with Frame FIX
	err error   // the first that ended a direction badly
}

// proxy connects nc to the upstream and forwards bytes both ways, unchanged,
// until both directions have ended. Recording never ends a connection: what cannot
// be recorded is forwarded all the same.
func (s *Source) proxy(ctx, patience context.Context, nc net.Conn) error {
	d := net.Dialer{Timeout: s.opts.DialTimeout}
	up, err := d.DialContext(ctx, "tcp", s.spec.To)
	if err != nil {
		return fmt.Errorf("upstream: %w", err)
	}
	defer up.Close()
	defer context.AfterFunc(ctx, func() { nc.Close(); up.Close() })()
	p := &pair{s: s, ctx: ctx, client: nc, server: up, quiet: quiet{limit: s.opts.IdleTimeout, began: time.Now()}}
	if BySession(s.spec, &s.opts) {
		p.tap = s.newTap()
		defer p.tap.close()
	}
	var both sync.WaitGroup
	both.Go(func() { p.pass(patience, up, nc, 0) })
	both.Go(func() { p.pass(patience, nc, up, journal.FlagOutbound) })
	both.Wait()
	return p.err
}

// pass forwards one direction to its end. A good end goes on to the other
// side, which may still answer; a bad one ends both directions.
func (p *pair) pass(patience context.Context, to, from net.Conn, direction uint8) {
	err := p.forward(patience, to, from, direction)
	if err == io.EOF {
		to.(*net.TCPConn).CloseWrite()
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = err
	}
	to.Close()
	from.Close()
}

func (p *pair) forward(patience context.Context, to, from net.Conn, direction uint8) error {
	r := &forwarder{from: from, to: to, quiet: &p.quiet}
	if p.tap != nil {
		r.see = func(b []byte) { p.see(b, direction) }
		return r.drain()
	}
	err := p.s.cutShared(p.ctx, patience, r, direction)
	if r.err == nil && p.ctx.Err() == nil {
		// The recording is over, the connection is not. Nobody knows how much is to come.
		p.s.p.Lose(0, 0, journal.LossSource)
		p.s.warn("%s: connection from %v: %v; its bytes are forwarded and no longer recorded", p.s.spec.Name, p.client.RemoteAddr(), err)
		return r.drain()
	}
	if r.err != nil {
		return r.err
	}
	return err
}

// see records bytes before they are forwarded, so that the archive has no
// answer before its question.
func (p *pair) see(b []byte, direction uint8) {
	feed := p.tap.In
	if direction == journal.FlagOutbound {
		feed = p.tap.Out
	}
	if err := feed(b); err != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.tap.note(err)
	}
}

// forwarder is a reader of one connection that writes what it reads to another.
type forwarder struct {
	from, to net.Conn
	quiet    *quiet
	see      func(b []byte) // shown what was read before it is written; may be nil
	err      error          // that ended the connection
}

func (f *forwarder) Read(b []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	n, err := f.quiet.read(f.from, b)
	if n > 0 {
		if f.see != nil {
			f.see(b[:n])
		}
		if _, werr := f.to.Write(b[:n]); werr != nil {
			f.err = werr
			return n, nil
		}
	}
	f.err = err
	return n, err
}

// quiet is how long neither direction of a pair has done anything.
type quiet struct {
	limit time.Duration // 0: none
	began time.Time
	last  atomic.Int64 // when anything was done, nanoseconds after began
}

// read is nc.Read that gives up when nothing comes either way for the limit.
func (q *quiet) read(nc net.Conn, b []byte) (int, error) {
	if q.limit == 0 {
		return nc.Read(b)
	}
	q.last.Store(int64(time.Since(q.began))) // what was read before has been forwarded
	for {
		until := q.began.Add(time.Duration(q.last.Load()) + q.limit)
		nc.SetReadDeadline(until)
		n, err := nc.Read(b)
		switch {
		case n > 0 || !errors.Is(err, os.ErrDeadlineExceeded):
			return n, err
		case time.Duration(q.last.Load())+q.limit <= time.Since(q.began):
			return 0, fmt.Errorf("no byte came for %v", q.limit)
		}
	}
}

// drain forwards what is left.
func (f *forwarder) drain() error {
	buf := make([]byte, fixBuffer)
	for {
		if _, err := f.Read(buf); err != nil {
			return err
		}
	}
}
