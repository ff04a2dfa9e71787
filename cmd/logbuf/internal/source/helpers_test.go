package source

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// rig is a recorder with one producer, and what it has recorded once closed.
type rig struct {
	t   *testing.T
	dir string
	rec *recorder.Recorder
	p   *recorder.Producer

	mu    sync.Mutex
	warns []string
}

func newRig(t *testing.T, lane int) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir()}
	var err error
	if r.rec, err = recorder.Open(r.dir, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	if r.p, err = r.rec.Producer("s", &recorder.ProducerOptions{LaneSize: lane, Overload: recorder.OverloadWait}); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) close() {
	if r.rec == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := r.rec.Close(ctx); err != nil {
		r.t.Error(err)
	}
	r.rec = nil
}

func (r *rig) warn(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.warns = append(r.warns, fmt.Sprintf(format, args...))
}

// source makes a Source of the argument; its pauses are short.
func (r *rig) source(arg string, opts Options) *Source {
	r.t.Helper()
	spec, err := Parse(arg)
	if err != nil {
		r.t.Fatal(err)
	}
	if opts.RetryMin == 0 {
		opts.RetryMin, opts.RetryMax = time.Millisecond, 4*time.Millisecond
	}
	return New(spec, &opts, r.p, NewGate(1), r.warn)
}

type piece struct {
	text  string
	final bool
}

// contents closes the recorder and reads back what it has.
func (r *rig) contents() (pieces []piece, all []byte, losses []journal.Loss) {
	r.t.Helper()
	r.close()
	jr, err := journal.OpenReader(r.dir, &journal.ReaderOptions{Control: true})
	if err != nil {
		r.t.Fatal(err)
	}
	defer jr.Close()
	for rec, err := range jr.All() {
		if err != nil {
			r.t.Fatal(err)
		}
		switch rec.Kind {
		case journal.KindData:
			pieces = append(pieces, piece{string(rec.Payload), rec.Flags&journal.FlagFinal != 0})
			all = append(all, rec.Payload...)
		case journal.KindLoss:
			l, err := journal.ParseLoss(rec.Payload)
			if err != nil {
				r.t.Fatal(err)
			}
			losses = append(losses, l)
		}
	}
	return pieces, all, losses
}

// listen serves connections, the n-th with the n-th handler, and refuses
// further ones from the time on when the last is accepted.
func listen(t *testing.T, handlers ...func(net.Conn)) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	if len(handlers) == 0 {
		ln.Close()
	}
	go func() {
		for i, h := range handlers {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			if i == len(handlers)-1 {
				ln.Close()
			}
			h(nc)
			nc.Close()
		}
	}()
	return ln.Addr().String()
}

// reset makes closing a connection a reset.
func reset(nc net.Conn) { nc.(*net.TCPConn).SetLinger(0) }

func say(s string) func(net.Conn) {
	return func(nc net.Conn) { io.WriteString(nc, s) }
}

// sayAndReset says s, waits until the other side has it, and resets the
// connection.
func sayAndReset(s string, seen func() bool) func(net.Conn) {
	return func(nc net.Conn) {
		io.WriteString(nc, s)
		for !seen() {
			time.Sleep(time.Millisecond)
		}
		reset(nc)
	}
}
