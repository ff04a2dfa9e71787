package main

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/nexus-logbuf/logbuf/journal"
)

// The program prints what its feed has sent, all of it is in the archive,
// compressed as it came, and no secret of the URL's is.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	out := capture(t, func() error { return run(t.Context(), dir, 1500) })
	for _, want := range []string{
		"the program's last price: 60097.99\n", `received text    "{\"type\":\"trade\",\"symbol\":\"BTC-USD\",\"id\":0,`, `sent text        "{\"op\":\"subscribe\"`,
		"  1500 × received text", "     1 × sent text", "     1 × received ping", "     1 × sent pong", "     1 × received close", "     1 × sent close",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	compressed := 0
	r, err := journal.OpenReader(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for rec, err := range r.All() {
		if err != nil {
			t.Fatal(err)
		}
		if rec.Flags&journal.FlagCompressed != 0 {
			compressed++
		}
		if bytes.Contains(rec.Payload, []byte("secret")) {
			t.Errorf("record %d has a secret of the request's: %q", rec.Seq, rec.Payload)
		}
	}
	if compressed < 1500 {
		t.Errorf("%d compressed frames", compressed)
	}
}

// capture returns what f prints to standard output.
func capture(t *testing.T, f func() error) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	old := os.Stdout
	os.Stdout = w
	defer func() { os.Stdout = old }()
	text := make(chan string)
	go func() {
		b, _ := io.ReadAll(r)
		text <- string(b)
	}()
	err = f()
	w.Close()
	if err != nil {
		t.Error(err)
	}
	return <-text
}
