package wsbuf

import (
	"context"
	"errors"
	"io/fs"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/nexus-logbuf/logbuf/internal/vfs"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/queue"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// gateFS is a file system whose writes to files wait while the gate is shut.
type gateFS struct {
	vfs.FS
	mu   sync.Mutex
	gate chan struct{} // closed: open
}

func newGateFS() *gateFS {
	g := &gateFS{FS: vfs.OS, gate: make(chan struct{})}
	close(g.gate)
	return g
}

func (g *gateFS) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.gate = make(chan struct{})
}

func (g *gateFS) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.gate)
}

func (g *gateFS) wait() {
	g.mu.Lock()
	gate := g.gate
	g.mu.Unlock()
	<-gate
}

func (g *gateFS) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := g.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &gateFile{f, g}, nil
}

type gateFile struct {
	vfs.File
	g *gateFS
}

func (f *gateFile) WriteAt(b []byte, off int64) (int, error) {
	f.g.wait()
	return f.File.WriteAt(b, off)
}

func (f *gateFile) WritevAt(bufs [][]byte, off int64) (int64, error) {
	f.g.wait()
	return f.File.WritevAt(bufs, off)
}

// The disk stands still, the ring fills up, frames are thrown away in constant
// memory and counted, and each one that was kept is whole and in order.
func TestFullRingUnderDrop(t *testing.T) {
	g := newGateFS()
	a := newArchive(t, &recorder.Options{Journal: journal.Options{FS: g}})
	p := a.producer("s", &recorder.ProducerOptions{LaneSize: 4096})
	g.shut()
	nc, peer := tcpPair(t)
	var w wire
	const frames = 500
	var bytes uint64
	for i := range frames {
		payload := strings.Repeat(string(rune('A'+i%26)), 200+i)
		bytes += uint64(len(payload))
		w.add(ws.OpText, true, payload)
	}
	w.add(ws.OpClose, true, "\x03\xe8")
	serve(peer, w.Bytes())
	c := NewConn(nc, nil, p, nil)
	var closed *CloseError
	if err := c.Record(t.Context()); !errors.As(err, &closed) {
		t.Fatalf("Record: %v", err)
	}
	c.Close()
	g.open()
	got, losses := a.contents()
	if len(got["s"]) == 0 || len(got["s"]) > frames/2 {
		t.Fatalf("%d frames recorded of %d: the ring was not full", len(got["s"]), frames)
	}
	next, i := uint64(0), 0
	var keptBytes uint64
	for _, l := range losses["s"] {
		if l.Reason != journal.LossOverload {
			t.Errorf("loss for %v", l.Reason)
		}
		for ; next < l.First; next++ {
			checkOrdinal(t, got["s"][i], next)
			keptBytes += uint64(len(got["s"][i].payload))
			i++
		}
		next += l.Records
		bytes -= l.Bytes
	}
	for ; i < len(got["s"]); i++ {
		checkOrdinal(t, got["s"][i], next)
		keptBytes += uint64(len(got["s"][i].payload))
		next++
	}
	if next != frames+1 || keptBytes > bytes+2 || keptBytes+2 < bytes {
		t.Errorf("recorded and lost make %d frames, want %d; kept %d bytes, want about %d", next, frames+1, keptBytes, bytes)
	}
}

func checkOrdinal(t *testing.T, f frame, i uint64) {
	t.Helper()
	if f.op == ws.OpClose {
		return
	}
	if want := strings.Repeat(string(rune('A'+i%26)), 200+int(i)); f.payload != want {
		t.Fatalf("frame %d is %v", i, f)
	}
}

func TestFullRingUnderFail(t *testing.T) {
	g := newGateFS()
	a := newArchive(t, &recorder.Options{Journal: journal.Options{FS: g}})
	p := a.producer("s", &recorder.ProducerOptions{LaneSize: 1024, Overload: recorder.OverloadFail})
	g.shut()
	nc, peer := tcpPair(t)
	var w wire
	for range 20 {
		w.add(ws.OpText, true, strings.Repeat("x", 300))
	}
	serve(peer, w.Bytes())
	c := NewConn(nc, nil, p, nil)
	if err := c.Record(t.Context()); !errors.Is(err, queue.ErrFull) {
		t.Errorf("Record: %v, want queue.ErrFull", err)
	}
	c.Close()
	g.open()
	_, losses := a.contents()
	wantLoss(t, losses["s"], journal.LossOverload, 1, 300)
}

// Under wait, nothing is lost and TCP holds the peer up.
func TestFullRingUnderWait(t *testing.T) {
	g := newGateFS()
	a := newArchive(t, &recorder.Options{Journal: journal.Options{FS: g}})
	p := a.producer("s", &recorder.ProducerOptions{LaneSize: 4096, Overload: recorder.OverloadWait})
	g.shut()
	nc, peer := tcpPair(t)
	var w wire
	var want []frame
	for i := range 200 {
		payload := strings.Repeat("y", 100+i)
		w.add(ws.OpBinary, true, payload)
		want = append(want, frame{op: ws.OpBinary, fin: true, payload: payload})
	}
	serve(peer, w.Bytes())
	c := NewConn(nc, nil, p, nil)
	done := make(chan error, 1)
	go func() { done <- c.Record(t.Context()) }()
	select {
	case err := <-done:
		t.Fatalf("Record returned with the disk standing still: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	g.open()
	if err := <-done; err == nil || !strings.Contains(err.Error(), "ended after 200 frames") {
		t.Errorf("Record: %v", err)
	}
	c.Close()
	got, losses := a.contents()
	wantFrames(t, got["s"], want)
	if len(losses["s"]) != 0 {
		t.Errorf("losses: %+v", losses["s"])
	}
}

// A wait for space ends with the context, and the frame it was for is counted.
func TestStopWhileWaitingForSpace(t *testing.T) {
	g := newGateFS()
	a := newArchive(t, &recorder.Options{Journal: journal.Options{FS: g}})
	p := a.producer("s", &recorder.ProducerOptions{LaneSize: 1024, Overload: recorder.OverloadWait})
	g.shut()
	nc, peer := tcpPair(t)
	var w wire
	for range 20 {
		w.add(ws.OpText, true, strings.Repeat("z", 400))
	}
	peer.Write(w.Bytes())
	c := NewConn(nc, nil, p, &Options{CloseTimeout: 30 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for p.Stats().LaneHighWater < 800 { // two frames: there is no room for the third
			runtime.Gosched()
		}
		time.AfterFunc(50*time.Millisecond, cancel) // when it waits
	}()
	if err := c.Record(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Record: %v, want the context's error", err)
	}
	c.Close()
	g.open()
	_, losses := a.contents()
	wantLoss(t, losses["s"], journal.LossOverload, 1, 400)
}

func TestTooLarge(t *testing.T) {
	big := strings.Repeat("B", 300_000)
	for _, tc := range []struct {
		name string
		opts Options
		lane int
		send string
		want string // error
		lost uint64
		next bool // the next frame is recorded
	}{
		{"for the limit", Options{MaxFrame: 1000}, 0, big[:1001], "ended after 3 frames", 1001, true},
		{"the limit itself is not", Options{MaxFrame: 1000}, 0, big[:1000], "ended after 3 frames", 0, true},
		{"for the lane", Options{}, 4096, big[:5000], "ended after 3 frames", 5000, true},
		{"for the lane of the default size", Options{}, 0, big, "ended after 3 frames", 300_000, true},
		{"to be skipped", Options{MaxSkip: 100_000}, 4096, big, "text frame of 300000 bytes; 4072 can be recorded, and 100000 skipped", 0, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := newArchive(t, nil)
			nc, peer := tcpPair(t)
			var w wire
			serve(peer, w.add(ws.OpText, true, "one").add(ws.OpText, true, tc.send).add(ws.OpText, true, "three").Bytes())
			c := NewConn(nc, nil, a.producer("s", &recorder.ProducerOptions{LaneSize: tc.lane}), &tc.opts)
			err := c.Record(t.Context())
			c.Close()
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Record: %v, want %q", err, tc.want)
			}
			frames, losses := a.contents()
			want := []frame{{op: ws.OpText, fin: true, payload: "one"}}
			if tc.lost == 0 && tc.next {
				want = append(want, frame{op: ws.OpText, fin: true, payload: tc.send})
			} else {
				wantLoss(t, losses["s"], journal.LossTooLarge, 1, tc.lost)
			}
			if tc.next {
				want = append(want, frame{op: ws.OpText, fin: true, payload: "three"})
			}
			wantFrames(t, frames["s"], want)
		})
	}
}

// A frame that is cut while it is thrown away is lost for the bytes that came.
func TestTooLargeAndCut(t *testing.T) {
	a := newArchive(t, nil)
	nc, peer := tcpPair(t)
	var w wire
	w.add(ws.OpBinary, true, strings.Repeat("x", 9000))
	w.Truncate(w.Len() - 1000)
	serve(peer, w.Bytes())
	c := NewConn(nc, nil, a.producer("s", nil), &Options{MaxFrame: 100})
	if err := c.Record(t.Context()); err == nil || !strings.Contains(err.Error(), "of which 8000 had come") {
		t.Errorf("Record: %v", err)
	}
	c.Close()
	_, losses := a.contents()
	wantLoss(t, losses["s"], journal.LossTooLarge, 1, 8000)
}

// A frame is not paid for with memory: neither one that is thrown away, nor a
// length that is a lie.
func TestSkippingTakesNoMemory(t *testing.T) {
	a := newArchive(t, nil)
	nc, peer := tcpPair(t)
	const size = 48 << 20
	go func() {
		defer peer.Close()
		ws.WriteHeader(peer, ws.Header{Fin: true, OpCode: ws.OpBinary, Length: size})
		chunk := make([]byte, 1<<20)
		for range size / len(chunk) {
			peer.Write(chunk)
		}
	}()
	c := NewConn(nc, nil, a.producer("s", nil), nil)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c.Record(t.Context())
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 4<<20 {
		t.Errorf("skipping %d MiB allocated %d bytes", size>>20, n)
	}
	c.Close()
	_, losses := a.contents()
	wantLoss(t, losses["s"], journal.LossTooLarge, 1, size)
}
