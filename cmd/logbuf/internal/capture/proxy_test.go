package capture

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/adapter/fixbuf"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/source"
	"github.com/nexus-logbuf/logbuf/internal/vfs"
	"github.com/nexus-logbuf/logbuf/journal"
)

// echo answers every byte with itself.
func echo(nc net.Conn) { io.Copy(nc, nc) }

// order is the i-th message of a FIX session, and a line if that is the frame.
func order(i int, frame source.Frame) string {
	m := fmt.Sprintf("35=D\x0149=A\x0156=B\x0134=%d\x0158=%s\x01", i, strings.Repeat("x", 100))
	m = fmt.Sprintf("8=FIX.4.4\x019=%d\x01%s", len(m), m)
	m = fmt.Sprintf("%s10=%03d\x01", m, fixbuf.Checksum([]byte(m)))
	if frame == source.Line {
		m += "\n"
	}
	return m
}

// A disk that fails or hangs holds up no connection that goes through the recorder: what
// cannot be recorded is forwarded all the same, and somebody is told.
func TestProxyOutlivesTheDisk(t *testing.T) {
	for _, tc := range []struct {
		name   string
		frame  source.Frame
		failed bool // the disk fails; otherwise it hangs
	}{
		{"fails, lines", source.Line, true},
		{"fails, fix", source.FIX, true},
		{"hangs, fix", source.FIX, false},
		{"hangs, raw", source.Raw, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			disk := vfs.NewFault(nil)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var mu sync.Mutex
			var warned strings.Builder
			listening, told := make(chan string, 1), make(chan struct{})
			cfg := &Config{Dir: t.TempDir(), Journal: journal.Options{FS: disk}, WatchEvery: time.Millisecond,
				Sources: sources(t, Source{Ring: 8 << 10, Options: source.Options{Frame: tc.frame}}, "tcp-proxy://127.0.0.1:0/"+serve(t, echo))}
			cfg.Warn = func(format string, args ...any) {
				mu.Lock()
				defer mu.Unlock()
				text := fmt.Sprintf(format, args...)
				fmt.Fprintln(&warned, text)
				if _, addr, ok := strings.Cut(text, "listening on "); ok {
					listening <- addr
				}
				if strings.Contains(text, "NOTHING IS RECORDED") {
					close(told) // once only, or it panics
				}
			}
			forwarded := make(chan struct{})
			ended := make(chan error, 1)
			go func() {
				_, err := Run(ctx, cfg)
				ended <- err
			}()
			nc, err := net.Dial("tcp", <-listening)
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			for i := 1; i <= 400; i++ {
				switch {
				case i == 20:
					disk.SetHook(func(_ int, op vfs.Op) vfs.Verdict {
						switch {
						case op.Kind != vfs.OpWrite && op.Kind != vfs.OpSync:
						case tc.failed:
							return vfs.Verdict{Err: syscall.EIO}
						default:
							<-forwarded
						}
						return vfs.Verdict{}
					})
				case i == 100 && tc.failed:
					<-told
				}
				m := order(i, tc.frame)
				if _, err := io.WriteString(nc, m); err != nil {
					t.Fatal(err)
				}
				got := make([]byte, len(m))
				if _, err := io.ReadFull(nc, got); err != nil || string(got) != m {
					t.Fatalf("message %d came back as %q, %v", i, got, err)
				}
			}
			close(forwarded)
			cancel()
			err = <-ended
			if (err != nil) != tc.failed {
				t.Errorf("Run: %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			if tc.failed != strings.Contains(warned.String(), "NOTHING IS RECORDED ANY MORE") {
				t.Errorf("said: %s", warned.String())
			}
		})
	}
}
