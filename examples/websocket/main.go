// Command websocket is a program with a WebSocket client of its own
// (gorilla/websocket, compression on), whose connection goes through a tap: each
// frame in both directions is in an archive as well. It runs a feed to have one
// to connect to, works off its messages, and then says what was recorded.
//
//	go run ./examples/websocket
//	go run ./examples/websocket -messages 100000 -dir /tmp/feed
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"os"

	"github.com/gorilla/websocket"
	"github.com/nexus-logbuf/logbuf/adapter/wsbuf"
	"github.com/nexus-logbuf/logbuf/recorder"
)

func main() {
	log.SetFlags(0)
	dir := flag.String("dir", "", "archive directory; default: a temporary one, removed at the end")
	messages := flag.Int("messages", 2000, "messages that the feed sends")
	flag.Parse()
	if *dir == "" {
		tmp, err := os.MkdirTemp("", "logbuf-websocket-")
		if err != nil {
			log.Fatal(err)
		}
		defer os.RemoveAll(tmp)
		*dir = tmp
	}
	if err := run(context.Background(), *dir, *messages); err != nil {
		log.Fatal(err)
	}
}

// run records a session with a feed and prints what the archive has of it.
func run(ctx context.Context, dir string, messages int) error {
	feed, err := startFeed(messages)
	if err != nil {
		return err
	}
	defer feed.stop()
	rec, err := recorder.Open(dir, nil)
	if err != nil {
		return err
	}
	last, err := session(ctx, rec, feed.url)
	if err := errors.Join(err, rec.Close(ctx)); err != nil {
		return err
	}
	fmt.Printf("the program's last price: %s\n", last)
	printStats(rec.Stats())
	return printArchive(dir)
}

// session is the program: it connects, subscribes, and works off what comes.
// What is new is the tap: two lanes, and the dialer's hook.
func session(ctx context.Context, rec *recorder.Recorder, url string) (last string, err error) {
	in, err := rec.Producer("feed", nil) // what comes: dropped and counted if the disk cannot keep up
	if err != nil {
		return "", err
	}
	defer in.Close()
	out, err := rec.Producer("feed/out", nil) // what is sent
	if err != nil {
		return "", err
	}
	defer out.Close()
	var tap *wsbuf.Tap
	dialer := websocket.Dialer{
		EnableCompression: true,
		NetDialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			nc, err := new(net.Dialer).DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			tap = wsbuf.NewTap(nc, in, out, nil)
			return tap, nil
		},
	}
	conn, _, err := dialer.DialContext(ctx, url, nil)
	if err != nil {
		return "", err
	}
	defer conn.Close() // closes the tap, and then the lanes above
	if err := conn.WriteMessage(websocket.TextMessage, []byte(`{"op":"subscribe","symbol":"BTC-USD"}`)); err != nil {
		return "", err
	}
	for {
		_, message, err := conn.ReadMessage()
		if websocket.IsCloseError(err, websocket.CloseNormalClosure) {
			return last, tap.Err()
		}
		if err != nil {
			return last, err
		}
		var trade struct{ Price string }
		if err := json.Unmarshal(message, &trade); err != nil {
			return last, err
		}
		last = trade.Price
	}
}
