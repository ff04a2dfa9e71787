package wsbuf

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
)

var errEnough = errors.New("enough")

// record runs Record in the background.
func record(ctx context.Context, c *Conn) <-chan error {
	done := make(chan error, 1)
	go func() { done <- c.Record(ctx) }()
	return done
}

// eventually waits for what other goroutines do.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after a minute: %s", what)
		}
	}
}

// A peer that stalls in the middle of a frame holds up no other, however long
// its claim is open.
func TestStallHoldsUpNobody(t *testing.T) {
	a := newArchive(t, nil)
	stalled, other := a.producer("stalled", nil), a.producer("other", nil)
	nc1, peer1 := tcpPair(t)
	nc2, peer2 := tcpPair(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	c1, c2 := NewConn(nc1, nil, stalled, &Options{CloseTimeout: 20 * time.Millisecond}), NewConn(nc2, nil, other, nil)
	done1, done2 := record(ctx, c1), record(t.Context(), c2)

	var w wire
	w.add(ws.OpText, true, "whole").raw("\x82\x7e\x10\x00half")
	peer1.Write(w.Bytes())
	var w2 wire
	for range 100 {
		w2.add(ws.OpText, true, strings.Repeat("o", 5000)) // twice the lane
	}
	peer2.Write(w2.Bytes())
	peer2.(*net.TCPConn).CloseWrite()
	if err := <-done2; err == nil || !strings.Contains(err.Error(), "ended after 100 frames") {
		t.Fatalf("the other connection: %v", err)
	}
	eventually(t, "the other stream is not in the archive", func() bool {
		s := other.Stats()
		return s.Records+s.Lost == 100
	})
	eventually(t, "the whole frame is not in the archive", func() bool { return stalled.Stats().Records == 1 })
	cancel(errEnough)
	if err := <-done1; !errors.Is(err, errEnough) {
		t.Errorf("the stalled connection: %v, want the context's cause", err)
	}
	c1.Close()
	c2.Close()
	frames, losses := a.contents()
	wantFrames(t, frames["stalled"], []frame{{op: ws.OpText, fin: true, payload: "whole"}})
	wantLoss(t, losses["stalled"], journal.LossSource, 1, 4)
}

// A frame whose bytes dribble in, with pauses inside header and payload, is one
// frame; and stopping in between breaks nothing if the rest comes.
func TestStopInTheMiddleOfAFrame(t *testing.T) {
	var w wire
	w.add(ws.OpText, true, "0123456789").add(ws.OpClose, true, "\x03\xe8")
	whole := w.Bytes()
	for cut := range whole {
		a := newArchive(t, nil)
		nc, peer := net.Pipe()
		p := a.producer("s", nil)
		c := NewConn(nc, nil, p, &Options{CloseTimeout: time.Minute, Outbound: true})
		ctx, cancel := context.WithCancelCause(t.Context())
		done := record(ctx, c)
		peer.Write(whole[:cut])
		cancel(errEnough)
		// The close frame comes in the middle of our frame.
		h, err := ws.ReadHeader(peer)
		if err != nil || h.OpCode != ws.OpClose {
			t.Fatalf("cut at %d: our peer got %v, %v; want a close frame", cut, h, err)
		}
		body := make([]byte, h.Length)
		if _, err := peer.Read(body); err != nil {
			t.Fatal(err)
		}
		ws.Cipher(body, h.Mask, 0)
		if code, reason := ws.ParseCloseFrameData(body); code != ws.StatusNormalClosure || reason != "the recording ends" {
			t.Fatalf("close frame with %d %q", code, reason)
		}
		peer.Write(whole[cut:])
		if err := <-done; !errors.Is(err, errEnough) {
			t.Fatalf("cut at %d: Record: %v", cut, err)
		}
		peer.Close()
		c.Close()
		frames, losses := a.contents()
		ours := frame{op: ws.OpClose, fin: true, out: true, payload: string(body)}
		want := []frame{{op: ws.OpText, fin: true, payload: "0123456789"}, ours, {op: ws.OpClose, fin: true, payload: "\x03\xe8"}}
		if cut < 2 { // no frame has begun, and ours is recorded at once
			want[0], want[1] = want[1], want[0]
		}
		wantFrames(t, frames["s"], want)
		if len(losses["s"]) > 0 {
			t.Errorf("cut at %d: losses %+v", cut, losses["s"])
		}
	}
}

// What comes before the peer's answer to our close frame is recorded.
func TestStopRecordsUntilTheAnswer(t *testing.T) {
	a := newArchive(t, nil)
	nc, peer := tcpPair(t)
	c := NewConn(nc, nil, a.producer("s", nil), &Options{CloseTimeout: time.Minute})
	ctx, cancel := context.WithCancelCause(t.Context())
	done := record(ctx, c)
	cancel(errEnough)
	h, err := ws.ReadHeader(peer)
	if err != nil || h.OpCode != ws.OpClose {
		t.Fatal(h, err)
	}
	if _, err := io.CopyN(io.Discard, peer, h.Length); err != nil {
		t.Fatal(err)
	}
	var w wire
	peer.Write(w.add(ws.OpText, true, "in flight").add(ws.OpPing, true, "too late for a pong").add(ws.OpClose, true, "\x03\xe8").Bytes())
	if err := <-done; !errors.Is(err, errEnough) {
		t.Errorf("Record: %v", err)
	}
	c.Close()
	var rest bytes.Buffer
	rest.ReadFrom(peer)
	if rest.Len() > 0 {
		t.Errorf("sent %v after our close frame", parseFrames(t, rest.Bytes()))
	}
	frames, _ := a.contents()
	wantFrames(t, frames["s"], []frame{{op: ws.OpText, fin: true, payload: "in flight"}, {op: ws.OpPing, fin: true, payload: "too late for a pong"}, {op: ws.OpClose, fin: true, payload: "\x03\xe8"}})
}

func TestStopOfASilentPeer(t *testing.T) {
	a := newArchive(t, nil)
	nc, _ := tcpPair(t)
	c := NewConn(nc, nil, a.producer("s", nil), &Options{CloseTimeout: 10 * time.Millisecond, IdleTimeout: time.Hour})
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errEnough)
	if err := c.Record(ctx); !errors.Is(err, errEnough) {
		t.Errorf("Record: %v", err)
	}
}

func TestIdleTimeout(t *testing.T) {
	for _, tc := range []struct{ name, bytes, want string }{
		{"between frames", "\x81\x01x", "after 1 frames: no byte came for "},
		{"in a header", "\x81", "in the header of frame 1, of which 1 bytes had come: no byte came for "},
		{"in a payload", "\x82\x7e\x10\x00half", "broke off in frame 1 (binary, 4096 bytes), of which 4 had come: no byte came for "},
		{"in a ping", "\x89\x05ha", "of which 2 had come: no byte came for "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for d := 20 * time.Millisecond; ; d *= 2 { // until it is long enough for a read on this machine
				a := newArchive(t, nil)
				nc, peer := tcpPair(t)
				peer.Write([]byte(tc.bytes))
				c := NewConn(nc, nil, a.producer("s", nil), &Options{IdleTimeout: d})
				err := c.Record(t.Context())
				c.Close()
				if err != nil && strings.Contains(err.Error(), tc.want+d.String()) {
					return
				}
				if d > time.Minute || err == nil || !strings.Contains(err.Error(), "no byte came for "+d.String()) {
					t.Fatalf("Record: %v, want %q", err, tc.want)
				}
			}
		})
	}
}

// A peer that pings and does not read fills the socket, and then our write
// fails instead of waiting for ever.
func TestPeerThatDoesNotRead(t *testing.T) {
	a := newArchive(t, nil)
	nc, peer := net.Pipe() // no buffers: the first pong finds nobody
	c := NewConn(nc, nil, a.producer("s", nil), &Options{WriteTimeout: 10 * time.Millisecond})
	done := record(t.Context(), c)
	peer.Write([]byte("\x89\x00"))
	if err := <-done; err == nil || !strings.Contains(err.Error(), "send pong frame") {
		t.Errorf("Record: %v", err)
	}
	c.Close()
}

// A recorder that is closed under a connection ends it.
func TestRecorderClosed(t *testing.T) {
	a := newArchive(t, nil)
	p := a.producer("s", nil)
	nc, peer := tcpPair(t)
	c := NewConn(nc, nil, p, nil)
	done := record(t.Context(), c)
	peer.Write([]byte("\x81\x01a"))
	eventually(t, "the first frame is not recorded", func() bool { return p.Stats().Records == 1 })
	a.close()
	peer.Write([]byte("\x81\x01b"))
	if err := <-done; !errors.Is(err, recorder.ErrClosed) {
		t.Errorf("Record: %v, want recorder.ErrClosed", err)
	}
	c.Close()
}

// lateDeadlines is a connection on which an idle deadline is set only after
// something else has happened.
type lateDeadlines struct {
	net.Conn
	first func() // before the first deadline that is not in the past
	past  chan struct{}
}

func (c *lateDeadlines) SetReadDeadline(t time.Time) error {
	if t.Equal(longAgo) {
		err := c.Conn.SetReadDeadline(t)
		close(c.past)
		return err
	}
	if c.first != nil {
		first := c.first
		c.first = nil
		first()
	}
	return c.Conn.SetReadDeadline(t)
}

// The idle timeout sets its deadline just after the context has set the one that
// wakes the reader: the reader must wake all the same.
func TestStopRacesWithTheIdleTimeout(t *testing.T) {
	a := newArchive(t, nil)
	nc, _ := tcpPair(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	late := &lateDeadlines{Conn: nc, past: make(chan struct{})}
	late.first = func() { cancel(errEnough); <-late.past }
	c := NewConn(late, nil, a.producer("s", nil), &Options{IdleTimeout: time.Hour, CloseTimeout: 10 * time.Millisecond})
	select {
	case err := <-record(ctx, c):
		if !errors.Is(err, errEnough) {
			t.Errorf("Record: %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("Record does not notice that its context is done")
	}
}

// The claim of a frame that broke off is given back: in a shared lane, where the
// next record waits for it, that one can go.
func TestBrokenFrameGivesItsClaimBack(t *testing.T) {
	a := newArchive(t, nil)
	p := a.producer("s", &recorder.ProducerOptions{Shared: true})
	nc, peer := tcpPair(t)
	var w wire
	serve(peer, w.raw("\x82\x7e\x10\x00half").Bytes())
	c := NewConn(nc, nil, p, nil)
	if err := c.Record(t.Context()); err == nil {
		t.Fatal("Record returned nil")
	}
	c.Close()
	if _, err := p.Write([]byte("next")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := p.WaitDurable(ctx); err != nil {
		t.Errorf("the record behind the broken frame: %v", err)
	}
}
