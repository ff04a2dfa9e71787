//go:build !windows

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/adapter/fixbuf"
)

// buildQuickFIX compiles the engine in testdata/quickfix. The library is Debian's
// libquickfix-dev, whose headers need C++14.
func buildQuickFIX(t *testing.T) (program string) {
	t.Helper()
	program = filepath.Join(t.TempDir(), "peer")
	out, err := exec.Command("g++", "-std=c++14", "-O1", "-w", "-o", program, "testdata/quickfix/peer.cpp", "-lquickfix", "-lpthread").CombinedOutput()
	if err != nil {
		if os.Getenv("LOGBUF_REQUIRE_QUICKFIX") != "" {
			t.Fatalf("g++: %v\n%s", err, out)
		}
		t.Skipf("no g++ with libquickfix-dev: %v", err)
	}
	return program
}

// quickFIX is an engine's directory: its settings, store and log.
type quickFIX struct {
	program, dir string
	me, peer     string
}

func newQuickFIX(t *testing.T, program, me, peer, connection string) *quickFIX {
	t.Helper()
	q := &quickFIX{program: program, dir: t.TempDir(), me: me, peer: peer}
	settings := fmt.Sprintf(`[DEFAULT]
%s
ReconnectInterval=1
HeartBtInt=1
StartTime=00:00:00
EndTime=00:00:00
UseDataDictionary=N
FileStorePath=%s/store
FileLogPath=%s/log
[SESSION]
BeginString=FIX.4.4
SenderCompID=%s
TargetCompID=%s
`, connection, q.dir, q.dir, me, peer)
	if err := os.WriteFile(q.settings(), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	return q
}

func (q *quickFIX) settings() string { return filepath.Join(q.dir, "settings.cfg") }

// start runs the engine. Closing the pipe stops an acceptor.
func (q *quickFIX) start(t *testing.T, args ...string) (cmd *exec.Cmd, out *bytes.Buffer, stop io.Closer) {
	t.Helper()
	cmd, out = exec.Command(q.program, append([]string{args[0], q.settings()}, args[1:]...)...), &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	stop, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return cmd, out, stop
}

// ends waits for a program to end by itself, though not for ever.
func ends(cmd *exec.Cmd) error {
	defer time.AfterFunc(2*time.Minute, func() { cmd.Process.Kill() }).Stop()
	return cmd.Wait()
}

// messages are those that the engine has logged itself, in the order of its log, of that
// sender.
func (q *quickFIX) messages(t *testing.T, sender string) (all []string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(q.dir, "log", "FIX.4.4-"+q.me+"-"+q.peer+".messages.current.log"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(string(b), "\n"), "\n") {
		_, m, ok := strings.Cut(line, " : ")
		if !ok {
			t.Fatalf("log line %q", line)
		}
		var h fixbuf.Header
		if err := h.Parse([]byte(m)); err != nil {
			t.Fatalf("%q: %v", m, err)
		}
		if string(h.Sender) == sender {
			all = append(all, m)
		}
	}
	return all
}

// QuickFIX, a C++ engine that others have written, talks to itself through a
// recording proxy. Its own message log is the truth.
func TestQuickFIX(t *testing.T) {
	program := buildQuickFIX(t)
	t.Run("recorded and sent again", func(t *testing.T) { t.Parallel(); quickFIXRecorded(t, program) })
	t.Run("recorder killed", func(t *testing.T) { t.Parallel(); quickFIXKilled(t, program) })
}

func quickFIXRecorded(t *testing.T, program string) {
	const orders = 300
	serverAddr, serverPort := freePort(t)
	proxyAddr, proxyPort := freePort(t)
	dir := filepath.Join(t.TempDir(), "archive")
	server := newQuickFIX(t, program, "SERVER", "CLIENT", "ConnectionType=acceptor\nSocketAcceptPort="+serverPort)
	client := newQuickFIX(t, program, "CLIENT", "SERVER", "ConnectionType=initiator\nSocketConnectHost=127.0.0.1\nSocketConnectPort="+proxyPort)
	acceptor, _, stop := server.start(t, "acceptor")
	rec := start(t, nil, "record", "--frame", "fix", "--dir", dir, "tcp-proxy://"+proxyAddr+"/"+serverAddr)
	rec.waitFor(t, "listening on")
	initiator, out, _ := client.start(t, "initiator", fmt.Sprint(orders), fmt.Sprint(orders), "0")
	if err := ends(initiator); err != nil {
		t.Fatalf("initiator: %v\n%s", err, out)
	}
	stop.Close()
	acceptor.Wait()
	rec.Process.Signal(syscall.SIGTERM)
	if code := rec.exit(t); code != 0 {
		t.Fatalf("record: %d\n%s", code, rec.errors())
	}
	sessions := fixSessions(t, dir)
	for _, who := range []string{"CLIENT", "SERVER"} {
		want := client.messages(t, who)
		sameMessages(t, who+" by its own log", server.messages(t, who), want)
		sameMessages(t, who, archivedFIX(t, dir, who), want)
		s := sessions[who]
		if n := uint64(len(want)); s.Messages != n || n < orders+2 || s.NextSeq != n+1 || len(s.Gaps) != 0 || s.Resets+s.Repeated+s.TooLow != 0 ||
			!slices.Equal(s.Ranges, []fixRange{{1, n}}) {
			t.Errorf("%s: %d messages, %+v", who, n, s)
		}
		got := printed(t, "fix", "show", dir, "--sender", who, "--from", "100", "--to", "109", "--soh")
		if want := strings.Join(want[99:109], ""); got != want {
			t.Errorf("%s: show %q\nwant %q", who, got, want)
		}
	}
	if text := printed(t, "fix", "show", dir, "--from", "2", "--to", "9", "--type", "D", "--sender", "CLIENT"); !strings.Contains(text, "NewOrderSingle (D)") ||
		!strings.Contains(text, "     54  Side                   1  Buy\n") {
		t.Errorf("%s", text)
	}
	quickFIXServed(t, program, dir, client.messages(t, "SERVER"))
}

// quickFIXServed lets an engine that has lost its store log on to the archive: it asks by
// itself for what it has missed, and takes all of it.
func quickFIXServed(t *testing.T, program, dir string, sent []string) {
	addr, port := freePort(t)
	srv := start(t, nil, "fix", "serve", dir, "--listen", addr, "--clients", "1")
	srv.waitFor(t, "serving 1 session")
	fresh := newQuickFIX(t, program, "CLIENT", "SERVER", "ConnectionType=initiator\nSocketConnectHost=127.0.0.1\nSocketConnectPort="+port)
	var orders []string
	for _, m := range sent {
		if strings.Contains(m, "\x0135=8\x01") {
			orders = append(orders, m)
		}
	}
	initiator, out, _ := fresh.start(t, "initiator", "0", fmt.Sprint(len(orders)), "0")
	if err := ends(initiator); err != nil {
		t.Fatalf("initiator: %v\n%s\n%s", err, out, srv.errors())
	}
	if code := srv.exit(t); code != 0 || !strings.Contains(srv.errors(), "logs out") {
		t.Errorf("serve: %d\n%s", code, srv.errors())
	}
	var again []string
	for _, m := range fresh.messages(t, "SERVER") {
		if strings.Contains(m, "\x0135=8\x01") {
			if !strings.Contains(m, "\x0143=Y\x01") || !strings.Contains(m, "\x01122=") {
				t.Fatalf("no repetition: %q", m)
			}
			again = append(again, body(m))
		}
	}
	for i, m := range orders {
		orders[i] = body(m)
	}
	sameMessages(t, "sent again", again, orders)
	for _, m := range fresh.messages(t, "CLIENT") {
		if strings.Contains(m, "\x0135=3\x01") {
			t.Errorf("the engine rejects: %q", m)
		}
	}
	if n := strings.Count(out.String(), " again\n"); n != len(orders) {
		t.Errorf("the application saw %d repetitions of %d", n, len(orders))
	}
}

// body is a message without what a repetition has of its own.
func body(m string) string {
	var b strings.Builder
	fixbuf.Fields([]byte(m), func(tag int, value []byte) bool {
		switch tag {
		case 9, 10, 43, 52, 122:
		default:
			fmt.Fprintf(&b, "%d=%s|", tag, value)
		}
		return true
	})
	return b.String()
}

// The recorder is killed in the middle of a session. The engines connect again when it
// is back and go on; the archive is sound, has what was there long enough before, and
// says which numbers it does not have.
func quickFIXKilled(t *testing.T, program string) {
	const orders = 400
	serverAddr, serverPort := freePort(t)
	proxyAddr, proxyPort := freePort(t)
	dir := filepath.Join(t.TempDir(), "archive")
	server := newQuickFIX(t, program, "SERVER", "CLIENT", "ConnectionType=acceptor\nSocketAcceptPort="+serverPort)
	client := newQuickFIX(t, program, "CLIENT", "SERVER", "ConnectionType=initiator\nSocketConnectHost=127.0.0.1\nSocketConnectPort="+proxyPort)
	acceptor, _, stop := server.start(t, "acceptor")
	record := func() *process {
		p := start(t, nil, "record", "--frame", "fix", "--dir", dir, "--sync", "batch", "tcp-proxy://"+proxyAddr+"/"+serverAddr)
		p.waitFor(t, "listening on")
		return p
	}
	rec := record()
	initiator, out, _ := client.start(t, "initiator", fmt.Sprint(orders), fmt.Sprint(orders), "5")
	for len(follow(t, dir)) < 200 {
		time.Sleep(time.Millisecond)
	}
	before := follow(t, dir)
	rec.Process.Kill()
	rec.Wait()
	rec = record()
	if err := ends(initiator); err != nil {
		t.Fatalf("initiator: %v\n%s", err, out)
	}
	stop.Close()
	acceptor.Wait()
	rec.Process.Signal(syscall.SIGTERM)
	if code := rec.exit(t); code != 0 {
		t.Fatalf("record: %d\n%s", code, rec.errors())
	}
	after := follow(t, dir)
	sameMessages(t, "durable before the kill", after[:min(len(before), len(after))], before)
	sessions := fixSessions(t, dir)
	for _, who := range []string{"CLIENT", "SERVER"} {
		got := archivedFIX(t, dir, who)
		logged := map[string]bool{}
		for _, m := range append(client.messages(t, who), server.messages(t, who)...) {
			logged[m] = true
		}
		seen, missing := map[uint64]bool{}, uint64(0)
		last := uint64(0)
		for _, m := range got {
			if !logged[m] {
				t.Fatalf("%s: no engine knows %q", who, m)
			}
			var h fixbuf.Header
			h.Parse([]byte(m))
			if !seen[h.SeqNum] && h.SeqNum > last+1 {
				missing += h.SeqNum - last - 1
			}
			seen[h.SeqNum] = true
			last = max(last, h.SeqNum)
			if h.GapFill { // it stands for these numbers
				last = max(last, h.NewSeqNo-1)
			}
		}
		s := sessions[who]
		if s.Messages != uint64(len(got)) || s.Missing != missing || s.NextSeq != last+1 || s.Resets != 0 {
			t.Errorf("%s: %d messages up to %d, %d missing; %+v", who, len(got), last, missing, s)
		}
		t.Logf("%s: %d messages, %d missing on the wire, %d repeated", who, len(got), missing, s.Repeated)
	}
}
