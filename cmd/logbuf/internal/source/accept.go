package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
)

// MaxConnections is how many connections a listener or proxy has at a time.
// Further ones are closed at once, and a warning says so.
const MaxConnections = 512

// accepting is a listener at work.
type accepting struct {
	s    *Source
	live sync.WaitGroup
	free chan struct{} // one element for each connection that may still come
}

// accept takes connections until ctx is done. What goes wrong with one of them
// is told and ends no other. It returns when the last one has been recorded to
// its end.
func (s *Source) accept(ctx, patience context.Context) error {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", s.spec.Addr)
	s.gate.first(err == nil)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { ln.Close() })()
	defer ln.Close()
	s.set(func(st *Status) { st.State = Live })
	s.warn("%s: listening on %s", s.spec.Name, ln.Addr())
	a := &accepting{s: s, free: make(chan struct{}, MaxConnections)}
	for range MaxConnections {
		a.free <- struct{}{}
	}
	defer a.live.Wait()
	return a.loop(ctx, patience, ln)
}

func (a *accepting) loop(ctx, patience context.Context, ln net.Listener) error {
	pause := a.s.opts.RetryMin
	for {
		nc, err := ln.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				nc.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil: // too many open files, and the like: it may pass
			a.s.warn("%v; accepting again in %v", a.s.named(err), pause)
			if !sleep(ctx, pause) {
				return nil
			}
			pause = min(2*pause, a.s.opts.RetryMax)
			continue
		}
		pause = a.s.opts.RetryMin
		a.admit(ctx, patience, nc)
	}
}

// admit runs the connection in a goroutine of its own, unless there are too many.
func (a *accepting) admit(ctx, patience context.Context, nc net.Conn) {
	select {
	case <-a.free:
	default:
		a.s.warn("%s: turned away %v: there are %d connections already", a.s.spec.Name, nc.RemoteAddr(), MaxConnections)
		nc.Close()
		return
	}
	a.s.set(func(st *Status) { st.Connections++ })
	a.live.Go(func() {
		defer func() { a.free <- struct{}{} }()
		defer nc.Close()
		err := a.s.handle(ctx, patience, nc)
		if ctx.Err() == nil && err != nil {
			a.s.set(func(st *Status) { st.LastError = err })
			a.s.warn("%s: connection from %v: %v", a.s.spec.Name, nc.RemoteAddr(), err)
		}
	})
}

// handle records one connection that has come. A good end is no error.
func (s *Source) handle(ctx, patience context.Context, nc net.Conn) error {
	if s.spec.Kind == TCPProxy {
		return s.proxy(ctx, patience, nc)
	}
	defer context.AfterFunc(ctx, func() { nc.SetReadDeadline(time.Unix(1, 0)) })()
	r := &idleReader{conn: nc, ctx: ctx, idle: s.opts.IdleTimeout}
	var err error
	if BySession(s.spec, &s.opts) {
		err = s.tap(r)
	} else {
		err = s.cutShared(ctx, patience, r, 0)
	}
	if err == io.EOF {
		return nil
	}
	return err
}

// cutShared is cut for one of several connections.
func (s *Source) cutShared(ctx, patience context.Context, r io.Reader, direction uint8) error {
	err := s.cut(patience, r, direction)
	var rerr *RecordError
	if errors.As(err, &rerr) {
		if ctx.Err() != nil { // what was read could not be put into the lane in time
			s.p.Lose(0, 0, journal.LossOverload)
		}
		return fmt.Errorf("not recorded: %w", err)
	}
	return err
}
