package wsbuf

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	gorilla "github.com/gorilla/websocket"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// A client of gorilla/websocket reads 128-byte messages from a server in the same
// process, over TCP, as fast as they come: bare, and with a tap.
func BenchmarkTapGorillaClient(b *testing.B) {
	for _, mode := range []string{"bare", "tap", "compressed bare", "compressed tap", "compressed tap inflating"} {
		b.Run(mode, func(b *testing.B) {
			compress := strings.HasPrefix(mode, "compressed")
			done := make(chan struct{})
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				c, err := (&gorilla.Upgrader{EnableCompression: compress}).Upgrade(w, r, nil)
				if err != nil {
					return
				}
				defer c.Close()
				m, err := gorilla.NewPreparedMessage(gorilla.TextMessage, []byte(tick(1) + tick(2))[:128])
				for err == nil {
					err = c.WritePreparedMessage(m)
				}
				<-done
			}))
			defer s.Close()
			defer close(done)
			rec, err := recorder.Open(b.TempDir(), nil)
			if err != nil {
				b.Fatal(err)
			}
			defer rec.Close(b.Context())
			in, err := rec.Producer("in", &recorder.ProducerOptions{LaneSize: 4 << 20})
			if err != nil {
				b.Fatal(err)
			}
			d := gorilla.Dialer{EnableCompression: compress, NetDialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				nc, err := new(net.Dialer).DialContext(ctx, network, addr)
				if err != nil || !strings.Contains(mode, "tap") {
					return nc, err
				}
				return NewTap(nc, in, nil, &TapOptions{Inflate: strings.HasSuffix(mode, "inflating")}), nil
			}}
			c, _, err := d.Dial(wsURL(s), nil)
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			b.SetBytes(128)
			for b.Loop() {
				if _, _, err := c.ReadMessage(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(in.Stats().Lost)/float64(b.N), "lost/op")
		})
	}
}
