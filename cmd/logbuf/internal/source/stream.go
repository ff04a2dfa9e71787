package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
)

// stream is a session over a stream of bytes: TCP or standard input.
type stream struct {
	s    *Source
	r    io.Reader
	conn net.Conn // nil for standard input
}

func (s *Source) dialTCP(ctx context.Context) (session, error) {
	d := net.Dialer{Timeout: s.opts.DialTimeout}
	conn, err := d.DialContext(ctx, "tcp", s.spec.Addr)
	if err != nil {
		return nil, err
	}
	return &stream{s: s, r: conn, conn: conn}, nil
}

func (t *stream) close() {
	if t.conn != nil {
		t.conn.Close()
	}
}

func (t *stream) record(ctx, patience context.Context) error {
	r := t.r
	if t.conn != nil {
		unhook := context.AfterFunc(ctx, func() { t.conn.SetReadDeadline(time.Unix(1, 0)) })
		defer unhook()
		r = &idleReader{conn: t.conn, ctx: ctx, idle: t.s.opts.IdleTimeout}
	} else {
		r = newPump(ctx, r)
	}
	if BySession(t.s.spec, &t.s.opts) {
		return t.s.tap(r)
	}
	err := t.s.cut(patience, r, 0)
	var rerr *RecordError
	if errors.As(err, &rerr) && ctx.Err() != nil {
		// What was read could not be put into the lane in time.
		t.s.p.Lose(0, 0, journal.LossOverload)
	}
	return err
}

// idleReader gives each read of a connection its deadline.
type idleReader struct {
	conn net.Conn
	ctx  context.Context
	idle time.Duration
}

func (r *idleReader) Read(b []byte) (int, error) {
	if r.idle > 0 {
		r.conn.SetReadDeadline(time.Now().Add(r.idle))
		if r.ctx.Err() != nil { // its deadline may have come before ours
			return 0, context.Cause(r.ctx)
		}
	}
	n, err := r.conn.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		if r.ctx.Err() != nil {
			return n, context.Cause(r.ctx)
		}
		return n, fmt.Errorf("no byte came for %v", r.idle)
	}
	return n, err
}
