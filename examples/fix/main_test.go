package main

import (
	"strings"
	"testing"

	"github.com/nexus-logbuf/logbuf/journal"
)

func TestRun(t *testing.T) {
	dir := t.TempDir()
	var out strings.Builder
	if err := run(&out, dir, 50); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"gap: SELLER has sent no MsgSeqNum 22\n",
		"FIX.4.4:BUYER-SELLER: 52 messages received, 52 sent, 0 wrong checksums, 0 lost by the recording\n",
		"  BUYER  MsgSeqNum 1 to 52, 0 missing, gaps: 0\n",
		"  SELLER MsgSeqNum 1 to 53, 1 missing, gaps: 1\n",
		"|34=20|", "|34=21|", "|34=23|",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if n := strings.Count(out.String(), "\nrecord "); n != 3 {
		t.Errorf("found %d messages, want 3", n)
	}
	if rep, err := journal.Verify(dir, nil); err != nil || rep.Verdict != journal.Clean || rep.Records != 104 {
		t.Errorf("verify: %+v, %v", rep, err)
	}
}

// Without a directory nothing is left behind.
func TestTemporary(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var out strings.Builder
	if err := run(&out, "", 30); err != nil {
		t.Fatal(err)
	}
}
