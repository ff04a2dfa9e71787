package fixserve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nexus-logbuf/logbuf/adapter/fixbuf"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/fixindex"
	"github.com/nexus-logbuf/logbuf/recorder"
)

func message(fields string) []byte {
	body := strings.ReplaceAll(fields, "|", "\x01") + "\x01"
	m := fmt.Appendf(nil, "8=FIX.4.4\x019=%d\x01%s", len(body), body)
	return fmt.Appendf(m, "10=%03d\x01", fixbuf.Checksum(m))
}

func text(m []byte) string { return strings.ReplaceAll(string(m), "\x01", "|") }

// archive makes an archive of SELLER's messages with the types and numbers, as in
// "A1 D2 D3", and gives what serves it.
func archive(t *testing.T, messages string) (dir string, find func(id Peers) (*Source, error)) {
	t.Helper()
	dir = t.TempDir()
	rec, err := recorder.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	sessions := fixbuf.NewRecorder(rec, &fixbuf.Options{Overload: recorder.OverloadWait})
	for _, m := range strings.Fields(messages) {
		dup := ""
		if strings.HasSuffix(m, "!") {
			m, dup = m[:len(m)-1], "|43=Y|122=20261120-00:00:00.000"
		}
		if err := sessions.Record(true, message(fmt.Sprintf("35=%s|34=%s|49=SELLER|52=20261121-09:30:00.123%s|56=BUYER|58=this is %s", m[:1], m[1:], dup, m))); err != nil {
			t.Fatal(err)
		}
	}
	sessions.Close()
	if err := rec.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return dir, finder(t, dir)
}

func finder(t *testing.T, dir string) func(id Peers) (*Source, error) {
	t.Helper()
	x, err := fixindex.Open(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return func(id Peers) (*Source, error) {
		if id != (Peers{"FIX.4.4", "SELLER", "BUYER"}) {
			return nil, fmt.Errorf("no session of %s", id.Peer)
		}
		return NewSource(dir, x, "FIX.4.4:BUYER-SELLER", 1), nil
	}
}

// buyer is an engine under a test's hand.
type buyer struct {
	t      *testing.T
	nc     net.Conn
	framer *fixbuf.Framer
	rest   []byte
	next   int
	ended  chan error // of Serve
	mu     sync.Mutex
	said   []string
}

func connect(t *testing.T, ctx context.Context, find func(id Peers) (*Source, error)) *buyer {
	client, server := net.Pipe()
	b := &buyer{t: t, nc: client, framer: fixbuf.NewFramer(0), ended: make(chan error, 1)}
	s := &Session{Find: find, Say: func(format string, args ...any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.said = append(b.said, fmt.Sprintf(format, args...))
	}}
	go func() {
		err := s.Serve(ctx, server)
		server.Close()
		b.ended <- err
	}()
	t.Cleanup(func() { client.Close() })
	return b
}

func (b *buyer) send(fields string) {
	b.t.Helper()
	b.next++
	kind, rest, _ := strings.Cut(fields, "|")
	if rest != "" {
		rest = "|" + rest
	}
	if _, err := b.nc.Write(message(fmt.Sprintf("%s|34=%d|49=BUYER|52=20261121-10:00:00|56=SELLER%s", kind, b.next, rest))); err != nil {
		b.t.Fatal(err)
	}
}

// receive gives the next message as type, number, and those fields of it that
// tests look at.
func (b *buyer) receive() string {
	b.t.Helper()
	for {
		part, m, rest := b.framer.Next(b.rest)
		b.rest = rest
		if part == fixbuf.More {
			buf := make([]byte, 4096)
			n, err := b.nc.Read(buf)
			if err != nil {
				return err.Error()
			}
			b.rest = buf[:n]
			continue
		}
		if part != fixbuf.Message {
			b.t.Fatalf("%v: %q", part, m)
		}
		var h fixbuf.Header
		if err := h.Parse(m); err != nil || string(h.Sender) != "SELLER" || string(h.Target) != "BUYER" || len(h.SendingTime) != 21 {
			b.t.Fatalf("%q: %v", m, err)
		}
		s := fmt.Sprintf("%s%d", h.MsgType, h.SeqNum)
		for _, tag := range []int{43, 36, 108, 112, 58} {
			if v := value(m, tag, ""); v != "" {
				s += fmt.Sprintf(" %d=%s", tag, v)
			}
		}
		return s
	}
}

func (b *buyer) expect(want ...string) {
	b.t.Helper()
	for _, w := range want {
		if got := b.receive(); got != w {
			b.t.Fatalf("received %q, want %q", got, w)
		}
	}
}

func (b *buyer) end(want string) {
	b.t.Helper()
	err := <-b.ended
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		b.t.Errorf("ended with %v, want %q", err, want)
	}
}

// What an engine that was down asks for it gets: application messages again, gap
// fills for session messages, for what the archive lacks, and for our own.
func TestResend(t *testing.T) {
	_, find := archive(t, "A1 82 83 04 15 86 89 810 52 A11 812 813 A1 82 83 04 15 86 89 87! 810")
	b := connect(t, t.Context(), find)
	b.send("35=A|98=0|108=30")
	b.expect("A11 108=30")
	b.send("35=2|7=1|16=0")
	b.expect("41 43=Y 36=2", "82 43=Y 58=this is 82", "83 43=Y 58=this is 83", "44 43=Y 36=6", "86 43=Y 58=this is 86",
		"87 43=Y 58=this is 87", "48 43=Y 36=9", "89 43=Y 58=this is 89", "810 43=Y 58=this is 810", "411 43=Y 36=12")
	b.send("35=2|7=2|16=3")
	b.expect("82 43=Y 58=this is 82", "83 43=Y 58=this is 83")
	b.send("35=2|7=4|16=5")
	b.expect("44 43=Y 36=6")
	b.send("35=2|7=8|16=8")
	b.expect("48 43=Y 36=9")
	b.send("35=2|7=500|16=600")
	b.send("35=1|112=ping")
	b.expect("012 112=ping")
	b.send("35=D|11=1")
	b.send("35=3|45=1|58=why")
	b.send("35=5")
	b.expect("513")
	b.end("")
	said := strings.Join(b.said, "\n")
	for _, want := range []string{
		"next message of SELLER would be 11", "1 to 11: sent 6 again, gap fills for 5, of which the archive lacks 1",
		"from 500 on, and the last is 11", `type "D", MsgSeqNum 8`, `rejects a message: "why"`, "BUYER logs out",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("no %q in\n%s", want, said)
		}
	}
}

// Who is not wanted is told why.
func TestLogonRefused(t *testing.T) {
	_, find := archive(t, "A1 82")
	for _, tc := range []struct{ name, send, answer, err string }{
		{"reset", "8=FIX.4.4|35=A|34=1|49=BUYER|56=SELLER|52=20261121-10:00:00|98=0|108=30|141=Y", "without it", "ResetSeqNumFlag"},
		{"unknown", "8=FIX.4.4|35=A|34=1|49=NOBODY|56=SELLER|52=20261121-10:00:00|98=0|108=30", "58=no session of NOBODY", "no session of NOBODY"},
		{"no logon", "8=FIX.4.4|35=D|34=1|49=BUYER|56=SELLER|52=20261121-10:00:00", "", `is no Logon but "D"`},
		{"nothing", "", "", "no Logon came"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := connect(t, t.Context(), find)
			if tc.send == "" {
				b.nc.Close()
			} else if _, err := b.nc.Write(message(strings.TrimPrefix(tc.send, "8=FIX.4.4|"))); err != nil {
				t.Fatal(err)
			}
			answer, _ := io.ReadAll(b.nc)
			if !strings.Contains(text(answer), tc.answer) || tc.answer != "" && !strings.Contains(text(answer), "|35=5|34=1|") {
				t.Errorf("answer %q, want %q", text(answer), tc.answer)
			}
			b.end(tc.err)
		})
	}
}

// Heartbeats go out while nothing else does; an engine from which nothing comes
// is asked, and then given up; one that answers is not.
func TestHeartbeats(t *testing.T) {
	_, find := archive(t, "A1 82")
	synctest.Test(t, func(t *testing.T) {
		b := connect(t, t.Context(), find)
		b.send("35=A|98=0|108=10")
		b.expect("A3 108=10")
		began := time.Now()
		b.expect("04")
		if d := time.Since(began); d != 10*time.Second {
			t.Errorf("a heartbeat after %v", d)
		}
		b.expect("15 112=logbuf")
		b.send("35=0|112=logbuf")
		b.expect("06", "17 112=logbuf", "08")
		if got := b.receive(); got != "EOF" {
			t.Errorf("received %q", got)
		}
		b.end("two heartbeat intervals")
	})
}

// Who connects and says nothing is not waited for, and no interval is too long.
func TestPatience(t *testing.T) {
	_, find := archive(t, "A1 82")
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		connect(t, t.Context(), find).end("no Logon came")
		if d := time.Since(began); d != logonTimeout {
			t.Errorf("ended after %v", d)
		}
		b := connect(t, t.Context(), find)
		b.send("35=A|98=0|108=99999999999999999")
		b.expect("A3 108=99999999999999999")
		began = time.Now()
		b.expect("04")
		if d := time.Since(began); d != maxHeartBeat {
			t.Errorf("a heartbeat after %v", d)
		}
		b.nc.Close()
		b.end("without a Logout")
	})
}

func TestStopSaysGoodbye(t *testing.T) {
	_, find := archive(t, "A1 82")
	ctx, cancel := context.WithCancel(t.Context())
	b := connect(t, ctx, find)
	b.send("35=A|98=0|108=0")
	b.expect("A3 108=0")
	cancel()
	b.expect("54 58=the replay ends")
	b.end("")
}

// A peer that sends nothing of use fills neither the log nor the memory.
func TestNoise(t *testing.T) {
	_, find := archive(t, "A1 82")
	b := connect(t, t.Context(), find)
	b.send("35=A|98=0|108=30")
	b.expect("A3 108=30")
	for range 10 {
		b.nc.Write(bytes.Repeat([]byte("8=FIX"), 1000))
		b.nc.Write([]byte("8=FIX.4.4\x019=999999999\x01"))
	}
	b.send("35=1|112=ping")
	b.expect("04 112=ping")
	b.nc.Close()
	b.end("without a Logout")
	if n := len(b.said); n > maxNotes+2 || !strings.Contains(b.said[n-1], "no more is said") {
		t.Errorf("said %d lines, last %q", n, b.said[n-1])
	}
}

func TestEngineGoes(t *testing.T) {
	_, find := archive(t, "A1 82")
	b := connect(t, t.Context(), find)
	b.send("35=A|98=0|108=30")
	b.expect("A3 108=30")
	b.nc.Write([]byte("garbage"))
	b.nc.Close()
	b.end("without a Logout")
}

func TestResendBuilds(t *testing.T) {
	now := time.Date(2026, 11, 22, 1, 2, 3, 4_000_000, time.UTC)
	var b Builder
	for _, tc := range []struct{ name, in, want, err string }{
		{"order", "35=D|34=7|49=A|52=20261121-09:30:00.123|56=B|11=x|95=3|96=a|b",
			"35=D|34=7|49=A|43=Y|52=20261122-01:02:03.004|122=20261121-09:30:00.123|56=B|11=x|95=3|96=a|b|", ""},
		{"seconds", "35=D|34=7|49=A|52=20261121-09:30:00|56=B", "35=D|34=7|49=A|43=Y|52=20261122-01:02:03|122=20261121-09:30:00|56=B|", ""},
		{"a repetition already", "35=D|34=7|49=A|43=Y|52=20261121-09:30:00|122=20261120-00:00:00|56=B",
			"35=D|34=7|49=A|43=Y|52=20261122-01:02:03|122=20261120-00:00:00|56=B|", ""},
		{"no time", "35=D|34=7|49=A|56=B", "", "no SendingTime"},
		{"no number", "35=D|49=A|56=B", "", "MsgSeqNum"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := b.Resend(message(tc.in), now)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("error %v, want %q", err, tc.err)
				}
				return
			}
			part, m, _ := fixbuf.NewFramer(0).Next(got)
			_, body, _ := bytes.Cut(got, []byte("\x0135="))
			if err != nil || part != fixbuf.Message || len(m) != len(got) || !strings.HasPrefix("35="+text(body), tc.want+"10=") {
				t.Errorf("%v %q, %v\nwant %q", part, text(got), err, tc.want)
			}
		})
	}
}

func TestGapFill(t *testing.T) {
	var b Builder
	m := b.GapFill(Peers{"FIX.4.4", "A", "B"}, 7, 9, time.Date(2026, 11, 22, 1, 2, 3, 4_000_000, time.UTC))
	part, _, _ := fixbuf.NewFramer(0).Next(m)
	const want = "|35=4|34=7|49=A|52=20261122-01:02:03.004|56=B|43=Y|122=20261122-01:02:03.004|123=Y|36=9|10="
	if part != fixbuf.Message || !strings.Contains(text(m), want) {
		t.Errorf("%v %s, want %s", part, text(m), want)
	}
}

// A send that fails ends the resend with its error.
func TestResendFails(t *testing.T) {
	_, find := archive(t, "82 83 84")
	s, err := find(Peers{"FIX.4.4", "SELLER", "BUYER"})
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	n := 0
	_, err = s.Resend(t.Context(), Peers{"FIX.4.4", "SELLER", "BUYER"}, 1, 9, time.Now, func([]byte) error {
		if n++; n == 3 {
			return broken
		}
		return nil
	})
	if !errors.Is(err, broken) || n != 3 {
		t.Errorf("%v behind %d messages", err, n)
	}
}
