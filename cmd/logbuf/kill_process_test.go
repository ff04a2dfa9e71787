//go:build !windows

package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
)

// kills is how many recordings TestKilled kills: a few, or 200 where LOGBUF_SOAK is set.
func kills() int {
	if os.Getenv("LOGBUF_SOAK") != "" {
		return 200
	}
	return 8
}

// killLine is line i of recording k, of a length that differs from line to line.
func killLine(k, i int) string {
	return fmt.Sprintf("%d %d %s", k, i, strings.Repeat(string(rune('a'+(k+i)%26)), (k*7919+i*104729)%900))
}

// TestKilled kills `logbuf record` at random moments, over and over, with one archive, small segments, and other processes that follow it and
// that try to write to it as well. After each kill the archive is whole but for a torn tail, and has every recording's lines from the first on
// without a gap. What those who followed have printed is at the end what the archive holds, byte for byte.
func TestKilled(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("LOGBUF_SOAK_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("LOGBUF_SOAK_SEED=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	dir := filepath.Join(t.TempDir(), "archive")
	var followers []*process
	torn, total := 0, 0
	var had []string // the archive after the recording before
	for k := range kills() {
		policy := []string{"batch", "interval", "none"}[rng.IntN(3)]
		p, ended := recordLines(t, dir, k, policy)
		if k == 0 {
			for _, durable := range []string{"--durable=false", "--durable"} {
				followers = append(followers, start(t, nil, "tail", dir, "-f", "--from-seq", "0", "--format", "raw", durable))
			}
		}
		if rng.IntN(4) == 0 {
			second := start(t, nil, "record", "-", "--dir", dir)
			if code := second.exit(t); code != 1 || !strings.Contains(second.errors(), "another writer has this archive open") {
				t.Fatalf("kill %d: a second writer ends with %d:\n%s", k, code, second.errors())
			}
		}
		time.Sleep(time.Duration(rng.Int64N(int64(40 * time.Millisecond))))
		p.Process.Kill()
		p.exit(t)
		ended()
		rep, err := journal.Verify(dir, nil)
		if err != nil || rep.Verdict == journal.Corrupt {
			t.Fatalf("kill %d (%s): %+v, %v", k, policy, rep, err)
		}
		if rep.Verdict == journal.Torn {
			torn++
		}
		had = checkKilled(t, dir, k, had)
		total = len(had)
	}
	last, ended := recordLines(t, dir, kills(), "interval")
	time.Sleep(50 * time.Millisecond)
	last.Process.Signal(os.Interrupt)
	if code := last.exit(t); code != 0 {
		t.Fatalf("the last recording ends with %d:\n%s", code, last.errors())
	}
	ended()
	if rep, err := journal.Verify(dir, nil); err != nil || rep.Verdict != journal.Clean {
		t.Fatalf("at the end: %+v, %v", rep, err)
	}
	want := []byte(strings.Join(checkKilled(t, dir, kills(), had), ""))
	for i, f := range followers {
		followedAll(t, f, want, i == 1)
	}
	t.Logf("%d recordings killed, %d left a torn tail, %d lines", kills(), torn, total)
}

// recordLines starts `logbuf record -` and writes lines to it until it is gone. ended waits for the writer of the lines.
func recordLines(t *testing.T, dir string, k int, policy string) (p *process, ended func()) {
	t.Helper()
	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p = startReading(t, pr, nil, "record", "-", "--dir", dir, "--sync", policy, "--segment-size", "64KiB")
	pr.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer pw.Close()
		for i := 0; ; i++ {
			if _, err := pw.WriteString(killLine(k, i) + "\n"); err != nil {
				return // it is gone
			}
			if i%32 == 31 {
				time.Sleep(time.Millisecond)
			}
		}
	}()
	p.waitFor(t, "recording 1 source")
	return p, func() { <-done }
}

// checkKilled reads the archive: it begins with what was there before, and goes on with lines of recording k from the first on. The last one
// may be cut where the recording was interrupted.
func checkKilled(t *testing.T, dir string, k int, had []string) []string {
	t.Helper()
	r, err := journal.OpenReader(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got := make([]string, 0, len(had))
	for rec, err := range r.All() {
		if err != nil {
			t.Fatalf("recording %d: %v", k, err)
		}
		if rec.Seq != uint64(len(got)) {
			t.Fatalf("recording %d: sequence %d follows %d", k, rec.Seq, len(got)-1)
		}
		got = append(got, string(rec.Payload))
	}
	if len(got) < len(had) {
		t.Fatalf("recording %d: %d lines, %d were there before", k, len(got), len(had))
	}
	for i := range had {
		if got[i] != had[i] {
			t.Fatalf("recording %d: line %d of the archive was %.40q and is %.40q", k, i, had[i], got[i])
		}
	}
	for i, line := range got[len(had):] {
		want := killLine(k, i) + "\n"
		if line != want && !(len(had)+i == len(got)-1 && strings.HasPrefix(want, line)) {
			t.Fatalf("recording %d: line %d is %.60q, want %.60q", k, i, line, want)
		}
	}
	return got
}

// followedAll waits until a follower has printed as much as the archive holds, and compares.
func followedAll(t *testing.T, f *process, want []byte, durable bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); f.printed() < len(want) && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
	}
	f.Process.Signal(os.Interrupt)
	if code := f.exit(t); code != 0 {
		t.Errorf("follower (durable %v) ends with %d:\n%s", durable, code, f.errors())
	}
	if got := f.stdout.Bytes(); !bytes.Equal(got, want) {
		at := 0
		for at < min(len(got), len(want)) && got[at] == want[at] {
			at++
		}
		t.Errorf("follower (durable %v) printed %d bytes, the archive has %d; the first difference is at %d\nprinted %.80q\narchive %.80q\n%s",
			durable, len(got), len(want), at, got[at:], want[at:], f.errors())
	}
}
