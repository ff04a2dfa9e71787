//go:build linux

package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

var servedAt = regexp.MustCompile(`metrics and health at (http://[^/]+)/`)

// metricsAt is where a process says that it serves its counters.
func metricsAt(t *testing.T, p *process) string {
	t.Helper()
	p.waitFor(t, "metrics and health at")
	return servedAt.FindStringSubmatch(p.errors())[1]
}

func fetch(t *testing.T, url string) (code int, body string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// until fetches until what has come is as it should be.
func until(t *testing.T, url, what string, ok func(code int, body string) bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		code, body := fetch(t, url)
		if ok(code, body) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not %s after a minute: %d\n%s", url, what, code, body)
		}
	}
}

// value is that of a metric as it is scraped; −1 when it is not there.
func value(text, metric string) float64 {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, metric+" "); ok {
			if v, err := strconv.ParseFloat(strings.TrimSpace(rest), 64); err == nil {
				return v
			}
		}
	}
	return -1
}

// fillUp takes what is left of a disk with a file.
func fillUp(t *testing.T, dir string) (free func()) {
	t.Helper()
	name := filepath.Join(dir, "rest")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for page := make([]byte, 4096); err == nil; {
		_, err = f.Write(page)
	}
	return func() {
		if err := os.Remove(name); err != nil {
			t.Error(err)
		}
	}
}

// A recording is watched while it lives through a full disk: the counters grow,
// /healthz turns and turns back, and nothing is lost.
func TestMetricsOfARecording(t *testing.T) {
	disk, _ := smallDisk(t, 16<<20, 1<<20)
	dir := filepath.Join(disk, "archive")
	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pw.Close()
	p := startReading(t, pr, nil, "record", "in=-", "--dir", dir, "--ring", "64KiB", "--metrics", "127.0.0.1:0")
	pr.Close()
	url := metricsAt(t, p)
	lines := 0
	write := func(n int) {
		t.Helper()
		for range n {
			if _, err := pw.WriteString(fullLine(lines)); err != nil {
				t.Fatal(err)
			}
			lines++
		}
	}
	records := `logbuf_records_total{stream="in"}`
	for range 3 {
		write(1000)
		until(t, url+"/metrics", fmt.Sprintf("%s %d", records, lines), func(_ int, body string) bool { return value(body, records) == float64(lines) })
	}
	until(t, url+"/healthz", "healthy", func(code int, body string) bool {
		return code == 200 && strings.Contains(body, "3,000 records recorded")
	})
	_, before := fetch(t, url+"/metrics")
	for metric, least := range map[string]float64{
		`logbuf_keeping_up`: 1, `logbuf_source_up{stream="in"}`: 1, `logbuf_ring_capacity_bytes{stream="in"}`: 64 << 10,
		`logbuf_archive_bytes_total`: 3000 * 50, `logbuf_batch_records_sum`: 3000, `logbuf_write_seconds_count`: 1, `logbuf_disk_size_bytes`: 16 << 20,
		`go_goroutines`: 1, `process_open_fds`: 1,
	} {
		if v := value(before, metric); v < least {
			t.Errorf("%s is %v, want at least %v", metric, v, least)
		}
	}

	free := fillUp(t, disk)
	go func() { // held up, as the pipe is, while the disk is full
		for i := range 5000 {
			if _, err := pw.WriteString(fullLine(3000 + i)); err != nil {
				return
			}
		}
	}()
	until(t, url+"/healthz", "unhealthy", func(code int, body string) bool {
		return code == http.StatusServiceUnavailable && strings.Contains(body, "the disk has been full for")
	})
	_, full := fetch(t, url+"/metrics")
	if value(full, "logbuf_disk_full") != 1 || value(full, "logbuf_keeping_up") != 0 || value(full, "logbuf_full_writes_total") < 1 {
		t.Errorf("on a full disk: full %v, keeping up %v, %v writes", value(full, "logbuf_disk_full"), value(full, "logbuf_keeping_up"), value(full, "logbuf_full_writes_total"))
	}
	free()
	until(t, url+"/healthz", "healthy again", func(code int, body string) bool {
		return code == 200 && strings.Contains(body, "8,000 records recorded")
	})
	pw.Close()
	if code := p.exit(t); code != 0 {
		t.Fatalf("exit code %d; stderr:\n%s", code, p.errors())
	}
	if got, lost := archived(t, dir); got != 8000 || lost != 0 {
		t.Errorf("%d lines in the archive and %d lost, want 8000 and none", got, lost)
	}
	if _, err := http.Get(url); err == nil {
		t.Error("somebody still serves there")
	}
}

// An address that cannot be had is an error before anything is made.
func TestMetricsAddressTaken(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, tc := range []struct {
		addr, want string
		code       int
	}{
		{ln.Addr().String(), "address already in use", 1},
		{"9464", "must be HOST:PORT", 64},
		{"127.0.0.1:", "must be HOST:PORT", 64},
	} {
		dir := filepath.Join(t.TempDir(), "archive")
		p := start(t, nil, "record", "-", "--dir", dir, "--metrics", tc.addr)
		if code := p.exit(t); code != tc.code || !strings.Contains(p.errors(), tc.want) {
			t.Errorf("%s: exit code %d, want %d and %q; stderr:\n%s", tc.addr, code, tc.code, tc.want, p.errors())
		}
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("%s: there is an archive: %v", tc.addr, err)
		}
	}
}
