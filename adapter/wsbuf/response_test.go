package wsbuf

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	coder "github.com/coder/websocket"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	gorilla "github.com/gorilla/websocket"
)

// A client may send frames in one packet with its request. net/http has them in
// its buffer then: they pass the tap, and are in the buffer that the library
// gets.
func TestTapResponseEarlyFrames(t *testing.T) {
	a := newArchive(t, nil)
	in, out := a.producer("in", nil), a.producer("out", nil)
	served := make(chan string, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rt := TapResponse(w, in, out, nil)
		if rt.Tap() != nil {
			t.Error("a tap before the connection was taken over")
		}
		nc, rw, _, err := ws.UpgradeHTTP(r, rt)
		if err != nil {
			served <- err.Error()
			return
		}
		buffered := rw.Reader.Buffered()
		text, err := wsutil.ReadClientText(rw)
		if err != nil {
			served <- err.Error()
		} else {
			served <- fmt.Sprintf("%d %s", buffered, text)
		}
		io.Copy(io.Discard, rw)
		nc.Close()
	}))
	defer s.Close()
	nc, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	var w wire
	w.addMasked(ws.OpText, true, "at once").addMasked(ws.OpClose, true, "")
	io.WriteString(nc, testRequest+w.String())
	if got, want := <-served, fmt.Sprintf("%d at once", w.Len()); got != want {
		t.Errorf("the server read %q, want %q", got, want)
	}
	nc.(*net.TCPConn).CloseWrite()
	io.Copy(io.Discard, nc)
	s.Close()
	frames, _ := a.contents()
	wantFrames(t, frames["in"], []frame{{op: ws.OpText, fin: true, payload: "at once"}, {op: ws.OpClose, fin: true}})
}

// What is no upgrade passes through a ResponseTap, and a handshake that the
// library refuses does.
func TestTapResponseWithoutUpgrade(t *testing.T) {
	for _, tc := range []struct {
		name    string
		handler func(w http.ResponseWriter, r *http.Request)
		status  string
	}{
		{"a page", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }, "200 OK"},
		{"gorilla", func(w http.ResponseWriter, r *http.Request) { new(gorilla.Upgrader).Upgrade(w, r, nil) }, "400 Bad Request"},
		{"coder", func(w http.ResponseWriter, r *http.Request) { coder.Accept(w, r, nil) }, "426 Upgrade Required"},
		{"gobwas", func(w http.ResponseWriter, r *http.Request) { ws.UpgradeHTTP(r, w) }, "400 Bad Request"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := newArchive(t, nil)
			in, out := a.producer("in", nil), a.producer("out", nil)
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				rt := TapResponse(w, in, out, nil)
				tc.handler(rt, r)
				if rt.Unwrap() != w {
					t.Error("Unwrap")
				}
			}))
			defer s.Close()
			resp, err := http.Get(s.URL)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.Status != tc.status {
				t.Errorf("status %q, want %q", resp.Status, tc.status)
			}
			s.Close()
			if frames, losses := a.contents(); len(frames)+len(losses) > 0 {
				t.Errorf("recorded %v, %v", frames, losses)
			}
		})
	}
	t.Run("no Hijacker", func(t *testing.T) {
		if _, _, err := TapResponse(httptest.NewRecorder(), nil, nil, nil).Hijack(); err == nil {
			t.Error("a connection out of nothing")
		}
	})
}

// A server that is no net/http one gives its connection to a tap itself.
func TestTapServerConn(t *testing.T) {
	a := newArchive(t, nil)
	in, out := a.producer("in", nil), a.producer("out", nil)
	done := make(chan error, 1)
	addr := listen(t, func(nc net.Conn) {
		tap := NewTap(nc, in, out, nil)
		defer tap.Close()
		if _, err := ws.Upgrade(tap); err != nil {
			done <- err
			return
		}
		text, err := wsutil.ReadClientText(tap)
		if err == nil {
			err = wsutil.WriteServerText(tap, text)
		}
		done <- err
	})
	c, _, err := gorilla.DefaultDialer.Dial("ws://"+addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.WriteMessage(gorilla.TextMessage, []byte("echo"))
	if _, m, err := c.ReadMessage(); err != nil || string(m) != "echo" {
		t.Errorf("read %q, %v", m, err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	c.ReadMessage() // until the tap is closed
	frames, _ := a.contents()
	wantFrames(t, append(frames["in"], frames["out"]...), []frame{{op: ws.OpText, fin: true, payload: "echo"}, {op: ws.OpText, fin: true, out: true, payload: "echo"}})
}
