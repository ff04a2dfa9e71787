//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/capture"
	"github.com/nexus-logbuf/logbuf/journal"
)

// pipeLines is a pipe that lines are written to until its reader is gone, or end is called, which waits for the writer. first is closed when
// so many have been taken that most of them must be in the archive or on their way.
func pipeLines(t *testing.T) (pr *os.File, first <-chan struct{}, end func() (written int)) {
	t.Helper()
	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	started, stop, done := make(chan struct{}), make(chan struct{}), make(chan int)
	go func() {
		defer pw.Close()
		n := 0
		defer func() { done <- n }()
		for ; ; n++ {
			if n == 3000 { // 200 KiB: more than a pipe holds
				close(started)
			}
			select {
			case <-stop:
				return
			default:
			}
			if _, err := pw.WriteString(fullLine(n)); err != nil {
				return
			}
			if n%64 == 63 {
				time.Sleep(time.Millisecond)
			}
		}
	}()
	return pr, started, func() int { close(stop); return <-done }
}

// linesIn checks that an archive is not corrupt and begins with the lines of pipeLines, without a gap, and counts them.
func linesIn(t *testing.T, dir string) (n int) {
	t.Helper()
	rep, err := journal.Verify(dir, nil)
	if err != nil || rep.Verdict != journal.Clean && rep.Verdict != journal.Torn {
		t.Fatalf("verify: %+v, %v", rep, err)
	}
	r, err := journal.OpenReader(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for rec, err := range r.All() {
		if err != nil {
			t.Fatal(err)
		}
		if want := fullLine(n); string(rec.Payload) != want && !strings.HasPrefix(want, string(rec.Payload)) {
			t.Fatalf("line %d is %.40q, want %.40q", n, rec.Payload, want)
		}
		n++
	}
	return n
}

func reportOf(t *testing.T, p *process) *capture.Report {
	t.Helper()
	rep := &capture.Report{}
	if err := json.Unmarshal(p.stdout.Bytes(), rep); err != nil {
		t.Fatalf("%v; stdout: %s", err, p.stdout.String())
	}
	return rep
}

// The archive cannot be written any more, or is not there any more: the recording ends with 1 by itself, says why and what was durable, on
// stderr and in its report; and what is left is whole.
func TestArchiveFails(t *testing.T) {
	for _, tc := range []struct {
		name string
		how  func(t *testing.T, dir, hang string)
		left string   // where what is left is; empty: nothing is
		want []string // on stderr
	}{
		{name: "directory removed", want: []string{"not in its directory any more", "were durable, wherever that file is now"}, how: func(t *testing.T, dir, _ string) {
			for os.RemoveAll(dir) != nil { // the recording may make a file meanwhile
			}
		}},
		{name: "directory renamed", left: "moved", want: []string{"not in its directory any more", "were durable, wherever that file is now"}, how: func(t *testing.T, dir, _ string) {
			if err := os.Rename(dir, filepath.Join(filepath.Dir(dir), "moved")); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "disk unmounted", want: []string{"not in its directory any more"}, how: func(t *testing.T, dir, _ string) {
			if err := unix.Unmount(filepath.Dir(dir), unix.MNT_DETACH); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "disk fails", left: "archive", want: []string{"input/output error", "are durable"}, how: func(t *testing.T, _, hang string) {
			if err := os.WriteFile(hang+".new", []byte("fail"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(hang+".new", hang); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			disk := t.TempDir()
			if tc.name == "disk unmounted" {
				if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=64m"); err != nil {
					t.Skipf("this machine does not let a test mount a disk: %v", err)
				}
			}
			dir, hang := filepath.Join(disk, "archive"), filepath.Join(t.TempDir(), "hang")
			in, first, end := pipeLines(t)
			p := startReading(t, in, []string{hangVariable + "=" + hang}, "record", "-", "--dir", dir, "--json")
			in.Close()
			<-first
			waitDurable(t, dir)
			tc.how(t, dir, hang)
			code := p.exit(t)
			written := end()
			if code != 1 {
				t.Errorf("exit code %d, want 1", code)
			}
			for _, want := range append(tc.want, "sequence") {
				if !strings.Contains(p.errors(), want) {
					t.Errorf("stderr without %q:\n%s", want, p.errors())
				}
			}
			rep := reportOf(t, p)
			if rep.Error == "" || rep.Interrupted || rep.DurableSeq == 0 || rep.DurableSeq > rep.NextSeq {
				t.Errorf("report %+v", rep)
			}
			if tc.left == "" {
				return
			}
			if n := linesIn(t, filepath.Join(disk, tc.left)); uint64(n) < rep.DurableSeq || n > written {
				t.Errorf("%d lines are left, %d were durable, %d were written", n, rep.DurableSeq, written)
			}
		})
	}
}

// Nobody reads what the recording prints: it records all the same, and ends with 0.
func TestOutputsAreGone(t *testing.T) {
	for _, tc := range []struct {
		name   string
		redir  string // of a shell
		reader bool   // there was one, and it is gone
	}{
		{"stdout closed", ">&-", false},
		{"stderr closed", "2>&-", false},
		{"both closed", ">&- 2>&-", false},
		{"stdout's reader is gone", "", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "archive")
			cmd := shell(t, `exec "$0" record - --dir "$1" --status --json `+tc.redir, dir)
			cmd.Stdin = strings.NewReader("one\ntwo\n")
			if tc.reader {
				pr, pw, err := os.Pipe()
				if err != nil {
					t.Fatal(err)
				}
				pr.Close()
				cmd.Stdout, cmd.Stderr = pw, pw
				defer pw.Close()
			}
			if err := cmd.Run(); err != nil {
				t.Error(err)
			}
			if got := digests(t, dir)["stdin"]; len(got) != 2 {
				t.Errorf("%d records", len(got))
			}
		})
	}
}

// Standard input that is closed is empty; sources that are none of it go on.
func TestStdinClosed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "archive")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		if c, err := ln.Accept(); err == nil {
			io.WriteString(c, "one\ntwo\n")
			c.Close()
		}
	}()
	out, err := shell(t, `exec "$0" record - tcp=tcp://`+ln.Addr().String()+` --dir "$1" <&-`, dir).CombinedOutput()
	if err != nil {
		t.Errorf("%v:\n%s", err, out)
	}
	if got := digests(t, dir); len(got["tcp"]) != 2 || len(got["stdin"]) != 0 {
		t.Errorf("%v", got)
	}
}

// A terminal that goes ends the recording in good order.
func TestTerminalGoes(t *testing.T) {
	master, slave, err := terminal()
	if err != nil {
		t.Skipf("no pseudo-terminal here: %v", err)
	}
	needHangup(t)
	dir := filepath.Join(t.TempDir(), "archive")
	in, first, end := pipeLines(t)
	p := prepare(t, nil, "record", "-", "--dir", dir)
	p.Stdin, p.Stdout, p.Stderr = in, slave, slave
	p.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 1}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	slave.Close()
	screen := bufio.NewReader(master)
	if line, err := screen.ReadString('\n'); err != nil || !strings.Contains(line, "recording 1 source") {
		t.Fatalf("on the terminal: %q, %v", line, err)
	}
	go io.Copy(io.Discard, screen)
	<-first
	master.Close()
	code := p.exit(t)
	written := end()
	if code != 0 {
		t.Errorf("exit code %d (%v), want 0", code, p.ProcessState)
	}
	rep, err := journal.Verify(dir, nil)
	if err != nil || rep.Verdict != journal.Clean {
		t.Errorf("verify: %+v, %v", rep, err)
	}
	if n := linesIn(t, dir); n < 1000 || n > written {
		t.Errorf("%d lines of %d", n, written)
	}
}

// needHangup skips a test whose programs would begin with SIGHUP ignored, as this one has.
func needHangup(t *testing.T) {
	if signal.Ignored(syscall.SIGHUP) {
		t.Skip("under nohup")
	}
}

// terminal makes a pseudo-terminal.
func terminal() (master, slave *os.File, err error) {
	master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	fd := int(master.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	err = errors.Join(err, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	if err == nil {
		slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		master.Close()
		return nil, nil, err
	}
	return master, slave, nil
}

// SIGHUP, and once more as shells send it: the end is a good one. Under nohup it is none.
func TestHangup(t *testing.T) {
	t.Run("twice", func(t *testing.T) {
		needHangup(t)
		dir := filepath.Join(t.TempDir(), "archive")
		in, first, end := pipeLines(t)
		p := startReading(t, in, nil, "record", "-", "--dir", dir, "--json")
		in.Close()
		p.waitFor(t, "recording 1 source")
		<-first
		p.Process.Signal(syscall.SIGHUP)
		p.Process.Signal(syscall.SIGHUP)
		code := p.exit(t)
		end()
		rep := reportOf(t, p)
		if code != 0 || !rep.Interrupted || rep.NotWritten != 0 || rep.DurableSeq != rep.NextSeq {
			t.Errorf("exit code %d, report %+v", code, rep)
		}
		if n := linesIn(t, dir); uint64(n) != rep.Records {
			t.Errorf("%d lines are in the archive, %d were reported", n, rep.Records)
		}
	})
	t.Run("nohup", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "archive")
		pr, pw, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		p := prepare(t, nil)
		p.Args = []string{"sh", "-c", `trap "" HUP; exec "$0" record - --dir "$1"`, p.Path, dir}
		p.Path, p.Stdin = "/bin/sh", pr
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		pr.Close()
		p.waitFor(t, "recording 1 source")
		p.Process.Signal(syscall.SIGHUP)
		pw.WriteString("after it\n")
		pw.Close()
		if code := p.exit(t); code != 0 || strings.Contains(p.errors(), "stopping") {
			t.Errorf("exit code %d:\n%s", code, p.errors())
		}
		if got := digests(t, dir)["stdin"]; len(got) != 1 {
			t.Errorf("%d records", len(got))
		}
	})
}

// systemd is what a service sees of it: a socket.
type systemd struct {
	t    *testing.T
	name string
	conn *net.UnixConn
}

func newSystemd(t *testing.T) *systemd {
	t.Helper()
	name := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetReadDeadline(time.Now().Add(time.Minute))
	return &systemd{t, name, conn}
}

// hears is the next datagram.
func (s *systemd) hears() string {
	s.t.Helper()
	buf := make([]byte, 4096)
	n, err := s.conn.Read(buf)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(buf[:n])
}

// hearsLast reads until there is one that begins with prefix.
func (s *systemd) hearsLast(prefix string) (got string) {
	s.t.Helper()
	for !strings.HasPrefix(got, prefix) {
		got = s.hears()
	}
	return got
}

// systemd hears when a recording is ready, that it is alive, that it stops, and how it ended.
func TestSystemd(t *testing.T) {
	manager := newSystemd(t)
	dir := filepath.Join(t.TempDir(), "archive")
	in, _, end := pipeLines(t)
	p := startReading(t, in, []string{"NOTIFY_SOCKET=" + manager.name, "WATCHDOG_USEC=400000"}, "record", "-", "--dir", dir)
	in.Close()
	if got := manager.hears(); got != "READY=1\nSTATUS=recording 1 source into "+dir {
		t.Errorf("first: %q", got)
	}
	for range 3 {
		if got := manager.hears(); got != "WATCHDOG=1" {
			t.Errorf("then: %q", got)
		}
	}
	p.Process.Signal(syscall.SIGTERM)
	manager.hearsLast("STOPPING=1\nSTATUS=recorded") // perhaps behind one that says that it is about to
	code := p.exit(t)
	end()
	if code != 0 {
		t.Errorf("exit code %d:\n%s", code, p.errors())
	}
}

// A disk that hangs does not make a recording look dead: killing it would lose what waits in the rings.
func TestSystemdWhileTheDiskHangs(t *testing.T) {
	manager := newSystemd(t)
	dir, hang := filepath.Join(t.TempDir(), "archive"), filepath.Join(t.TempDir(), "hang")
	in, first, end := pipeLines(t)
	p := startReading(t, in, []string{"NOTIFY_SOCKET=" + manager.name, "WATCHDOG_USEC=200000", hangVariable + "=" + hang}, "record", "-", "--dir", dir)
	in.Close()
	manager.hearsLast("READY=1")
	<-first
	if err := os.WriteFile(hang, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		manager.hearsLast("WATCHDOG=1")
	}
	p.Process.Signal(os.Interrupt)
	p.waitFor(t, "once more stops at once")
	p.Process.Signal(os.Interrupt)
	last := manager.hearsLast("STOPPING=1\nSTATUS=" + dir)
	code := p.exit(t)
	end()
	if code != 1 || !strings.Contains(last, "not written") {
		t.Errorf("exit code %d, told %q", code, last)
	}
}

// systemd hears why a recording failed; and one that cannot tell it goes on.
func TestSystemdHearsErrors(t *testing.T) {
	manager := newSystemd(t)
	dir := filepath.Join(t.TempDir(), "archive")
	p := start(t, []string{"NOTIFY_SOCKET=" + manager.name}, "record", "tcp://127.0.0.1:1", "--dir", dir)
	last := manager.hearsLast("STOPPING=1\n")
	if code := p.exit(t); code != 1 || !strings.Contains(last, "STATUS=tcp://127.0.0.1:1: dial tcp") {
		t.Errorf("exit code %d, told %q", code, last)
	}
	p = start(t, []string{"NOTIFY_SOCKET=" + manager.name + ".gone"}, "record", "-", "--dir", dir)
	if code := p.exit(t); code != 0 || !strings.Contains(p.errors(), "systemd is told nothing") {
		t.Errorf("without a socket: exit code %d:\n%s", code, p.errors())
	}
}
