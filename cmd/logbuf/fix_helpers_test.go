//go:build !windows

package main

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/nexus-logbuf/logbuf/adapter/fixbuf"
	"github.com/nexus-logbuf/logbuf/journal"
)

// freePort is an address that nobody listens at. It is below those that systems
// give to whoever asks for any port, so that no other test gets it meanwhile.
func freePort(t *testing.T) (addr, port string) {
	t.Helper()
	for range 1000 {
		port = strconv.Itoa(10_000 + rand.IntN(20_000))
		addr = net.JoinHostPort("127.0.0.1", port)
		if ln, err := net.Listen("tcp", addr); err == nil {
			ln.Close()
			return addr, port
		}
	}
	t.Fatal("no free port")
	return "", ""
}

// archivedFIX are the messages of a sender in the archive, which must be sound.
func archivedFIX(t *testing.T, dir, sender string) (all []string) {
	t.Helper()
	rep, err := journal.Verify(dir, nil)
	if err != nil || rep.Verdict != journal.Clean {
		t.Fatalf("verify: %+v, %v", rep, err)
	}
	r, err := journal.OpenReader(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for rec, err := range r.All() {
		if err != nil {
			t.Fatal(err)
		}
		var h fixbuf.Header
		if rec.Kind == journal.KindData && h.Parse(rec.Payload) == nil && string(h.Sender) == sender {
			if out := rec.Flags&journal.FlagOutbound != 0; out != (sender == "SERVER") {
				t.Fatalf("%s: outbound is %v: %q", sender, out, rec.Payload)
			}
			all = append(all, string(rec.Payload))
		}
	}
	return all
}

func sameMessages(t *testing.T, who string, got, want []string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("%s: %d messages, the engine's log has %d; they differ from message %d on:\n%q\n%q",
				who, len(got), len(want), i, got[min(i, len(got)):min(i+1, len(got))], want[min(i, len(want)):min(i+1, len(want))])
		}
	}
}

// printed runs a command and gives what it prints.
func printed(t *testing.T, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if code := run(args, &stdout, &stderr); code != 0 {
		t.Fatalf("logbuf %s: %d\n%s", strings.Join(args, " "), code, stderr.String())
	}
	return stdout.String()
}

func fixSessions(t *testing.T, dir string) map[string]fixSenderJSON {
	t.Helper()
	var s fixSessionJSON
	if err := json.Unmarshal([]byte(printed(t, "fix", "sessions", dir, "--json")), &s); err != nil {
		t.Fatal(err)
	}
	if s.Session != "FIX.4.4:CLIENT-SERVER" {
		t.Fatalf("%+v", s)
	}
	return map[string]fixSenderJSON{s.Senders[0].CompID: s.Senders[0], s.Senders[1].CompID: s.Senders[1]}
}

// follow is what is durable of an archive now, or nothing when there is none.
func follow(t *testing.T, dir string) (all []string) {
	t.Helper()
	r, err := journal.OpenReader(dir, &journal.ReaderOptions{Durable: true})
	if err != nil {
		return nil
	}
	defer r.Close()
	for rec, err := range r.All() {
		if err != nil {
			return all
		}
		all = append(all, string(rec.Payload))
	}
	return all
}
