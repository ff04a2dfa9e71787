package main

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/feed"
	"github.com/nexus-logbuf/logbuf/journal"
)

// runDemo runs a short demo with something done to it between recording and
// checking.
func runDemo(t *testing.T, tamper func(dir string, ledgers []*feed.Ledger)) (stdout string, err error) {
	t.Helper()
	d := &demo{dir: filepath.Join(t.TempDir(), "out"), rate: 4000, frames: 100, duration: cli.Duration(time.Hour), seed: 3, tamper: tamper}
	cmd := newDemoCmd()
	var out, errs bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	cmd.SetContext(t.Context())
	err = d.run(cmd)
	return out.String(), err
}

// rewrite makes the archive anew, whole and with right checksums, with each data
// record changed as told; a false result leaves it out.
func rewrite(t *testing.T, dir string, change func(n int, rec *journal.Record) bool) {
	t.Helper()
	r, err := journal.OpenReader(dir, &journal.ReaderOptions{Control: true})
	if err != nil {
		t.Fatal(err)
	}
	to := dir + ".new"
	w, err := journal.Open(to, nil)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for rec, err := range r.All() {
		if err != nil {
			t.Fatal(err)
		}
		switch rec.Kind {
		case journal.KindStream:
			_, err = w.DefineStream(r.StreamName(rec.Stream))
		case journal.KindData:
			rec.Payload = bytes.Clone(rec.Payload)
			if change(n, &rec) {
				_, err = w.Append(rec)
			}
			n++
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	r.Close()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(to, dir); err != nil {
		t.Fatal(err)
	}
}

func segmentsOf(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.lbj"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no segments in %s: %v", dir, err)
	}
	return files
}

func TestDemo(t *testing.T) {
	for _, tc := range []struct {
		name   string
		tamper func(t *testing.T, dir string, ledgers []*feed.Ledger)
		err    string // empty: the demo must succeed
	}{
		{"as it is", func(*testing.T, string, []*feed.Ledger) {}, ""},
		{"written anew as it was", func(t *testing.T, dir string, _ []*feed.Ledger) {
			rewrite(t, dir, func(int, *journal.Record) bool { return true })
		}, ""},
		{"one byte of the archive differs, and the checksums agree with it", func(t *testing.T, dir string, _ []*feed.Ledger) {
			rewrite(t, dir, func(n int, rec *journal.Record) bool {
				if n == 100 && len(rec.Payload) > 0 {
					rec.Payload[len(rec.Payload)-1] ^= 1
				} else if n == 100 {
					rec.Flags ^= journal.FlagFinal
				}
				return true
			})
		}, "is not what the feed sent"},
		{"one frame is missing", func(t *testing.T, dir string, _ []*feed.Ledger) {
			rewrite(t, dir, func(n int, _ *journal.Record) bool { return n != 50 })
		}, "is not what the feed sent"},
		{"two frames more", func(t *testing.T, dir string, _ []*feed.Ledger) {
			w, err := journal.Open(dir, nil)
			if err != nil {
				t.Fatal(err)
			}
			id, err := w.DefineStream("BTC-USD")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Append(journal.Record{Kind: journal.KindData, Stream: id, Flags: 0x11, Payload: []byte("more")}); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
		}, "one more"},
		{"one digest differs", func(_ *testing.T, _ string, ledgers []*feed.Ledger) { ledgers[2].Sent[7].Sum ^= 1 }, "frame 7"},
		{"the feed sent one frame more", func(_ *testing.T, _ string, ledgers []*feed.Ledger) {
			l := ledgers[1]
			l.Sent = append(l.Sent, feed.DigestOf(1, true, []byte("lost")))
		}, "1 frames are missing at the end"},
		{"one bit of the file flips", func(t *testing.T, dir string, _ []*feed.Ledger) {
			file := segmentsOf(t, dir)[0]
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			b[len(b)/2] ^= 0x10
			if err := os.WriteFile(file, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "right after it was written"},
		{"the file is cut", func(t *testing.T, dir string, _ []*feed.Ledger) {
			file := segmentsOf(t, dir)[0]
			st, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(file, st.Size()/2); err != nil {
				t.Fatal(err)
			}
		}, "right after it was written"},
		{"the file is gone", func(t *testing.T, dir string, _ []*feed.Ledger) {
			for _, f := range segmentsOf(t, dir) {
				if err := os.Remove(f); err != nil {
					t.Fatal(err)
				}
			}
		}, dirMark},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var dir string
			out, err := runDemo(t, func(d string, ledgers []*feed.Ledger) {
				dir = d
				tc.tamper(t, d, ledgers)
			})
			want := strings.ReplaceAll(tc.err, dirMark, dir)
			if tc.err == "" {
				if err != nil || !strings.Contains(out, "none missing, none different") {
					t.Errorf("%v\n%s", err, out)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), want) || cli.ExitCode(err) != cli.ExitFailed || out != "" {
				t.Errorf("error %v (exit %d), want %q and exit 1; stdout %q", err, cli.ExitCode(err), want, out)
			}
		})
	}
}

const dirMark = "DIR"

// Ctrl-C ends the recording early, and what there is by then is checked.
func TestDemoInterrupted(t *testing.T) {
	d := &demo{dir: t.TempDir(), rate: 1000, duration: cli.Duration(time.Hour), seed: 1}
	cmd := newDemoCmd()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&bytes.Buffer{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd.SetContext(ctx)
	ended := make(chan error, 1)
	go func() { ended <- d.run(cmd) }()
	for !recordsAll(d.dir) {
		select {
		case err := <-ended:
			t.Fatalf("the demo has ended by itself: %v", err)
		case <-time.After(time.Millisecond): // between two looks
		}
	}
	cancel()
	if err := <-ended; err != nil || !strings.Contains(out.String(), "none missing") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// recordsAll reports whether there are frames of all symbols of the demo in its archive.
func recordsAll(dir string) bool {
	r, err := journal.OpenReader(dir, nil)
	if err != nil {
		return false // there is none yet
	}
	defer r.Close()
	seen := map[uint16]bool{}
	for rec, err := range r.All() {
		if err != nil {
			return false
		}
		seen[rec.Stream] = true
	}
	return len(seen) == len(demoSymbols)
}

func TestDemoMakesADirectoryOfItsOwn(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv("TMP", os.Getenv("TMPDIR"))
	d := &demo{}
	if err := d.makeDir(); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(d.dir); err != nil || !st.IsDir() || !strings.HasPrefix(filepath.Base(d.dir), "logbuf-demo-") {
		t.Errorf("%s: %v", d.dir, err)
	}
	d.dir = filepath.Join(t.TempDir(), "a", "b")
	if err := d.makeDir(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(d.dir); !os.IsNotExist(err) && err != fs.ErrNotExist {
		t.Errorf("%v", err)
	}
}

func TestShellWord(t *testing.T) {
	for in, want := range map[string]string{
		"/tmp/logbuf-demo-1": "/tmp/logbuf-demo-1", "with space": "'with space'", "it's": `'it'\''s'`, "$HOME": "'$HOME'", "": "''", "-x": "./-x", `a\b`: `'a\b'`, "a!b": "'a!b'",
	} {
		if got := shellWord(in); got != want {
			t.Errorf("shellWord(%q) = %s, want %s", in, got, want)
		}
	}
}
