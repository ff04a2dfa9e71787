package wsbuf_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	coder "github.com/coder/websocket"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	gorilla "github.com/gorilla/websocket"
	"github.com/nexus-logbuf/logbuf/adapter/wsbuf"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// setup makes what the examples need: a server that greets, and a recorder with
// two lanes. finish closes it and prints the archive.
func setup() (url string, in, out *recorder.Producer, finish func()) {
	server := httptest.NewServer(http.HandlerFunc(greet))
	dir, err := os.MkdirTemp("", "wsbuf-example-")
	if err != nil {
		log.Fatal(err)
	}
	rec, err := recorder.Open(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	in, err1 := rec.Producer("greetings", nil)
	out, err2 := rec.Producer("greetings/out", nil)
	if err := errors.Join(err1, err2); err != nil {
		log.Fatal(err)
	}
	return "ws" + strings.TrimPrefix(server.URL, "http"), in, out, func() {
		defer os.RemoveAll(dir)
		server.Close()
		if err := rec.Close(context.Background()); err != nil {
			log.Fatal(err)
		}
		for _, stream := range []string{"greetings/out", "greetings"} {
			printMessages(dir, stream)
		}
	}
}

// printMessages prints a stream's text and binary messages.
func printMessages(dir, stream string) {
	m, err := wsbuf.OpenMessages(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	for msg, err := range m.All() {
		if err != nil {
			log.Fatal(err)
		}
		op := ws.OpCode(msg.Flags & journal.FlagSourceMask)
		if m.Reader().StreamName(msg.Stream) == stream && op.IsData() {
			fmt.Printf("%s: %s %q\n", stream, wsbuf.OpName(op), msg.Payload)
		}
	}
}

// gobwas/ws: the dialer's hook gets the connection when it is ready, with TLS
// below it for wss.
func ExampleNewTap_gobwas() {
	url, in, out, finish := setup()
	var tap *wsbuf.Tap
	dialer := ws.Dialer{WrapConn: func(nc net.Conn) net.Conn {
		tap = wsbuf.NewTap(nc, in, out, nil)
		return tap
	}}
	conn, br, _, err := dialer.Dial(context.Background(), url)
	if err != nil {
		log.Fatal(err)
	}
	var rw io.ReadWriter = conn
	if br != nil { // frames that came with the handshake: they have passed the tap
		rw = struct {
			io.Reader
			io.Writer
		}{io.MultiReader(io.LimitReader(br, int64(br.Buffered())), conn), conn}
	}
	if err := wsutil.WriteClientText(conn, []byte("gobwas")); err != nil {
		log.Fatal(err)
	}
	for {
		if _, _, err := wsutil.ReadServerData(rw); err != nil {
			break // closed by the server
		}
	}
	conn.Close()
	fmt.Println("not recorded:", tap.Err())
	finish()
	// Output:
	// not recorded: <nil>
	// greetings/out: text "gobwas"
	// greetings: text "hello gobwas"
	// greetings: binary ""
}

// gorilla/websocket: two hooks, for ws and for wss.
func ExampleNewTap_gorilla() {
	url, in, out, finish := setup()
	dialer := gorilla.Dialer{
		NetDialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			nc, err := new(net.Dialer).DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return wsbuf.NewTap(nc, in, out, nil), nil
		},
		NetDialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			nc, err := new(tls.Dialer).DialContext(ctx, network, addr) // its handshake included
			if err != nil {
				return nil, err
			}
			return wsbuf.NewTap(nc, in, out, nil), nil
		},
	}
	conn, _, err := dialer.Dial(url, nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := conn.WriteMessage(gorilla.TextMessage, []byte("gorilla")); err != nil {
		log.Fatal(err)
	}
	for {
		if _, _, err := conn.ReadMessage(); err != nil {
			break // closed by the server
		}
	}
	conn.Close()
	finish()
	// Output:
	// greetings/out: text "gorilla"
	// greetings: text "hello gorilla"
	// greetings: binary ""
}

// coder/websocket dials with an http.Client: its transport has the two hooks.
// The client is for this one connection.
func ExampleNewTap_coder() {
	url, in, out, finish := setup()
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			nc, err := new(net.Dialer).DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return wsbuf.NewTap(nc, in, out, nil), nil
		},
		DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			nc, err := new(tls.Dialer).DialContext(ctx, network, addr) // its handshake included
			if err != nil {
				return nil, err
			}
			return wsbuf.NewTap(nc, in, out, nil), nil
		},
	}}
	ctx := context.Background()
	conn, _, err := coder.Dial(ctx, url, &coder.DialOptions{HTTPClient: client})
	if err != nil {
		log.Fatal(err)
	}
	if err := conn.Write(ctx, coder.MessageText, []byte("coder")); err != nil {
		log.Fatal(err)
	}
	for {
		if _, _, err := conn.Read(ctx); err != nil {
			break // closed by the server
		}
	}
	conn.CloseNow()
	finish()
	// Output:
	// greetings/out: text "coder"
	// greetings: text "hello coder"
	// greetings: binary ""
}

// A server: the library gets a ResponseTap in place of the ResponseWriter. Any
// library will do that takes over the connection with http.Hijacker.
func ExampleTapResponse() {
	_, in, out, finish := setup()
	done := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(done)
		tap := wsbuf.TapResponse(w, in, out, nil)
		conn, err := new(gorilla.Upgrader).Upgrade(tap, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		_, name, err := conn.ReadMessage()
		if err != nil {
			return
		}
		conn.WriteMessage(gorilla.TextMessage, append([]byte("welcome "), name...))
	}))
	defer server.Close()
	conn, _, err := gorilla.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http"), nil)
	if err != nil {
		log.Fatal(err)
	}
	conn.WriteMessage(gorilla.TextMessage, []byte("client"))
	conn.ReadMessage()
	<-done
	conn.Close()
	finish()
	// Output:
	// greetings/out: text "welcome client"
	// greetings: text "client"
}
