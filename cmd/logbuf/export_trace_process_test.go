package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
)

const telemetryChild = "LOGBUF_TEST_TELEMETRY"

// TestTelemetryChild is the program that TestTelemetryOfKilledPrograms kills.
func TestTelemetryChild(t *testing.T) {
	dir := os.Getenv(telemetryChild)
	if dir == "" {
		t.Skip("for TestTelemetryOfKilledPrograms")
	}
	s := openSession(t, dir, "victim")
	k := s.track("main", &recorder.ProducerOptions{Overload: recorder.OverloadWait})
	s.step.Begin(k, struct{}{}) // open as long as the program runs
	for id := uint64(0); ; id++ {
		span := s.order.Begin(k, traceOrder{ID: id})
		s.must(s.order.Emit(k, traceOrder{ID: id}))
		s.must(span.End())
		if id%1000 == 999 {
			time.Sleep(time.Millisecond)
		}
	}
}

// Programs that are killed leave archives that can be decoded: the events from the first on without a gap, what was open, and a trace of all
// the runs that keeps the rules.
func TestTelemetryOfKilledPrograms(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "archive")
	const runs = 3
	next := uint64(0)
	for range runs {
		next = killTelemetry(t, dir, next)
	}
	out, said := runExport(t, dir, "--format", "perfetto")
	trace, err := checkTrace(out)
	if err != nil {
		t.Fatal(err)
	}
	steps, ended := 0, 0
	for _, e := range trace.events {
		if e.name == "step" {
			steps++
			ended += len(e.args)
		}
	}
	if steps != runs || ended != runs-1 {
		t.Errorf("%d spans of whole runs, %d with an end that is not recorded; want %d and all but the last; %s", steps, ended, runs, said)
	}
	want, seen := uint64(0), 0
	rows := readCSV(t, dir, "order")
	id := slices.Index(rows[0], "ID")
	for _, r := range rows[1:] {
		if r[6] != "event" {
			continue
		}
		got, err := strconv.ParseUint(r[id], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if got == 0 {
			want, seen = 0, seen+1
		}
		if got != want {
			t.Fatalf("run %d: event %d follows %d", seen, got, want-1)
		}
		want++
	}
	if seen != runs {
		t.Errorf("events of %d runs, want %d", seen, runs)
	}
}

// killTelemetry runs the child until the archive has some thousand records behind next, and kills it. It returns where the archive ends.
func killTelemetry(t *testing.T, dir string, next uint64) uint64 {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), self, "-test.run=^TestTelemetryChild$")
	child.Env = append(os.Environ(), telemetryChild+"="+dir)
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	for endOf(dir) < next+5000 {
		select {
		case err := <-ended:
			t.Fatalf("the child ended: %v", err)
		case <-time.After(5 * time.Millisecond): // between two looks
		}
	}
	_ = child.Process.Kill()
	<-ended
	return endOf(dir) // it has written more since
}

// endOf is where an archive ends, 0 while there is none.
func endOf(dir string) uint64 {
	r, err := journal.OpenReader(dir, &journal.ReaderOptions{End: true})
	if err != nil {
		return 0
	}
	defer r.Close()
	return r.NextSeq()
}
