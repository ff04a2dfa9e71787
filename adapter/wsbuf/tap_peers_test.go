package wsbuf

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	coder "github.com/coder/websocket"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	gorilla "github.com/gorilla/websocket"
	"github.com/lxzan/gws"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// endpoint is one side of a connection in a library of somebody else's.
type endpoint interface {
	write(op ws.OpCode, msg string) error
	fragments(msg string, n int) error // one text message in several frames, of n bytes at most
	read() (op ws.OpCode, msg string, err error)
	ping(payload string) error
	close() error // with code 1000
}

// library makes endpoints whose connections go through a tap.
type library struct {
	name     string
	dial     func(url string, tap func(net.Conn) net.Conn, tlsConfig *tls.Config, compress bool) (endpoint, error)
	accept   func(w http.ResponseWriter, r *http.Request, compress bool) (endpoint, error)
	compress bool // it can
	pings    bool // at once; otherwise they may come too late
}

var libraries = []library{
	{"gobwas", dialGobwas, acceptGobwas, false, true},
	{"coder", dialCoder, acceptCoder, true, false},
	{"gorilla", dialGorilla, acceptGorilla, true, true},
	{"gws", dialGws, acceptGws, true, true},
}

// The same conversation between all libraries, tapped on both sides, in the
// clear and over TLS, with compression and without. What either tap recorded is
// what the endpoints sent, as messages, and both taps have the same frames.
func TestTapLibraries(t *testing.T) {
	for _, client := range libraries {
		for _, server := range libraries {
			for _, secure := range []bool{false, true} {
				if secure && server.name != "gorilla" { // TLS lies below all of them
					continue
				}
				compress := client.compress && server.compress
				t.Run(fmt.Sprintf("%s to %s, TLS %v", client.name, server.name, secure), func(t *testing.T) {
					converse(t, client, server, secure, false)
				})
				if compress {
					t.Run(fmt.Sprintf("%s to %s, TLS %v, compressed", client.name, server.name, secure), func(t *testing.T) {
						converse(t, client, server, secure, true)
					})
				}
			}
		}
	}
}

// script is what a side says.
func script(who string) (texts []string, fragmented string) {
	for i, n := range []int{1, 10, 100, 124, 125, 126, 1000, 4096, 65535, 65536, 100_000, 0, 3, 500, 500} {
		texts = append(texts, strings.Repeat(who+" "+tick(i), n/10+1)[:n])
	}
	return texts, strings.Repeat(who+" in pieces ", 1000)
}

func converse(t *testing.T, client, server library, secure, compress bool) {
	a := newArchive(t, nil)
	opts := func() *recorder.ProducerOptions {
		return &recorder.ProducerOptions{LaneSize: 1 << 20, Overload: recorder.OverloadWait}
	}
	clientIn, clientOut := a.producer("client in", opts()), a.producer("client out", opts())
	serverIn, serverOut := a.producer("server in", opts()), a.producer("server out", opts())
	served := make(chan error, 1)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rt := TapResponse(w, serverIn, serverOut, nil)
		e, err := server.accept(rt, r, compress)
		if err == nil {
			err = talk(e, "server", "client", false)
			rt.Tap().Close()
			err = errors.Join(err, rt.Tap().Err())
		}
		served <- err
	}))
	url, roots := "ws", (*tls.Config)(nil)
	if secure {
		s.StartTLS()
		url, roots = "wss", s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
		roots.NextProtos = nil
	} else {
		s.Start()
	}
	defer s.Close()
	var tap *Tap
	e, err := client.dial(url+"://"+s.Listener.Addr().String(), func(nc net.Conn) net.Conn {
		tap = NewTap(nc, clientIn, clientOut, nil)
		return tap
	}, roots, compress)
	if err != nil {
		t.Fatal(err)
	}
	if err := talk(e, "client", "server", true); err != nil {
		t.Errorf("client: %v", err)
		tap.Close()
	}
	if err := <-served; err != nil {
		t.Errorf("server: %v", err)
	}
	tap.Close()
	if err := tap.Err(); err != nil {
		t.Errorf("client's tap: %v", err)
	}
	frames, losses := a.contents()
	if len(losses) != 0 {
		t.Errorf("losses: %v", losses)
	}
	sameFrames(t, "client to server", frames["client out"], frames["server in"])
	sameFrames(t, "server to client", frames["server out"], frames["client in"])
	compressed := 0
	for stream, sender := range map[string]library{"client out": client, "server in": client, "server out": server, "client in": server} {
		who := "client"
		if strings.HasSuffix(stream, "out") == strings.HasPrefix(stream, "server") {
			who = "server"
		}
		compressed += checkConversation(t, a, stream, who, sender.pings)
	}
	if compress && compressed < 20 || !compress && compressed > 0 {
		t.Errorf("%d frames were compressed", compressed)
	}
}

// allRead is the server's last message.
const allRead = "I have read it all"

// talk says this side's part, and then reads the other's; the client closes.
func talk(e endpoint, who, other string, closes bool) error {
	said := make(chan error, 1)
	go func() {
		texts, pieces := script(who)
		var errs []error
		for i, m := range texts {
			op := ws.OpText
			if i%3 == 1 {
				op = ws.OpBinary
			}
			errs = append(errs, e.write(op, m))
		}
		said <- errors.Join(append(errs, e.ping("ping of the "+who), e.fragments(pieces, 3000))...)
	}()
	texts, pieces := script(other)
	for i, want := range append(texts, pieces) {
		op, got, err := e.read()
		if err != nil {
			return fmt.Errorf("read message %d: %w", i, err)
		}
		if got != want || (op == ws.OpBinary) != (i < len(texts) && i%3 == 1) {
			return fmt.Errorf("message %d of the %s has opcode %v and %d bytes, want %d", i, other, op, len(got), len(want))
		}
	}
	if err := <-said; err != nil {
		return err
	}
	if !closes {
		if err := e.write(ws.OpText, allRead); err != nil {
			return err
		}
	}
	if closes { // when the other side has read all: some libraries do not wait
		if _, m, err := e.read(); err != nil || m != allRead {
			return fmt.Errorf("read %q, %v; want %q", m, err, allRead)
		}
		if err := e.close(); err != nil {
			return fmt.Errorf("close: %w", err)
		}
	}
	if _, _, err := e.read(); err == nil {
		return errors.New("a message behind the last")
	}
	return nil
}

// sameFrames compares two recordings of the same direction. What was sent last,
// the other side may not have read: control frames.
func sameFrames(t *testing.T, what string, sent, got []frame) {
	t.Helper()
	for i := range min(len(sent), len(got)) {
		s, g := sent[i], got[i]
		if s.out, g.out = false, false; s != g {
			t.Fatalf("%s: frame %d is %v, was sent as %v", what, i, g, s)
		}
	}
	longer := sent
	if len(got) > len(sent) {
		longer = got
	}
	for _, f := range longer[min(len(sent), len(got)):] {
		if !f.op.IsControl() {
			t.Errorf("%s: %d frames were sent and %d came: without %v", what, len(sent), len(got), f)
		}
	}
}

// checkConversation reads one stream's messages and returns how many frames of
// it are compressed.
func checkConversation(t *testing.T, a *archive, stream, who string, pings bool) (compressed int) {
	t.Helper()
	frames := readMessages(t, a.dir)[stream]
	texts, pieces := script(who)
	want := append(texts, pieces)
	if who == "server" {
		want = append(want, allRead)
	}
	var ops []ws.OpCode
	for _, f := range frames {
		if f.op.IsControl() {
			ops = append(ops, f.op)
			continue
		}
		if len(want) == 0 || f.payload != want[0] || f.compressed || !f.fin {
			t.Fatalf("%s: message is %v, want %.30q", stream, f, want)
		}
		want = want[1:]
	}
	if len(want) > 0 || pings && !slices.Contains(ops, ws.OpPing) {
		t.Errorf("%s: %d messages are missing; control frames: %v", stream, len(want), ops)
	}
	r, err := journal.OpenReader(a.dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for rec, err := range r.All() {
		if err != nil {
			t.Fatal(err)
		}
		if r.StreamName(rec.Stream) == stream && rec.Flags&journal.FlagCompressed != 0 {
			compressed++
		}
	}
	return compressed
}

// readMessages reads an archive with Messages.
func readMessages(t *testing.T, dir string) map[string][]frame {
	t.Helper()
	m, err := OpenMessages(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	frames := map[string][]frame{}
	for rec, err := range m.All() {
		if err != nil {
			t.Fatal(err)
		}
		name := m.Reader().StreamName(rec.Stream)
		frames[name] = append(frames[name], frame{
			op: ws.OpCode(rec.Flags & journal.FlagSourceMask), fin: rec.Flags&journal.FlagFinal != 0, out: rec.Flags&outbound != 0,
			compressed: rec.Flags&journal.FlagCompressed != 0, payload: string(rec.Payload),
		})
	}
	return frames
}

// gobwas/ws with wsutil. Its dialer has a hook for a connection that is ready.
type gobwasEnd struct {
	nc    net.Conn
	r     io.Reader
	state ws.State
}

func dialGobwas(url string, tap func(net.Conn) net.Conn, tlsConfig *tls.Config, _ bool) (endpoint, error) {
	d := ws.Dialer{TLSConfig: tlsConfig, WrapConn: tap}
	nc, br, _, err := d.Dial(context.Background(), url)
	if err != nil {
		return nil, err
	}
	e := &gobwasEnd{nc, nc, ws.StateClientSide}
	if br != nil { // frames that came with the answer; they have passed the tap
		e.r = io.MultiReader(io.LimitReader(br, int64(br.Buffered())), nc)
	}
	return e, nil
}

func acceptGobwas(w http.ResponseWriter, r *http.Request, _ bool) (endpoint, error) {
	nc, rw, _, err := ws.UpgradeHTTP(r, w)
	if err != nil {
		return nil, err
	}
	return &gobwasEnd{nc, rw.Reader, ws.StateServerSide}, nil
}

func (e *gobwasEnd) rw() io.ReadWriter {
	return struct {
		io.Reader
		io.Writer
	}{e.r, e.nc}
}

// write is one Write of the connection's: the reading goroutine answers pings.
func (e *gobwasEnd) write(op ws.OpCode, m string) error {
	var b bytes.Buffer
	if err := wsutil.WriteMessage(&b, e.state, op, []byte(m)); err != nil {
		return err
	}
	_, err := e.nc.Write(b.Bytes())
	return err
}

func (e *gobwasEnd) fragments(m string, n int) error {
	w := wsutil.NewWriterSize(e.nc, e.state, ws.OpText, n)
	if _, err := io.WriteString(w, m); err != nil {
		return err
	}
	return w.Flush()
}

func (e *gobwasEnd) read() (ws.OpCode, string, error) {
	b, op, err := wsutil.ReadData(e.rw(), e.state)
	return op, string(b), err
}

func (e *gobwasEnd) ping(p string) error { return e.write(ws.OpPing, p) }

func (e *gobwasEnd) close() error {
	return e.write(ws.OpClose, string(ws.NewCloseFrameBody(ws.StatusNormalClosure, "")))
}

// coder/websocket: an http.Client's transport dials.
type coderEnd struct{ c *coder.Conn }

func coderMode(compress bool) coder.CompressionMode {
	if compress {
		return coder.CompressionContextTakeover
	}
	return coder.CompressionDisabled
}

func dialCoder(url string, tap func(net.Conn) net.Conn, tlsConfig *tls.Config, compress bool) (endpoint, error) {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			nc, err := new(net.Dialer).DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return tap(nc), nil
		},
		DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			nc, err := (&tls.Dialer{Config: tlsConfig}).DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return tap(nc), nil
		},
	}
	c, _, err := coder.Dial(context.Background(), url, &coder.DialOptions{HTTPClient: &http.Client{Transport: transport}, CompressionMode: coderMode(compress)})
	if err != nil {
		return nil, err
	}
	c.SetReadLimit(-1)
	return &coderEnd{c}, nil
}

func acceptCoder(w http.ResponseWriter, r *http.Request, compress bool) (endpoint, error) {
	c, err := coder.Accept(w, r, &coder.AcceptOptions{CompressionMode: coderMode(compress)})
	if err != nil {
		return nil, err
	}
	c.SetReadLimit(-1)
	return &coderEnd{c}, nil
}

func (e *coderEnd) write(op ws.OpCode, m string) error {
	return e.c.Write(context.Background(), coder.MessageType(op), []byte(m))
}

func (e *coderEnd) fragments(m string, n int) error {
	w, err := e.c.Writer(context.Background(), coder.MessageText)
	if err != nil {
		return err
	}
	for p := range slices.Chunk([]byte(m), n) {
		if _, err := w.Write(p); err != nil {
			return err
		}
	}
	return w.Close()
}

func (e *coderEnd) read() (ws.OpCode, string, error) {
	typ, b, err := e.c.Read(context.Background())
	return ws.OpCode(typ), string(b), err
}

// ping waits for the pong, which the reading goroutine gets.
func (e *coderEnd) ping(string) error {
	go e.c.Ping(context.Background())
	return nil
}

func (e *coderEnd) close() error { return e.c.Close(coder.StatusNormalClosure, "") }

// gorilla/websocket: its dialer has hooks for plain connections and for TLS.
type gorillaEnd struct{ c *gorilla.Conn }

func dialGorilla(url string, tap func(net.Conn) net.Conn, tlsConfig *tls.Config, compress bool) (endpoint, error) {
	d := gorilla.Dialer{
		EnableCompression: compress,
		NetDialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			nc, err := new(net.Dialer).DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return tap(nc), nil
		},
		NetDialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			nc, err := (&tls.Dialer{Config: tlsConfig}).DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return tap(nc), nil
		},
	}
	c, _, err := d.Dial(url, nil)
	if err != nil {
		return nil, err
	}
	return &gorillaEnd{c}, nil
}

func acceptGorilla(w http.ResponseWriter, r *http.Request, compress bool) (endpoint, error) {
	u := gorilla.Upgrader{EnableCompression: compress}
	c, err := u.Upgrade(w, r, nil)
	if err != nil {
		return nil, err
	}
	return &gorillaEnd{c}, nil
}

func (e *gorillaEnd) write(op ws.OpCode, m string) error { return e.c.WriteMessage(int(op), []byte(m)) }

func (e *gorillaEnd) fragments(m string, n int) error {
	w, err := e.c.NextWriter(gorilla.TextMessage)
	if err != nil {
		return err
	}
	for p := range slices.Chunk([]byte(m), n) {
		if _, err := w.Write(p); err != nil {
			return err
		}
	}
	return w.Close()
}

func (e *gorillaEnd) read() (ws.OpCode, string, error) {
	typ, b, err := e.c.ReadMessage()
	return ws.OpCode(typ), string(b), err
}

func (e *gorillaEnd) ping(p string) error {
	return e.c.WriteControl(gorilla.PingMessage, []byte(p), time.Now().Add(time.Minute))
}

func (e *gorillaEnd) close() error {
	return e.c.WriteControl(gorilla.CloseMessage, gorilla.FormatCloseMessage(gorilla.CloseNormalClosure, ""), time.Now().Add(time.Minute))
}

// lxzan/gws calls back. It takes its context along in both directions.
type gwsEnd struct {
	gws.BuiltinEventHandler
	c    *gws.Conn
	msgs chan message
}

type message struct {
	op  ws.OpCode
	msg string
}

func (e *gwsEnd) OnMessage(_ *gws.Conn, m *gws.Message) {
	e.msgs <- message{ws.OpCode(m.Opcode), m.Data.String()}
	m.Close()
}

// OnPing answers without the payload. The library takes what it sends in control
// frames into the window that it compresses with, which no receiver does: the
// next compressed message comes out wrong wherever it is read. The same goes for
// ping.
func (e *gwsEnd) OnPing(c *gws.Conn, _ []byte) { c.WritePong(nil) }

func (e *gwsEnd) OnClose(*gws.Conn, error) { close(e.msgs) }

func gwsDeflate(compress bool) gws.PermessageDeflate {
	return gws.PermessageDeflate{Enabled: compress, ServerContextTakeover: true, ClientContextTakeover: true,
		ServerMaxWindowBits: 15, ClientMaxWindowBits: 15, Threshold: 1}
}

func dialGws(url string, tap func(net.Conn) net.Conn, tlsConfig *tls.Config, compress bool) (endpoint, error) {
	e := &gwsEnd{msgs: make(chan message, 100)}
	addr := url[strings.Index(url, "://")+3:]
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	if tlsConfig != nil {
		tlsConfig = tlsConfig.Clone()
		tlsConfig.ServerName = "127.0.0.1"
		nc = tls.Client(nc, tlsConfig)
	}
	e.c, _, err = gws.NewClientFromConn(e, &gws.ClientOption{Addr: url, PermessageDeflate: gwsDeflate(compress)}, tap(nc))
	if err != nil {
		return nil, err
	}
	go e.c.ReadLoop()
	return e, nil
}

func acceptGws(w http.ResponseWriter, r *http.Request, compress bool) (endpoint, error) {
	e := &gwsEnd{msgs: make(chan message, 100)}
	var err error
	if e.c, err = gws.NewUpgrader(e, &gws.ServerOption{PermessageDeflate: gwsDeflate(compress)}).Upgrade(w, r); err != nil {
		return nil, err
	}
	go e.c.ReadLoop()
	return e, nil
}

func (e *gwsEnd) write(op ws.OpCode, m string) error {
	return e.c.WriteMessage(gws.Opcode(op), []byte(m))
}

// fragments sends one frame: the library cuts none into pieces.
func (e *gwsEnd) fragments(m string, _ int) error { return e.write(ws.OpText, m) }

func (e *gwsEnd) read() (ws.OpCode, string, error) {
	m, ok := <-e.msgs
	if !ok {
		return 0, "", io.EOF
	}
	return m.op, m.msg, nil
}

func (e *gwsEnd) ping(string) error { return e.c.WritePing(nil) }

func (e *gwsEnd) close() error { e.c.WriteClose(1000, nil); return nil }
