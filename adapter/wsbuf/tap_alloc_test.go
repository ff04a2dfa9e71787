package wsbuf

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// mixedFrames are frames of a server's, some of them compressed.
func mixedFrames() (b []byte, frames int) {
	var w wire
	z := newCompressor(false)
	for i := range 40 {
		w.add(ws.OpText, true, tick(i)).add(ws.OpBinary, true, strings.Repeat("b", 10*i))
		w.addCompressed(ws.OpText, true, z.message(strings.Repeat(tick(i), 3)))
		w.add(ws.OpText, false, "a").add(ws.OpPing, true, "ping").add(ws.OpContinuation, true, "b")
		frames += 6
	}
	w.add(ws.OpBinary, true, strings.Repeat("L", 20_000))
	return w.Bytes(), frames + 1
}

// From a socket through a tap or a Conn, the lane and the archiver to the
// journal's write, no frame costs an allocation: not in the reader's goroutine
// and not in the archiver's. What the journal does once in a while (a sync
// every 10 ms, a segment) is not a matter of frames.
func TestSocketToSegmentDoesNotAllocate(t *testing.T) {
	for _, tc := range []struct {
		name string
		read func(t *testing.T, nc net.Conn, p *recorder.Producer) (readFrame func() error, readSome func() (int, error))
	}{
		{"tap", func(t *testing.T, nc net.Conn, p *recorder.Producer) (func() error, func() (int, error)) {
			return nil, readerOf(openTap(nc, p, &TapOptions{}))
		}},
		{"tap, inflating", func(t *testing.T, nc net.Conn, p *recorder.Producer) (func() error, func() (int, error)) {
			return nil, readerOf(openTap(nc, p, &TapOptions{Inflate: true}))
		}},
		{"Conn", func(t *testing.T, nc net.Conn, p *recorder.Producer) (func() error, func() (int, error)) {
			c := NewConn(nc, nil, p, &Options{Deflate: DeflateRaw, Outbound: true})
			c.patience = t.Context()
			return c.readFrame, nil
		}},
		{"Conn, inflating", func(t *testing.T, nc net.Conn, p *recorder.Producer) (func() error, func() (int, error)) {
			c := NewConn(nc, nil, p, &Options{Deflate: DeflateInflate, Outbound: true})
			c.patience = t.Context()
			return c.readFrame, nil
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			frames, n := mixedFrames()
			rec, err := recorder.Open(t.TempDir(), &recorder.Options{Journal: journal.Options{Sync: journal.SyncNone}})
			if err != nil {
				t.Fatal(err)
			}
			defer rec.Close(t.Context())
			p, err := rec.Producer("s", &recorder.ProducerOptions{LaneSize: 1 << 20, Overload: recorder.OverloadWait})
			if err != nil {
				t.Fatal(err)
			}
			nc, peer := tcpPair(t)
			go io.Copy(io.Discard, peer) // pongs
			rounds := make(chan int)
			go func() { // the peer sends as many rounds as it is told to
				for k := range rounds {
					for range k {
						if _, err := peer.Write(frames); err != nil {
							return
						}
					}
				}
			}()
			defer close(rounds)
			readFrame, readSome := tc.read(t, nc, p)
			round := func(k int) {
				rounds <- k
				if readFrame != nil {
					for range k * n {
						if err := readFrame(); err != nil {
							t.Fatal(err)
						}
					}
				} else {
					for left := k * len(frames); left > 0; {
						m, err := readSome()
						if err != nil {
							t.Fatal(err)
						}
						left -= m
					}
				}
				for p.Stats().LagRecords > 0 { // until all is written
					runtime.Gosched()
				}
			}
			round(20) // buffers grow to their size
			// The runtime allocates now and then, too: the best of some tries counts.
			const k, tries = 20, 5
			least := uint64(1 << 60)
			for range tries {
				var before, after runtime.MemStats
				records := p.Stats().Records
				runtime.ReadMemStats(&before)
				round(k)
				runtime.ReadMemStats(&after)
				if got := p.Stats().Records - records; got < uint64(k*40*3) {
					t.Fatalf("%d records were written", got)
				}
				least = min(least, after.Mallocs-before.Mallocs)
			}
			if perRound := least / k; perRound > 0 {
				t.Errorf("%d allocations for %d frames", least, k*n)
			}
		})
	}
}

// openTap is a tap behind the handshake, with compression.
func openTap(nc net.Conn, p *recorder.Producer, opts *TapOptions) *Tap {
	tap := NewTap(nc, p, nil, opts)
	tap.in.pass([]byte(testDeflate))
	return tap
}

func readerOf(nc net.Conn) func() (int, error) {
	buf := make([]byte, 4096)
	return func() (int, error) { return nc.Read(buf) }
}

// What a tap costs a Read and a Write: "bare" is the connection alone.
func BenchmarkTap(b *testing.B) {
	for _, size := range []int{16, 128, 1024, 16 << 10} {
		for _, mode := range []string{"bare", "tap", "tap masked"} {
			b.Run(fmt.Sprintf("%dB/%s", size, mode), func(b *testing.B) {
				var w wire
				frames := 0
				for ; w.Len() < 1<<20; frames++ {
					if mode == "tap masked" {
						w.addMasked(ws.OpBinary, true, strings.Repeat("x", size))
					} else {
						w.add(ws.OpBinary, true, strings.Repeat("x", size))
					}
				}
				per := w.Len() / frames
				var nc net.Conn = &loopConn{frames: w.Bytes()}
				if mode != "bare" {
					rec, err := recorder.Open(b.TempDir(), nil)
					if err != nil {
						b.Fatal(err)
					}
					defer rec.Close(b.Context())
					p, err := rec.Producer("s", &recorder.ProducerOptions{LaneSize: 4 << 20, Overload: recorder.OverloadWait})
					if err != nil {
						b.Fatal(err)
					}
					tap := openTap(nc, p, &TapOptions{})
					tap.in.expect.masked = mode == "tap masked"
					nc = tap
				}
				buf := make([]byte, 4096) // as the libraries' buffers
				b.SetBytes(int64(size))
				b.ReportAllocs()
				left := 0
				for b.Loop() { // one frame
					for left += per; left > 0; {
						n, err := nc.Read(buf)
						if err != nil {
							b.Fatal(err)
						}
						left -= n
					}
				}
			})
		}
	}
}

// What inflating costs a message.
func BenchmarkInflate(b *testing.B) {
	for _, n := range []int{1, 10, 100} {
		for _, takeover := range []bool{false, true} {
			b.Run(fmt.Sprintf("%dB/takeover=%v", len(strings.Repeat(tick(1), n)), takeover), func(b *testing.B) {
				c, f := newCompressor(takeover), &inflater{}
				var z [][]byte
				for i := range 1000 {
					z = append(z, append(make([]byte, 0, 4096), c.message(strings.Repeat(tick(i), n))...))
				}
				b.SetBytes(int64(len(tick(1)) * n))
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					if i%len(z) == 0 {
						f.forget() // the sender's window was empty at the first
					}
					if _, err := f.inflate(z[i%len(z)], 1<<20); err != nil {
						b.Fatal(err)
					}
					i++
				}
			})
		}
	}
}
