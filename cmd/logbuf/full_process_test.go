//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nexus-logbuf/logbuf/journal"
)

// smallDisk mounts a disk of a few MiB with a file on it that takes up part of it. free removes that file.
func smallDisk(t *testing.T, size, taken int64) (dir string, free func()) {
	t.Helper()
	dir = t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Skipf("this machine does not let a test mount a small disk: %v; TestFileSizeLimit runs all the same", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, taken), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, func() {
		if err := os.Remove(ballast); err != nil {
			t.Error(err)
		}
	}
}

// feedLines writes n lines to a pipe, as fast as they are taken, and closes it. The last one comes only when last is closed. all is closed
// when the others have been taken, or the reader is gone.
func feedLines(t *testing.T, n int, last <-chan struct{}) (in *os.File, all <-chan struct{}) {
	t.Helper()
	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	taken := make(chan struct{})
	go func() {
		defer pw.Close()
		tell := sync.OnceFunc(func() { close(taken) })
		defer tell()
		for i := range n {
			if i == n-1 {
				tell()
				<-last
			}
			if _, err := pw.WriteString(fullLine(i)); err != nil {
				return // the reader is gone
			}
		}
	}()
	return pr, taken
}

func fullLine(i int) string { return fmt.Sprintf("%d %s\n", i, strings.Repeat("x", 40)) }

// archived reads the lines of an archive and checks them; those missing must be missing at the end, or be declared by loss records.
func archived(t *testing.T, dir string) (lines, lost int) {
	t.Helper()
	rep, err := journal.Verify(dir, nil)
	if err != nil || rep.Verdict != journal.Clean {
		t.Fatalf("verify: %+v, %v", rep, err)
	}
	r, err := journal.OpenReader(dir, &journal.ReaderOptions{Control: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for rec, err := range r.All() {
		switch {
		case err != nil:
			t.Fatal(err)
		case rec.Kind == journal.KindLoss:
			l, err := journal.ParseLoss(rec.Payload)
			if err != nil || l.First != uint64(lines+lost) {
				t.Fatalf("loss %+v, %v: want it to begin with %d", l, err, lines+lost)
			}
			lost += int(l.Records)
		case rec.Kind == journal.KindData:
			if want := fullLine(lines + lost); string(rec.Payload) != want {
				t.Fatalf("line %d is %.40q, want %.40q", lines, rec.Payload, want)
			}
			lines++
		}
	}
	return lines, lost
}

// A disk that is full, and is given space again: a source that can wait loses nothing, one that cannot loses what did not fit the ring, and the
// archive says exactly what.
func TestFullDisk(t *testing.T) {
	const lines = 60000 // about 4.5 MiB of frames
	for _, policy := range []string{"wait", "drop"} {
		t.Run(policy, func(t *testing.T) {
			disk, free := smallDisk(t, 16<<20, 14<<20)
			dir := filepath.Join(disk, "archive")
			last := make(chan struct{})
			end := sync.OnceFunc(func() { close(last) })
			defer end()
			in, all := feedLines(t, lines, last)
			p := startReading(t, in, nil, "record", "-", "--dir", dir, "--overload", policy, "--ring", "64KiB", "--json")
			in.Close()
			p.waitFor(t, "the disk is full")
			if rep, err := journal.Verify(dir, nil); err != nil || rep.Verdict == journal.Corrupt || rep.Records == 0 {
				t.Fatalf("while it is full: %+v, %v", rep, err)
			}
			if policy == "drop" {
				<-all // more than the disk, the ring and the pipe take
			} else {
				time.Sleep(200 * time.Millisecond) // it goes on trying
			}
			free()
			p.waitFor(t, "space on the disk again")
			end()
			if code := p.exit(t); code != 0 {
				t.Fatalf("exit code %d; stderr:\n%s", code, p.errors())
			}
			got, lost := archived(t, dir)
			if got+lost != lines {
				t.Errorf("%d lines in the archive and %d lost, %d were offered", got, lost, lines)
			}
			if (policy == "wait") != (lost == 0) {
				t.Errorf("%d lost with --overload %s", lost, policy)
			}
		})
	}
}

// Ctrl-C while the disk is full: the process ends, says how many records it has not written, and what it wrote is whole.
func TestFullDiskInterrupted(t *testing.T) {
	disk, _ := smallDisk(t, 8<<20, 7<<20)
	dir := filepath.Join(disk, "archive")
	last := make(chan struct{})
	close(last)
	in, _ := feedLines(t, 60000, last)
	p := startReading(t, in, nil, "record", "-", "--dir", dir, "--ring", "64KiB")
	in.Close()
	p.waitFor(t, "the disk is full")
	p.Process.Signal(os.Interrupt)
	if code := p.exit(t); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	for _, want := range []string{"NOT WRITTEN: ", "no space left on device"} {
		if !strings.Contains(p.errors(), want) {
			t.Errorf("stderr without %q:\n%s", want, p.errors())
		}
	}
	rep, err := journal.Verify(dir, nil)
	if err != nil || rep.Verdict != journal.Clean && rep.Verdict != journal.Torn || rep.Records == 0 {
		t.Errorf("verify: %+v, %v", rep, err)
	}
}

// A limit on the size of files is no full disk: there is no use in waiting. The recording ends with the reason, and what it wrote is whole.
func TestFileSizeLimit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "archive")
	last := make(chan struct{})
	close(last)
	in, _ := feedLines(t, 60000, last)
	cmd := shell(t, `ulimit -f 2000 && exec "$0" record - --dir "$1"`, dir)
	cmd.Stdin = in
	out, err := cmd.CombinedOutput()
	in.Close()
	if err == nil || cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), "file too large") || !strings.Contains(string(out), "NOT WRITTEN") {
		t.Errorf("%v:\n%s", err, out)
	}
	if lines, _ := archived(t, dir); lines == 0 {
		t.Error("nothing was recorded")
	}
}
