package serve

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/gobwas/ws"
	"github.com/nexus-logbuf/logbuf/journal"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func text(payload string) journal.Record {
	return journal.Record{Kind: journal.KindData, Flags: 1 | journal.FlagFinal, Payload: []byte(payload)}
}

// listen runs a server until the test ends; stop ends it earlier and waits.
func listen(t *testing.T, s *Server, handle func(ctx context.Context, nc net.Conn)) (addr string, stop func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Serve(ctx, ln, handle); err != nil {
			t.Error(err)
		}
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return ln.Addr().String(), stop
}

// webSocketClients upgrades and hands each client to serve.
func webSocketClients(t *testing.T, patience time.Duration, serve func(ctx context.Context, w *WebSocket)) func(context.Context, net.Conn) {
	return func(ctx context.Context, nc net.Conn) {
		if err := Upgrade(nc, func(string) error { return nil }); err != nil {
			t.Error(err)
			return
		}
		serve(ctx, NewWebSocket(ctx, nc, true, patience))
	}
}

func dial(t *testing.T, addr string) *websocket.Conn {
	t.Helper()
	c, _, err := websocket.Dial(t.Context(), "ws://"+addr+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.CloseNow() })
	return c
}

// A client of another make gets the messages, has its ping answered while nothing is due, and the recorded close.
func TestWebSocketClient(t *testing.T) {
	pinged := make(chan struct{})
	addr, _ := listen(t, &Server{}, webSocketClients(t, 0, func(ctx context.Context, w *WebSocket) {
		recs := []journal.Record{
			text("one"), {Kind: journal.KindData, Flags: 1, Payload: []byte("tw")},
			{Kind: journal.KindData, Flags: 9 | journal.FlagFinal, Payload: []byte("alive?")},
			{Kind: journal.KindData, Flags: journal.FlagFinal, Payload: []byte("o")},
			{Kind: journal.KindData, Flags: 8 | journal.FlagFinal, Payload: []byte("\x0f\xa1done")},
		}
		for i, rec := range recs {
			if err := errors.Join(w.Send(rec), w.Flush()); err != nil {
				t.Error(err)
			}
			if i == 0 {
				<-pinged
			}
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}))
	c := dial(t, addr)
	got := make(chan error, 1)
	go func() {
		for _, want := range []string{"one", "two"} {
			typ, b, err := c.Read(t.Context())
			if err != nil || typ != websocket.MessageText || string(b) != want {
				t.Errorf("read %v %q, error %v; want %q", typ, b, err, want)
			}
		}
		_, _, err := c.Read(t.Context())
		got <- err
	}()
	if err := c.Ping(t.Context()); err != nil {
		t.Errorf("ping: %v", err)
	}
	close(pinged)
	var closed websocket.CloseError
	if err := <-got; !errors.As(err, &closed) || closed.Code != 4001 || closed.Reason != "done" {
		t.Errorf("the end is %v, want the recorded close frame", err)
	}
}

// A client that says goodbye in a long pause ends the replay for it.
func TestWebSocketClientCloses(t *testing.T) {
	cause := make(chan error, 1)
	addr, _ := listen(t, &Server{}, webSocketClients(t, 0, func(ctx context.Context, w *WebSocket) {
		<-w.Context().Done()
		cause <- context.Cause(w.Context())
		if err := w.Send(text("late")); !errors.Is(err, ErrClientClosed) {
			t.Errorf("sent after the client's goodbye: %v", err)
		}
		w.Abort(ws.StatusGoingAway, "")
	}))
	if err := dial(t, addr).Close(websocket.StatusNormalClosure, "enough"); err != nil {
		t.Errorf("close handshake: %v", err)
	}
	var perr *PeerError
	if err := <-cause; !errors.Is(err, ErrClientClosed) || !errors.As(err, &perr) {
		t.Errorf("cause %v", err)
	}
}

// One client does not read, another is gone without a word: a third gets everything meanwhile. The slow one is given up.
func TestClientsDoNotHoldUpOthers(t *testing.T) {
	const n = 200
	payload := strings.Repeat("x", 64<<10)
	ended := make(chan error, 3)
	var came atomic.Int32
	addr, stop := listen(t, &Server{}, webSocketClients(t, 0, func(ctx context.Context, w *WebSocket) {
		if came.Add(1) == 1 { // the slow one; the others may be as slow as this machine
			w.p.deadline.Lock()
			w.p.patience = 100 * time.Millisecond
			w.p.deadline.Unlock()
		}
		var err error
		for i := 0; i < n && err == nil; i++ {
			err = w.Send(text(payload))
		}
		if err == nil {
			err = w.Close()
		} else {
			w.Abort(ws.StatusGoingAway, "")
		}
		ended <- err
	}))
	slow := dial(t, addr) // never read from
	for came.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	gone, _, _, err := ws.Dial(t.Context(), "ws://"+addr+"/")
	if err != nil {
		t.Fatal(err)
	}
	gone.(*net.TCPConn).SetLinger(0)
	gone.Close()
	c := dial(t, addr)
	c.SetReadLimit(1 << 20)
	for i := range n {
		if _, b, err := c.Read(t.Context()); err != nil || len(b) != len(payload) {
			t.Fatalf("message %d: %d bytes, %v", i, len(b), err)
		}
	}
	if _, _, err := c.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
		t.Errorf("the end is %v", err)
	}
	failed := 0
	for range 3 {
		if err := <-ended; err != nil {
			failed++
			var perr *PeerError
			if !errors.As(err, &perr) {
				t.Errorf("error %v is none of the peer", err)
			}
		}
	}
	if failed != 2 {
		t.Errorf("%d clients failed, want 2", failed)
	}
	slow.CloseNow()
	stop()
}

// When the server stops, clients are told, and one that does not read does not hold it up.
func TestServerStops(t *testing.T) {
	sending := make(chan struct{}, 2)
	addr, stop := listen(t, &Server{}, webSocketClients(t, 0, func(ctx context.Context, w *WebSocket) {
		var err error
		for i := 0; err == nil && ctx.Err() == nil; i++ {
			if err = errors.Join(w.Send(text(strings.Repeat("x", 1000))), w.Flush()); i == 1 {
				sending <- struct{}{}
			}
		}
		w.Abort(ws.StatusGoingAway, "the replay is stopping")
	}))
	deaf := dial(t, addr)
	c := dial(t, addr)
	end := make(chan error, 1)
	go func() {
		for {
			if _, _, err := c.Read(t.Context()); err != nil {
				end <- err
				return
			}
		}
	}()
	<-sending
	<-sending
	stop() // hangs if the deaf client could hold it up
	if err := <-end; websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("the end is %v, want close code 1001", err)
	}
	deaf.CloseNow()
}

// Frames that a client must not send end its replay with a reason.
func TestWebSocketClientMisbehaves(t *testing.T) {
	for _, test := range []struct {
		name, want string
		frame      ws.Frame
	}{
		{"no mask", "without a mask", ws.NewTextFrame([]byte("x"))},
		{"a ping of 200 bytes", "200 bytes", ws.MaskFrame(ws.NewFrame(ws.OpPing, true, make([]byte, 200)))},
		{"only a header", "without a close frame", ws.Frame{Header: ws.Header{Fin: true, OpCode: ws.OpText, Length: 5, Masked: true}}},
	} {
		cause := make(chan error, 1)
		addr, stop := listen(t, &Server{}, webSocketClients(t, 0, func(ctx context.Context, w *WebSocket) {
			<-w.Context().Done()
			cause <- context.Cause(w.Context())
			w.Abort(ws.StatusProtocolError, "")
		}))
		nc, _, _, err := ws.Dial(t.Context(), "ws://"+addr+"/")
		if err != nil {
			t.Fatal(err)
		}
		if err := ws.WriteFrame(nc, test.frame); err != nil {
			t.Fatal(err)
		}
		nc.(*net.TCPConn).CloseWrite()
		if err := <-cause; !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
		nc.Close()
		stop()
	}
}

func TestClientsAreCountedAndTurnedAway(t *testing.T) {
	s := &Server{Clients: 1}
	admitted := make(chan bool, 3)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	handle := func(_ context.Context, nc net.Conn) {
		err := Upgrade(nc, func(uri string) error {
			if uri == "/no" {
				return errors.New("no such stream; there are: /yes")
			}
			return nil
		})
		if err == nil {
			admitted <- s.Admit()
		}
	}
	go func() { done <- s.Serve(t.Context(), ln, handle) }()
	_, resp, err := websocket.Dial(t.Context(), "ws://"+ln.Addr().String()+"/no", nil)
	if err == nil || resp == nil || resp.StatusCode != 404 {
		t.Fatalf("turned away with %v", err)
	}
	if b, _ := io.ReadAll(resp.Body); !bytes.Contains(b, []byte("there are: /yes")) {
		t.Errorf("the reason is %q", b)
	}
	dial(t, ln.Addr().String())
	if err := <-done; err != nil || !<-admitted {
		t.Errorf("the server ended with %v", err)
	}
	if s.Admit() {
		t.Error("one too many is admitted")
	}
}
