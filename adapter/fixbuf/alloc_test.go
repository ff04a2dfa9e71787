package fixbuf

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/nexus-logbuf/logbuf/recorder"
)

// loopConn gives the same bytes over and over, in reads of changing size.
type loopConn struct {
	net.Conn
	bytes []byte
	at, n int
}

func (c *loopConn) Read(b []byte) (int, error) {
	c.n = (c.n*31 + 7) % 1009
	n := copy(b[:min(len(b), 100+c.n)], c.bytes[c.at:])
	c.at = (c.at + n) % len(c.bytes)
	return n, nil
}

func (c *loopConn) Write(b []byte) (int, error) { return len(b), nil }
func (c *loopConn) Close() error                { return nil }

// stream is n messages of a session, and what may come between them.
func stream(n, size int) (b []byte) {
	for i := range n {
		b = append(b, message(fmt.Sprintf("35=D|49=BUYER|56=SELLER|34=%d|52=20261121-09:30:00.000|11=%d|58=%s", i+1, i, strings.Repeat("x", size)))...)
	}
	return b
}

// No message costs an allocation between the socket's buffer and the lane:
// whole, in pieces, wrong, skipped, received or sent.
func TestMessagesDoNotAllocate(t *testing.T) {
	r := newRig(t)
	sessions := NewRecorder(r.rec, nil)
	defer sessions.Close()
	in := append(stream(50, 60), "noise"...)
	in = append(in, broken(order("BUYER", "SELLER", 51))...)
	in = append(in, stream(1, 20000)...)
	c := NewConn(&loopConn{bytes: in}, sessions)
	defer c.Close()
	out := order("SELLER", "BUYER", 1)
	buf := make([]byte, 4096)
	for range 1000 {
		c.Read(buf)
	}
	if n := testing.AllocsPerRun(5000, func() { c.Read(buf); c.Write(out) }); n != 0 {
		t.Errorf("%v allocations for a read and a write", n)
	}
	if err := c.Err(); err != nil {
		t.Error(err)
	}
	if st := sessions.Stats().Sessions[0]; st.BadSum == 0 || st.Skipped == 0 || st.Out == 0 || st.In < 1000 {
		t.Errorf("%+v", st)
	}
}

// BenchmarkFramer is framing, checksum and header; ns/op is for one message.
func BenchmarkFramer(b *testing.B) {
	for _, size := range []int{20, 100, 1000} {
		in := stream(100, size)
		b.Run(fmt.Sprintf("%dB", len(in)/100), func(b *testing.B) {
			f := NewFramer(0)
			var h Header
			b.SetBytes(int64(len(in) / 100))
			b.ReportAllocs()
			rest := in
			for b.Loop() {
				part, m, after := f.Next(rest)
				if part != Message || h.Parse(m) != nil {
					b.Fatalf("%v %q", part, m)
				}
				if rest = after; len(rest) == 0 {
					rest = in
				}
			}
		})
	}
}

// BenchmarkRecord is from the bytes of a read to the lane; ns/op is for one
// message, and reads bring about twenty of them.
func BenchmarkRecord(b *testing.B) {
	for _, size := range []int{20, 100, 1000} {
		in := stream(20, size)
		b.Run(fmt.Sprintf("%dB", len(in)/20), func(b *testing.B) {
			rec, err := recorder.Open(b.TempDir(), nil)
			if err != nil {
				b.Fatal(err)
			}
			defer rec.Close(b.Context())
			sessions := NewRecorder(rec, &Options{LaneSize: 1 << 20, Overload: recorder.OverloadWait})
			defer sessions.Close()
			tap := sessions.NewTap()
			b.SetBytes(int64(len(in) / 20))
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				if n%20 == 0 {
					if err := tap.In(in); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
