//go:build unix

package sdnotify

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"
)

// listen is the manager's end of the socket.
func listen(t *testing.T, name string) *net.UnixConn {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", name)
	return conn
}

func TestSend(t *testing.T) {
	names := map[string]string{"path": filepath.Join(t.TempDir(), "s")}
	if runtime.GOOS == "linux" {
		names["abstract"] = "@logbuf-test-" + strconv.Itoa(os.Getpid())
	}
	for kind, name := range names {
		t.Run(kind, func(t *testing.T) {
			manager := listen(t, name)
			n, err := Open()
			if err != nil {
				t.Fatal(err)
			}
			defer n.Close()
			n.Send(Ready, Status("two\nlines: %d", 2))
			buf := make([]byte, 1024)
			got, err := manager.Read(buf)
			if err != nil || string(buf[:got]) != "READY=1\nSTATUS=two" {
				t.Errorf("%q, %v", buf[:got], err)
			}
			manager.Close()
			n.Send(Stopping) // nobody hears it, and nobody minds
		})
	}
}

// A manager that does not read holds nobody up.
func TestSendToNobody(t *testing.T) {
	listen(t, filepath.Join(t.TempDir(), "s"))
	n, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	for range 20 { // each costs its deadline once the queue is full
		n.Send(string(make([]byte, 30_000)))
	}
}

func TestOpen(t *testing.T) {
	for _, tc := range []struct {
		name, socket string
		fails        bool
	}{
		{"no manager", "", false},
		{"another kind", "vsock:2:1234", true},
		{"gone", "/nonexistent/socket", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Setenv("NOTIFY_SOCKET", tc.socket)
			n, err := Open()
			if n != nil || (err != nil) != tc.fails {
				t.Errorf("%v, %v", n, err)
			}
			n.Send(Ready)
			n.Close()
			if n.Watchdog() != 0 {
				t.Error("a watchdog")
			}
		})
	}
}

func TestWatchdog(t *testing.T) {
	for _, tc := range []struct {
		name, usec, pid string
		want            time.Duration
	}{
		{"none", "", "", 0},
		{"ours", "3000000", strconv.Itoa(os.Getpid()), 1500 * time.Millisecond},
		{"anybody's", "3000000", "", 1500 * time.Millisecond},
		{"another's", "3000000", "1", 0},
		{"nonsense", "much", "", 0},
		{"negative", "-5", "", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			listen(t, filepath.Join(t.TempDir(), "s"))
			t.Setenv("WATCHDOG_USEC", tc.usec)
			t.Setenv("WATCHDOG_PID", tc.pid)
			n, err := Open()
			if err != nil {
				t.Fatal(err)
			}
			defer n.Close()
			if got := n.Watchdog(); got != tc.want {
				t.Errorf("%v, want %v", got, tc.want)
			}
		})
	}
}
