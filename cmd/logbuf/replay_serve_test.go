//go:build !windows

package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/feed"
	"github.com/nexus-logbuf/logbuf/journal"
)

// screenWriter is stderr of a command that runs beside the test.
type screenWriter struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *screenWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *screenWriter) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

var servingAt = regexp.MustCompile(` on ((?:ws|tcp)://[^;]*);`)

// replayServer runs replay with a listener in this process. wait gives its exit code and what it said.
func replayServer(t *testing.T, args ...string) (url string, wait func() (code int, stderr string)) {
	t.Helper()
	stderr, code := &screenWriter{}, make(chan int, 1)
	go func() { code <- run(append([]string{"replay"}, args...), io.Discard, stderr) }()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if m := servingAt.FindStringSubmatch(stderr.String()); m != nil {
			url = strings.TrimSuffix(m[1], "/")
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("replay does not serve; stderr:\n%s", stderr)
		}
	}
	return url, func() (int, string) {
		select {
		case c := <-code:
			return c, stderr.String()
		case <-time.After(time.Minute):
			t.Fatalf("replay does not end; stderr:\n%s", stderr)
			return 0, ""
		}
	}
}

// recordFeed records two streams of the synthetic feed and gives the archive and what was sent.
func recordFeed(t *testing.T, frames uint64) (dir string, sent map[string][]feed.Digest) {
	t.Helper()
	srv, url, stop := startFeed(t, &feed.Options{Seed: 3, Frames: frames, Ledger: true})
	dir = filepath.Join(t.TempDir(), "first")
	if code, _, stderr := runRecord(url+"/A", url+"/B", "--dir", dir, "--overload", "wait", "--outbound"); code != 0 {
		t.Fatalf("record: exit code %d: %s", code, stderr)
	}
	stop()
	sent = make(map[string][]feed.Digest)
	for _, l := range srv.Ledgers() {
		sent[l.Symbol] = l.Sent
	}
	return dir, sent
}

// A recorded feed, served again to the client that recorded it: the second recording has the same frames, to the byte, whatever the pace.
func TestReplayServesTheFeedAgain(t *testing.T) {
	dir, sent := recordFeed(t, 1500)
	for _, pace := range [][]string{{"--speed", "max"}, {"--speed", "1x"}, {"--rate", "20000"}, {"--speed", "1x", "--late", "shift", "--late-after", "1ms"}} {
		t.Run(strings.Join(pace, " "), func(t *testing.T) {
			url, wait := replayServer(t, append([]string{dir, "--to", "ws-listen://127.0.0.1:0", "--clients", "2"}, pace...)...)
			again := filepath.Join(t.TempDir(), "again")
			if code, _, stderr := runRecord("A="+url+"/A", "B="+url+"/B", "--dir", again, "--overload", "wait"); code != 0 {
				t.Fatalf("record: exit code %d: %s", code, stderr)
			}
			if code, stderr := wait(); code != 0 || strings.Count(stderr, "replayed 1,501 records") != 2 {
				t.Errorf("replay: exit code %d:\n%s", code, stderr)
			}
			got := digests(t, again)
			for name, want := range sent {
				sameDigests(t, name, got[name], want)
			}
		})
	}
}

// messagesOf are the messages that came in on a stream, put together.
func messagesOf(t *testing.T, dir, stream string) [][]byte {
	t.Helper()
	r, err := journal.OpenReader(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var messages [][]byte
	open := false
	for rec, err := range r.All() {
		if err != nil {
			t.Fatal(err)
		}
		code := rec.Flags & journal.FlagSourceMask
		if !strings.HasSuffix(r.StreamName(rec.Stream), stream) || rec.Flags&journal.FlagOutbound != 0 || code >= 8 {
			continue
		}
		if open {
			last := len(messages) - 1
			messages[last] = append(messages[last], rec.Payload...)
		} else {
			messages = append(messages, bytes.Clone(rec.Payload))
		}
		open = rec.Flags&journal.FlagFinal == 0
	}
	return messages
}

// A WebSocket client of another make gets the messages of the stream that it asks for, and the recorded goodbye.
func TestReplayToAnotherClient(t *testing.T) {
	dir, _ := recordFeed(t, 800)
	url, wait := replayServer(t, dir, "--to", "ws-listen://127.0.0.1:0", "--clients", "1", "--speed", "max", "--loop", "1")
	c, _, err := websocket.Dial(t.Context(), url+"/?stream="+streamCalled(t, dir, "/B"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	c.SetReadLimit(1 << 20)
	for i, want := range messagesOf(t, dir, "/B") {
		_, got, err := c.Read(t.Context())
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("message %d is %q, error %v; want %q", i, got, err, want)
		}
	}
	var closed websocket.CloseError
	if _, _, err := c.Read(t.Context()); !errors.As(err, &closed) || closed.Code != 1000 || closed.Reason != "the feed has ended" {
		t.Errorf("the end is %v, want what the feed said", err)
	}
	if code, stderr := wait(); code != 0 {
		t.Errorf("replay: exit code %d:\n%s", code, stderr)
	}
}

func streamCalled(t *testing.T, dir, suffix string) string {
	t.Helper()
	r, err := journal.OpenReader(dir, &journal.ReaderOptions{End: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, name := range r.Streams() {
		if strings.HasSuffix(name, suffix) {
			return name
		}
	}
	t.Fatalf("no stream ends with %q", suffix)
	return ""
}

// Lines become messages, from the middle of an archive too, over and over.
func TestReplayLinesToWebSocket(t *testing.T) {
	dir := archiveOfLines(t, "one\n", "two\n", "three\n")
	url, wait := replayServer(t, dir, "--to", "ws-listen://127.0.0.1:0", "--clients", "1", "--speed", "max", "--loop", "2", "--from-seq", "1")
	c, _, err := websocket.Dial(t.Context(), url+"/whatever", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	var got []string
	for {
		typ, b, err := c.Read(t.Context())
		if err != nil {
			if websocket.CloseStatus(err) != websocket.StatusNormalClosure {
				t.Errorf("the end is %v", err)
			}
			break
		}
		if typ != websocket.MessageText {
			t.Errorf("message %q is %v", b, typ)
		}
		got = append(got, string(b))
	}
	if want := []string{"two\n", "three\n", "two\n", "three\n"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if code, stderr := wait(); code != 0 || !strings.Contains(stderr, "2 passes") {
		t.Errorf("replay: exit code %d:\n%s", code, stderr)
	}
}

func archiveOfLines(t *testing.T, lines ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "lines")
	w, err := journal.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := w.DefineStream("stdin")
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range lines {
		at := archiveStart.Add(time.Duration(i) * time.Millisecond).UnixNano()
		if _, err := w.Append(journal.Record{Time: at, Flags: journal.FlagFinal, Stream: stream, Payload: []byte(line)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Begun in the middle of a message, the rest of it is left out: a client takes no continuation of nothing.
func TestReplayFromTheMiddleOfAMessage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "frames")
	w, err := journal.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	const fin = journal.FlagFinal
	for i, r := range []journal.Record{
		{Flags: 1, Payload: []byte("one ")}, {Payload: []byte("message ")}, {Flags: fin, Payload: []byte("in three")}, {Flags: 1 | fin, Payload: []byte("another")},
	} {
		r.Time = archiveStart.UnixNano() + int64(i)
		if _, err := w.Append(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	url, wait := replayServer(t, dir, "--to", "ws-listen://127.0.0.1:0", "--clients", "1", "--from-seq", "1")
	c, _, err := websocket.Dial(t.Context(), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	if _, b, err := c.Read(t.Context()); err != nil || string(b) != "another" {
		t.Errorf("read %q, %v; want only the whole message", b, err)
	}
	if _, _, err := c.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
		t.Errorf("the end is %v", err)
	}
	if code, stderr := wait(); code != 0 || !strings.Contains(stderr, "not sent: 2 records") {
		t.Errorf("exit code %d:\n%s", code, stderr)
	}
}

// Two clients that come by TCP each get all of it, framed; the recorder is one of them.
func TestReplayToTCPClients(t *testing.T) {
	dir := archiveOfLines(t, "one\n", "two", "")
	url, wait := replayServer(t, dir, "--to", "tcp-listen://127.0.0.1:0", "--clients", "2", "--frame", "line")
	again := filepath.Join(t.TempDir(), "again")
	if code, _, stderr := runRecord("x="+url, "--dir", again); code != 0 {
		t.Fatalf("record: exit code %d: %s", code, stderr)
	}
	if got := messagesOf(t, again, "x"); len(got) != 3 || string(bytes.Join(got, nil)) != "one\ntwo\n\n" {
		t.Errorf("recorded %q", got)
	}
	nc, err := net.Dial("tcp", strings.TrimPrefix(url, "tcp://"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if b, err := io.ReadAll(nc); err != nil || string(b) != "one\ntwo\n\n" {
		t.Errorf("read %q, %v", b, err)
	}
	nc.Close()
	if code, stderr := wait(); code != 0 {
		t.Errorf("replay: exit code %d:\n%s", code, stderr)
	}
}

func TestReplayOverTCP(t *testing.T) {
	dir := archiveOfLines(t, "one\n", "two", "")
	for _, test := range []struct{ args, want string }{
		{"", "one\ntwo"}, {"--frame len32", "\x00\x00\x00\x04one\n\x00\x00\x00\x03two\x00\x00\x00\x00"}, {"--format hex --utc", "# "}, {"--loop 2", "one\ntwoone\ntwo"},
	} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan string, 1)
		go func() {
			nc, err := ln.Accept()
			if err != nil {
				got <- err.Error()
				return
			}
			defer nc.Close()
			b, _ := io.ReadAll(nc)
			got <- string(b)
		}()
		var stderr bytes.Buffer
		args := append([]string{"replay", dir, "--to", "tcp://" + ln.Addr().String(), "--summary"}, strings.Fields(test.args)...)
		if code := run(args, io.Discard, &stderr); code != 0 || !strings.Contains(stderr.String(), "replayed ") {
			t.Errorf("%s: exit code %d:\n%s", test.args, code, &stderr)
		}
		if s := <-got; s != test.want && !strings.HasPrefix(test.args, "--format") || !strings.HasPrefix(strings.TrimSpace(s), test.want[:2]) {
			t.Errorf("%s: the peer read %q, want %q", test.args, s, test.want)
		}
		ln.Close()
	}
}

// A peer that goes away in a pause, and one that was never there: what happened, and exit code 1.
func TestReplayPeersThatAreGone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pause")
	w, err := journal.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []time.Duration{0, time.Hour} {
		if _, err := w.Append(journal.Record{Time: archiveStart.Add(at).UnixNano(), Payload: []byte("x")}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if nc, err := ln.Accept(); err == nil {
			nc.Read(make([]byte, 1))
			nc.(*net.TCPConn).SetLinger(0)
			nc.Close()
		}
	}()
	to := "tcp://" + ln.Addr().String()
	var stderr bytes.Buffer
	if code := run([]string{"replay", dir, "--to", to}, io.Discard, &stderr); code != 1 || !strings.Contains(stderr.String(), "after 1 record: "+to+": ") {
		t.Errorf("a peer that goes: exit code %d: %s", code, &stderr)
	}
	ln.Close()
	stderr.Reset()
	if code := run([]string{"replay", dir, "--to", to}, io.Discard, &stderr); code != 1 || !strings.Contains(stderr.String(), "--to "+to) {
		t.Errorf("a peer that is not there: exit code %d: %s", code, &stderr)
	}
	url, wait := replayServer(t, dir, "--to", "ws-listen://127.0.0.1:0", "--clients", "1")
	c, _, err := websocket.Dial(t.Context(), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.CloseNow()
	if code, said := wait(); code != 1 || !strings.Contains(said, "broke off") || !strings.Contains(said, "1 client of 1 did not get everything") {
		t.Errorf("a client that goes: exit code %d: %s", code, said)
	}
}

// Damage in the archive reaches the client as close code 1011 and the caller as exit code 2.
func TestReplayOfADamagedArchive(t *testing.T) {
	dir := archiveOfLines(t, "one\n", "two\n")
	flipInArchive(t, dir, "two")
	url, wait := replayServer(t, dir, "--to", "ws-listen://127.0.0.1:0", "--clients", "1", "--speed", "max")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, _, err := websocket.Dial(ctx, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	for err == nil {
		_, _, err = c.Read(ctx)
	}
	if websocket.CloseStatus(err) != websocket.StatusInternalError {
		t.Errorf("the client is told %v, want close code 1011", err)
	}
	if code, stderr := wait(); code != 2 {
		t.Errorf("exit code %d, want 2:\n%s", code, stderr)
	}
}

func TestChooseStream(t *testing.T) {
	two := []string{"feed.example:80/BTC-USD", "feed.example:80/ETH-USD"}
	for _, test := range []struct {
		names     []string
		uri, want string
		refused   bool
	}{
		{two, "/BTC-USD", two[0], false}, {two, "/?stream=feed.example:80%2FETH-USD", two[1], false}, {two, "/feed.example:80/ETH-USD", two[1], false},
		{two, "/", "", true}, {two, "/USD", "", true}, {two, "/XRP", "", true}, {two, "bad", "", true}, {two[:1], "/any/thing?x=1", two[0], false}, {nil, "/", "", false},
		{[]string{"a/x", "b/x", "c"}, "/x", "", true}, {[]string{"a/x", "b/x", "x"}, "/x", "x", false}, {[]string{"a b", "c"}, "/a%20b", "a b", false},
	} {
		got, err := chooseStream(test.names, test.uri)
		if got != test.want || (err != nil) != test.refused {
			t.Errorf("%q of %q is %q, error %v; want %q", test.uri, test.names, got, err, test.want)
		}
		if err != nil && test.uri == "/x" && !strings.HasSuffix(err.Error(), "there are: /a%2Fx /b%2Fx") {
			t.Errorf("the error does not say which: %v", err)
		}
	}
}

// flipInArchive flips one bit of the only segment, where a text stands.
func flipInArchive(t *testing.T, dir, text string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.lbj"))
	if err != nil || len(files) != 1 {
		t.Fatalf("segments %q, error %v", files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	data[bytes.Index(data, []byte(text))] ^= 0x10
	if err := os.WriteFile(files[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// With --salvage a client gets all that is whole.
func TestReplaySalvage(t *testing.T) {
	dir := archiveOfLines(t, "one\n", "two\n", "three\n")
	flipInArchive(t, dir, "two")
	var stdout, stderr bytes.Buffer
	if code := run([]string{"replay", dir, "--speed", "max", "--salvage", "--summary"}, &stdout, &stderr); code != 0 || stdout.String() != "one\nthree\n" {
		t.Errorf("exit code %d, %q", code, &stdout)
	}
	for _, want := range []string{"warning: ", "record 1 is lost", "MISSING: 1 record in 1 gap"} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("stderr without %q:\n%s", want, &stderr)
		}
	}
	url, wait := replayServer(t, dir, "--to", "tcp-listen://127.0.0.1:0", "--clients", "1", "--salvage")
	nc, err := net.Dial("tcp", strings.TrimPrefix(url, "tcp://"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if b, err := io.ReadAll(nc); err != nil || string(b) != "one\nthree\n" {
		t.Errorf("read %q, %v", b, err)
	}
	nc.Close()
	if code, stderr := wait(); code != 0 || !strings.Contains(stderr, "MISSING: 1 record in 1 gap") {
		t.Errorf("exit code %d:\n%s", code, stderr)
	}
}
