//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
)

// The advice, put to the test: a ring that a slow disk makes overflow, and the
// ring that --sizing then asks for, with the same disk and the same input.
func TestSizingOfARealOverload(t *testing.T) {
	slow := filepath.Join(t.TempDir(), "slow")
	if err := os.WriteFile(slow, []byte("slow"), 0o600); err != nil {
		t.Fatal(err)
	}
	const lines = 5000
	last := make(chan struct{})
	close(last)
	record := func(dir, ring string) (lost uint64) {
		in, _ := feedLines(t, lines, last)
		defer in.Close()
		p := startReading(t, in, []string{hangVariable + "=" + slow}, "record", "-", "--dir", dir, "--overload", "drop", "--ring", ring, "--json")
		if code := p.exit(t); code != 0 {
			t.Fatalf("exit code %d:\n%s", code, p.errors())
		}
		rep := reportOf(t, p)
		if rep.Records+rep.Lost != lines {
			t.Errorf("%d records and %d lost, %d were offered", rep.Records, rep.Lost, lines)
		}
		return rep.Lost
	}
	dir := t.TempDir()
	lost := record(filepath.Join(dir, "small"), "16KiB")
	if lost == 0 {
		t.Skip("the disk was not slow enough for a ring of 16 KiB to overflow")
	}
	var out, errs bytes.Buffer
	if code := run([]string{"stat", filepath.Join(dir, "small"), "--sizing", "--stall", "1m", "--json"}, &out, &errs); code != 0 {
		t.Fatal(errs.String())
	}
	var rep sizingReport
	if err := json.Unmarshal(out.Bytes(), &rep); err != nil {
		t.Fatal(err)
	}
	s := rep.Streams[0]
	if s.LostRecords != lost || s.Records+lost != lines || s.TooMuch {
		t.Errorf("%+v, %d were lost", s, lost)
	}
	if again := record(filepath.Join(dir, "advised"), cli.Size(s.Ring).String()); again != 0 {
		t.Errorf("%d lost with a ring of %d, %d with one of 16 KiB; %+v", again, s.Ring, lost, s)
	}
	t.Logf("16 KiB lost %d of %d; %v lost none", lost, lines, cli.Size(s.Ring))
}
