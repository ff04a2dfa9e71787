package source

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nexus-logbuf/logbuf/adapter/fixbuf"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// fixMessage makes a FIX message of fields with | for the SOH.
func fixMessage(fields string) string {
	body := strings.ReplaceAll(fields, "|", "\x01") + "\x01"
	m := fmt.Sprintf("8=FIX.4.4\x019=%d\x01%s", len(body), body)
	return fmt.Sprintf("%s10=%03d\x01", m, fixbuf.Checksum([]byte(m)))
}

func fixOrder(from, to string, n int) string {
	return fixMessage(fmt.Sprintf("35=D|49=%s|56=%s|34=%d|11=%d", from, to, n, n))
}

// running is a source that accepts connections.
type running struct {
	*rig
	addr     string
	sessions *fixbuf.Recorder
	stop     func() error // ends it and gives Run's error
}

// run starts a listener or a proxy, with a shared producer or FIX sessions.
func (r *rig) run(arg string, opts Options) *running {
	r.t.Helper()
	out := &running{rig: r}
	r.p.Close()
	r.p = nil
	if opts.Frame == FIX {
		out.sessions = fixbuf.NewRecorder(r.rec, &fixbuf.Options{Overload: recorder.OverloadWait})
		opts.Sessions = out.sessions
	} else {
		var err error
		if r.p, err = r.rec.Producer("s", &recorder.ProducerOptions{LaneSize: 4096, Overload: recorder.OverloadWait, Shared: true}); err != nil {
			r.t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(r.t.Context())
	ended := make(chan error, 1)
	s := r.source(arg, opts)
	go func() { ended <- s.Run(ctx) }()
	out.stop = func() error {
		cancel()
		err := <-ended
		if out.sessions != nil {
			out.sessions.Close()
		}
		return err
	}
	_, out.addr, _ = strings.Cut(r.waitWarn("listening on "), "listening on ")
	return out
}

// waitWarn waits for a warning with the text and returns it.
func (r *rig) waitWarn(text string) string {
	r.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		r.mu.Lock()
		i := slices.IndexFunc(r.warns, func(w string) bool { return strings.Contains(w, text) })
		if i >= 0 {
			defer r.mu.Unlock()
			return r.warns[i]
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("no %q in %q", text, r.warns)
		}
		r.mu.Unlock()
	}
}

func (r *running) dial() *net.TCPConn {
	r.t.Helper()
	nc, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { nc.Close() })
	return nc.(*net.TCPConn)
}

// finish sends a FIN and waits until the other side has ended, too.
func finish(t *testing.T, nc *net.TCPConn) (got string) {
	t.Helper()
	nc.CloseWrite()
	b, err := io.ReadAll(nc)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

func TestListenRecordsLinesOfAll(t *testing.T) {
	r := newRig(t, 4096).run("tcp-listen://127.0.0.1:0", Options{})
	for i := range 3 {
		a, b := r.dial(), r.dial()
		fmt.Fprintf(a, "a%d\n", i)
		fmt.Fprintf(b, "b%d", i)
		finish(t, a)
		finish(t, b)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	pieces, _, losses := r.contents()
	var lines []string
	for _, p := range pieces {
		lines = append(lines, strings.TrimSpace(p.text))
	}
	slices.Sort(lines)
	if got := strings.Join(lines, " "); got != "a0 a1 a2 b0 b1 b2" || len(losses) > 0 {
		t.Errorf("%q, losses %v", got, losses)
	}
}

func TestListenRecordsFIXSessions(t *testing.T) {
	r := newRig(t, 4096).run("tcp-listen://127.0.0.1:0", Options{Frame: FIX})
	a, b := r.dial(), r.dial()
	io.WriteString(a, fixOrder("A", "X", 1)+fixOrder("A", "X", 2))
	io.WriteString(b, "junk"+fixOrder("B", "X", 1))
	finish(t, a)
	finish(t, b)
	c := r.dial()
	io.WriteString(c, "GET / HTTP/1.1\r\n\r\n")
	finish(t, c)
	r.waitWarn("no FIX message")
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	st := r.sessions.Stats()
	if st.UnrecordedBytes != 18 {
		t.Errorf("%+v", st)
	}
	pieces, _, losses := r.contents()
	if len(pieces) != 3 || len(losses) != 1 || losses[0].Bytes != 4 {
		t.Errorf("%v, losses %+v", pieces, losses)
	}
}

// What cannot be heard is told: the address is taken.
func TestListenFails(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	r := newRig(t, 4096)
	if err := r.source("tcp-listen://"+ln.Addr().String(), Options{}).Run(t.Context()); err == nil || !strings.Contains(err.Error(), ln.Addr().String()) {
		t.Errorf("error %v, want one with the address", err)
	}
}

// upper answers each byte with its upper case until the client ends, and then
// says bye: the half-close must have come through.
func upper(nc net.Conn) {
	buf := make([]byte, 100)
	for {
		n, err := nc.Read(buf)
		io.WriteString(nc, strings.ToUpper(string(buf[:n])))
		if err != nil {
			break
		}
	}
	io.WriteString(nc, "bye\n")
}

func TestProxyForwardsAndRecordsBothWays(t *testing.T) {
	r := newRig(t, 4096).run("tcp-proxy://127.0.0.1:0/"+listen(t, upper, upper), Options{})
	for range 2 {
		nc := r.dial()
		io.WriteString(nc, "one\ntwo\n")
		if got := finish(t, nc); got != "ONE\nTWO\nbye\n" {
			t.Errorf("forwarded %q", got)
		}
	}
	third := r.dial() // refused by the upstream
	if got := finish(t, third); got != "" {
		t.Errorf("forwarded %q", got)
	}
	r.waitWarn("upstream")
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	in, out := r.directions()
	if in != strings.Repeat("one\ntwo\n", 2) || out != strings.Repeat("ONE\nTWO\nbye\n", 2) {
		t.Errorf("in %q, out %q", in, out)
	}
}

// directions closes the recorder and joins the records of each direction.
func (r *rig) directions() (in, out string) {
	r.t.Helper()
	r.close()
	jr, err := journal.OpenReader(r.dir, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	defer jr.Close()
	for rec, err := range jr.All() {
		switch {
		case err != nil:
			r.t.Fatal(err)
		case rec.Flags&journal.FlagOutbound != 0:
			out += string(rec.Payload)
		default:
			in += string(rec.Payload)
		}
	}
	return in, out
}

func TestProxyRecordsFIX(t *testing.T) {
	engine := func(nc net.Conn) {
		buf := make([]byte, 1000)
		for n := 1; ; n++ {
			if _, err := nc.Read(buf); err != nil {
				return
			}
			io.WriteString(nc, fixOrder("X", "A", n))
		}
	}
	r := newRig(t, 4096).run("tcp-proxy://127.0.0.1:0/"+listen(t, engine), Options{Frame: FIX})
	nc := r.dial()
	var sent, want string
	for n := 1; n <= 50; n++ {
		m, answer := fixOrder("A", "X", n), fixOrder("X", "A", n)
		sent, want = sent+m, want+answer
		io.WriteString(nc, m)
		if _, err := io.ReadFull(nc, make([]byte, len(answer))); err != nil {
			t.Fatal(err)
		}
	}
	finish(t, nc)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	// An answer is never before its question.
	st := r.sessions.Stats()
	if in, out := r.directions(); in != sent || out != want || r.order() != strings.Repeat("<>", 50) {
		t.Errorf("in %d bytes of %d, out %d of %d, order %s, %+v", len(in), len(sent), len(out), len(want), r.order(), st)
	}
}

// order is the directions of the records in their order.
func (r *rig) order() (s string) {
	jr, err := journal.OpenReader(r.dir, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	defer jr.Close()
	for rec := range jr.All() {
		s += map[bool]string{false: "<", true: ">"}[rec.Flags&journal.FlagOutbound != 0]
	}
	return s
}

// The archive is gone, or a stream is out of step: the connection is not.
func TestProxyForwardsWhatIsNotRecorded(t *testing.T) {
	for _, frame := range []Frame{Line, Len32, FIX} {
		t.Run(fmt.Sprint(frame), func(t *testing.T) {
			r := newRig(t, 4096).run("tcp-proxy://127.0.0.1:0/"+listen(t, upper), Options{Frame: frame})
			nc := r.dial()
			io.WriteString(nc, "begin\n") // no length that could be
			if _, err := io.ReadFull(nc, make([]byte, 6)); err != nil {
				t.Fatal(err)
			}
			if frame == Len32 {
				for r.p.Stats().Gaps == 0 { // what follows is lost, and nobody knows how much
					time.Sleep(time.Millisecond)
				}
			}
			r.close() // the recorder
			m := strings.ToLower(fixOrder("A", "X", 1))
			io.WriteString(nc, m)
			if got := finish(t, nc); got != strings.ToUpper(m)+"bye\n" {
				t.Errorf("forwarded %q", got)
			}
			if err := r.stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// events notes what happens to a connection.
type events struct {
	net.Conn
	what *[]string
}

func (e events) Read(b []byte) (int, error)  { return copy(b, "x"), io.EOF }
func (e events) Write(b []byte) (int, error) { *e.what = append(*e.what, "sent"); return len(b), nil }

// What is forwarded is recorded before: an answer cannot overtake its question.
func TestForwarderRecordsFirst(t *testing.T) {
	var what []string
	f := &forwarder{from: events{what: &what}, to: events{what: &what}, quiet: &quiet{}, see: func([]byte) { what = append(what, "seen") }}
	if err := f.drain(); err != io.EOF || !slices.Equal(what, []string{"seen", "sent"}) {
		t.Errorf("%v, %v", what, err)
	}
}

// A reset of one side reaches the other.
func TestProxyPassesReset(t *testing.T) {
	ended := make(chan struct{})
	r := newRig(t, 4096).run("tcp-proxy://127.0.0.1:0/"+listen(t, func(nc net.Conn) {
		defer close(ended)
		io.Copy(io.Discard, nc)
	}), Options{})
	nc := r.dial()
	io.WriteString(nc, "one\n")
	reset(nc)
	nc.Close()
	<-ended
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}

// Who comes when there are too many is turned away, and it is told.
func TestTooManyConnections(t *testing.T) {
	r := newRig(t, 4096)
	client, server := net.Pipe()
	a := &accepting{s: r.source("tcp-listen://127.0.0.1:0", Options{})}
	a.admit(t.Context(), t.Context(), server)
	if _, err := client.Read(make([]byte, 1)); err != io.EOF || len(r.warns) != 1 || !strings.Contains(r.warns[0], "turned away") {
		t.Errorf("%v, warnings %q", err, r.warns)
	}
}

func TestProxyEndsQuietConnections(t *testing.T) {
	r := newRig(t, 4096).run("tcp-proxy://127.0.0.1:0/"+listen(t, upper), Options{Frame: FIX, IdleTimeout: time.Millisecond})
	if got, err := r.dial().Read(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes came", got)
	}
	r.waitWarn("no byte came for 1ms")
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}

// A connection ends when it is quiet both ways for too long, not one way.
func TestQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &quiet{limit: time.Minute, began: time.Now()}
		client, a := net.Pipe()
		server, b := net.Pipe()
		ended := make(chan error)
		for _, nc := range []net.Conn{a, b} {
			go func() {
				for {
					if _, err := q.read(nc, make([]byte, 1)); err != nil {
						ended <- err
						return
					}
				}
			}()
		}
		for range 10 {
			time.Sleep(50 * time.Second)
			client.Write([]byte("x"))
		}
		for range 2 {
			if err := <-ended; err == nil || !strings.Contains(err.Error(), "no byte came for 1m0s") || time.Since(q.began) != 560*time.Second {
				t.Errorf("%v after %v", err, time.Since(q.began))
			}
		}
		client.Close()
		server.Close()
	})
}

// Stopping ends connections that would go on.
func TestProxyStops(t *testing.T) {
	hold := make(chan struct{})
	defer close(hold)
	r := newRig(t, 4096).run("tcp-proxy://127.0.0.1:0/"+listen(t, func(net.Conn) { <-hold }), Options{Frame: FIX})
	nc := r.dial()
	io.WriteString(nc, fixOrder("A", "X", 1)+"8=FIX")
	for r.sessions.Stats().Sessions == nil {
		time.Sleep(time.Millisecond)
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if _, err := nc.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is still there")
	}
	if pieces, _, _ := r.contents(); len(pieces) != 1 {
		t.Errorf("%v", pieces)
	}
}

func TestPrefixed(t *testing.T) {
	msg := func(b string) string { return string(binary.BigEndian.AppendUint32(nil, uint32(len(b)))) + b }
	big := strings.Repeat("x", 5000)
	for _, tc := range []struct {
		name, in, want, err string
		lost, lostBytes     uint64
	}{
		{"messages", msg("a") + msg("") + msg("ccc"), "a||ccc|", "", 0, 0},
		{"too long", msg("a") + msg(big) + msg("b"), "a|b|", "", 1, 5000},
		{"a lie", msg("a") + "\xff\xff\xff\xffxxxx", "a|", "4294967295 bytes", 1, 0},
		{"the other byte order", "\x05\x00\x00\x00hello", "", "len32le", 1, 0},
		{"ends in a length", msg("a") + "\x00\x00", "a|", "2 bytes had come", 1, 0},
		{"ends in a message", msg("a") + "\x00\x00\x00\x05hel", "a|", "of which 3 had come", 1, 3},
		{"ends in a message that is skipped", "\x00\x01\x00\x00hel", "", "of which 3 had come", 1, 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rig := newRig(t, 4096)
			err := copyPrefixed(t.Context(), strings.NewReader(tc.in), rig.p, 0, binary.BigEndian)
			if tc.err == "" && err != io.EOF || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
				t.Errorf("error %v, want %q", err, tc.err)
			}
			if strings.HasPrefix(tc.name, "ends in") && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%v is not an unexpected end", err)
			}
			pieces, _, losses := rig.contents()
			got, lost, bytes := "", uint64(0), uint64(0)
			for _, p := range pieces {
				got += p.text + "|"
			}
			for _, l := range losses {
				lost, bytes = lost+l.Records, bytes+l.Bytes
			}
			if got != tc.want || lost != tc.lost || bytes != tc.lostBytes {
				t.Errorf("%q, lost %d with %d bytes; want %q, %d, %d", got, lost, bytes, tc.want, tc.lost, tc.lostBytes)
			}
		})
	}
}
