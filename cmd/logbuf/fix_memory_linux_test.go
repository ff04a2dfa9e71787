package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/nexus-logbuf/logbuf/adapter/fixbuf"
	"github.com/nexus-logbuf/logbuf/internal/invariants"
	"github.com/nexus-logbuf/logbuf/journal"
)

// 500 sessions at once, over 500 connections, fit in 128 MiB: all of the process, with every
// lane and every read buffer in use. Each message is in the archive.
func TestFIXSessionsFitInMemory(t *testing.T) {
	const sessions, rounds, limit = 500, 20, 128 << 10 // KiB
	dir := filepath.Join(t.TempDir(), "archive")
	rec := start(t, nil, "record", "--frame", "fix", "--dir", dir, "--overload", "wait", "tcp-listen://127.0.0.1:0")
	rec.waitFor(t, "listening on ")
	_, addr, _ := strings.Cut(rec.errors(), "listening on ")
	addr, _, _ = strings.Cut(addr, "\n")
	var all sync.WaitGroup
	for i := range sessions {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		all.Go(func() {
			d := newFIXDouble(t, nc, fmt.Sprintf("C%03d", i), "EXCHANGE", 1)
			for range rounds {
				d.send("B", "58="+strings.Repeat("x", fixbuf.DefaultMaxMessage-200)+"|")
			}
			nc.(*net.TCPConn).CloseWrite()
			io.Copy(io.Discard, nc)
		})
	}
	all.Wait()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", rec.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(status), "VmHWM:")
	var peak int
	fmt.Sscan(text, &peak)
	t.Logf("%d sessions: %d KiB at most", sessions, peak)
	if peak == 0 || peak > limit && !invariants.Enabled {
		t.Errorf("%d KiB at most, want %d", peak, limit)
	}
	rec.Process.Signal(syscall.SIGTERM)
	if code := rec.exit(t); code != 0 {
		t.Fatalf("record: %d\n%s", code, rec.errors())
	}
	rep, err := journal.Verify(dir, nil)
	if err != nil || rep.Verdict != journal.Clean || rep.Records != sessions*rounds || len(rep.Streams) != sessions {
		t.Errorf("%+v, %v\n%s", rep, err, rec.errors())
	}
}
