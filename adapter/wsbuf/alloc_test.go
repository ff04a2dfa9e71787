package wsbuf

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// loopConn gives the same frames over and over.
type loopConn struct {
	net.Conn
	frames []byte
	at     int
	wrote  int
}

func (c *loopConn) Read(b []byte) (int, error) {
	n := copy(b, c.frames[c.at:])
	c.at = (c.at + n) % len(c.frames)
	return n, nil
}

func (c *loopConn) Write(b []byte) (int, error) { c.wrote += len(b); return len(b), nil }

func (c *loopConn) SetWriteDeadline(time.Time) error { return nil }
func (c *loopConn) SetReadDeadline(time.Time) error  { return nil }
func (c *loopConn) Close() error                     { return nil }

var _ io.Reader = (*loopConn)(nil)

// No frame costs an allocation: text, binary, empty, fragments, ping and the
// pong that answers it, what is too large, and what finds the ring full.
func TestFramesDoNotAllocate(t *testing.T) {
	a := newArchive(t, nil)
	p := a.producer("s", &recorder.ProducerOptions{LaneSize: 64 << 10})
	var w wire
	w.add(ws.OpText, true, "hello").add(ws.OpBinary, true, strings.Repeat("b", 3000)).add(ws.OpText, true, "")
	w.add(ws.OpText, false, "a").add(ws.OpPing, true, "ping").add(ws.OpContinuation, true, "b")
	w.add(ws.OpBinary, true, strings.Repeat("too large", 1000)).add(ws.OpPong, true, "unasked")
	w.add(ws.OpBinary, true, strings.Repeat("L", 7000))
	conn := &loopConn{frames: w.Bytes()}
	c := NewConn(conn, nil, p, &Options{MaxFrame: 8000, Outbound: true, IdleTimeout: time.Hour})
	c.patience = t.Context()
	const frames = 9
	if n := testing.AllocsPerRun(2000, func() {
		for range frames {
			if err := c.readFrame(); err != nil {
				t.Fatal(err)
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations for %d frames", n, frames)
	}
	if conn.wrote == 0 {
		t.Error("no pong was sent")
	}
}

func BenchmarkRecord(b *testing.B) {
	for _, size := range []int{16, 128, 1024, 16 << 10} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			rec, err := recorder.Open(b.TempDir(), nil)
			if err != nil {
				b.Fatal(err)
			}
			defer rec.Close(b.Context())
			p, err := rec.Producer("s", &recorder.ProducerOptions{LaneSize: 1 << 20, Overload: recorder.OverloadWait})
			if err != nil {
				b.Fatal(err)
			}
			var w wire
			for w.Len() < 1<<20 {
				w.add(ws.OpBinary, true, strings.Repeat("x", size))
			}
			c := NewConn(&loopConn{frames: w.Bytes()}, nil, p, nil)
			c.patience = b.Context()
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if err := c.readFrame(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
