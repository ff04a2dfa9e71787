package main

import (
	"bytes"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/capture"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/source"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// runRecord runs record in this process.
func runRecord(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(append([]string{"record"}, args...), &out, &errs)
	return code, out.String(), errs.String()
}

// A handshake with everything: TLS with a private root, headers, a subprotocol,
// subscriptions, given by flags or in a file; and none of the secrets on stderr
// or in the archive.
func TestRecordHandshake(t *testing.T) {
	var seen http.Header
	var got []string
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"v2"}})
		if err != nil {
			return
		}
		defer c.CloseNow()
		seen = r.Header
		got = []string{c.Subprotocol(), r.Host, r.URL.Query().Get("listen")}
		for range 2 {
			_, b, err := c.Read(r.Context())
			if err != nil {
				return
			}
			got = append(got, string(b))
		}
		c.Write(r.Context(), websocket.MessageText, []byte("welcome"))
		c.Close(websocket.StatusNormalClosure, "")
	}))
	defer srv.Close()
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ca := write("ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))
	headers := write("headers", []byte("# the key\nX-Key: secret one\nHost: feed.example\n"))
	message := write("message", []byte("secret subscription\n"))
	t.Setenv("FEED_AUTH", "Bearer secret two")
	t.Setenv("FEED_KEY", "secret & three")
	t.Setenv("FEED_DIR", dir)
	url := "wss" + strings.TrimPrefix(srv.URL, "https") + "/v1?listen="
	file := write("file.yaml", []byte(`
dir: ${env:FEED_DIR}/by-file
defaults: {ca-file: '${env:FEED_DIR}/ca.pem', subprotocol: [v1, v2]}
sources:
  - url: `+url+`${env:FEED_KEY}
    header-file: `+headers+`
    headers: {Authorization: '${env:FEED_AUTH}'}
    subscribe: ['{"op":1}', '${file:`+message+`}']
`))
	for name, args := range map[string][]string{
		"by-flags": {url + "secret+%26+three", "--dir", filepath.Join(dir, "by-flags"), "--ca-file", ca, "--header-file", headers,
			"--header-env", "Authorization=FEED_AUTH", "--subprotocol", "v1", "--subprotocol", "v2", "--subscribe", `{"op":1}`, "--subscribe", "@" + message},
		"by-file": {"--config", file},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := runRecord(append(args, "--json")...)
			if code != 0 {
				t.Fatalf("exit code %d:\n%s", code, stderr)
			}
			if seen.Get("X-Key") != "secret one" || seen.Get("Authorization") != "Bearer secret two" {
				t.Errorf("headers %v", seen)
			}
			if s := strings.Join(got, "|"); s != `v2|feed.example|secret & three|{"op":1}|secret subscription` {
				t.Errorf("the server saw %s", s)
			}
			files, err := filepath.Glob(filepath.Join(dir, name, "*.lbj"))
			if err != nil || len(files) == 0 {
				t.Fatal(files, err)
			}
			for _, f := range files {
				if b, err := os.ReadFile(f); err != nil || bytes.Contains(b, []byte("secret")) {
					t.Errorf("%s holds a secret, or: %v", f, err)
				}
			}
			if strings.Contains(stdout+stderr, "secret") {
				t.Errorf("a secret was printed:\n%s%s", stdout, stderr)
			}
		})
	}
	if code, _, stderr := runRecord(url, "--dir", filepath.Join(dir, "out2")); code != 1 || !strings.Contains(stderr, "certificate") {
		t.Errorf("without --ca-file: exit code %d:\n%s", code, stderr)
	}
}

// A feed that compresses, recorded in each way, and read back with cat.
func TestRecordDeflate(t *testing.T) {
	message := strings.Repeat("all the same words ", 20)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionContextTakeover, CompressionThreshold: 1})
		if err != nil {
			return
		}
		for range 3 {
			c.Write(r.Context(), websocket.MessageText, []byte(message))
		}
		c.Close(websocket.StatusNormalClosure, "")
	}))
	defer srv.Close()
	for _, tc := range []struct {
		deflate        string
		packed, shaken int
	}{{"off", 0, 0}, {"raw", 3, 1}, {"inflate", 0, 1}} {
		t.Run(tc.deflate, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "day1")
			if code, _, stderr := runRecord("ws"+strings.TrimPrefix(srv.URL, "http"), "--dir", dir, "--deflate", tc.deflate); code != 0 {
				t.Fatalf("code %d: %s", code, stderr)
			}
			var frames, messages bytes.Buffer
			if code := run([]string{"cat", dir}, &frames, &frames) + run([]string{"cat", dir, "--messages"}, &messages, &messages); code != 0 {
				t.Fatalf("%s%s", &frames, &messages)
			}
			if n := strings.Count(frames.String(), "<text~"); n != tc.packed {
				t.Errorf("%d compressed frames:\n%s", n, &frames)
			}
			if n := strings.Count(frames.String(), "<handshake "); n != tc.shaken {
				t.Errorf("%d handshakes:\n%s", n, &frames)
			}
			if n := strings.Count(messages.String(), strings.TrimSpace(message)); n != 3 {
				t.Errorf("%d messages:\n%s", n, &messages)
			}
		})
	}
}

// What a server sends beyond --max-frame is counted, with a report that says so;
// that is no failure.
func TestRecordTooLarge(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		for _, n := range []int{10, 5000, 20} {
			c.Write(r.Context(), websocket.MessageBinary, make([]byte, n))
		}
		c.Close(websocket.StatusNormalClosure, "")
	}))
	defer srv.Close()
	dir := t.TempDir()
	code, out, stderr := runRecord("x=ws"+strings.TrimPrefix(srv.URL, "http"), "--dir", dir, "--max-frame", "4KiB", "--json", "--outbound")
	if code != 0 || !strings.Contains(out, `"lost": 1`) || !strings.Contains(out, `"lost_bytes": 5000`) || !strings.Contains(out, `"records": 4`) || !strings.Contains(out, `"too large": 1`) {
		t.Errorf("exit code %d:\n%s%s", code, out, stderr)
	}
	if !strings.Contains(stderr, "lost: 1 record (4.9 KiB; too large 1)") {
		t.Errorf("stderr:\n%s", stderr)
	}
}

// A server that refuses is quoted.
func TestRecordRefused(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "your key has expired", http.StatusForbidden)
	}))
	defer srv.Close()
	code, _, stderr := runRecord("x=ws"+strings.TrimPrefix(srv.URL, "http")+"/p?key=secret", "--dir", t.TempDir())
	if code != 1 || !strings.Contains(stderr, "403 Forbidden instead of opening a WebSocket: your key has expired") || strings.Contains(stderr, "secret") {
		t.Errorf("exit code %d:\n%s", code, stderr)
	}
}

func TestRecordView(t *testing.T) {
	snapshot := func(at time.Duration, records, bytes, lost uint64) *capture.Snapshot {
		return &capture.Snapshot{
			Elapsed: at,
			Stats: recorder.Stats{Lag: 3 * time.Millisecond, Streams: []recorder.StreamStats{{ProducerStats: recorder.ProducerStats{
				Records: records, Bytes: bytes, Lost: lost, LaneCapacity: 1000, LaneHighWater: 250,
			}}}},
			Sources: []source.Status{{State: source.Live}, {State: source.Waiting}},
		}
	}
	var out bytes.Buffer
	v := &recordView{line: cli.NewStatus(&out), lines: true, dir: "day1"}
	v.show(snapshot(100*time.Millisecond, 100, 1024, 0))
	v.show(snapshot(500*time.Millisecond, 300, 2048, 0)) // too soon for another line
	v.show(snapshot(1100*time.Millisecond, 1100, 1024*1025, 7))
	s := snapshot(2100*time.Millisecond, 1100, 1024*1025, 7)
	s.Draining = true
	s.Stats.Streams[0].StalledFor = 4 * time.Second
	v.show(s)
	want := `recording 2 sources into day1; Ctrl-C ends it
100ms  1k/s  10 KiB/s  dropped 0  ring high 25%  lag 3ms  100 records  1.0 KiB  1 of 2 not connected
1.1s  1k/s  1.0 MiB/s  dropped 7  ring high 25%  lag 3ms  1,100 records  1.0 MiB  1 of 2 not connected
2.1s  0/s  0 B/s  dropped 7  ring high 25%  lag 3ms  1,100 records  1.0 MiB  1 of 2 not connected  a claim stalls for 4s  draining
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
	out.Reset()
	quiet := &recordView{line: cli.NewStatus(&out), dir: "day1"}
	quiet.show(snapshot(time.Second, 1, 1, 0))
	if out.String() != "recording 2 sources into day1; Ctrl-C ends it\n" {
		t.Errorf("no terminal and no --status: %q", out.String())
	}
}

func TestPrintRecordReport(t *testing.T) {
	r := &capture.Report{
		Dir: "day1", Elapsed: 2 * time.Second, Records: 2000, Bytes: 1 << 20, Lost: 3, LostBytes: 30, Gaps: 1, FileBytes: 2 << 20, Segments: 1,
		MaxLag: 12 * time.Millisecond, NotWritten: 5, Abandoned: 4,
		LostBy: capture.Losses{journal.LossWrite: 1, journal.LossOverload: 2},
		Streams: []capture.Stream{
			{Name: "a", Records: 1500, Bytes: 1 << 19, Ring: 1000, HighWater: 500, Connections: 2, Gaps: 1},
			{Name: "long name", Records: 500, Bytes: 1 << 19, Lost: 3, Ring: 1000, HighWater: 1000, Connections: 1},
		},
	}
	var out bytes.Buffer
	printRecordReport(&out, r)
	want := `recorded 2,000 records, 1.0 MiB in 2s (1k/s, 512 KiB/s) into day1
STREAM     RECORDS  BYTES    LOST  GAPS  RING HIGH  CONNECTIONS
a          1,500    512 KiB  0     1     50%        2
long name  500      512 KiB  3     0     100%       1
lost: 3 records (30 B; overload 2, write error 1) and 1 gap of unknown size; the archive says which, as far as it could be written
how large a ring would have held it: logbuf stat day1 --sizing
claims that were open for too long, and passed: 4
wrote 2.0 MiB in 1 segment; longest wait until durable 12ms
NOT WRITTEN: 5 records that had come
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}
