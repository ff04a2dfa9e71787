package main

import (
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/gorilla/websocket"
)

// feed is a server of trades on this machine.
type feed struct {
	url    string
	server *http.Server
}

// startFeed starts a feed that sends messages to each client that subscribes, and
// then closes the connection.
func startFeed(messages int) (*feed, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f := &feed{url: "ws://" + ln.Addr().String() + "/trades?key=secret"}
	f.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		serveTrades(w, r, messages)
	})}
	go f.server.Serve(ln)
	return f, nil
}

func (f *feed) stop() { f.server.Close() }

func serveTrades(w http.ResponseWriter, r *http.Request, messages int) {
	upgrader := websocket.Upgrader{EnableCompression: true}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	if _, _, err := conn.ReadMessage(); err != nil { // the subscription
		return
	}
	for i := range messages {
		trade := fmt.Sprintf(`{"type":"trade","symbol":"BTC-USD","id":%d,"price":"%d.%02d","size":"0.%03d","side":"buy"}`, i, 60_000+i*7%113, i%100, i%1000)
		if err := conn.WriteMessage(websocket.TextMessage, []byte(trade)); err != nil {
			return
		}
		if i%1000 == 999 {
			_ = conn.WriteControl(websocket.PingMessage, []byte("are you there"), time.Now().Add(time.Second))
		}
	}
	_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, "that was all"), time.Now().Add(time.Second))
	_, _, _ = conn.ReadMessage() // its answer
}
