package wsbuf

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// archive is a recorder on a directory of the test's, and what it holds once it
// is closed.
type archive struct {
	t   *testing.T
	dir string
	rec *recorder.Recorder

	handshakes map[string][]string // by stream, once it was read
}

func newArchive(t *testing.T, opts *recorder.Options) *archive {
	t.Helper()
	a := &archive{t: t, dir: t.TempDir()}
	var err error
	if a.rec, err = recorder.Open(a.dir, opts); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.close() })
	return a
}

func (a *archive) producer(name string, opts *recorder.ProducerOptions) *recorder.Producer {
	a.t.Helper()
	p, err := a.rec.Producer(name, opts)
	if err != nil {
		a.t.Fatal(err)
	}
	return p
}

func (a *archive) close() {
	if a.rec == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := a.rec.Close(ctx); err != nil {
		a.t.Errorf("close the recorder: %v", err)
	}
	a.rec = nil
}

// frame is a recorded frame.
type frame struct {
	op       ws.OpCode
	fin, out bool
	payload  string

	compressed bool
}

func (f frame) String() string {
	dir := "in"
	if f.out {
		dir = "out"
	}
	if len(f.payload) > 40 {
		return fmt.Sprintf("%s %s fin=%v %d bytes", dir, OpName(f.op), f.fin, len(f.payload))
	}
	return fmt.Sprintf("%s %s fin=%v %q", dir, OpName(f.op), f.fin, f.payload)
}

// contents closes the recorder and reads the archive back.
func (a *archive) contents() (frames map[string][]frame, losses map[string][]journal.Loss) {
	a.t.Helper()
	a.close()
	r, err := journal.OpenReader(a.dir, &journal.ReaderOptions{Control: true})
	if err != nil {
		a.t.Fatal(err)
	}
	defer r.Close()
	a.handshakes = map[string][]string{}
	frames, losses = map[string][]frame{}, map[string][]journal.Loss{}
	for rec, err := range r.All() {
		if err != nil {
			a.t.Fatal(err)
		}
		name := r.StreamName(rec.Stream)
		switch rec.Kind {
		case journal.KindData:
			frames[name] = append(frames[name], frame{
				op: ws.OpCode(rec.Flags & journal.FlagSourceMask), fin: rec.Flags&journal.FlagFinal != 0,
				out: rec.Flags&journal.FlagOutbound != 0, payload: string(rec.Payload),
				compressed: rec.Flags&journal.FlagCompressed != 0,
			})
		case KindHandshake:
			a.handshakes[name] = append(a.handshakes[name], string(rec.Payload))
		case journal.KindLoss:
			l, err := journal.ParseLoss(rec.Payload)
			if err != nil {
				a.t.Fatal(err)
			}
			losses[name] = append(losses[name], l)
		}
	}
	return frames, losses
}

func wantFrames(t *testing.T, got, want []frame) {
	t.Helper()
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Fatalf("record %d is %v, want %v", i, got[i], want[i])
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d records, want %d: %v", len(got), len(want), got[:min(len(got), 20)])
	}
}

// wantLoss checks that the losses add up to one of each given.
func wantLoss(t *testing.T, got []journal.Loss, reason journal.LossReason, records, bytes uint64) {
	t.Helper()
	var r, b uint64
	for _, l := range got {
		if l.Reason != reason {
			t.Errorf("loss for %v, want %v", l.Reason, reason)
		}
		r += l.Records
		b += l.Bytes
	}
	if r != records || b != bytes {
		t.Errorf("lost %d records of %d bytes, want %d of %d", r, b, records, bytes)
	}
}

// wire makes the bytes of frames.
type wire struct{ bytes.Buffer }

func (w *wire) add(op ws.OpCode, fin bool, payload string) *wire {
	ws.WriteFrame(&w.Buffer, ws.NewFrame(op, fin, []byte(payload)))
	return w
}

func (w *wire) addCompressed(op ws.OpCode, fin bool, payload string) *wire {
	f := ws.NewFrame(op, fin, []byte(payload))
	f.Header.Rsv = rsv1
	ws.WriteFrame(&w.Buffer, f)
	return w
}

func (w *wire) addMasked(op ws.OpCode, fin bool, payload string) *wire {
	ws.WriteFrame(&w.Buffer, ws.MaskFrame(ws.NewFrame(op, fin, []byte(payload))))
	return w
}

func (w *wire) raw(s string) *wire {
	w.WriteString(s)
	return w
}

// tcpPair is two ends of a loopback connection.
func tcpPair(t testing.TB) (a, b net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	ch := make(chan net.Conn, 1)
	go func() {
		c, err := ln.Accept()
		if err != nil {
			t.Error(err)
		}
		ch <- c
	}()
	a, err = net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b = <-ch
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// serve sends b to a Conn and closes the connection; it returns what the Conn
// sent back.
func serve(peer net.Conn, b []byte) <-chan []byte {
	answer := make(chan []byte, 1)
	go func() {
		peer.Write(b)
		peer.(*net.TCPConn).CloseWrite()
		var back bytes.Buffer
		back.ReadFrom(peer)
		answer <- back.Bytes()
	}()
	return answer
}

// parseFrames reads the frames that a client sent, unmasked.
func parseFrames(t *testing.T, b []byte) (fs []frame) {
	t.Helper()
	r := bytes.NewReader(b)
	for r.Len() > 0 {
		h, err := ws.ReadHeader(r)
		if err != nil || h.Length > int64(r.Len()) {
			t.Fatalf("what was sent to the peer is cut: %v", err)
		}
		payload := make([]byte, h.Length)
		r.Read(payload)
		if h.Masked {
			ws.Cipher(payload, h.Mask, 0)
		}
		fs = append(fs, frame{op: h.OpCode, fin: h.Fin, out: true, payload: string(payload)})
	}
	return fs
}
