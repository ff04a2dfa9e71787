package wsbuf

import (
	"bytes"
	"io"
	"testing"

	"github.com/gobwas/ws"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// FuzzTap lets any bytes pass a tap, in pieces of any size, as the server's side
// of a connection and as the client's. They must come out as they went in, and
// what is recorded must be what gobwas/ws reads from them.
func FuzzTap(f *testing.F) {
	f.Add(serverFrames().Bytes(), false, false, uint8(3))
	f.Add(clientFrames().Bytes(), true, false, uint8(1))
	f.Add([]byte("\xc1\x01x\x00\x01y\x80\x00\x89\x00"), false, true, uint8(2))
	f.Add([]byte("\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00x"), false, false, uint8(0))
	f.Add([]byte("\x82\x7e\x10\x00half"), false, false, uint8(200))
	rec, err := recorder.Open(f.TempDir(), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { rec.Close(f.Context()) })
	p, err := rec.Producer("s", &recorder.ProducerOptions{LaneSize: 4096, Overload: recorder.OverloadWait})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte, client, deflate bool, piece uint8) {
		first, other := testAnswer, testRequest
		if deflate {
			first = testDeflate
		}
		if client {
			first, other = other, first
		}
		before := p.Stats()
		tap := NewTap(&scriptConn{}, p, nil, &TapOptions{MaxFrame: 1000})
		tap.Write([]byte(other))
		stream := append([]byte(first), b...)
		tap.Conn.(*scriptConn).parts = dribble(stream, int(piece)+1)
		if got, err := io.ReadAll(tap); err != nil || !bytes.Equal(got, stream) {
			t.Fatalf("read %d bytes of %d, %v", len(got), len(stream), err)
		}
		tap.Close()
		if err := p.WaitDurable(t.Context()); err != nil {
			t.Fatal(err)
		}
		s := p.Stats()
		records, payload, lost, lostBytes, broken := readFrames(b, client, deflate)
		if got := s.Records - before.Records - 1; got != records { // one is the handshake
			t.Errorf("recorded %d frames, want %d", got, records)
		}
		if got := s.Lost - before.Lost; got != lost {
			t.Errorf("lost %d frames, want %d", got, lost)
		}
		if got := s.LostBytes - before.LostBytes; got != lostBytes {
			t.Errorf("lost %d bytes, want %d", got, lostBytes)
		}
		handshake := uint64(len("HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Protocol: v2.feed\r\n\r\n"))
		if deflate {
			handshake = uint64(len("HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n\r\n"))
		}
		if got := s.Bytes - before.Bytes - handshake; got != payload {
			t.Errorf("recorded %d bytes, want %d", got, payload)
		}
		if err := tap.Err(); (err != nil) != broken {
			t.Errorf("Err: %v; broken: %v", err, broken)
		}
	})
}

// readFrames is what a tap with MaxFrame 1000 makes of b, by gobwas/ws and its
// checks.
func readFrames(b []byte, client, deflate bool) (records, payload, lost, lostBytes uint64, broken bool) {
	r := bytes.NewReader(b)
	state := ws.StateClientSide
	if client {
		state = ws.StateServerSide
	}
	if deflate {
		state |= ws.StateExtended
	}
	for {
		left := r.Len()
		h, err := ws.ReadHeader(r)
		if err == ws.ErrHeaderLengthMSB || err == ws.ErrHeaderLengthUnexpected {
			return records, payload, lost, lostBytes, true
		}
		if err != nil { // cut
			return records, payload, lost, lostBytes, false
		}
		size := left - r.Len()
		if h.Masked {
			size -= 4
		}
		rsv := h.Rsv
		if deflate && h.OpCode.IsData() && h.OpCode != ws.OpContinuation {
			rsv &^= rsv1
		}
		if ws.CheckHeader(h, state) != nil || rsv != 0 || size == 4 && h.Length < 126 || size == 10 && h.Length <= 0xFFFF || h.Masked != client {
			return records, payload, lost, lostBytes, true
		}
		if !h.OpCode.IsControl() {
			state = state.Clear(ws.StateFragmented)
			if !h.Fin {
				state = state.Set(ws.StateFragmented)
			}
		}
		have := min(h.Length, int64(r.Len()))
		r.Seek(have, io.SeekCurrent)
		if have < h.Length || h.Length > 1000 {
			lost++
			lostBytes += uint64(have)
		} else {
			records++
			payload += uint64(h.Length)
		}
		if have < h.Length || h.OpCode == ws.OpClose {
			return records, payload, lost, lostBytes, false
		}
	}
}

// FuzzInflater: any bytes inflate to at most the limit, or are an error.
func FuzzInflater(f *testing.F) {
	c := newCompressor(true)
	f.Add([]byte(c.message(tick(1))), []byte(c.message(tick(2))), uint16(1000))
	f.Add([]byte("\xf2\x48\xcd\xc9\xc9\x07\x00"), []byte("\xf2\x00\x11\x00\x00"), uint16(5))
	f.Fuzz(func(t *testing.T, a, b []byte, limit uint16) {
		var one inflater
		for _, z := range [][]byte{a, b, a} {
			out, err := one.inflate(bytes.Clone(z), int(limit))
			if err == nil && len(out) > int(limit) || err != nil && out != nil || len(one.window) > windowSize || err != nil && len(one.window) > 0 {
				t.Fatalf("%d bytes of %d, %v, window %d", len(out), limit, err, len(one.window))
			}
		}
	})
}
