package wsbuf

import (
	"bytes"
	"compress/flate"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/gobwas/ws"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// compressor is the sender's side of permessage-deflate, with context takeover
// or without, made with the standard library.
type compressor struct {
	w        *flate.Writer
	buf      bytes.Buffer
	takeover bool
}

func newCompressor(takeover bool) *compressor {
	c := &compressor{takeover: takeover}
	c.w, _ = flate.NewWriter(&c.buf, flate.BestCompression)
	return c
}

func (c *compressor) message(s string) string {
	c.buf.Reset()
	if !c.takeover {
		c.w.Reset(&c.buf)
	}
	c.w.Write([]byte(s))
	c.w.Flush()
	return strings.TrimSuffix(c.buf.String(), "\x00\x00\xff\xff")
}

// tick is a message like those of a feed: much of it was in the one before.
func tick(i int) string {
	return fmt.Sprintf(`{"type":"trade","symbol":"BTC-USD","id":%d,"price":"%d.%02d","size":"0.0%d"}`, i, 60_000+i%97, i%100, i%13)
}

// What was compressed comes back, over messages of all sizes, also those that
// are larger than the window.
func TestInflater(t *testing.T) {
	for _, takeover := range []bool{true, false} {
		c, f := newCompressor(takeover), &inflater{}
		rng := rand.New(rand.NewPCG(1, 2))
		for i := range 300 {
			var b strings.Builder
			for n := 1 << rng.IntN(17); b.Len() < n-1; {
				b.WriteString(tick(rng.IntN(1000)))
			}
			out, err := f.inflate([]byte(c.message(b.String())), 1<<20)
			if err != nil || string(out) != b.String() {
				t.Fatalf("takeover %v, message %d of %d bytes: %d bytes, %v", takeover, i, b.Len(), len(out), err)
			}
		}
	}
}

// With a message missing, the next ones come out right or not at all.
func TestInflaterForgets(t *testing.T) {
	c, f := newCompressor(true), &inflater{}
	var z []string
	for i := range 50 {
		z = append(z, c.message(tick(i)))
	}
	for i := range 10 {
		if _, err := f.inflate([]byte(z[i]), 1000); err != nil {
			t.Fatal(err)
		}
	}
	f.forget()
	failed := 0
	for i := 11; i < len(z); i++ {
		out, err := f.inflate([]byte(z[i]), 1000)
		if err != nil {
			failed++
		} else if string(out) != tick(i) {
			t.Fatalf("message %d came out as %q", i, out)
		}
	}
	if failed == 0 {
		t.Error("no message referred to the one that was missing: the test shows nothing")
	}
}

func TestInflaterRefuses(t *testing.T) {
	bomb := newCompressor(false).message(strings.Repeat("\x00", 8<<20))
	for _, tc := range []struct {
		name, z string
		limit   int
		want    string
	}{
		{"one byte too many", newCompressor(false).message(strings.Repeat("x", 1001)), 1000, "inflates to more than that: 1000"},
		{"bomb", bomb, 256 << 10, "inflates to more than that"},
		{"garbage", "\xff\xfe\xfd garbage", 1000, "corrupt input"},
		{"cut", newCompressor(false).message(tick(1))[:20], 1000, "compressed message of 20 bytes"},
		{"before the beginning", "\x02\x02\x00", 1000, "corrupt input"},
		{"behind the last block", "\x03\x00more than that", 1000, "14 bytes behind its last block"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := &inflater{}
			out, err := f.inflate([]byte(tc.z), tc.limit)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("%d bytes, %v; want %q", len(out), err, tc.want)
			}
			if cap(f.out) > max(tc.limit+1, 4<<10) {
				t.Errorf("took %d bytes of memory for a limit of %d", cap(f.out), tc.limit)
			}
			if out, err := f.inflate([]byte(newCompressor(false).message("fine")), 1000); err != nil || string(out) != "fine" {
				t.Errorf("and then %q, %v", out, err)
			}
		})
	}
	t.Run("last block of the sender's", func(t *testing.T) { // RFC 7692, section 7.2.3.4
		out, err := (&inflater{}).inflate([]byte("\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), 1000)
		if err != nil || string(out) != "Hello" {
			t.Errorf("%q, %v", out, err)
		}
	})
	t.Run("examples of RFC 7692", func(t *testing.T) { // section 7.2.3.2: the second refers to the first
		f := &inflater{}
		for _, z := range []string{"\xf2\x48\xcd\xc9\xc9\x07\x00", "\xf2\x00\x11\x00\x00"} {
			if out, err := f.inflate([]byte(z), 1000); err != nil || string(out) != "Hello" {
				t.Errorf("%q, %v", out, err)
			}
		}
	})
}

// Dial and Record with compression on, from a server that takes its context
// along where it may.
func TestDialDeflate(t *testing.T) {
	const messages = 500
	s := coderServer(t, func(ctx context.Context, c *websocket.Conn, r *http.Request) {
		ctx = c.CloseRead(ctx)
		for i := range messages {
			if err := c.Write(ctx, websocket.MessageText, []byte(strings.Repeat(tick(i), 1+i%20))); err != nil {
				t.Error(err)
			}
		}
		c.Close(websocket.StatusNormalClosure, "")
	})
	for _, tc := range []struct {
		deflate   Deflate
		extension string
	}{
		{DeflateRaw, "server_no_context_takeover"}, {DeflateInflate, deflateName},
	} {
		t.Run(fmt.Sprint("deflate ", tc.deflate), func(t *testing.T) {
			a := newArchive(t, nil)
			c, err := Dial(t.Context(), wsURL(s), a.producer("s", &recorder.ProducerOptions{Overload: recorder.OverloadWait}), &Options{Deflate: tc.deflate})
			if err != nil {
				t.Fatal(err)
			}
			c.Record(t.Context())
			c.Close()
			frames, losses := a.contents()
			if len(losses["s"]) != 0 {
				t.Errorf("losses: %v", losses["s"])
			}
			if h := a.handshakes["s"]; len(h) != 1 || !strings.Contains(h[0], tc.extension) {
				t.Errorf("handshakes %q", h)
			}
			got, compressed := inflateFrames(t, frames["s"])
			if tc.deflate == DeflateInflate && compressed != 0 || tc.deflate == DeflateRaw && compressed < messages/2 {
				t.Errorf("%d compressed messages of %d", compressed, len(got))
			}
			if len(got) != messages {
				t.Fatalf("%d messages", len(got))
			}
			for i := range got {
				if want := strings.Repeat(tick(i), 1+i%20); got[i] != want {
					t.Fatalf("message %d: %q", i, got[i])
				}
			}
		})
	}
}

// inflateFrames joins the data frames to messages, with the standard library's
// decoder for each compressed one on its own.
func inflateFrames(t *testing.T, frames []frame) (messages []string, compressed int) {
	t.Helper()
	var m strings.Builder
	for _, f := range frames {
		if f.op.IsControl() {
			continue
		}
		m.WriteString(f.payload)
		if !f.fin {
			continue
		}
		text := m.String()
		m.Reset()
		if f.compressed {
			compressed++
			var out bytes.Buffer
			if _, err := out.ReadFrom(flate.NewReader(strings.NewReader(text + flushTail))); err != nil {
				t.Fatalf("message %d: %v", len(messages), err)
			}
			text = out.String()
		}
		messages = append(messages, text)
	}
	return messages, compressed
}

// What cannot be inflated is kept as it came, and a gap is counted.
func TestConnKeepsWhatItCannotInflate(t *testing.T) {
	z := newCompressor(true)
	first, second, bomb, third := z.message(tick(1)), z.message(tick(2)), z.message(strings.Repeat("\x00", 1<<20)+tick(3)), z.message(tick(3))
	var w wire
	w.addCompressed(ws.OpText, false, first[:10]).add(ws.OpPing, true, "p").add(ws.OpContinuation, true, first[10:])
	w.addCompressed(ws.OpText, true, second)
	w.addCompressed(ws.OpBinary, true, bomb)
	w.addCompressed(ws.OpText, true, third)
	w.add(ws.OpText, true, "plain")
	w.addCompressed(ws.OpText, true, newCompressor(false).message("fresh"))
	w.addCompressed(ws.OpText, false, "left open")
	a := newArchive(t, nil)
	nc, peer := tcpPair(t)
	serve(peer, w.Bytes())
	c := NewConn(nc, nil, a.producer("s", &recorder.ProducerOptions{LaneSize: 64 << 10}), &Options{Deflate: DeflateInflate})
	c.Record(t.Context())
	c.Close()
	frames, losses := a.contents()
	wantFrames(t, frames["s"], []frame{
		{op: ws.OpPing, fin: true, payload: "p"}, {op: ws.OpText, fin: true, payload: tick(1)}, {op: ws.OpText, fin: true, payload: tick(2)},
		{op: ws.OpBinary, fin: true, compressed: true, payload: bomb}, {op: ws.OpText, fin: true, compressed: true, payload: third},
		{op: ws.OpText, fin: true, payload: "plain"}, {op: ws.OpText, fin: true, payload: "fresh"},
		{op: ws.OpText, compressed: true, payload: "left open"},
	})
	wantLoss(t, losses["s"], journal.LossSource, 0, 0)
	if len(losses["s"]) == 0 {
		t.Error("no gap was counted")
	}
}

// Compressed fragments that are longer together than a record can be are
// recorded one by one.
func TestConnLongCompressedMessage(t *testing.T) {
	part := strings.Repeat("z", 900)
	var w wire
	w.addCompressed(ws.OpText, false, part).add(ws.OpContinuation, false, part).add(ws.OpContinuation, true, part)
	w.addCompressed(ws.OpText, false, part).add(ws.OpContinuation, false, strings.Repeat("y", 5000)).add(ws.OpContinuation, true, part)
	w.addCompressed(ws.OpText, true, newCompressor(false).message("fresh"))
	a := newArchive(t, nil)
	nc, peer := tcpPair(t)
	serve(peer, w.Bytes())
	c := NewConn(nc, nil, a.producer("s", nil), &Options{Deflate: DeflateInflate, MaxFrame: 1000})
	c.Record(t.Context())
	c.Close()
	frames, losses := a.contents()
	wantFrames(t, frames["s"], []frame{
		{op: ws.OpText, compressed: true, payload: part}, {op: 0, compressed: true, payload: part}, {op: 0, fin: true, compressed: true, payload: part},
		{op: ws.OpText, compressed: true, payload: part}, {op: 0, fin: true, compressed: true, payload: part},
		{op: ws.OpText, fin: true, payload: "fresh"},
	})
	var tooLarge uint64
	for _, l := range losses["s"] {
		if l.Reason == journal.LossTooLarge {
			tooLarge += l.Bytes
		}
	}
	if tooLarge != 5000 {
		t.Errorf("losses %+v", losses["s"])
	}
}
