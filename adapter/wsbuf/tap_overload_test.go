package wsbuf

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/gobwas/ws"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// The disk stands still: the connection does not, and what found no room is
// counted, under drop and under fail.
func TestTapOverload(t *testing.T) {
	for _, policy := range []recorder.Overload{recorder.OverloadDrop, recorder.OverloadFail} {
		t.Run(fmt.Sprint(policy), func(t *testing.T) {
			g := newGateFS()
			a := newArchive(t, &recorder.Options{Journal: journal.Options{FS: g}})
			p := a.producer("s", &recorder.ProducerOptions{LaneSize: 4096, Overload: policy})
			g.shut()
			const messages = 1000
			w := &wire{}
			for i := range messages {
				w.add(ws.OpText, true, tick(i))
			}
			tap := NewTap(&scriptConn{parts: dribble([]byte(testAnswer+w.String()), 1000)}, p, nil, nil)
			tap.Write([]byte(testRequest))
			if got, err := io.ReadAll(tap); err != nil || len(got) != len(testAnswer)+w.Len() {
				t.Fatalf("read %d bytes, %v", len(got), err)
			}
			tap.Close()
			if err := tap.Err(); err != nil {
				t.Errorf("Err: %v", err)
			}
			lost := p.Stats().Lost
			g.open()
			frames, losses := a.contents()
			if got := uint64(len(frames["s"])) + lost; got != messages || lost < messages/2 {
				t.Errorf("%d frames recorded and %d lost, want %d", len(frames["s"]), lost, messages)
			}
			var told uint64
			for _, l := range losses["s"] {
				told += l.Records
				if l.Reason != journal.LossOverload {
					t.Errorf("loss %+v", l)
				}
			}
			if told != lost {
				t.Errorf("the archive tells of %d lost, want %d", told, lost)
			}
		})
	}
}

// Under wait a Read waits for room, and Close ends that: the frame is counted.
func TestTapWaitEndsWithClose(t *testing.T) {
	g := newGateFS()
	a := newArchive(t, &recorder.Options{Journal: journal.Options{FS: g}})
	p := a.producer("s", &recorder.ProducerOptions{LaneSize: 4096, Overload: recorder.OverloadWait})
	g.shut()
	const messages = 200
	w := &wire{}
	for i := range messages {
		w.add(ws.OpText, true, tick(i))
	}
	tap := NewTap(&scriptConn{parts: [][]byte{[]byte(testAnswer), w.Bytes()}}, p, nil, nil)
	tap.Write([]byte(testRequest))
	read := make(chan error)
	go func() {
		_, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{tap}, make([]byte, 1<<20)) // all frames in one Read
		read <- err
	}()
	for p.Stats().LaneHighWater < 4000 {
		runtime.Gosched()
	}
	select {
	case err := <-read:
		t.Fatalf("the Read did not wait: %v", err)
	default:
	}
	tap.Close()
	if err := <-read; err != nil {
		t.Error(err)
	}
	lost := p.Stats().Lost
	g.open()
	frames, _ := a.contents()
	if got := uint64(len(frames["s"])) + lost; got != messages || lost == 0 {
		t.Errorf("%d frames recorded and %d lost, want %d", len(frames["s"]), lost, messages)
	}
}

// Many connections at once share one producer, each with a reader, two writers
// and a Close from outside, over TCP. Each frame is recorded once, unharmed, and
// in each connection's order; what is cut off is counted.
func TestTapSharedByMany(t *testing.T) {
	const conns, messages = 8, 200
	a := newArchive(t, nil)
	p := a.producer("s", &recorder.ProducerOptions{LaneSize: 1 << 20, Shared: true, Overload: recorder.OverloadWait})
	var all sync.WaitGroup
	for i := range conns {
		nc, peer := tcpPair(t)
		tap := NewTap(nc, p, p, nil)
		all.Go(func() { // the server: echoes what comes behind the request
			defer peer.Close()
			if _, err := io.ReadFull(peer, make([]byte, len(testRequest))); err != nil {
				t.Error(err)
			}
			io.WriteString(peer, testAnswer)
			unmask(peer)
		})
		if _, err := io.WriteString(tap, testRequest); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(tap, make([]byte, len(testAnswer))); err != nil {
			t.Fatal(err)
		}
		read := make(chan struct{})
		all.Go(func() {
			defer close(read)
			io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{tap}, make([]byte, 100+i*1000))
		})
		var writers sync.WaitGroup
		for k := range 2 {
			writers.Go(func() {
				for n := range messages {
					var w wire
					tap.Write(w.addMasked(ws.OpText, true, fmt.Sprintf("%d %d %d %s", i, k, n, strings.Repeat("x", n))).Bytes())
				}
			})
		}
		all.Go(func() {
			writers.Wait()
			var w wire
			tap.Write(w.addMasked(ws.OpClose, true, "").Bytes())
			<-read
			tap.Close()
			if err := tap.Err(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	frames, losses := a.contents()
	if len(losses) > 0 {
		t.Errorf("losses %v", losses)
	}
	sent, echoed := map[[2]int]int{}, map[[2]int]int{}
	for _, f := range frames["s"] {
		if f.op == ws.OpClose {
			continue
		}
		var c, k, n int
		var x string
		fmt.Sscan(f.payload, &c, &k, &n, &x)
		if x != strings.Repeat("x", n) {
			t.Fatalf("damaged: %v", f)
		}
		seen := echoed
		if f.out {
			seen = sent
		}
		if seen[[2]int{c, k}] != n {
			t.Fatalf("%v comes at place %d", f, seen[[2]int{c, k}])
		}
		seen[[2]int{c, k}]++
		if !f.out && sent[[2]int{c, k}] <= n {
			t.Fatalf("%v stands before its question", f)
		}
	}
	for i := range conns {
		for k := range 2 {
			if s, e := sent[[2]int{i, k}], echoed[[2]int{i, k}]; s != messages || e != messages {
				t.Errorf("connection %d, writer %d: %d sent and %d echoed are recorded", i, k, s, e)
			}
		}
	}
}

// unmask sends a client's frames back as a server's, up to its close frame.
func unmask(nc net.Conn) error {
	for {
		h, err := ws.ReadHeader(nc)
		if err != nil {
			return err
		}
		payload := make([]byte, h.Length)
		if _, err := io.ReadFull(nc, payload); err != nil {
			return err
		}
		ws.Cipher(payload, h.Mask, 0)
		h.Masked = false
		if err := ws.WriteHeader(nc, h); err != nil {
			return err
		}
		if _, err := nc.Write(payload); err != nil || h.OpCode == ws.OpClose {
			return err
		}
	}
}
