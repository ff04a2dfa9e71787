package wsbuf

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/nexus-logbuf/logbuf/journal"
)

// Each case is a peer that says "one", then something, and closes.
func TestPeers(t *testing.T) {
	one := frame{op: ws.OpText, fin: true, payload: "one"}
	long := strings.Repeat("x", 70_000)
	for _, tc := range []struct {
		name  string
		bytes func(w *wire)
		want  []frame // recorded after "one"
		err   string  // in the error
		code  ws.StatusCode
		lost  uint64 // bytes of one record lost to the source
		loses bool
	}{
		{name: "end without a close frame", bytes: func(w *wire) {}, err: "ended after 1 frames without a close frame"},
		{name: "close", bytes: func(w *wire) { w.add(ws.OpClose, true, "\x03\xe8bye") }, want: []frame{{op: ws.OpClose, fin: true, payload: "\x03\xe8bye"}},
			err: `closed the connection: 1000 (normal closure): "bye"`, code: 1000},
		{name: "close without a code", bytes: func(w *wire) { w.add(ws.OpClose, true, "") }, want: []frame{{op: ws.OpClose, fin: true, payload: ""}},
			err: "closed the connection: 1005"},
		{name: "frames behind a close frame", bytes: func(w *wire) { w.add(ws.OpClose, true, "\x03\xe9").add(ws.OpText, true, "late") },
			want: []frame{{op: ws.OpClose, fin: true, payload: "\x03\xe9"}}, err: "1001 (going away)", code: 1001},
		{name: "all sizes of length", bytes: func(w *wire) {
			w.add(ws.OpBinary, true, "").add(ws.OpText, true, long[:125]).add(ws.OpText, true, long[:126]).add(ws.OpText, true, long[:65535]).add(ws.OpText, true, long[:65536])
		}, want: []frame{{op: ws.OpBinary, fin: true, payload: ""}, {op: ws.OpText, fin: true, payload: long[:125]}, {op: ws.OpText, fin: true, payload: long[:126]}, {op: ws.OpText, fin: true, payload: long[:65535]}, {op: ws.OpText, fin: true, payload: long[:65536]}},
			err: "ended after 6 frames"},
		{name: "fragments with a ping between", bytes: func(w *wire) {
			w.add(ws.OpText, false, "a").add(ws.OpPing, true, "p").add(ws.OpContinuation, false, "").add(ws.OpContinuation, true, "c")
		}, want: []frame{{op: ws.OpText, payload: "a"}, {op: ws.OpPing, fin: true, payload: "p"}, {op: ws.OpContinuation, payload: ""}, {op: ws.OpContinuation, fin: true, payload: "c"}},
			err: "ended after 5 frames"},

		{name: "masked", bytes: func(w *wire) { w.addMasked(ws.OpText, true, "two") }, err: "frame 2 (byte 5 of the connection): text frame is masked", code: 1002},
		{name: "masked and empty", bytes: func(w *wire) { w.raw("\x81\x80\x01\x02\x03\x04") }, err: "is masked", code: 1002},
		{name: "reserved data opcode", bytes: func(w *wire) { w.raw("\x83\x00") }, err: "reserved opcode 0x3", code: 1002},
		{name: "reserved control opcode", bytes: func(w *wire) { w.raw("\x8b\x00") }, err: "reserved opcode 0xb", code: 1002},
		{name: "RSV1", bytes: func(w *wire) { w.raw("\xc1\x01x") }, err: "reserved bits 100", code: 1002},
		{name: "RSV3", bytes: func(w *wire) { w.raw("\x91\x01x") }, err: "reserved bits 001", code: 1002},
		{name: "fragmented ping", bytes: func(w *wire) { w.raw("\x09\x00") }, err: "fragmented ping", code: 1002},
		{name: "long ping", bytes: func(w *wire) { w.add(ws.OpPing, true, long[:126]) }, err: "ping frame of 126 bytes", code: 1002},
		{name: "close of 2 GiB", bytes: func(w *wire) { w.raw("\x88\x7f\x00\x00\x00\x00\x80\x00\x00\x00") }, err: "close frame of 2147483648 bytes", code: 1002},
		{name: "continuation of nothing", bytes: func(w *wire) { w.add(ws.OpContinuation, true, "x") }, err: "without a message to continue", code: 1002},
		{name: "message in a message", bytes: func(w *wire) { w.add(ws.OpText, false, "a").add(ws.OpBinary, true, "b") },
			want: []frame{{op: ws.OpText, payload: "a"}}, err: "frame 3 (byte 8 of the connection): binary frame in the middle", code: 1002},
		{name: "length in a longer form", bytes: func(w *wire) { w.raw("\x81\x7e\x00\x05hello") }, err: "length of 5 in a longer form", code: 1002},
		{name: "length in the longest form", bytes: func(w *wire) { w.raw("\x82\x7f\x00\x00\x00\x00\x00\x00\xff\xff") }, err: "length of 65535 in a longer form", code: 1002},
		{name: "length with a sign", bytes: func(w *wire) { w.raw("\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff") }, err: "sign bit", code: 1002},
		{name: "a length that is a lie", bytes: func(w *wire) { w.raw("\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff") }, err: "binary frame of 9223372036854775807 bytes", code: 1009, loses: true},
		{name: "close with half a code", bytes: func(w *wire) { w.add(ws.OpClose, true, "\x03") }, want: []frame{{op: ws.OpClose, fin: true, payload: "\x03"}}, err: "payload of 1 byte", code: 1002},
		{name: "close with a code of no use", bytes: func(w *wire) { w.add(ws.OpClose, true, "\x03\xee") }, want: []frame{{op: ws.OpClose, fin: true, payload: "\x03\xee"}}, err: "code 1006", code: 1002},
		{name: "close with a code of another registry", bytes: func(w *wire) { w.add(ws.OpClose, true, "\x03\xf4") }, want: []frame{{op: ws.OpClose, fin: true, payload: "\x03\xf4"}}, err: "1012 (service restart)", code: 1012},
		{name: "close with a code above all", bytes: func(w *wire) { w.add(ws.OpClose, true, "\x13\x88") }, want: []frame{{op: ws.OpClose, fin: true, payload: "\x13\x88"}}, err: "code 5000, which must not", code: 1002},
		{name: "close with bad text", bytes: func(w *wire) { w.add(ws.OpClose, true, "\x03\xe8\xff") }, want: []frame{{op: ws.OpClose, fin: true, payload: "\x03\xe8\xff"}}, err: "not UTF-8", code: 1002},

		{name: "one byte of a header", bytes: func(w *wire) { w.raw("\x81") }, err: "broke off in the header of frame 2, of which 1 bytes"},
		{name: "half a length", bytes: func(w *wire) { w.raw("\x81\x7e\x01") }, err: "broke off in the header of frame 2, of which 3 bytes"},
		{name: "half a frame", bytes: func(w *wire) { w.raw("\x81\x05he") }, err: "broke off in frame 2 (text, 5 bytes), of which 2 had come", lost: 2, loses: true},
		{name: "half a large frame", bytes: func(w *wire) { w.raw("\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00" + long[:65535]) },
			err: "(binary, 65536 bytes), of which 65535 had come", lost: 65535, loses: true},
		{name: "half a ping", bytes: func(w *wire) { w.raw("\x89\x05he") }, err: "broke off in frame 2 (ping, 5 bytes), of which 2 had come", lost: 2, loses: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := newArchive(t, nil)
			nc, peer := tcpPair(t)
			var w wire
			tc.bytes(w.add(ws.OpText, true, "one"))
			answer := serve(peer, w.Bytes())
			c := NewConn(nc, nil, a.producer("s", nil), nil)
			err := c.Record(t.Context())
			c.Close()
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Fatalf("Record: %v, want an error with %q", err, tc.err)
			}
			checkKind(t, err, tc.code)
			frames, losses := a.contents()
			wantFrames(t, frames["s"], append([]frame{one}, tc.want...))
			if tc.loses {
				reason := journal.LossSource
				if tc.code == ws.StatusMessageTooBig {
					reason = journal.LossTooLarge
				}
				wantLoss(t, losses["s"], reason, 1, tc.lost)
			} else if len(losses["s"]) > 0 {
				t.Errorf("losses: %+v, want none", losses["s"])
			}
			checkAnswer(t, parseFrames(t, <-answer), tc.code, len(tc.want))
		})
	}
}

// checkKind checks that the error has the type that its code promises.
func checkKind(t *testing.T, err error, code ws.StatusCode) {
	t.Helper()
	var closed *CloseError
	var broken *ProtocolError
	switch {
	case errors.As(err, &closed):
		if code != 0 && closed.Code != code {
			t.Errorf("close code %d, want %d", closed.Code, code)
		}
	case errors.As(err, &broken):
		if broken.Code != code {
			t.Errorf("protocol error with code %d, want %d", broken.Code, code)
		}
	case !errors.Is(err, io.ErrUnexpectedEOF):
		t.Errorf("%v (%T) does not wrap io.ErrUnexpectedEOF", err, err)
	}
}

// checkAnswer checks the last word to the peer.
func checkAnswer(t *testing.T, sent []frame, code ws.StatusCode, recorded int) {
	t.Helper()
	if code == 0 && recorded != 1 {
		for _, f := range sent {
			if f.op == ws.OpClose {
				t.Errorf("sent %v to a peer that is gone", f)
			}
		}
		return
	}
	if len(sent) == 0 || sent[len(sent)-1].op != ws.OpClose {
		t.Fatalf("sent %v, want a close frame at the end", sent)
	}
	if got, _ := ws.ParseCloseFrameData([]byte(sent[len(sent)-1].payload)); got != code {
		t.Errorf("sent close code %d, want %d", got, code)
	}
}

func TestServerSide(t *testing.T) {
	t.Run("unmasks", func(t *testing.T) {
		a := newArchive(t, nil)
		nc, peer := tcpPair(t)
		var w wire
		long := strings.Repeat("0123456789", 9000)
		w.addMasked(ws.OpText, true, "hello").addMasked(ws.OpBinary, true, long).addMasked(ws.OpPing, true, "are you there").addMasked(ws.OpClose, true, "\x03\xe8")
		answer := serve(peer, w.Bytes())
		c := NewConn(nc, nil, a.producer("s", nil), &Options{Server: true, Outbound: true})
		err := c.Record(t.Context())
		c.Close()
		var closed *CloseError
		if !errors.As(err, &closed) {
			t.Fatal(err)
		}
		frames, _ := a.contents()
		wantFrames(t, frames["s"], []frame{
			{op: ws.OpText, fin: true, payload: "hello"}, {op: ws.OpBinary, fin: true, payload: long},
			{op: ws.OpPing, fin: true, payload: "are you there"}, {op: ws.OpPong, fin: true, out: true, payload: "are you there"},
			{op: ws.OpClose, fin: true, payload: "\x03\xe8"}, {op: ws.OpClose, fin: true, out: true, payload: "\x03\xe8"},
		})
		back := <-answer
		if back[1]&0x80 != 0 {
			t.Error("a server must not mask")
		}
		wantFrames(t, parseFrames(t, back), []frame{{op: ws.OpPong, fin: true, out: true, payload: "are you there"}, {op: ws.OpClose, fin: true, out: true, payload: "\x03\xe8"}})
	})
	t.Run("refuses what is not masked", func(t *testing.T) {
		a := newArchive(t, nil)
		nc, peer := tcpPair(t)
		var w wire
		serve(peer, w.add(ws.OpText, true, "x").Bytes())
		c := NewConn(nc, nil, a.producer("s", nil), &Options{Server: true})
		err := c.Record(t.Context())
		c.Close()
		if err == nil || !strings.Contains(err.Error(), "text frame is not masked") {
			t.Errorf("Record: %v", err)
		}
	})
}

func TestClientMasks(t *testing.T) {
	a := newArchive(t, nil)
	nc, peer := tcpPair(t)
	var w wire
	answer := serve(peer, w.add(ws.OpPing, true, "1").add(ws.OpPing, true, strings.Repeat("2", 125)).Bytes())
	c := NewConn(nc, nil, a.producer("s", nil), nil)
	if err := c.Send(t.Context(), ws.OpText, []byte("subscribe")); err != nil {
		t.Fatal(err)
	}
	c.Record(t.Context())
	c.Close()
	back := <-answer
	for i := 0; i < len(back); i += 6 + int(back[i+1]&0x7f) {
		if back[i+1]&0x80 == 0 {
			t.Fatalf("the frame at byte %d has no mask", i)
		}
	}
	wantFrames(t, parseFrames(t, back), []frame{
		{op: ws.OpText, fin: true, out: true, payload: "subscribe"}, {op: ws.OpPong, fin: true, out: true, payload: "1"}, {op: ws.OpPong, fin: true, out: true, payload: strings.Repeat("2", 125)},
	})
	frames, _ := a.contents()
	if len(frames["s"]) != 2 {
		t.Errorf("%v: without Outbound, what is sent must not be recorded", frames["s"])
	}
}
