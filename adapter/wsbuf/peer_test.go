package wsbuf

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/gobwas/ws"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// coderServer is a WebSocket server of an independent make. handle gets each
// connection.
func coderServer(t *testing.T, handle func(ctx context.Context, c *websocket.Conn, r *http.Request)) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{
			Subprotocols: []string{"v2.feed"}, CompressionMode: websocket.CompressionContextTakeover,
		})
		if err != nil {
			return
		}
		defer c.CloseNow()
		c.SetReadLimit(-1)
		handle(r.Context(), c, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func wsURL(s *httptest.Server) string { return "ws" + strings.TrimPrefix(s.URL, "http") }

// Everything that an independent server sends is in the archive, in order, byte
// for byte: messages of all sizes in one frame or in many, and pings.
func TestAgainstCoderWebsocket(t *testing.T) {
	const messages = 3000
	var sent []string
	s := coderServer(t, func(ctx context.Context, c *websocket.Conn, r *http.Request) {
		rng := rand.New(rand.NewPCG(1, 2))
		ctx = c.CloseRead(ctx)
		for i := range messages {
			n := rng.IntN(1 << (1 + rng.IntN(16)))
			payload := strings.Repeat(fmt.Sprint(i, " "), n/2+1)[:n]
			typ := websocket.MessageText
			if i%3 == 0 {
				typ = websocket.MessageBinary
			}
			sent = append(sent, fmt.Sprint(typ, payload))
			if i%5 == 0 { // in several frames: the writer's buffer decides
				w, err := c.Writer(ctx, typ)
				if err != nil {
					t.Error(err)
					return
				}
				for len(payload) > 0 {
					k := min(len(payload), 1+rng.IntN(8000))
					io.WriteString(w, payload[:k])
					payload = payload[k:]
				}
				w.Close()
			} else if err := c.Write(ctx, typ, []byte(payload)); err != nil {
				t.Error(err)
				return
			}
			if i%500 == 0 {
				if err := c.Ping(ctx); err != nil {
					t.Errorf("ping: %v", err)
				}
			}
		}
		c.Close(websocket.StatusNormalClosure, "that was all")
	})
	a := newArchive(t, nil)
	p := a.producer("s", &recorder.ProducerOptions{Overload: recorder.OverloadWait})
	c, err := Dial(t.Context(), wsURL(s), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = c.Record(t.Context())
	c.Close()
	var closed *CloseError
	if !errors.As(err, &closed) || closed.Code != ws.StatusNormalClosure || closed.Reason != "that was all" {
		t.Fatalf("Record: %v", err)
	}
	s.Close()
	frames, losses := a.contents()
	got, fragments, pings := joinMessages(t, frames["s"])
	if len(got) != messages || fragments == 0 || pings != messages/500 || len(losses["s"]) != 0 {
		t.Fatalf("%d messages, %d fragments, %d pings, losses %v", len(got), fragments, pings, losses["s"])
	}
	for i := range got {
		if got[i] != sent[i] {
			t.Fatalf("message %d differs: %d bytes, sent %d", i, len(got[i]), len(sent[i]))
		}
	}
}

func joinMessages(t *testing.T, frames []frame) (messages []string, fragments, pings int) {
	t.Helper()
	var m strings.Builder
	for _, f := range frames {
		switch f.op {
		case ws.OpPing:
			pings++
			continue
		case ws.OpClose:
			continue
		case ws.OpText:
			m.WriteString(fmt.Sprint(websocket.MessageText))
		case ws.OpBinary:
			m.WriteString(fmt.Sprint(websocket.MessageBinary))
		}
		m.WriteString(f.payload)
		if !f.fin {
			fragments++
			continue
		}
		messages = append(messages, m.String())
		m.Reset()
	}
	return messages, fragments, pings
}

func TestDialSendsHeadersAndSubprotocol(t *testing.T) {
	got := make(chan *http.Request, 1)
	s := coderServer(t, func(ctx context.Context, c *websocket.Conn, r *http.Request) {
		got <- r
		typ, b, err := c.Read(ctx)
		c.Close(4000, fmt.Sprintf("%v %s %v %s", typ, b, err, c.Subprotocol()))
	})
	a := newArchive(t, nil)
	c, err := Dial(t.Context(), wsURL(s)+"/path?symbol=X", a.producer("s", nil), &Options{
		Header: http.Header{"Authorization": {"Bearer secret"}, "Host": {"feed.example"}}, Subprotocols: []string{"v1.feed", "v2.feed"}, Outbound: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Send(t.Context(), ws.OpText, []byte("subscribe")); err != nil {
		t.Fatal(err)
	}
	err = c.Record(t.Context())
	var closed *CloseError
	if !errors.As(err, &closed) || closed.Code != 4000 || closed.Reason != "MessageText subscribe <nil> v2.feed" {
		t.Errorf("Record: %v", err)
	}
	r := <-got
	if r.Header.Get("Authorization") != "Bearer secret" || r.Host != "feed.example" || r.URL.String() != "/path?symbol=X" {
		t.Errorf("request: %s, host %s, %v", r.URL, r.Host, r.Header)
	}
	if ext := r.Header.Get("Sec-WebSocket-Extensions"); ext != "" {
		t.Errorf("offered extensions %q, want none", ext)
	}
	frames, _ := a.contents()
	if f := frames["s"]; len(f) != 3 || f[0] != (frame{op: ws.OpText, fin: true, out: true, payload: "subscribe"}) || f[1].op != ws.OpClose || !f[2].out {
		t.Errorf("recorded %v", f)
	}
}

// The first frames may come in one packet with the handshake.
func TestFramesBehindTheHandshake(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	var w wire
	w.add(ws.OpText, true, "first").add(ws.OpBinary, true, strings.Repeat("x", 20_000)).add(ws.OpClose, true, "\x03\xe8")
	go func() {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		buffered := &lateWriter{Conn: nc}
		if _, err := ws.Upgrade(buffered); err != nil {
			t.Error(err)
		}
		nc.Write(append(buffered.held, w.Bytes()...))
		io.Copy(io.Discard, nc)
	}()
	a := newArchive(t, nil)
	c, err := Dial(t.Context(), "ws://"+ln.Addr().String(), a.producer("s", nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Record(t.Context())
	c.Close()
	frames, _ := a.contents()
	wantFrames(t, frames["s"], []frame{{op: ws.OpText, fin: true, payload: "first"}, {op: ws.OpBinary, fin: true, payload: strings.Repeat("x", 20_000)}, {op: ws.OpClose, fin: true, payload: "\x03\xe8"}})
}

// lateWriter keeps what is written.
type lateWriter struct {
	net.Conn
	held []byte
}

func (w *lateWriter) Write(b []byte) (int, error) {
	w.held = append(w.held, b...)
	return len(b), nil
}

func TestDialErrors(t *testing.T) {
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		io.WriteString(w, "no key\nno feed"+strings.Repeat("!", 1000))
	}))
	defer refusing.Close()
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	defer secure.Close()
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead.Close()
	silent := listen(t, func(nc net.Conn) { io.Copy(io.Discard, nc) })
	rude := listen(t, func(nc net.Conn) { nc.Read(make([]byte, 1)) })
	garbage := listen(t, func(nc net.Conn) { io.WriteString(nc, "220 mail.example ESMTP\r\n\r\n"); io.Copy(io.Discard, nc) })

	a := newArchive(t, nil)
	p := a.producer("s", nil)
	for _, tc := range []struct{ name, url, want, not string }{
		{"refused", "ws://" + dead.Addr().String(), "connection refused", ""},
		{"401", "ws" + strings.TrimPrefix(refusing.URL, "http") + "/p?token=secret", "/p: the server answered 401 Unauthorized instead of opening a WebSocket: no key no feed!!!", "secret"},
		{"unknown certificate", "wss" + strings.TrimPrefix(secure.URL, "https"), "certificate", ""},
		{"silent", "ws://" + silent, "no WebSocket connection after", ""},
		{"rude", "ws://" + rude, "", ""},
		{"not HTTP", "ws://" + garbage, "malformed", ""},
		{"scheme", "http://localhost/", "scheme", ""},
		{"no host", "ws:///x", "no host", ""},
		{"password", "ws://user:secret@localhost/", "Authorization header", "secret"},
		{"not a URL", "ws://[::1/x?secret", "missing ']'", "secret"},
		{"fragment", "ws://localhost/#x", "fragment", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := Dial(t.Context(), tc.url, p, &Options{HandshakeTimeout: 100 * time.Millisecond})
			if err == nil {
				c.Close()
				t.Fatal("Dial succeeded")
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Dial: %v, want %q", err, tc.want)
			}
			if tc.not != "" && strings.Contains(err.Error(), tc.not) {
				t.Errorf("Dial: %v tells %q", err, tc.not)
			}
			if len(err.Error()) > 500 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
		})
	}
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(10*time.Millisecond, func() { cancel(errEnough) })
		if _, err := Dial(ctx, "ws://"+silent, p, nil); !errors.Is(err, errEnough) {
			t.Errorf("Dial: %v, want the context's cause", err)
		}
	})
}

// listen serves each connection with handle and returns the address.
func listen(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { handle(nc); nc.Close() }()
		}
	}()
	return ln.Addr().String()
}

func TestDialTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		c.Write(r.Context(), websocket.MessageText, []byte("over TLS"))
		c.Close(websocket.StatusNormalClosure, "")
	}))
	s.StartTLS()
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	a := newArchive(t, nil)
	c, err := Dial(t.Context(), "wss"+strings.TrimPrefix(s.URL, "https"), a.producer("s", nil), &Options{TLS: &tls.Config{RootCAs: roots, ServerName: "example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	c.Record(t.Context())
	c.Close()
	frames, _ := a.contents()
	wantFrames(t, frames["s"], []frame{{op: ws.OpText, fin: true, payload: "over TLS"}, {op: ws.OpClose, fin: true, payload: "\x03\xe8"}})
}
