package capture

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/source"
	"github.com/nexus-logbuf/logbuf/journal"
)

// panicVariable makes a test process record into a directory until a source's
// goroutine panics.
const panicVariable = "LOGBUF_TEST_PANIC"

// A defect that makes a source panic ends the program, with what all sources had
// recorded in the archive, and the archive in good order.
func TestSourcePanics(t *testing.T) {
	if dir := os.Getenv(panicVariable); dir != "" {
		recordUntilPanic(t, dir)
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestSourcePanics$")
	cmd.Env = append(os.Environ(), panicVariable+"="+dir, "GORACE=atexit_sleep_ms=0")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "panic: a: ") || !strings.Contains(string(out), "(*Source).Run") {
		t.Fatalf("%v:\n%s", err, out)
	}
	rep, err := journal.Verify(dir, nil)
	if err != nil || rep.Verdict != journal.Clean || !rep.Sealed || rep.Records < 1000 {
		t.Errorf("%+v, %v", rep, err)
	}
}

// recordUntilPanic records 1000 lines of a peer that then goes, of which Warn is
// told.
func recordUntilPanic(t *testing.T, dir string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pr, pw := io.Pipe()
	defer pw.Close()
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		io.WriteString(pw, "a line\n")
		for i := range 1000 {
			fmt.Fprintln(c, i)
		}
		c.Close()
	}()
	how := Source{Options: source.Options{Reconnect: source.Always, Stdin: pr}}
	cfg := &Config{Dir: dir, Sources: sources(t, how, "a=tcp://"+ln.Addr().String(), "-")}
	cfg.Warn = func(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
	_, err = Run(context.Background(), cfg)
	t.Fatalf("no panic: %v", err)
}
