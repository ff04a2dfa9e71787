package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
)

// A service that is killed in any step of writing a snapshot leaves what the
// next one can start from, and at most one file that is no snapshot.
func TestKilledInASnapshot(t *testing.T) {
	g := newRig(t)
	for _, step := range []string{"created", "written 0", "written 1", "written 2", "synced", "renamed", "cursor saved", "removed"} {
		p, err := startProcess(os.Stderr, []string{dieEnv + "=" + step + " 3"},
			"-dir", g.dir, "-feed", "20000", "-snapshot-every", "100", "-segment-size", "65536", "-keep", "65536")
		if err == nil { // otherwise it has died while it caught up
			done := g.trade(t, p.addr)
			select {
			case <-p.done:
			case <-time.After(time.Minute):
				t.Fatalf("step %q was not reached", step)
			}
			done.Wait()
		}
		if g.check(t); t.Failed() {
			t.Fatalf("killed in step %q", step)
		}
	}
	if left, err := filepath.Glob(filepath.Join(g.dir, "snapshots", "*.bad")); err != nil || len(left) > 0 {
		t.Errorf("snapshots were passed over: %q, %v", left, err)
	}
}

// shot is a directory of a service that has ended, with two snapshots, and what
// its state is.
func shot(t *testing.T, every, keep string) (g *rig, shots []string) {
	t.Helper()
	g = newRig(t)
	p := g.start(t, []string{dieEnv + "=removed 3"}, "-feed", "40000", "-snapshot-every", every, "-segment-size", "65536", "-keep", keep)
	done := g.trade(t, p.addr)
	<-p.done
	done.Wait()
	shots, err := snapshots(filepath.Join(g.dir, "snapshots"))
	if err != nil || len(shots) != 2 {
		t.Fatalf("snapshots %q, %v", shots, err)
	}
	return g, shots
}

// harm is ways in which a snapshot's file can be wrong.
var harm = map[string]func(b []byte) []byte{
	"empty":        func([]byte) []byte { return nil },
	"cut":          func(b []byte) []byte { return b[:len(b)/2] },
	"one bit":      func(b []byte) []byte { b = bytes.Clone(b); b[len(b)*2/3] ^= 4; return b },
	"zeros":        func(b []byte) []byte { return make([]byte, len(b)) },
	"longer":       func(b []byte) []byte { return append(bytes.Clone(b), '\n') },
	"another seq":  func(b []byte) []byte { return bytes.Replace(b, []byte("shot 1 "), []byte("shot 1 1"), 1) },
	"another head": func(b []byte) []byte { return bytes.Replace(b, []byte("shot 1"), []byte("shot 2"), 1) },
}

// A snapshot that is damaged is passed over, named, and set aside: the one
// before it, or the whole journal, gives the same state.
func TestDamagedSnapshots(t *testing.T) {
	g, shots := shot(t, "500", "0")
	for name, damage := range harm {
		for n := 1; n <= len(shots); n++ { // the newest, or both
			had := make([][]byte, n)
			for i, path := range shots[:n] {
				b, err := os.ReadFile(path)
				if err == nil {
					had[i], err = b, os.WriteFile(path, damage(b), 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if g.check(t); t.Failed() {
				t.Fatalf("%s: %d", name, n)
			}
			for i, path := range shots[:n] {
				if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("%s: it is still there: %v", name, err)
				}
				if err := errors.Join(os.Remove(path+".bad"), os.WriteFile(path, had[i], 0o600)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// Where the journal was trimmed, one snapshot must be whole; the service says so
// and does not begin with less. A snapshot of another journal is refused.
func TestNothingToStartFrom(t *testing.T) {
	g, shots := shot(t, "3000", "65536")
	begin := func() (said string) {
		var log bytes.Buffer
		p, err := startProcess(&log, nil, "-dir", g.dir, "-feed", "0")
		if err == nil {
			p.kill()
		}
		return log.String()
	}
	if err := g.cursor.Remove(); err != nil {
		t.Fatal(err)
	}
	if gone, err := journal.Trim(g.journal(), &journal.TrimOptions{Retention: journal.Retention{MaxSegments: 1}}); err != nil && !errors.Is(err, journal.ErrHeld) || len(gone) == 0 {
		t.Fatalf("%d segments trimmed, %v", len(gone), err)
	}
	for i, want := range []string{"", "a snapshot is missing"} {
		if err := os.Truncate(shots[i], 10); err != nil {
			t.Fatal(err)
		}
		if said := begin(); !strings.Contains(said, "snapshot passed over: ") || !strings.Contains(said, want) {
			t.Errorf("%d snapshots are damaged: %s", i+1, said)
		}
	}
	s := newState()
	s.Seq = 1 << 40
	b, err := s.encode()
	if err == nil {
		err = writeSnapshot(filepath.Join(g.dir, "snapshots"), s.Seq, 1, b)
	}
	if err != nil {
		t.Fatal(err)
	}
	if said := begin(); !strings.Contains(said, "another journal") || !strings.Contains(said, fmt.Sprint(s.Seq)) {
		t.Errorf("a snapshot that the journal does not reach: %s", said)
	}
}
