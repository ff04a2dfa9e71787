//go:build unix

package recorder

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/queue"
)

// The environment of a test binary that is to be a program with a recorder.
const (
	programEnv    = "LOGBUF_TEST_PROGRAM"
	programDirEnv = "LOGBUF_TEST_PROGRAM_DIR"
)

// programs are what TestProgram is, by name. What they say to the test goes to
// standard output as lines of JSON, behind a marker.
var programs = map[string]func(t *testing.T, dir string){
	"service": service,
	"panic":   func(t *testing.T, dir string) { dies(t, dir, false, func(*Recorder) { panic("a defect") }) },
	"panic, closed": func(t *testing.T, dir string) {
		dies(t, dir, true, func(rec *Recorder) {
			defer rec.CloseOnPanic(10 * time.Second)
			defective()
		})
	},
	"log.Fatal": func(t *testing.T, dir string) { dies(t, dir, false, func(*Recorder) { log.Fatal("no use") }) },
	"log.Fatal, durable": func(t *testing.T, dir string) {
		dies(t, dir, true, func(rec *Recorder) {
			_ = rec.WaitDurable(t.Context())
			log.Fatal("no use")
		})
	},
	"log.Fatal, closed": func(t *testing.T, dir string) {
		dies(t, dir, true, func(rec *Recorder) {
			_ = rec.Close(t.Context())
			log.Fatal("no use")
		})
	},
}

//go:noinline
func defective() { panic("a defect") }

// TestProgram is no test: it is the process that the tests below start.
func TestProgram(t *testing.T) {
	name := os.Getenv(programEnv)
	if name == "" {
		t.Skip("started by other tests")
	}
	programs[name](t, os.Getenv(programDirEnv))
	if !t.Failed() {
		os.Exit(0) // what it leaves running is not looked at
	}
}

const toTest = "\x00TO TEST " // a line for the test begins with it

func tell(v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	fmt.Printf("\n%s%s\n", toTest, b)
}

// said is a line from a program.
type said struct {
	Durable map[string]int // producer: records confirmed as durable
	Report  *stopReport    // the last line
}

// stopReport is what a service knows of itself at its end.
type stopReport struct {
	Offered, Accepted map[string]int // by stream
	WriteErrors       []string       // the last error of each producer
	Close, Wait       string         // errors
	NotWritten        map[string]uint64
	Streams           []StreamStats
}

// dies commits 500 records to a disk that has taken only the first one, and
// ends by last in a goroutine of its own. Such a disk takes a write again
// after a while if it is good for something.
func dies(t *testing.T, dir string, good bool, last func(*Recorder)) {
	fault := vfs.NewFault(nil)
	rec := mustOpen(t, dir, &Options{Journal: journal.Options{FS: fault}})
	p := mustProducer(t, rec, "a", &ProducerOptions{Overload: OverloadFail})
	mustWrite(t, p, "0")
	if err := p.WaitDurable(t.Context()); err != nil {
		t.Fatal(err)
	}
	fault.SetHook(func(_ int, op vfs.Op) (v vfs.Verdict) {
		if op.Kind == vfs.OpWrite && !good {
			select {}
		}
		if op.Kind == vfs.OpWrite {
			v.Delay = 50 * time.Millisecond
		}
		return v
	})
	for i := 1; i < 500; i++ {
		mustWrite(t, p, fmt.Sprint(i))
	}
	go last(rec)
	select {}
}

// service runs producers of every policy until a signal comes, or for good if
// the recorder fails. The lines of standard input are errands.
func service(t *testing.T, dir string) {
	rec := mustOpen(t, dir, &Options{Journal: journal.Options{SegmentSize: 64 << 10, MaxBlock: 4 << 10}})
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	s := &stopReport{Offered: map[string]int{}, Accepted: map[string]int{}, NotWritten: map[string]uint64{}}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i, policy := range []Overload{OverloadDrop, OverloadWait, OverloadFail, OverloadWait} {
		name := fmt.Sprint(policy, i)
		p := mustProducer(t, rec, name, &ProducerOptions{Overload: policy, LaneSize: 2048, Shared: i == 3})
		wg.Go(func() {
			defer rec.CloseOnPanic(time.Second)
			offered, accepted, err := produce(ctx, p, name)
			mu.Lock()
			defer mu.Unlock()
			s.Offered[name], s.Accepted[name] = offered, accepted
			s.WriteErrors = append(s.WriteErrors, fmt.Sprint(err))
		})
	}
	go errands(dir)
	wg.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := rec.Close(ctx)
	var lost *NotWrittenError
	if errors.As(err, &lost) {
		for _, l := range lost.Streams {
			s.NotWritten[l.Name] = l.Records
		}
	}
	s.Close, s.Wait = fmt.Sprint(err), fmt.Sprint(rec.WaitDurable(ctx))
	s.Streams = rec.Stats().Streams
	tell(said{Report: s})
}

// produce writes numbered records until ctx ends or the recorder stops, and
// says now and then how many are durable.
func produce(ctx context.Context, p *Producer, name string) (offered, accepted int, stopped error) {
	for ; ctx.Err() == nil; offered++ {
		_, err := fmt.Fprintf(p, "%d %s", offered, strings.Repeat("x", offered%50))
		switch {
		case err == nil:
			accepted++
		case !errors.Is(err, queue.ErrFull):
			return offered + 1, accepted, err
		}
		if offered%100 == 99 {
			if p.WaitDurable(context.Background()) == nil {
				tell(said{Durable: map[string]int{name: accepted}})
			}
			time.Sleep(time.Millisecond)
		}
	}
	return offered, accepted, nil
}

// errands are things that happen to a service.
func errands(dir string) {
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var err error
		switch in.Text() {
		case "limit":
			err = unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 32 << 10, Max: 32 << 10})
		case "remove":
			for os.RemoveAll(dir) != nil { // the writer may make a file meanwhile
			}
		}
		if err != nil {
			panic(err)
		}
	}
}

// program is a process that a test has started.
type program struct {
	*exec.Cmd
	in      io.Writer
	errs    bytes.Buffer
	durable map[string]int
	report  *stopReport
	up      chan struct{} // closed when each of four producers has said something, or at its end
	ended   chan struct{} // closed at the end of its output
}

func startProgram(t *testing.T, name, dir string) *program {
	t.Helper()
	p := &program{Cmd: exec.Command(os.Args[0], "-test.run=^TestProgram$"), durable: map[string]int{}, up: make(chan struct{}), ended: make(chan struct{})}
	p.Env = append(os.Environ(), programEnv+"="+name, programDirEnv+"="+dir, "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	p.Stderr = &p.errs
	out, err := p.StdoutPipe()
	if err == nil {
		p.in, err = p.StdinPipe()
	}
	if err == nil {
		err = p.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Process.Kill() })
	go p.listen(t, out)
	return p
}

func (p *program) listen(t *testing.T, out io.Reader) {
	up := sync.OnceFunc(func() { close(p.up) })
	defer close(p.ended)
	defer up()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		_, line, ok := strings.Cut(lines.Text(), toTest)
		if !ok {
			continue
		}
		var s said
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			t.Errorf("%v: %s", err, line)
		}
		for name, n := range s.Durable {
			p.durable[name] = n
		}
		if s.Report != nil {
			p.report = s.Report
		}
		if len(p.durable) == 4 {
			up()
		}
	}
}

// exit waits for the end of the process and returns its status.
func (p *program) exit(t *testing.T) int {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(time.Minute):
		_ = p.Process.Signal(syscall.SIGQUIT)
		t.Error("it does not end")
	}
	_ = p.Wait()
	return p.ProcessState.ExitCode()
}

// found is the numbers of a stream's records in an archive, and how many it
// says are lost.
type found struct {
	numbers []int
	lost    int
}

// numbered reads an archive whose records begin with their number in the
// stream. What is missing must be declared, or be missing at the end.
func numbered(t *testing.T, dir string) map[string]*found {
	t.Helper()
	records, ids := readAll(t, dir)
	all := make(map[string]*found)
	for name, id := range ids {
		r := replay(t, records, id)
		f := &found{lost: int(r.lost)}
		for i, rec := range r.data {
			var n int
			if _, err := fmt.Sscan(string(rec.Payload), &n); err != nil {
				t.Fatalf("%v: %q", err, rec.Payload)
			}
			if uint64(n) < r.ordinal[i] || i > 0 && n <= f.numbers[i-1] {
				t.Fatalf("stream %q: record %d has ordinal %d", name, n, r.ordinal[i])
			}
			f.numbers = append(f.numbers, n)
		}
		all[name] = f
	}
	return all
}

// account checks what a service says of itself: what was offered is in the
// archive, lost or refused, and what was accepted is in the archive or named by
// Close.
func (s *stopReport) account(t *testing.T) {
	t.Helper()
	for _, st := range s.Streams {
		if n := st.Records + st.Lost + st.Refused; n != uint64(s.Offered[st.Name]) || st.LagRecords != 0 {
			t.Errorf("%s: %d offered, %d recorded, %d lost, %d refused, %d in the lane", st.Name, s.Offered[st.Name], st.Records, st.Lost, st.Refused, st.LagRecords)
		}
		if n := st.Records + s.NotWritten[st.Name]; n != uint64(s.Accepted[st.Name]) {
			t.Errorf("%s: %d accepted, %d recorded, %d named by Close", st.Name, s.Accepted[st.Name], st.Records, s.NotWritten[st.Name])
		}
	}
	if len(s.Streams) != 4 {
		t.Errorf("%d streams", len(s.Streams))
	}
}

// A signal ends a service in good order: what was accepted is in the archive,
// what was lost is declared there, and the archive is sealed.
func TestStopBySignal(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "archive")
			p := startProgram(t, "service", dir)
			<-p.up
			_ = p.Process.Signal(sig)
			if code := p.exit(t); code != 0 || p.report == nil {
				t.Fatalf("exit status %d\n%s", code, p.errs.Bytes())
			}
			if s := p.report; s.Close != "<nil>" || s.Wait != "<nil>" {
				t.Errorf("Close %s, WaitDurable %s", s.Close, s.Wait)
			}
			p.report.account(t)
			rep, err := journal.Verify(dir, nil)
			if err != nil || rep.Verdict != journal.Clean || !rep.Sealed {
				t.Errorf("%+v, %v", rep, err)
			}
			got := numbered(t, dir)
			for _, st := range p.report.Streams {
				if f := got[st.Name]; len(f.numbers) != p.report.Accepted[st.Name] || uint64(f.lost) != st.Lost {
					t.Errorf("%s: %d records, %d lost in the archive; %d accepted, stats %+v", st.Name, len(f.numbers), f.lost, p.report.Accepted[st.Name], st)
				}
			}
		})
	}
}

// A program that dies loses what was committed and not yet written, unless it
// flushes first. The disk is such that nothing is written by chance.
func TestStopByDying(t *testing.T) {
	tests := []struct {
		program string
		status  int
		records int
		sealed  bool
		errs    []string
	}{
		{"panic", 2, 1, false, []string{"panic: a defect"}},
		{"panic, closed", 2, 500, true, []string{"panic: a defect", "recorder.defective"}},
		{"log.Fatal", 1, 1, false, []string{"no use"}},
		{"log.Fatal, durable", 1, 500, false, []string{"no use"}},
		{"log.Fatal, closed", 1, 500, true, []string{"no use"}},
	}
	for _, test := range tests {
		t.Run(test.program, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "archive")
			p := startProgram(t, test.program, dir)
			if code := p.exit(t); code != test.status {
				t.Errorf("exit status %d\n%s", code, p.errs.Bytes())
			}
			for _, want := range test.errs {
				if !strings.Contains(p.errs.String(), want) {
					t.Errorf("no %q in\n%s", want, p.errs.Bytes())
				}
			}
			rep, err := journal.Verify(dir, nil)
			if err != nil || rep.Verdict != journal.Clean || rep.Sealed != test.sealed {
				t.Errorf("%+v, %v", rep, err)
			}
			if got := numbered(t, dir)["a"]; len(got.numbers) != test.records || got.numbers[test.records-1] != test.records-1 {
				t.Errorf("%d records, want %d", len(got.numbers), test.records)
			}
			mustClose(t, mustOpen(t, dir, nil)) // it can be gone on with
		})
	}
}

// An archive that takes no more stops the service: its producers are told, all
// that was offered is counted, and what was confirmed as durable is there.
func TestStopByFailure(t *testing.T) {
	tests := []struct {
		name    string
		happens func(t *testing.T, p *program, dir string)
		want    string // part of what producers and Close are told
		or      string // or this: when the journal notices it at a rotation
		kept    bool   // the archive is still there
	}{
		{"file too large", func(t *testing.T, p *program, _ string) { p.errand(t, "limit") }, "file too large", "file too large", true},
		{"directory removed", func(t *testing.T, p *program, _ string) { p.errand(t, "remove") }, "removed or renamed", "no such file", false},
		{"disk unmounted", func(t *testing.T, _ *program, dir string) { unmount(t, filepath.Dir(dir)) }, "removed or renamed", "no such file", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			disk := t.TempDir()
			if test.name == "disk unmounted" {
				mountDisk(t, disk)
			}
			dir := filepath.Join(disk, "archive")
			p := startProgram(t, "service", dir)
			<-p.up
			test.happens(t, p, dir)
			if code := p.exit(t); code != 0 || p.report == nil {
				t.Fatalf("exit status %d\n%s", code, p.errs.Bytes())
			}
			s := p.report
			for _, err := range append(s.WriteErrors, s.Close, s.Wait) {
				if !strings.Contains(err, test.want) && !strings.Contains(err, test.or) {
					t.Errorf("told %q", err)
				}
			}
			s.account(t)
			rep, err := journal.Verify(dir, nil)
			if !test.kept {
				if !errors.Is(err, journal.ErrNotArchive) {
					t.Errorf("%+v, %v", rep, err)
				}
				return
			}
			if err != nil || rep.Verdict > journal.Torn {
				t.Errorf("%+v, %v", rep, err)
			}
			got := numbered(t, dir)
			for _, st := range s.Streams {
				if n := len(got[st.Name].numbers); uint64(n) != st.Records || n < p.durable[st.Name] {
					t.Errorf("%s: %d records in the archive, stats %+v, %d were confirmed as durable", st.Name, n, st, p.durable[st.Name])
				}
			}
		})
	}
}

func (p *program) errand(t *testing.T, what string) {
	t.Helper()
	if _, err := fmt.Fprintln(p.in, what); err != nil {
		t.Fatal(err)
	}
}
