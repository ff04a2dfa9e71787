package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// A journal whose directory goes away under the service ends it: nobody gets an
// acknowledgement for what is not there, and it says why.
func TestJournalRemoved(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files that are open cannot be removed")
	}
	g := newRig(t)
	var log bytes.Buffer
	p, err := startProcess(&log, nil, "-dir", g.dir, "-feed", "1000")
	if err != nil {
		t.Fatal(err)
	}
	c, err := dial(p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if _, err := c.do("order 1 XYZ 1 1"); err != nil {
		t.Fatal(err)
	}
	for os.RemoveAll(g.journal()) != nil { // a file may be made meanwhile
	}
	if result, err := c.do("order 2 XYZ 1 1"); err == nil {
		t.Errorf("acknowledged as %q", result)
	}
	select {
	case <-p.done:
	case <-time.After(time.Minute):
		p.kill()
		t.Error("it does not end")
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(log.String(), "removed or renamed") && !strings.Contains(log.String(), "no such file") {
		t.Errorf("status %d: %s", code, log.Bytes())
	}
}

// A journal with damage in what was durable is no journal to start from: the
// service names the place and changes nothing.
func TestJournalDamaged(t *testing.T) {
	g := newRig(t)
	p := g.start(t, nil, "-feed", "20000", "-segment-size", "65536")
	done := g.trade(t, p.addr)
	for {
		if files, err := filepath.Glob(filepath.Join(g.journal(), "*.lbj")); err != nil || len(files) > 5 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	p.kill()
	done.Wait()
	g.check(t)
	files, err := filepath.Glob(filepath.Join(g.journal(), "*.lbj"))
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	b, err := os.ReadFile(files[2])
	if err == nil {
		b[len(b)/2] ^= 1
		err = os.WriteFile(files[2], b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		var log bytes.Buffer
		if p, err := startProcess(&log, nil, "-dir", g.dir, "-feed", "0"); err == nil {
			p.kill()
			t.Fatal("it has started")
		}
		if !strings.Contains(log.String(), filepath.Base(files[2])) || !strings.Contains(log.String(), "sequences") {
			t.Errorf("%s", log.Bytes())
		}
	}
}

// A hundred clients that send the same commands at once: each command counts
// once, and all of them get the same answer.
func TestTheSameFromMany(t *testing.T) {
	g := newRig(t)
	p := g.start(t, nil, "-feed", "0")
	const clients, commands = 100, 20
	var answers [clients][commands]string
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			c, err := dial(p.addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.close()
			for n := range commands {
				if answers[i][n], err = c.do(fmt.Sprintf("order %d XYZ 600 1", n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	p.kill()
	for i := range clients {
		for n, answer := range answers[i] {
			if want := map[bool]string{true: "filled", false: "rejected limit"}[n < 16]; answer != want {
				t.Fatalf("client %d: command %d is %q, want %q", i, n, answer, want)
			}
		}
	}
	for n := range commands {
		g.lines[fmt.Sprint(n)] = "sent"
		g.acked[fmt.Sprint(n)] = answers[0][n]
	}
	g.check(t)
}
