package wsbuf

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/nexus-logbuf/logbuf/recorder"
)

const (
	nodeMessages = 300
	nodeLast     = "that was all"
)

// nodeScript is what peer.mjs says, message by message.
func nodeScript(who string) (script []string) {
	for i := range nodeMessages {
		script = append(script, fmt.Sprintf("%s %d %s", who, i, strings.Repeat("abcdefghij", i%50)))
	}
	return append(script, nodeLast)
}

// nodePeer starts testdata/node/peer.mjs, a peer that is not written in Go: the
// package ws of npm's, which compresses with zlib and takes its context along.
func nodePeer(t *testing.T, args ...string) (out *bufio.Reader, wait func() error) {
	t.Helper()
	node, err := exec.LookPath("node")
	if err == nil {
		_, err = os.Stat(filepath.Join("testdata", "node", "node_modules", "ws"))
	}
	if err != nil {
		if os.Getenv("LOGBUF_REQUIRE_NODE_WS") != "" {
			t.Fatalf("LOGBUF_REQUIRE_NODE_WS is set: %v", err)
		}
		t.Skipf("the peer is not installed (npm ci in testdata/node): %v", err)
	}
	cmd := exec.Command(node, append([]string{filepath.Join("testdata", "node", "peer.mjs")}, args...)...)
	cmd.Stderr = os.Stderr
	stdout, err1 := cmd.StdoutPipe()
	stdin, err2 := cmd.StdinPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close(); cmd.Process.Kill(); cmd.Wait() })
	return bufio.NewReader(stdout), cmd.Wait
}

func nodeServer(t *testing.T) (url string) {
	out, _ := nodePeer(t, "server")
	port, err := out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return "ws://127.0.0.1:" + strings.TrimSpace(port)
}

// checkNode checks the messages of one stream.
func checkNode(t *testing.T, a *archive, stream, who string) {
	t.Helper()
	a.close()
	want := nodeScript(who)
	pings := 0
	for _, m := range readMessages(t, a.dir)[stream] {
		if m.op == ws.OpPing {
			pings++
		}
		if m.op.IsControl() || m.payload == "close when you have said it" {
			continue
		}
		if len(want) == 0 || m.payload != want[0] || m.compressed || m.op == ws.OpContinuation {
			t.Fatalf("%s: message is %v, %d are missing", stream, m, len(want))
		}
		want = want[1:]
	}
	if len(want) > 0 || strings.HasPrefix(stream, "node") && pings != nodeMessages/10 {
		t.Errorf("%s: %d messages are missing, %d pings came", stream, len(want), pings)
	}
}

// Dial and Record of what that server says.
func TestNodeServerDial(t *testing.T) {
	url := nodeServer(t)
	for _, d := range []Deflate{DeflateOff, DeflateRaw, DeflateInflate} {
		t.Run(fmt.Sprint("deflate ", d), func(t *testing.T) {
			a := newArchive(t, nil)
			c, err := Dial(t.Context(), url, a.producer("node", &recorder.ProducerOptions{Overload: recorder.OverloadWait}), &Options{Deflate: d})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := c.Send(t.Context(), ws.OpText, []byte("close when you have said it")); err != nil {
				t.Fatal(err)
			}
			var closed *CloseError
			if err := c.Record(t.Context()); !errors.As(err, &closed) || closed.Reason != "bye" {
				t.Fatalf("Record: %v", err)
			}
			checkNode(t, a, "node", "server")
			frames, _ := a.contents()
			compressed := 0
			for _, f := range frames["node"] {
				if f.compressed {
					compressed++
				}
			}
			if (compressed > nodeMessages/2) != (d == DeflateRaw) || compressed > 0 && d != DeflateRaw {
				t.Errorf("%d frames are compressed", compressed)
			}
			if h := strings.Join(a.handshakes["node"], ""); strings.Contains(h, deflateName) != (d != DeflateOff) {
				t.Errorf("handshake %q", h)
			}
		})
	}
}

// Go clients with a tap, talking to that server.
func TestNodeServerTap(t *testing.T) {
	url := nodeServer(t)
	for _, lib := range libraries {
		for _, inflate := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, inflate %v", lib.name, inflate), func(t *testing.T) {
				a := newArchive(t, nil)
				opts := &recorder.ProducerOptions{Overload: recorder.OverloadWait}
				in, out := a.producer("node", opts), a.producer("go", opts)
				var tap *Tap
				e, err := lib.dial(url, func(nc net.Conn) net.Conn {
					tap = NewTap(nc, in, out, &TapOptions{Inflate: inflate})
					return tap
				}, (*tls.Config)(nil), lib.compress)
				if err != nil {
					t.Fatal(err)
				}
				if err := talkToNode(e, "client"); err != nil {
					t.Fatal(err)
				}
				e.close()
				e.read()
				tap.Close()
				if err := tap.Err(); err != nil {
					t.Error(err)
				}
				checkNode(t, a, "node", "server")
				checkNode(t, a, "go", "client")
			})
		}
	}
}

// talkToNode says our part while it reads the other's, up to its last message.
func talkToNode(e endpoint, who string) error {
	said := make(chan error, 1)
	go func() {
		var errs []error
		for _, m := range nodeScript(who) {
			errs = append(errs, e.write(ws.OpText, m))
		}
		said <- errors.Join(errs...)
	}()
	for {
		_, m, err := e.read()
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		if m == nodeLast {
			return <-said
		}
	}
}

// That client, talking to Go servers with a tap.
func TestNodeClient(t *testing.T) {
	for _, lib := range libraries {
		t.Run(lib.name, func(t *testing.T) {
			a := newArchive(t, nil)
			opts := &recorder.ProducerOptions{Overload: recorder.OverloadWait}
			in, out := a.producer("node", opts), a.producer("go", opts)
			served := make(chan error, 1)
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				rt := TapResponse(w, in, out, nil)
				e, err := lib.accept(rt, r, lib.compress)
				if err == nil {
					err = talkToNode(e, "server")
					_, _, _ = e.read() // the close frame
					rt.Tap().Close()
					err = errors.Join(err, rt.Tap().Err())
				}
				served <- err
			}))
			defer s.Close()
			stdout, wait := nodePeer(t, "client", wsURL(s))
			if err := <-served; err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(stdout)
			if err := wait(); err != nil {
				t.Error(err)
			}
			var end struct {
				Code            int
				Received, Other int
				Extensions      string
			}
			if err := json.Unmarshal(text, &end); err != nil || end.Code != 1000 || end.Received != nodeMessages+1 || end.Other != 1 || (end.Extensions != "") != lib.compress {
				t.Errorf("the client says %s", text)
			}
			checkNode(t, a, "node", "client")
			checkNode(t, a, "go", "server")
		})
	}
}
