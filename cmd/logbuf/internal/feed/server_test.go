package feed

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/gobwas/ws"
)

// start serves a feed on loopback and returns its address; stop cancels it and
// waits for it to return.
func start(t *testing.T, opts *Options) (s *Server, addr string, stop func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s = NewServer(opts)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	}
	t.Cleanup(stop)
	return s, ln.Addr().String(), stop
}

func dial(t *testing.T, url string) *websocket.Conn {
	t.Helper()
	c, _, err := websocket.Dial(t.Context(), url, nil)
	if err != nil {
		t.Fatalf("dial %s: %v", url, err)
	}
	c.SetReadLimit(-1)
	t.Cleanup(func() { c.CloseNow() })
	return c
}

// messages reads whole messages, as an independent client sees them, until the
// connection closes.
func messages(t *testing.T, c *websocket.Conn) (ds []Digest, end error) {
	t.Helper()
	for {
		typ, b, err := c.Read(t.Context())
		if err != nil {
			return ds, err
		}
		op := ws.OpText
		if typ == websocket.MessageBinary {
			op = ws.OpBinary
		}
		ds = append(ds, DigestOf(op, true, b))
	}
}

// wantMessages joins a generator's frames into messages.
func wantMessages(seed uint64, symbol string, frames int) (ds []Digest) {
	g := NewGenerator(seed, symbol, 0)
	var message []byte
	var op ws.OpCode
	for range frames {
		f := g.Next()
		if f.Op.IsControl() {
			continue
		}
		if f.Op != ws.OpContinuation {
			message, op = message[:0], f.Op
		}
		message = append(message, f.Payload...)
		if f.Final {
			ds = append(ds, DigestOf(op, true, message))
		}
	}
	return ds
}

func TestServerSendsWhatTheGeneratorMakes(t *testing.T) {
	const frames = 3000
	s, addr, stop := start(t, &Options{Seed: 5, Frames: frames, Ledger: true})
	got, end := messages(t, dial(t, "ws://"+addr+"/ETH-USD"))
	if code := websocket.CloseStatus(end); code != websocket.StatusNormalClosure {
		t.Fatalf("the feed ended with %v, want a normal close", end)
	}
	want := wantMessages(5, "ETH-USD", frames)
	if len(got) != len(want) {
		t.Fatalf("%d messages, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("message %d: %v, want %v", i, got[i], want[i])
		}
	}
	stop()
	led := s.Ledgers()[0]
	if led.Symbol != "ETH-USD" || !led.Clean || led.Err != nil || len(led.Sent) != frames+1 {
		t.Errorf("ledger: symbol %s, clean %v, err %v, %d frames; want ETH-USD, true, nil, %d", led.Symbol, led.Clean, led.Err, len(led.Sent), frames+1)
	}
	pings, pongs := 0, 0
	for _, d := range led.Sent {
		if d.Op() == ws.OpPing {
			pings++
		}
	}
	for _, d := range led.Received {
		if d.Op() == ws.OpPong {
			pongs++
		}
	}
	if pings == 0 || pings != pongs {
		t.Errorf("%d pings sent, %d pongs received", pings, pongs)
	}
}

func TestServerAnswersPingAndClose(t *testing.T) {
	s, addr, stop := start(t, &Options{Rate: 50, Ledger: true})
	c := dial(t, "ws://"+addr)
	go func() { // Ping needs a reader
		for {
			if _, _, err := c.Read(context.Background()); err != nil {
				return
			}
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := c.Ping(ctx); err != nil {
		t.Fatalf("ping: %v", err)
	}
	if err := c.Close(websocket.StatusNormalClosure, "enough"); err != nil {
		t.Fatalf("close: %v", err)
	}
	for s.Stats().Open > 0 {
		time.Sleep(time.Millisecond)
	}
	stop()
	if led := s.Ledgers()[0]; !led.Clean || led.Err != nil || led.Symbol != DefaultSymbol {
		t.Errorf("ledger: clean %v, err %v, symbol %s", led.Clean, led.Err, led.Symbol)
	}
}

func TestServerSaysGoodbyeWhenStopped(t *testing.T) {
	for _, tc := range []struct {
		name string
		stop func(s *Server, cancel func())
		want websocket.StatusCode
	}{
		{"context", func(_ *Server, cancel func()) { cancel() }, websocket.StatusGoingAway},
		{"finish", func(s *Server, _ func()) { s.Finish() }, websocket.StatusNormalClosure},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, addr, stop := start(t, &Options{Rate: 1000})
			c := dial(t, "ws://"+addr+"/X")
			if _, _, err := c.Read(t.Context()); err != nil {
				t.Fatal(err)
			}
			go tc.stop(s, stop)
			_, end := messages(t, c)
			if code := websocket.CloseStatus(end); code != tc.want {
				t.Errorf("ended with %v, want code %d", end, tc.want)
			}
		})
	}
}

// A consumer that does not read is held up by TCP and does not hold up another,
// nor the end.
func TestSlowConsumer(t *testing.T) {
	s, addr, stop := start(t, &Options{})
	dial(t, "ws://"+addr+"/SLOW") // never read
	c := dial(t, "ws://"+addr+"/FAST")
	for range 2000 {
		if _, _, err := c.Read(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	go messages(t, c)
	stop()
	if st := s.Stats(); st.Open != 0 || st.Failed != 1 {
		t.Errorf("after the end: %+v, want no open and one failed connection", st)
	}
}

func TestServerRefuses(t *testing.T) {
	_, addr, _ := start(t, nil)
	_, resp, err := websocket.Dial(t.Context(), "ws://"+addr+"/no/such%20thing", nil)
	if err == nil || resp == nil || resp.StatusCode != http.StatusNotFound {
		t.Errorf("a bad symbol: %v, want status 404", err)
	}
	hr, err := http.Get("http://" + addr + "/BTC-USD")
	if err != nil {
		t.Fatal(err)
	}
	hr.Body.Close()
	if hr.StatusCode < 400 || hr.StatusCode > 499 {
		t.Errorf("plain HTTP: status %s, want 4xx", hr.Status)
	}
}

// What a consumer sends is bounded too.
func TestServerAgainstHostileConsumer(t *testing.T) {
	for _, tc := range []struct {
		name  string
		bytes string
	}{
		{"no mask", "\x81\x01x"},
		{"huge", "\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00"},
		{"long ping", "\x89\xfe\x10\x00\x00\x00\x00\x00"},
		{"half a header", "\x81"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, addr, stop := start(t, &Options{Rate: 100, Ledger: true})
			nc, _, _, err := ws.Dial(t.Context(), "ws://"+addr)
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(nc, tc.bytes)
			nc.(*net.TCPConn).CloseWrite()
			io.Copy(io.Discard, nc)
			nc.Close()
			stop()
			if led := s.Ledgers()[0]; led.Err == nil || led.Clean {
				t.Errorf("ledger: clean %v, err %v; want an error", led.Clean, led.Err)
			}
		})
	}
}

func TestSymbolOf(t *testing.T) {
	for _, tc := range []struct{ uri, want string }{
		{"/", DefaultSymbol}, {"/BTC-USD", "BTC-USD"}, {"/?symbol=ETH.X_1", "ETH.X_1"}, {"/A?x=1&symbol=B", "B"},
		{"/a/b", ""}, {"/%41", ""}, {"/" + strings.Repeat("A", maxSymbol), strings.Repeat("A", maxSymbol)}, {"/" + strings.Repeat("A", maxSymbol+1), ""},
	} {
		got, err := symbolOf(tc.uri)
		if got != tc.want || (err == nil) == (tc.want == "") {
			t.Errorf("symbolOf(%q) = %q, %v, want %q", tc.uri, got, err, tc.want)
		}
	}
}

func TestServeReportsAClosedListener(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if err := NewServer(nil).Serve(t.Context(), ln); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("Serve on a closed listener: %v, want an error", err)
	}
}
