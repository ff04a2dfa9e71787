package wsbuf

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// bytesConn is a peer that has said all it will say.
type bytesConn struct {
	net.Conn
	r io.Reader
}

func (c *bytesConn) Read(b []byte) (int, error)       { return c.r.Read(b) }
func (c *bytesConn) Write(b []byte) (int, error)      { return len(b), nil }
func (c *bytesConn) SetReadDeadline(time.Time) error  { return nil }
func (c *bytesConn) SetWriteDeadline(time.Time) error { return nil }

// FuzzRecord feeds a Conn any bytes. It must end with an error, and what it
// recorded and counted as lost must be what a second, simple parser finds.
func FuzzRecord(f *testing.F) {
	var w wire
	w.add(ws.OpText, true, "hello").add(ws.OpPing, true, "p").add(ws.OpText, false, "a").add(ws.OpContinuation, true, "b").add(ws.OpClose, true, "\x03\xe8")
	f.Add(w.Bytes(), false)
	f.Add([]byte("\x82\x7e\x10\x00half"), false)
	f.Add([]byte("\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00x"), false)
	f.Add([]byte("\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"), false)
	var m wire
	m.addMasked(ws.OpText, true, "hello").addMasked(ws.OpClose, true, "\x03\xe8").raw("\x81\x7e\x00\x01")
	f.Add(m.Bytes(), true)

	rec, err := recorder.Open(f.TempDir(), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { rec.Close(f.Context()) })
	p, err := rec.Producer("s", &recorder.ProducerOptions{LaneSize: 4096, Overload: recorder.OverloadWait})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte, server bool) {
		before := p.Stats()
		c := NewConn(&bytesConn{r: bytes.NewReader(b)}, nil, p, &Options{MaxFrame: 1000, MaxSkip: 1 << 20, Server: server})
		if err := c.Record(t.Context()); err == nil {
			t.Fatal("Record returned nil")
		}
		if err := p.WaitDurable(t.Context()); err != nil {
			t.Fatal(err)
		}
		s := p.Stats()
		records, payload, lost, lostBytes := countFrames(b, server)
		if got := s.Records - before.Records; got != records {
			t.Errorf("recorded %d frames, want %d", got, records)
		}
		if got := s.Bytes - before.Bytes; got != payload {
			t.Errorf("recorded %d bytes, want %d", got, payload)
		}
		if got := s.Lost - before.Lost; got != lost {
			t.Errorf("lost %d frames, want %d", got, lost)
		}
		if got := s.LostBytes - before.LostBytes; got != lostBytes {
			t.Errorf("lost %d bytes, want %d", got, lostBytes)
		}
	})
}

// countFrames is what a connection with MaxFrame 1000 and MaxSkip 1 MiB makes of
// b, written without regard to speed.
func countFrames(b []byte, server bool) (records, payload, lost, lostBytes uint64) {
	open := false
	for {
		if len(b) < 2 {
			return
		}
		fin, rsv, op, masked, code := b[0]&0x80 != 0, b[0]&0x70, b[0]&0x0f, b[1]&0x80 != 0, uint64(b[1]&0x7f)
		size, n := 2, code
		if code == 126 {
			size += 2
		} else if code == 127 {
			size += 8
		}
		if masked {
			size += 4
		}
		if len(b) < size {
			return
		}
		switch code {
		case 126:
			n = uint64(binary.BigEndian.Uint16(b[2:]))
		case 127:
			n = binary.BigEndian.Uint64(b[2:])
		}
		control, known := op >= 8, op <= 2 || op >= 8 && op <= 10
		switch {
		case !known, rsv != 0, masked != server, n>>63 != 0,
			code == 126 && n < 126, code == 127 && n < 65536,
			control && (!fin || n > 125),
			op == 0 && !open, (op == 1 || op == 2) && open:
			return
		}
		if !control {
			open = !fin
		}
		b = b[size:]
		have := min(n, uint64(len(b)))
		switch {
		case n > 1000 && n > 1<<20:
			lost++
			return
		case n > 1000, have < n:
			lost++
			lostBytes += have
		default:
			records++
			payload += n
		}
		if have < n || op == 8 {
			return
		}
		b = b[n:]
	}
}
