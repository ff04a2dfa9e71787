package wsbuf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
)

const (
	testRequest = "GET /feed?key=secret HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
	testAnswer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: v2.feed\r\n\r\n"
	testDeflate = "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n\r\n"
)

// scriptConn is a connection whose peer says what is in the parts, one for each
// Read, and then closes.
type scriptConn struct {
	net.Conn
	parts [][]byte
	wrote bytes.Buffer
	fail  error // of Write, which then writes half
}

func (c *scriptConn) Read(b []byte) (int, error) {
	if len(c.parts) == 0 {
		return 0, io.EOF
	}
	n := copy(b, c.parts[0])
	if c.parts[0] = c.parts[0][n:]; len(c.parts[0]) == 0 {
		c.parts = c.parts[1:]
	}
	return n, nil
}

func (c *scriptConn) Write(b []byte) (int, error) {
	if c.fail != nil {
		n, _ := c.wrote.Write(b[:len(b)/2])
		return n, c.fail
	}
	return c.wrote.Write(b)
}

func (c *scriptConn) Close() error { return nil }

// split cuts b at i.
func split(b []byte, i int) [][]byte {
	if i == 0 || i == len(b) {
		return [][]byte{b}
	}
	return [][]byte{b[:i], b[i:]}
}

// dribble cuts b into pieces of n bytes.
func dribble(b []byte, n int) (parts [][]byte) {
	for len(b) > n {
		parts, b = append(parts, b[:n]), b[n:]
	}
	return append(parts, b)
}

// serverFrames are the frames of a server, and clientFrames those of a client,
// that have all that can be in frames.
func serverFrames() *wire {
	w := &wire{}
	w.add(ws.OpText, true, "hello").add(ws.OpBinary, true, "").add(ws.OpText, false, "a").add(ws.OpPing, true, "p")
	w.add(ws.OpContinuation, false, "").add(ws.OpContinuation, true, "c").add(ws.OpBinary, true, strings.Repeat("x", 126))
	return w.add(ws.OpPong, true, "").add(ws.OpBinary, true, strings.Repeat("y", 300)).add(ws.OpClose, true, "\x03\xe8bye")
}

func clientFrames() *wire {
	w := &wire{}
	w.addMasked(ws.OpText, true, "subscribe").addMasked(ws.OpText, true, "").addMasked(ws.OpPing, true, "are you there")
	w.addMasked(ws.OpBinary, false, strings.Repeat("z", 130)).addMasked(ws.OpContinuation, true, strings.Repeat("0123456789", 20))
	return w.addMasked(ws.OpClose, true, "\x03\xe8")
}

// reference decodes frames with gobwas/ws.
func reference(t *testing.T, b []byte, out bool) (fs []frame) {
	t.Helper()
	r := bytes.NewReader(b)
	for r.Len() > 0 {
		h, err := ws.ReadHeader(r)
		if err != nil {
			t.Fatal(err)
		}
		payload := make([]byte, h.Length)
		if _, err := io.ReadFull(r, payload); err != nil {
			t.Fatal(err)
		}
		if h.Masked {
			ws.Cipher(payload, h.Mask, 0)
		}
		fs = append(fs, frame{op: h.OpCode, fin: h.Fin, out: out, compressed: h.Rsv == rsv1, payload: string(payload)})
	}
	return fs
}

// A tap sees the same frames wherever the bytes are cut, and passes them on as
// they are: read and written, as the client and as the server.
func TestTapEverySplit(t *testing.T) {
	fromServer, fromClient := serverFrames().Bytes(), clientFrames().Bytes()
	response, request := append([]byte(testAnswer), fromServer...), append([]byte(testRequest), fromClient...)
	wantServer, wantClient := reference(t, fromServer, false), reference(t, fromClient, true)
	pieces := map[string][2][][]byte{}
	for i := range max(len(response), len(request)) {
		pieces[fmt.Sprint("at ", i)] = [2][][]byte{split(response, min(i, len(response))), split(request, min(i, len(request)))}
	}
	for _, n := range []int{1, 2, 3, 7, 64} {
		pieces[fmt.Sprint("by ", n)] = [2][][]byte{dribble(response, n), dribble(request, n)}
	}
	a := newArchive(t, &recorder.Options{LaneSize: 32 << 10}) // 20 runs of the loop below take half of it
	in, out := a.producer("in", nil), a.producer("out", nil)
	runs := 0
	for name, p := range pieces {
		nc := &scriptConn{parts: p[0]}
		tap := NewTap(nc, in, out, nil)
		for _, b := range p[1] { // the client's side: it writes all its part first
			kept := bytes.Clone(b)
			if n, err := tap.Write(b); n != len(b) || err != nil || !bytes.Equal(b, kept) {
				t.Fatalf("%s: Write: %d, %v; changed: %v", name, n, err, !bytes.Equal(b, kept))
			}
		}
		got, err := io.ReadAll(tap)
		if err != nil || !bytes.Equal(got, response) || !bytes.Equal(nc.wrote.Bytes(), request) {
			t.Fatalf("%s: read %d bytes of %d, %v; wrote %d of %d", name, len(got), len(response), err, nc.wrote.Len(), len(request))
		}
		if err := tap.Close(); err != nil {
			t.Fatal(err)
		}
		if err := tap.Err(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		runs++
		if runs%20 == 0 {
			if err := errors.Join(in.WaitDurable(t.Context()), out.WaitDurable(t.Context())); err != nil {
				t.Fatal(err)
			}
		}
	}
	frames, losses := a.contents()
	if len(losses) != 0 {
		t.Fatalf("losses: %v", losses)
	}
	var wantIn, wantOut []frame
	for range runs {
		wantIn, wantOut = append(wantIn, wantServer...), append(wantOut, wantClient...)
	}
	wantFrames(t, frames["in"], wantIn)
	wantFrames(t, frames["out"], wantOut)
	const handshake = "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Protocol: v2.feed\r\n\r\n"
	if h := a.handshakes; len(h["in"]) != runs || len(h["out"]) != runs || h["in"][0] != handshake || h["out"][0] != handshake {
		t.Errorf("%d and %d handshakes of %d: %q", len(h["in"]), len(h["out"]), runs, h["in"][0])
	}
}

// The server's side of the same: what it reads is masked.
func TestTapServerSide(t *testing.T) {
	for _, n := range []int{1, 5, 4096} {
		a := newArchive(t, nil)
		p := a.producer("s", &recorder.ProducerOptions{Shared: true})
		request := append([]byte(testRequest), clientFrames().Bytes()...)
		nc := &scriptConn{parts: dribble(request, n)}
		tap := NewTap(nc, p, p, nil)
		got := make([]byte, len(testRequest))
		if _, err := io.ReadFull(tap, got); err != nil {
			t.Fatal(err)
		}
		for _, b := range dribble([]byte(testAnswer+serverFrames().String()), n) {
			tap.Write(b)
		}
		rest, err := io.ReadAll(tap)
		if err != nil || !bytes.Equal(append(got, rest...), request) {
			t.Fatalf("read %d bytes, %v", len(rest), err)
		}
		tap.Close()
		if err := tap.Err(); err != nil {
			t.Fatal(err)
		}
		frames, _ := a.contents()
		wantFrames(t, frames["s"], append(reference(t, serverFrames().Bytes(), true), reference(t, clientFrames().Bytes(), false)...))
		if len(a.handshakes["s"]) != 2 {
			t.Errorf("%d handshakes, want one for each direction", len(a.handshakes["s"]))
		}
	}
}

// Each case is what a server says behind the handshake, or instead of it.
func TestTapHostile(t *testing.T) {
	long := strings.Repeat("x", 5000)
	one := frame{op: ws.OpText, fin: true, payload: "one"}
	hello := "\x81\x03one"
	for _, tc := range []struct {
		name, bytes string
		want        []frame
		err         string
		notWS       bool
		reason      journal.LossReason // of one record lost; LossSource with gap: of an unknown number
		lost        uint64
		gap         bool
	}{
		{name: "end", bytes: testAnswer + hello, want: []frame{one}},
		{name: "behind a close frame", bytes: testAnswer + "\x88\x00garbage", want: []frame{{op: ws.OpClose, fin: true}}},
		{name: "garbage", bytes: testAnswer + hello + strings.Repeat("\xff", 20), want: []frame{one}, err: "frame 2 (byte 5 of the connection): reserved opcode 0xf", gap: true},
		{name: "masked by the server", bytes: testAnswer + hello + "\x81\x81\x00\x00\x00\x00x", want: []frame{one}, err: "text frame is masked", gap: true},
		{name: "compressed without having agreed", bytes: testAnswer + "\xc1\x01x", err: "reserved bits 100 set; no extension", gap: true},
		{name: "compressed ping", bytes: testDeflate + "\xc9\x01x", err: "ping frame with reserved bits 100", gap: true},
		{name: "compressed continuation", bytes: testDeflate + "\x01\x01x\xc0\x01x", want: []frame{{op: ws.OpText, payload: "x"}}, err: "continuation frame with reserved bits 100", gap: true},
		{name: "RSV2", bytes: testDeflate + "\xa1\x01x", err: "reserved bits 010", gap: true},
		{name: "length with a sign", bytes: testAnswer + "\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff", err: "sign bit", gap: true},
		{name: "a length that is a lie", bytes: testAnswer + "\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff" + long, reason: journal.LossTooLarge, lost: 5000},
		{name: "too large", bytes: testAnswer + "\x82\x7e\x13\x88" + long + hello, want: []frame{one}, reason: journal.LossTooLarge, lost: 5000},
		{name: "long ping", bytes: testAnswer + "\x89\x7e\x00\x7e" + long, err: "ping frame of 126 bytes", gap: true},
		{name: "length in a longer form", bytes: testAnswer + "\x81\x7e\x00\x05hello", err: "longer form", gap: true},
		{name: "continuation of nothing", bytes: testAnswer + "\x80\x00", err: "without a message to continue", gap: true},
		{name: "half a header", bytes: testAnswer + hello + "\x81\x7e\x01", want: []frame{one}},
		{name: "half a frame", bytes: testAnswer + hello + "\x81\x05he", want: []frame{one}, reason: journal.LossSource, lost: 2},
		{name: "a frame without its payload", bytes: testAnswer + "\x81\x05", reason: journal.LossSource},

		{name: "refused", bytes: "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno" + hello, err: "the server answered 401 Unauthorized", notWS: true},
		{name: "another protocol", bytes: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n" + hello, err: `switched to "h2c"`, notWS: true},
		{name: "another protocol at once", bytes: "220 mail.example ESMTP\r\n\r\n", err: `begins with "2`, notWS: true},
		{name: "bad answer", bytes: "HTTP/1.1 abc\r\n\r\n", err: "bad answer", notWS: true},
		{name: "a head without end", bytes: "HTTP/1.1 101 OK\r\nX: " + strings.Repeat("y", maxHead), err: "longer than 65536 bytes", notWS: true},
		{name: "half a head", bytes: testAnswer[:50]},
		{name: "nothing"},
		{name: "for your information", bytes: "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + testAnswer + hello, want: []frame{one}},
		{name: "lines without CR", bytes: strings.ReplaceAll(testAnswer, "\r", "") + hello, want: []frame{one}},
	} {
		for _, n := range []int{1, 1 << 20} {
			t.Run(fmt.Sprintf("%s/by %d", tc.name, n), func(t *testing.T) {
				a := newArchive(t, nil)
				nc := &scriptConn{parts: dribble([]byte(tc.bytes), n)}
				tap := NewTap(nc, a.producer("in", nil), a.producer("out", nil), &TapOptions{MaxFrame: 4000})
				tap.Write([]byte(testRequest))
				if got, err := io.ReadAll(tap); err != nil || string(got) != tc.bytes {
					t.Fatalf("read %d bytes of %d, %v", len(got), len(tc.bytes), err)
				}
				tap.Close()
				err := tap.Err()
				if (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), "received: ") || err != nil && !strings.Contains(err.Error(), tc.err) {
					t.Errorf("Err: %v, want %q", err, tc.err)
				}
				var breach *ProtocolError
				if errors.Is(err, ErrNotWebSocket) != tc.notWS || errors.As(err, &breach) != tc.gap {
					t.Errorf("Err: %T %v", err, err)
				}
				frames, losses := a.contents()
				wantFrames(t, frames["in"], tc.want)
				switch {
				case tc.gap:
					wantLoss(t, losses["in"], journal.LossSource, 0, 0)
				case tc.reason != 0:
					wantLoss(t, losses["in"], tc.reason, 1, tc.lost)
				}
				if (len(losses["in"]) > 0) != (tc.gap || tc.reason != 0) || len(losses["out"]) > 0 {
					t.Errorf("losses: %v", losses)
				}
			})
		}
	}
}

// A client that does not wait for the answer to the handshake is heard, up to a
// limit.
func TestTapEarlyFrames(t *testing.T) {
	all := clientFrames().String()
	for _, tc := range []struct {
		name, early, answer, rest string
		frames                    int
		err                       string
	}{
		{"answered", all, testAnswer, "", 6, ""},
		{"answered in the middle of a frame", all[:20], testAnswer, all[20:], 6, ""},
		{"answered before them", "", testAnswer, all, 6, ""},
		{"refused", all, "HTTP/1.1 403 Forbidden\r\n\r\n", "", 0, "403"},
		{"refused before them", "", "HTTP/1.1 403 Forbidden\r\n\r\n", all, 0, "403"},
		{"never answered", all, "", "", 0, ""},
		{"too much", strings.Repeat("x", maxHead+1), testAnswer, "", 0, "more than 65536 bytes"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := newArchive(t, nil)
			tap := NewTap(&scriptConn{}, a.producer("in", nil), a.producer("out", nil), nil)
			for _, b := range dribble([]byte(testRequest+tc.early), 100) {
				tap.in.pass(b)
			}
			tap.Write([]byte(tc.answer))
			tap.in.pass([]byte(tc.rest))
			tap.Close()
			if err := tap.Err(); (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
				t.Errorf("Err: %v, want %q", err, tc.err)
			}
			frames, _ := a.contents()
			if len(frames["in"]) != tc.frames {
				t.Errorf("%d frames, want %d", len(frames["in"]), tc.frames)
			}
		})
	}
}

// A Write that fails half way ends the recording of what is sent, with a gap.
func TestTapShortWrite(t *testing.T) {
	a := newArchive(t, nil)
	nc := &scriptConn{parts: [][]byte{[]byte(testAnswer)}}
	tap := NewTap(nc, a.producer("in", nil), a.producer("out", nil), nil)
	tap.Write([]byte(testRequest))
	io.ReadAll(tap)
	nc.fail = os.ErrDeadlineExceeded
	var w wire
	if n, err := tap.Write(w.addMasked(ws.OpText, true, "maybe").Bytes()); n != 5 || err != os.ErrDeadlineExceeded {
		t.Errorf("Write: %d, %v", n, err)
	}
	tap.Write(w.Bytes())
	tap.Close()
	if err := tap.Err(); err == nil || !strings.Contains(err.Error(), "sent: the last frames may not have been sent: 5 of 11 bytes") || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Err: %v", err)
	}
	frames, losses := a.contents()
	wantFrames(t, frames["out"], []frame{{op: ws.OpText, fin: true, out: true, payload: "maybe"}})
	if len(losses["out"]) != 1 || losses["out"][0].Records != 0 {
		t.Errorf("losses: %+v", losses)
	}
}

// With Inflate, compressed messages come out whole, and what cannot be inflated
// is kept with a gap.
func TestTapInflate(t *testing.T) {
	z, w := newCompressor(true), &wire{}
	for i := range 20 {
		m := z.message(tick(i))
		w.addCompressed(ws.OpText, false, m[:3]).add(ws.OpPing, true, "").add(ws.OpContinuation, true, m[3:])
	}
	bomb := z.message(strings.Repeat("\x00", 1<<20))
	w.addCompressed(ws.OpBinary, true, bomb).add(ws.OpText, true, "plain").addCompressed(ws.OpText, false, "cut off")
	for _, n := range []int{1, 100, 1 << 20} {
		a := newArchive(t, nil)
		tap := NewTap(&scriptConn{parts: dribble([]byte(testDeflate+w.String()), n)}, a.producer("in", nil), nil, &TapOptions{Inflate: true})
		tap.Write([]byte(testRequest))
		io.ReadAll(tap)
		tap.Close()
		if err := tap.Err(); err == nil || !strings.Contains(err.Error(), "inflates to more than that") {
			t.Errorf("Err: %v", err)
		}
		frames, losses := a.contents()
		var want []frame
		for i := range 20 {
			want = append(want, frame{op: ws.OpPing, fin: true}, frame{op: ws.OpText, fin: true, payload: tick(i)})
		}
		wantFrames(t, frames["in"], append(want, frame{op: ws.OpBinary, fin: true, compressed: true, payload: bomb},
			frame{op: ws.OpText, fin: true, payload: "plain"}, frame{op: ws.OpText, compressed: true, payload: "cut off"}))
		if len(losses["in"]) == 0 || losses["in"][0].Records != 0 {
			t.Errorf("losses: %+v", losses)
		}
	}
}

// A recorder that takes no more, or is full, is no matter for the connection.
func TestTapOutlivesTheRecorder(t *testing.T) {
	for _, policy := range []recorder.Overload{recorder.OverloadDrop, recorder.OverloadWait, recorder.OverloadFail} {
		a := newArchive(t, nil)
		p := a.producer("in", &recorder.ProducerOptions{Overload: policy})
		response := testAnswer + serverFrames().String()
		tap := NewTap(&scriptConn{parts: dribble([]byte(response), 200)}, p, nil, nil)
		a.close()
		if got, err := io.ReadAll(tap); err != nil || string(got) != response {
			t.Errorf("%v: read %d bytes, %v", policy, len(got), err)
		}
		tap.Close()
		var rerr *RecordError
		if err := tap.Err(); !errors.As(err, &rerr) || !errors.Is(err, recorder.ErrClosed) {
			t.Errorf("%v: Err: %v", policy, err)
		}
		if s := p.Stats(); s.Refused == 0 && s.Lost == 0 {
			t.Errorf("%v: nothing was counted: %+v", policy, s)
		}
	}
}

func TestTapOptionsPanic(t *testing.T) {
	defer func() {
		if r := recover(); r == nil || !strings.Contains(fmt.Sprint(r), "MaxFrame -1") {
			t.Errorf("recovered %v", r)
		}
	}()
	NewTap(nil, nil, nil, &TapOptions{MaxFrame: -1})
}
