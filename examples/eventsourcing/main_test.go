package main

import (
	"context"
	"log"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/nexus-logbuf/logbuf/journal"
)

// dieEnv is "STEP N": a service dies in the Nth of these steps of writing
// snapshots, from 1.
const dieEnv = "EVENTSOURCING_DIE"

// TestMain lets this binary be the service that the tests start and kill.
func TestMain(m *testing.M) {
	if os.Getenv(childEnv) == "" {
		os.Exit(m.Run())
	}
	if at := os.Getenv(dieEnv); at != "" {
		i := strings.LastIndexByte(at, ' ')
		n, err := strconv.Atoi(at[i+1:])
		if err != nil {
			log.Fatal(err)
		}
		snapshotStep = func(step string) {
			if step != at[:i] {
				return
			}
			if n--; n == 0 {
				self, err := os.FindProcess(os.Getpid())
				if err == nil {
					err = self.Kill()
				}
				if err != nil {
					log.Fatal(err)
				}
				select {}
			}
		}
	}
	if err := run(os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

func TestDemo(t *testing.T) {
	if err := demo(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestSend(t *testing.T) {
	g := newRig(t)
	p := g.start(t, nil, "-feed", "0")
	cmd := exec.Command(os.Args[0], "-send", p.addr, "order 1 ABC 5 10", "order 1 ABC 5 10", "order 2 ABC 5", "status 1", "status 2", strings.Repeat("x", 300))
	cmd.Env = append(os.Environ(), childEnv+"=1")
	out, err := cmd.Output()
	want := "ack 1 filled\nack 1 filled\nerr order takes 4 words, not 3\nknown 1 filled\nunknown 2\nerr a line of more than 256 bytes\n"
	if err != nil || string(out) != want {
		t.Errorf("%v: %s", err, out)
	}
	if code := p.interrupt(); code != 0 {
		t.Errorf("interrupted, it ends with status %d", code)
	}
	if rep, err := journal.Verify(g.journal(), nil); err != nil || rep.Verdict != journal.Clean || !rep.Sealed {
		t.Errorf("%+v, %v", rep, err)
	}
}
