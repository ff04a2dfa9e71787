// Package sdnotify tells systemd how a service is: the datagrams of
// sd_notify(3), sent to the socket that $NOTIFY_SOCKET names.
package sdnotify

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// States that a service tells.
const (
	Ready    = "READY=1"
	Stopping = "STOPPING=1"
	Watchdog = "WATCHDOG=1"
)

// Notifier sends states. A nil Notifier sends nothing, so that nobody need ask
// whether systemd is there. Any goroutine may call its methods.
type Notifier struct {
	conn     *net.UnixConn
	watchdog time.Duration
}

// Open connects to the socket of the service manager that started this process;
// nil when there is none.
func Open() (*Notifier, error) {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil, nil
	}
	if name[0] != '/' && name[0] != '@' {
		return nil, fmt.Errorf("$NOTIFY_SOCKET is %q: only paths and abstract sockets (@…) are supported", name)
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("$NOTIFY_SOCKET: %w", err)
	}
	return &Notifier{conn: conn, watchdog: watchdog()}, nil
}

// watchdog is WatchdogSec= of the unit, 0 when there is none or it is for
// another process.
func watchdog() time.Duration {
	if pid := os.Getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || usec < 0 {
		return 0
	}
	return time.Duration(usec) * time.Microsecond
}

// Watchdog is how often the service should send Watchdog: half of what the unit
// allows. 0: never.
func (n *Notifier) Watchdog() time.Duration {
	if n == nil {
		return 0
	}
	return n.watchdog / 2
}

// Send sends states in one datagram. Errors are dropped: the manager is gone, or
// its queue is full, and nothing that the service does depends on it.
func (n *Notifier) Send(states ...string) {
	if n == nil {
		return
	}
	// A manager that does not read must not hold up the service.
	_ = n.conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	_, _ = n.conn.Write([]byte(strings.Join(states, "\n")))
}

// Status is the state that `systemctl status` shows: the first line of a text.
func Status(format string, args ...any) string {
	line, _, _ := strings.Cut(fmt.Sprintf(format, args...), "\n")
	return "STATUS=" + line
}

// Close ends the connection.
func (n *Notifier) Close() {
	if n != nil {
		n.conn.Close()
	}
}
