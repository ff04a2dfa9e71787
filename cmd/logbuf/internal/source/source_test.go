package source

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// An end of a TCP stream in good order is the end of the source.
func TestTCP(t *testing.T) {
	rig := newRig(t, 0)
	addr := listen(t, say("one\ntwo\nthree"))
	s := rig.source("tcp://"+addr, Options{})
	if err := s.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, _, losses := rig.contents()
	if !equal(got, []piece{{"one\n", true}, {"two\n", true}, {"three", true}}) || len(losses) > 0 {
		t.Errorf("got %v, losses %v", got, losses)
	}
	if st := s.Status(); st.State != Ended || st.Connections != 1 || st.Gaps != 0 || st.LastError != nil {
		t.Errorf("status %+v", st)
	}
}

// A connection that breaks is made again, and the archive says where the gap is.
func TestReconnect(t *testing.T) {
	rig := newRig(t, 0)
	recorded := func(n uint64) func() bool {
		return func() bool { return rig.p.Stats().Records >= n }
	}
	addr := listen(t,
		sayAndReset("one\n", recorded(1)),
		sayAndReset("two\n", recorded(2)),
		say("three\n"))
	s := rig.source("tcp://"+addr, Options{})
	before := time.Now()
	if err := s.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, _, losses := rig.contents()
	if !equal(got, []piece{{"one\n", true}, {"two\n", true}, {"three\n", true}}) {
		t.Errorf("got %v", got)
	}
	if len(losses) != 2 {
		t.Fatalf("losses %+v, want a gap for each of 2 breaks", losses)
	}
	for i, l := range losses {
		if l.Reason != journal.LossSource || l.Records != 0 || l.First != uint64(i+1) || l.To < l.From || l.From < before.UnixNano() {
			t.Errorf("gap %d: %+v", i, l)
		}
	}
	if st := s.Status(); st.Connections != 3 || st.Gaps != 2 {
		t.Errorf("status %+v", st)
	}
	if w := strings.Join(rig.warns, "\n"); strings.Count(w, "connection reset") != 2 || strings.Count(w, "connected again") != 2 {
		t.Errorf("warnings:\n%s", w)
	}
}

func TestReconnectPolicies(t *testing.T) {
	dead := listen(t)
	var current atomic.Pointer[Source]
	breaks := func(nc net.Conn) {
		for current.Load().Status().Connections == 0 {
			time.Sleep(time.Millisecond)
		}
		reset(nc)
	}
	for _, tc := range []struct {
		name     string
		handlers []func(net.Conn)
		policy   Reconnect
		err      string // of Run; "-": runs until stopped
		conns    uint64
	}{
		{"the first attempt fails", nil, OnDrop, "connection refused", 0},
		{"the first attempt fails, never", nil, Never, "connection refused", 0},
		{"the first attempt fails, always", nil, Always, "-", 0},
		{"good end", []func(net.Conn){say("a\n"), say("b\n")}, OnDrop, "", 1},
		{"good end, always", []func(net.Conn){say("a\n"), say("b\n")}, Always, "-", 2},
		{"break, never", []func(net.Conn){breaks, say("b\n")}, Never, "reset", 1},
		{"break", []func(net.Conn){breaks, say("b\n")}, OnDrop, "", 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rig := newRig(t, 0)
			addr := dead
			current.Store(&Source{}) // has no connection
			if tc.handlers != nil {
				addr = listen(t, tc.handlers...)
			}
			s := rig.source("tcp://"+addr, Options{Reconnect: tc.policy})
			current.Store(s)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- s.Run(ctx) }()
			if tc.err == "-" {
				waitFor(t, "the connections", func() bool { st := s.Status(); return st.Connections == tc.conns && st.State == Waiting })
				cancel()
			}
			err := <-done
			if tc.err == "" || tc.err == "-" {
				if err != nil {
					t.Errorf("Run: %v", err)
				}
			} else if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("Run: %v, want %q", err, tc.err)
			}
			if st := s.Status(); st.Connections != tc.conns || st.State != Ended {
				t.Errorf("status %+v, want %d connections", st, tc.conns)
			}
		})
	}
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after a minute: %s", what)
		}
	}
}

// If another source gets through, one that does not keeps trying.
func TestGate(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	late := ln.Addr().String()
	ln.Close() // nobody is there yet

	rig := newRig(t, 0)
	p2, err := rig.rec.Producer("late", nil)
	if err != nil {
		t.Fatal(err)
	}
	hold := make(chan struct{})
	addr := listen(t, func(nc net.Conn) { io.WriteString(nc, "a\n"); <-hold })
	gate := NewGate(2)
	opts := &Options{RetryMin: time.Millisecond, RetryMax: 2 * time.Millisecond}
	s1 := New(Spec{Name: "s", Kind: TCP, Addr: addr}, opts, rig.p, gate, rig.warn)
	s2 := New(Spec{Name: "late", Kind: TCP, Addr: late}, opts, p2, gate, rig.warn)
	done := make(chan error, 2)
	go func() { done <- s2.Run(t.Context()) }()
	go func() { done <- s1.Run(t.Context()) }()
	waitFor(t, "the late source does not wait", func() bool { return s2.Status().State == Waiting })

	ln, err = net.Listen("tcp", late)
	if err != nil {
		t.Skip("the port was taken: ", err)
	}
	defer ln.Close()
	nc, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(nc, "b\n")
	nc.Close()
	close(hold)
	for range 2 {
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	if got, _, _ := rig.contents(); len(got) != 2 {
		t.Errorf("got %v", got)
	}
}

func TestGateFailsWhenAllDo(t *testing.T) {
	dead := listen(t)
	rig := newRig(t, 0)
	p2, err := rig.rec.Producer("other", nil)
	if err != nil {
		t.Fatal(err)
	}
	gate := NewGate(2)
	done := make(chan error, 2)
	for name, p := range map[string]*recorder.Producer{"s": rig.p, "other": p2} {
		s := New(Spec{Name: name, Kind: TCP, Addr: dead}, &Options{}, p, gate, rig.warn)
		go func() { done <- s.Run(t.Context()) }()
	}
	for range 2 {
		if err := <-done; err == nil {
			t.Error("Run returned nil")
		}
	}
}

// Code 1000 ends a WebSocket source, any other close is a break.
func TestWebSocketCloseCodes(t *testing.T) {
	var conns atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		typ, b, err := c.Read(r.Context())
		if err != nil {
			t.Error(err)
		}
		c.Write(r.Context(), typ, append(b, " to you"...))
		if conns.Add(1) == 1 {
			c.Close(websocket.StatusServiceRestart, "back soon")
		} else {
			c.Close(websocket.StatusNormalClosure, "")
		}
	}))
	defer srv.Close()
	rig := newRig(t, 0)
	s := rig.source("ws"+strings.TrimPrefix(srv.URL, "http")+"/x", Options{Subscribe: [][]byte{[]byte("hello")}, Outbound: true})
	if err := s.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st := s.Status(); st.Connections != 2 || st.Gaps != 1 {
		t.Errorf("status %+v", st)
	}
	if len(rig.warns) == 0 || !strings.Contains(rig.warns[0], `1012 (service restart): "back soon"; connecting again in`) {
		t.Errorf("warnings %q", rig.warns)
	}
	got, _, _ := rig.contents()
	want := []string{"hello", "hello to you", "\x03\xf4back soon", "\x03\xf4", "hello", "hello to you", "\x03\xe8", "\x03\xe8"}
	if len(got) != len(want) {
		t.Fatalf("got %v", got)
	}
	for i := range want {
		if got[i].text != want[i] {
			t.Errorf("record %d is %q, want %q", i, got[i].text, want[i])
		}
	}
}

// Stopping ends every kind of source, whatever it waits for.
func TestStop(t *testing.T) {
	pr, pw := io.Pipe()
	defer pw.Close()
	silent := make(chan struct{})
	t.Cleanup(func() { close(silent) })
	addr := listen(t, func(net.Conn) { <-silent })
	wsSilent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, err := websocket.Accept(w, r, nil); err == nil {
			c.CloseRead(context.Background())
			<-r.Context().Done()
		}
	}))
	defer wsSilent.Close()
	for name, arg := range map[string]string{"stdin": "-", "tcp": "tcp://" + addr, "websocket": "ws" + strings.TrimPrefix(wsSilent.URL, "http")} {
		t.Run(name, func(t *testing.T) {
			rig := newRig(t, 0)
			s := rig.source(arg, Options{Stdin: pr})
			ctx, cancel := context.WithCancelCause(t.Context())
			done := make(chan error, 1)
			go func() { done <- s.Run(ctx) }()
			waitFor(t, "the source is not live", func() bool { return s.Status().State == Live })
			cancel(errors.New("enough"))
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}
}

// A source that is away when it is stopped leaves its gap in the archive.
func TestStopWhileAway(t *testing.T) {
	rig := newRig(t, 0)
	addr := listen(t, sayAndReset("a\n", func() bool { return rig.p.Stats().Records == 1 }))
	s := rig.source("tcp://"+addr, Options{RetryMin: time.Hour, RetryMax: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	waitFor(t, "the source is not away", func() bool { return s.Status().State == Waiting })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	_, _, losses := rig.contents()
	if len(losses) != 1 || losses[0].Reason != journal.LossSource {
		t.Errorf("losses %+v", losses)
	}
}

func TestIdleTimeoutOfTCP(t *testing.T) {
	hold := make(chan struct{})
	defer close(hold)
	for d := 20 * time.Millisecond; ; d *= 2 { // until it is long enough for half a line on this machine
		addr := listen(t, func(nc net.Conn) { io.WriteString(nc, "half a li"); <-hold })
		rig := newRig(t, 0)
		s := rig.source("tcp://"+addr, Options{Reconnect: Never, IdleTimeout: d})
		if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "no byte came for "+d.String()) {
			t.Errorf("Run: %v", err)
		}
		got, _, _ := rig.contents()
		if len(got) == 0 && d < time.Minute {
			continue
		}
		if !equal(got, []piece{{"half a li", false}}) {
			t.Errorf("got %v", got)
		}
		return
	}
}

// A recorder that is gone is no reason to connect again.
func TestRecorderGone(t *testing.T) {
	rig := newRig(t, 0)
	more := make(chan struct{})
	addr := listen(t, func(nc net.Conn) {
		io.WriteString(nc, "a\n")
		<-more
		io.WriteString(nc, "b\n")
		io.Copy(io.Discard, nc)
	})
	s := rig.source("tcp://"+addr, Options{Reconnect: Always})
	done := make(chan error, 1)
	go func() { done <- s.Run(t.Context()) }()
	waitFor(t, "the first record", func() bool { return rig.p.Stats().Records == 1 })
	rig.close()
	close(more)
	err := <-done
	var rerr *RecordError
	if !errors.As(err, &rerr) || !errors.Is(err, recorder.ErrClosed) {
		t.Errorf("Run: %v, want a RecordError", err)
	}
}
