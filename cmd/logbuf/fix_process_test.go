//go:build !windows

package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/adapter/fixbuf"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// fixDouble is an engine in miniature, for a session over one connection.
type fixDouble struct {
	t        *testing.T
	nc       net.Conn
	me, peer string
	next     int
	framer   *fixbuf.Framer
	rest     []byte
	sent     []string
}

func newFIXDouble(t *testing.T, nc net.Conn, me, peer string, next int) *fixDouble {
	nc.SetDeadline(time.Now().Add(5 * time.Minute)) // a test that hangs says where
	return &fixDouble{t: t, nc: nc, me: me, peer: peer, next: next, framer: fixbuf.NewFramer(0)}
}

func (d *fixDouble) send(kind, fields string) {
	body := fmt.Sprintf("35=%s|34=%d|49=%s|52=20261121-09:30:00.000|56=%s|%s", kind, d.next, d.me, d.peer, fields)
	m := []byte(strings.ReplaceAll(fmt.Sprintf("8=FIX.4.4|9=%d|%s", len(body), body), "|", "\x01"))
	m = fmt.Appendf(m, "10=%03d\x01", fixbuf.Checksum(m))
	d.next++
	d.sent = append(d.sent, string(m))
	if _, err := d.nc.Write(m); err != nil {
		d.t.Error(err)
	}
}

// receive gives the next message, nil at the end.
func (d *fixDouble) receive(h *fixbuf.Header) []byte {
	for {
		part, m, rest := d.framer.Next(d.rest)
		d.rest = rest
		switch part {
		case fixbuf.Message:
			if err := h.Parse(m); err != nil {
				d.t.Error(err)
			}
			return m
		case fixbuf.More:
			buf := make([]byte, 4096)
			n, err := d.nc.Read(buf)
			if n == 0 {
				if err != io.EOF {
					d.t.Error(err)
				}
				return nil
			}
			d.rest = buf[:n]
		default:
			d.t.Errorf("%s received %v: %q", d.me, part, m)
		}
	}
}

// fixSeller fills orders until the buyer logs out, over one connection.
func fixSeller(t *testing.T, ln net.Listener, from int) (sent <-chan []string) {
	out := make(chan []string, 1)
	go func() {
		nc, err := ln.Accept()
		if err != nil {
			t.Error(err)
			out <- nil
			return
		}
		defer nc.Close()
		d := newFIXDouble(t, nc, "SERVER", "CLIENT", from)
		var h fixbuf.Header
		for d.receive(&h) != nil {
			switch {
			case h.Is(fixbuf.TypeLogon):
				d.send("A", "98=0|108=30|")
			case h.Is("D"):
				d.send("8", fmt.Sprintf("37=%d|150=F|39=2|", h.SeqNum))
			case h.Is(fixbuf.TypeLogout):
				d.send("5", "")
				d.nc.(*net.TCPConn).CloseWrite()
			}
		}
		out <- d.sent
	}()
	return out
}

// fixBuyer sends orders one by one, logs out, and gives what it sent.
func fixBuyer(t *testing.T, addr string, from, orders int) []string {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	d := newFIXDouble(t, nc, "CLIENT", "SERVER", from)
	var h fixbuf.Header
	d.send("A", "98=0|108=30|")
	d.receive(&h)
	for i := range orders {
		d.send("D", fmt.Sprintf("11=%d|54=1|38=100|", i))
		d.receive(&h)
	}
	d.send("5", "")
	d.receive(&h)
	return d.sent
}

// Two engines through a recording proxy, twice with the recorder killed in between and
// messages that nobody recorded: the archive has what went through it, and says what did not.
func TestFIXThroughProxy(t *testing.T) {
	const orders = 30
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	dir := filepath.Join(t.TempDir(), "archive")
	sent := map[string][]string{}
	for i, from := range []int{1, 40} {
		addr, _ := freePort(t)
		rec := start(t, nil, "record", "--frame", "fix", "--dir", dir, "--sync", "batch", "tcp-proxy://"+addr+"/"+ln.Addr().String())
		rec.waitFor(t, "listening on")
		theirs := fixSeller(t, ln, from)
		sent["CLIENT"] = append(sent["CLIENT"], fixBuyer(t, addr, from, orders)...)
		sent["SERVER"] = append(sent["SERVER"], <-theirs...)
		if i == 0 {
			for len(follow(t, dir)) < 2*(orders+2) {
				time.Sleep(time.Millisecond)
			}
			rec.Process.Kill()
			rec.Wait()
			continue
		}
		rec.Process.Signal(syscall.SIGTERM)
		if code := rec.exit(t); code != 0 || !strings.Contains(rec.errors(), "FIX.4.4:CLIENT-SERVER") {
			t.Fatalf("record: %d\n%s", code, rec.errors())
		}
	}
	sessions := fixSessions(t, dir)
	for who, want := range sent {
		sameMessages(t, who, archivedFIX(t, dir, who), want)
		s := sessions[who]
		if s.Messages != uint64(len(want)) || s.Missing != 7 || len(s.Gaps) != 1 || s.Gaps[0].fixRange != (fixRange{33, 39}) ||
			len(s.Ranges) != 1 || s.Ranges[0] != (fixRange{1, 71}) || s.NextSeq != 72 {
			t.Errorf("%s: %+v", who, s)
		}
		got := printed(t, "fix", "show", dir, "--sender", who, "--from", "30", "--to", "45", "--soh")
		if want := strings.Join(want[29:38], ""); got != want {
			t.Errorf("%s: show %q, want %q", who, got, want)
		}
	}
	serveFIXDouble(t, dir)
}

// serveFIXDouble asks a server for what SERVER has sent.
func serveFIXDouble(t *testing.T, dir string) {
	t.Helper()
	addr, _ := freePort(t)
	srv := start(t, nil, "fix", "serve", dir, "--listen", addr, "--clients", "1")
	srv.waitFor(t, "serving 1 session")
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	d := newFIXDouble(t, nc, "CLIENT", "SERVER", 72)
	var h fixbuf.Header
	d.send("A", "98=0|108=30|")
	if d.receive(&h); h.SeqNum != 72 {
		t.Errorf("logon with %d", h.SeqNum)
	}
	d.send("2", "7=30|16=0|")
	got := ""
	for last := uint64(0); last < 73; {
		if d.receive(&h) == nil {
			t.Fatalf("the end, behind %s", got)
		}
		if !h.PossDup || h.SeqNum != max(last, 30) {
			t.Errorf("%+v behind %d", h, last)
		}
		got += string(h.MsgType)
		last = max(h.SeqNum+1, h.NewSeqNo)
	}
	if want := "88" + "4" + strings.Repeat("8", 30) + "4"; got != want {
		t.Errorf("received %s, want %s", got, want)
	}
	d.send("5", "")
	d.receive(&h)
	if code := srv.exit(t); code != 0 || !h.Is(fixbuf.TypeLogout) {
		t.Errorf("serve: %d, %s\n%s", code, h.MsgType, srv.errors())
	}
}

// What is asked wrongly is answered with what is right, and a code.
func TestFIXUsage(t *testing.T) {
	fix, empty := t.TempDir(), t.TempDir()
	w := writeFIX(t, fix, "A", "B", 3)
	w("C", "B", 2)
	w("", "", 0)
	writeFIX(t, empty, "", "", 0)
	for _, tc := range []struct {
		args string
		code int
		want string
	}{
		{"fix show FIX", 64, "there are 2 sessions: give one with --session: FIX.4.4:A-B FIX.4.4:B-C"},
		{"fix show FIX --session x", 1, `no session is named "x"; there are: FIX.4.4:A-B FIX.4.4:B-C`},
		{"fix show FIX --session FIX.4.4:A-B --sender C", 1, `it is between "A" and "B"`},
		{"fix show FIX --session FIX.4.4:A-B --from 9", 0, "no such message; of FIX.4.4:A-B it has 1 to 3 of A"},
		{"fix show FIX --from 9 --to 3", 64, "--from 9 is after --to 3"},
		{"fix show FIX --direction up", 64, "must be in or out"},
		{"fix show FIX --raw --json", 64, "give one of them"},
		{"fix show FIX --day 2", 64, "--day 2 needs --sender"},
		{"fix show FIX --day -1", 64, "--day -1 is negative"},
		{"fix show FIX --session FIX.4.4:A-B --sender A --day 2", 1, "began anew 0 times"},
		{"fix resend FIX", 64, "needs --sender"},
		{"fix resend FIX --session FIX.4.4:A-B --sender B", 1, "B has sent nothing from 1 on"},
		{"fix resend FIX --sender A --from 0", 64, "no range"},
		{"fix resend FIX --sender A --out tcp-listen://127.0.0.1:1", 64, "must be - or tcp://"},
		{"fix resend FIX --session FIX.4.4:A-B --sender A --out tcp://127.0.0.1:1", 1, "--out tcp://127.0.0.1:1: "},
		{"fix resend FIX --sender A --out nowhere", 64, "--out nowhere: must be - or tcp://HOST:PORT"},
		{"fix serve FIX", 64, "needs --listen"},
		{"fix serve FIX --listen nowhere", 64, `--listen "nowhere": must be HOST:PORT`},
		{"fix serve FIX --listen 127.0.0.1:0 --session x", 1, `no session is named "x"`},
		{"fix serve EMPTY --listen 127.0.0.1:0", 1, "has no FIX messages: they are recorded with"},
		{"fix show EMPTY", 1, "has no FIX messages"},
		{"fix sessions EMPTY", 0, ""},
		{"fix sessions /nowhere", 3, "/nowhere"},
		{"fix sessions", 64, "needs the archive's directory"},
		{"fix nonsense", 64, `unknown command "nonsense"`},
		{"fix sesions", 64, `unknown command "sesions"; did you mean sessions?`},
	} {
		var out, err strings.Builder
		args := strings.Fields(strings.NewReplacer("FIX ", fix+" ", "EMPTY", empty).Replace(tc.args + " "))
		if code := run(args, &out, &err); code != tc.code || !strings.Contains(err.String(), tc.want) {
			t.Errorf("%s: %d, %q; want %d, %q", tc.args, code, err.String(), tc.code, tc.want)
		}
	}
}

// writeFIX makes an archive with n messages of a session; the function adds more, and
// seals it when given none.
func writeFIX(t *testing.T, dir, from, to string, n int) func(from, to string, n int) {
	t.Helper()
	rec, err := recorder.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	sessions := fixbuf.NewRecorder(rec, nil)
	add := func(from, to string, n int) {
		d := fixDouble{t: t, nc: nowhere{}, me: from, peer: to, next: 1}
		for range n {
			d.send("0", "")
			if err := sessions.Record(false, []byte(d.sent[len(d.sent)-1])); err != nil {
				t.Fatal(err)
			}
		}
		if n == 0 {
			sessions.Close()
			if err := rec.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	add(from, to, n)
	return add
}

// nowhere is a connection that takes everything.
type nowhere struct{ net.Conn }

func (nowhere) Write(b []byte) (int, error) { return len(b), nil }

// Damage is told once, what can be read is shown, and the exit code says that it is not all.
func TestFIXDamage(t *testing.T) {
	dir := t.TempDir()
	w := writeFIX(t, dir, "A", "B", 3)
	w("", "", 0)
	writeFIX(t, dir, "A", "B", 4)("", "", 0)
	segments, err := journal.Segments(dir, nil)
	if err != nil || len(segments) != 2 {
		t.Fatal(segments, err)
	}
	file := filepath.Join(dir, segments[0].File)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b[100] ^= 1 // of the header
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{"fix sessions", "fix show --raw", "fix resend --sender A"} {
		var out, errs strings.Builder
		code := run(append(strings.Fields(args), dir), &out, &errs)
		if code != 2 || out.Len() == 0 || strings.Count(errs.String(), "warning: "+segments[0].File) != 1 || !strings.Contains(errs.String(), "is damaged") {
			t.Errorf("%s: %d, %q\n%s", args, code, out.String(), errs.String())
		}
	}
}
