package monitor

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/capture"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a server on a free port that shows s once shown is called.
func serve(t *testing.T, b bounds, s *capture.Snapshot) (url string, srv *Server) {
	t.Helper()
	srv, err := listen("127.0.0.1:0", &journal.Options{}, b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	if s != nil {
		srv.Show(func() *capture.Snapshot { return s })
	}
	return "http://" + srv.Addr().String(), srv
}

func get(t *testing.T, url string) (code int, body string, header http.Header) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b), resp.Header
}

func TestPages(t *testing.T) {
	s := well()
	url, _ := serve(t, normal, s)
	for _, tc := range []struct {
		path string
		code int
		has  []string
	}{
		{"/", 200, []string{"/metrics", "/healthz", "/debug/vars"}},
		{"/healthz", 200, []string{"keeping up: 1 of 2 sources connected, 200 records recorded, 7 not durable yet (3ms)\n"}},
		{"/metrics", 200, []string{
			`logbuf_records_total{stream="btc"} 100`, `logbuf_source_up{stream="btc"} 1`, `logbuf_source_up{stream="eth"} 0`,
			`logbuf_source_connections_total{stream="btc"} 1`, "logbuf_keeping_up 1", "go_goroutines ", "logbuf_write_seconds_bucket",
		}},
		{"/debug/vars", 200, []string{`"logbuf": {`, `"UndurableRecords": 7`, `"State": "waiting"`}},
		{"/debug/pprof/", 404, nil},
		{"/nothing", 404, nil},
	} {
		t.Run(tc.path, func(t *testing.T) {
			code, body, _ := get(t, url+tc.path)
			if code != tc.code {
				t.Errorf("status %d, want %d", code, tc.code)
			}
			for _, want := range tc.has {
				if !strings.Contains(body, want) {
					t.Errorf("no %q in\n%s", want, body)
				}
			}
		})
	}
	resp, err := http.Post(url+"/healthz", "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: status %d", resp.StatusCode)
	}
}

// All reasons, one on each line, and the same verdict at /metrics.
func TestNotKeepingUp(t *testing.T) {
	s := well()
	s.Stats.Journal.FullSince = time.Now().Add(-time.Minute)
	s.Stats.Lag = time.Minute
	url, _ := serve(t, normal, s)
	code, body, header := get(t, url+"/healthz")
	if code != http.StatusServiceUnavailable || !strings.HasPrefix(header.Get("Content-Type"), "text/plain") {
		t.Errorf("status %d, %s", code, header.Get("Content-Type"))
	}
	lines := strings.Split(strings.TrimSuffix(body, "\n"), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "the disk has been full for 1m") || !strings.Contains(lines[1], "not durable yet, the oldest for 1m") {
		t.Errorf("reasons %q", lines)
	}
	if _, body, _ = get(t, url+"/metrics"); !strings.Contains(body, "\nlogbuf_keeping_up 0\n") {
		t.Error("/metrics says otherwise")
	}
}

func TestBeforeTheBeginning(t *testing.T) {
	url, _ := serve(t, normal, nil)
	if code, body, _ := get(t, url+"/healthz"); code != http.StatusServiceUnavailable || body != "the recording has not begun\n" {
		t.Errorf("/healthz: %d %q", code, body)
	}
	if code, body, _ := get(t, url+"/debug/vars"); code != http.StatusOK || !json.Valid([]byte(body)) {
		t.Errorf("/debug/vars: %d %q", code, body)
	}
	if code, _, _ := get(t, url+"/metrics"); code != http.StatusOK {
		t.Errorf("/metrics: %d", code)
	}
}

func TestMetricNames(t *testing.T) {
	_, srv := serve(t, normal, well())
	problems, err := testutil.GatherAndLint(srv.reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "logbuf_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// An address that is taken is an error at once.
func TestAddressTaken(t *testing.T) {
	url, _ := serve(t, normal, nil)
	if srv, err := Listen(strings.TrimPrefix(url, "http://"), &journal.Options{}); err == nil {
		srv.Close()
		t.Error("listens twice at one address")
	}
}

// Clients that send their request for ever, or none at all, are cut off, and
// meanwhile there are never more of them than allowed.
func TestSlowClients(t *testing.T) {
	url, _ := serve(t, bounds{conns: 2, read: 100 * time.Millisecond, write: time.Second, idle: 100 * time.Millisecond}, well())
	addr := strings.TrimPrefix(url, "http://")
	var all sync.WaitGroup
	for _, begin := range []string{"", "GET /metrics HTTP/1.1\r\nHost: x\r\nX: ", "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01 no HTTP\r\n\r\n"} {
		for range 3 {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, begin); err != nil {
				t.Fatal(err)
			}
			all.Go(func() {
				_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
				if _, err := io.Copy(io.Discard, conn); errors.Is(err, net.ErrClosed) || isTimeout(err) {
					t.Errorf("after %q the server keeps the connection: %v", begin, err)
				}
			})
		}
	}
	all.Wait()
	if code, _, _ := get(t, url+"/healthz"); code != http.StatusOK {
		t.Errorf("after them: status %d", code)
	}
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

// No more connections are accepted than allowed: the next one is served when
// one of them ends.
func TestConnectionLimit(t *testing.T) {
	url, _ := serve(t, bounds{conns: 1, read: time.Minute, write: time.Minute, idle: time.Minute}, well())
	addr := strings.TrimPrefix(url, "http://")
	first, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(c net.Conn) error {
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			return err
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err == nil {
			err = resp.Body.Close()
		}
		return err
	}
	if err := ask(first); err != nil {
		t.Fatal(err)
	}
	second, err := net.Dial("tcp", addr) // into the system's queue
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	_ = second.SetDeadline(time.Now().Add(50 * time.Millisecond))
	if err := ask(second); !isTimeout(err) {
		t.Errorf("a second connection: %v, want it to wait", err)
	}
	first.Close()
	third, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer third.Close()
	second.Close()
	if err := ask(third); err != nil {
		t.Errorf("once there is room: %v", err)
	}
}
