//go:build !windows

package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/feed"
	"github.com/nexus-logbuf/logbuf/internal/vfs"
	"github.com/nexus-logbuf/logbuf/journal"
)

// hangVariable names a file in the environment of a test's logbuf: while it
// exists, writes to the archive hang; or they fail, or are slow, if that is what
// the file says.
const hangVariable = "LOGBUF_TEST_HANG"

func init() {
	file := os.Getenv(hangVariable)
	if file == "" {
		return
	}
	disk := vfs.NewFault(nil)
	disk.SetHook(func(_ int, op vfs.Op) vfs.Verdict {
		how, err := os.ReadFile(file)
		switch {
		case err != nil || op.Kind != vfs.OpWrite:
			return vfs.Verdict{}
		case string(how) == "fail":
			return vfs.Verdict{Err: syscall.EIO}
		case string(how) == "slow":
			return vfs.Verdict{Delay: 30 * time.Millisecond}
		}
		return vfs.Verdict{Delay: time.Hour}
	})
	testFS = disk
}

// process is logbuf running: this test binary under that name, so that what runs
// is main.
type process struct {
	*exec.Cmd
	mu     sync.Mutex
	stderr bytes.Buffer
	stdout bytes.Buffer
	out    atomic.Int64 // bytes in stdout
}

// collect is an io.Writer made of a function.
type collect func(b []byte) (int, error)

func (c collect) Write(b []byte) (int, error) { return c(b) }

// printed tells how much has come on stdout.
func (p *process) printed() int { return int(p.out.Load()) }

// Write collects stderr.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.Write(b)
}

func (p *process) errors() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.String()
}

func start(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	return startReading(t, nil, env, args...)
}

func startReading(t *testing.T, stdin *os.File, env []string, args ...string) *process {
	t.Helper()
	p := prepare(t, env, args...)
	if stdin != nil {
		p.Stdin = stdin
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// prepare makes a process that is not started yet.
func prepare(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "logbuf")
	if err := os.Symlink(self, name); err != nil {
		t.Fatal(err)
	}
	p := &process{Cmd: exec.Command(name, args...)}
	p.Env = append(append(os.Environ(), "GORACE=atexit_sleep_ms=0"), env...)
	p.Stderr = p
	p.Stdout = collect(func(b []byte) (int, error) {
		defer p.out.Add(int64(len(b)))
		return p.stdout.Write(b)
	})
	t.Cleanup(func() {
		if p.Process != nil {
			p.Process.Kill()
		}
	})
	return p
}

// shell runs a script of sh that has this test binary, named logbuf, as $0, and
// args from $1 on.
func shell(t *testing.T, script string, args ...string) *exec.Cmd {
	t.Helper()
	p := prepare(t, nil)
	cmd := exec.Command("sh", append([]string{"-c", script, p.Path}, args...)...)
	cmd.Env = p.Env
	return cmd
}

func (p *process) waitFor(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !strings.Contains(p.errors(), text); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %q after a minute; stderr:\n%s", text, p.errors())
		}
	}
}

// exit waits for the end and returns the code.
func (p *process) exit(t *testing.T) int {
	t.Helper()
	timer := time.AfterFunc(time.Minute, func() { p.Process.Kill() })
	defer timer.Stop()
	p.Wait()
	return p.ProcessState.ExitCode()
}

// waitDurable waits until something in an archive is durable.
func waitDurable(t *testing.T, dir string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		r, err := journal.OpenReader(dir, &journal.ReaderOptions{End: true, Durable: true})
		if err == nil {
			n := r.NextSeq()
			r.Close()
			if n > 0 {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("nothing is durable after a minute: %v", err)
		}
	}
}

func startFeed(t *testing.T, opts *feed.Options) (srv *feed.Server, url string, stop func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv = feed.NewServer(opts)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		srv.Serve(ctx, ln)
		close(done)
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return srv, "ws://" + ln.Addr().String(), stop
}

func sentAtLeast(t *testing.T, srv *feed.Server, n uint64) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); srv.Stats().Frames < n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the feed has sent %d frames in a minute", srv.Stats().Frames)
		}
	}
}

// One signal: everything that the feed sent before it answered our close frame
// is in the archive, which is sealed.
func TestSignalOnce(t *testing.T) {
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			srv, url, stop := startFeed(t, &feed.Options{Seed: 1, Rate: 3000, Ledger: true})
			dir := t.TempDir()
			p := start(t, nil, "record", "A="+url+"/A", "B="+url+"/B", "--dir", dir, "--overload", "wait", "--json")
			p.waitFor(t, "recording 2 sources")
			sentAtLeast(t, srv, 500)
			p.Process.Signal(sig)
			if code := p.exit(t); code != 0 {
				t.Fatalf("exit code %d; stderr:\n%s", code, p.errors())
			}
			for _, want := range []string{"stopping: writing what has come", "recorded "} {
				if !strings.Contains(p.errors(), want) {
					t.Errorf("stderr without %q:\n%s", want, p.errors())
				}
			}
			if !strings.Contains(p.stdout.String(), `"interrupted": true`) {
				t.Errorf("stdout: %s", p.stdout.String())
			}
			stop()
			rep, err := journal.Verify(dir, nil)
			if err != nil || rep.Verdict != journal.Clean {
				t.Fatalf("verify: %+v, %v", rep, err)
			}
			got := digests(t, dir)
			for _, l := range srv.Ledgers() {
				if l.Err != nil || !l.Clean {
					t.Errorf("%s: no clean close: %v", l.Symbol, l.Err)
				}
				sameDigests(t, l.Symbol, got[l.Symbol], l.Sent)
			}
		})
	}
}

func digests(t *testing.T, dir string) map[string][]feed.Digest {
	t.Helper()
	r, err := journal.OpenReader(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	out := map[string][]feed.Digest{}
	for rec, err := range r.All() {
		if err != nil {
			t.Fatal(err)
		}
		name := r.StreamName(rec.Stream)
		out[name] = append(out[name], feed.DigestOf(ws.OpCode(rec.Flags&journal.FlagSourceMask), rec.Flags&journal.FlagFinal != 0, rec.Payload))
	}
	return out
}

func sameDigests(t *testing.T, name string, got, want []feed.Digest) {
	t.Helper()
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Fatalf("%s: frame %d is %v, sent was %v", name, i, got[i], want[i])
		}
	}
	if len(got) != len(want) || len(got) == 0 {
		t.Fatalf("%s: %d frames in the archive, %d were sent", name, len(got), len(want))
	}
}

// Two signals, with a disk that hangs: the process ends, says what that cost,
// and what it had said to be durable is there.
func TestSignalTwice(t *testing.T) {
	srv, url, _ := startFeed(t, &feed.Options{Seed: 1, Rate: 5000})
	dir, hang := t.TempDir(), filepath.Join(t.TempDir(), "hang")
	p := start(t, []string{hangVariable + "=" + hang}, "record", url+"/A", "--dir", dir, "--json")
	p.waitFor(t, "recording 1 source")
	sentAtLeast(t, srv, 500)
	waitDurable(t, dir)
	if err := os.WriteFile(hang, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	sentAtLeast(t, srv, srv.Stats().Frames+500)
	p.Process.Signal(os.Interrupt)
	p.waitFor(t, "once more stops at once")
	time.Sleep(50 * time.Millisecond) // it must not end by itself
	if p.ProcessState != nil || p.Process.Signal(syscall.Signal(0)) != nil {
		t.Fatal("the process ended after one signal, with records that are not written")
	}
	p.Process.Signal(os.Interrupt)
	if code := p.exit(t); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	for _, want := range []string{"NOT WRITTEN: ", "not written: ", "durable"} {
		if !strings.Contains(p.errors(), want) {
			t.Errorf("stderr without %q:\n%s", want, p.errors())
		}
	}
	if !strings.Contains(p.stdout.String(), `"not_written": `) || strings.Contains(p.stdout.String(), `"not_written": 0,`) {
		t.Errorf("stdout: %s", p.stdout.String())
	}
	if rep, err := journal.Verify(dir, nil); err != nil || rep.Verdict == journal.Corrupt || rep.Records == 0 {
		t.Errorf("verify: %+v, %v", rep, err)
	}
}

// A pipe whose writer lives on, and Ctrl-C: what had come is recorded.
func TestSignalWhileReadingAPipe(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pw.Close()
	p := startReading(t, pr, nil, "record", "-", "--dir", dir)
	pr.Close()
	if _, err := pw.WriteString("one\ntwo\nhalf"); err != nil {
		t.Fatal(err)
	}
	p.waitFor(t, "recording 1 source")
	waitDurable(t, dir) // it has read all three
	p.Process.Signal(os.Interrupt)
	if code := p.exit(t); code != 0 {
		t.Fatalf("exit code %d; stderr:\n%s", code, p.errors())
	}
	if got := digests(t, dir)["stdin"]; len(got) != 3 || got[2].Final() {
		t.Errorf("records %v, want two lines and half a line that is not final", got)
	}
}
