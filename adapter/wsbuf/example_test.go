package wsbuf_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/coder/websocket"
	"github.com/gobwas/ws"
	"github.com/nexus-logbuf/logbuf/adapter/wsbuf"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// Records a feed until its server closes the connection, and reads the archive
// back.
func ExampleDial() {
	server := httptest.NewServer(http.HandlerFunc(greet))
	defer server.Close()
	dir, err := os.MkdirTemp("", "wsbuf-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	ctx := context.Background()
	rec, err := recorder.Open(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	p, err := rec.Producer("greetings", nil) // a lane for this connection
	if err != nil {
		log.Fatal(err)
	}
	conn, err := wsbuf.Dial(ctx, strings.Replace(server.URL, "http", "ws", 1), p, nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := conn.Send(ctx, ws.OpText, []byte("gopher")); err != nil {
		log.Fatal(err)
	}
	var closed *wsbuf.CloseError
	if err := conn.Record(ctx); !errors.As(err, &closed) {
		log.Fatal(err)
	}
	conn.Close()
	if err := rec.Close(ctx); err != nil {
		log.Fatal(err)
	}

	r, err := journal.OpenReader(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	for record, err := range r.All() {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("opcode %d, final %v: %q\n", record.Flags&journal.FlagSourceMask, record.Flags&journal.FlagFinal != 0, record.Payload)
	}
	// Output:
	// opcode 1, final true: "hello gopher"
	// opcode 2, final true: ""
	// opcode 8, final true: "\x03\xe8bye"
}

// greet is a server for the example.
func greet(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	_, name, err := c.Read(r.Context())
	if err != nil {
		return
	}
	c.Write(r.Context(), websocket.MessageText, append([]byte("hello "), name...))
	c.Write(r.Context(), websocket.MessageBinary, nil)
	c.Close(websocket.StatusNormalClosure, "bye")
}
