package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/csv"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nexus-logbuf/logbuf/adapter/tracebuf"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
)

type traceOrder struct {
	ID     uint64
	Price  int64   `trace:"price,unit=ticks"`
	Symbol [4]byte `trace:"symbol,text"`
	Levels [2]float32
	Big    [2]int16
	Buy    bool
	Odd    bool
	_      [2]byte
}

var oneOrder = traceOrder{ID: 1 << 63, Price: -5, Symbol: [4]byte{'A', 'B'}, Levels: [2]float32{1.5, -2}, Big: [2]int16{-1, 2}, Buy: true}

// session is a run of a program with telemetry.
type session struct {
	t      testing.TB
	rec    *recorder.Recorder
	tracer *tracebuf.Tracer
	order  *tracebuf.Event[traceOrder]
	step   *tracebuf.Event[struct{}]
}

func openSession(t testing.TB, dir, process string) *session {
	t.Helper()
	s := &session{t: t}
	var err error
	s.rec, err = recorder.Open(dir, nil)
	s.must(err)
	s.tracer, err = tracebuf.New(s.rec, &tracebuf.Options{Process: process})
	s.must(err)
	s.order, err = tracebuf.Register[traceOrder](s.tracer, "order")
	s.must(err)
	s.step, err = tracebuf.Register[struct{}](s.tracer, "step")
	s.must(err)
	return s
}

func (s *session) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *session) track(name string, opts *recorder.ProducerOptions) *tracebuf.Track {
	s.t.Helper()
	k, err := s.tracer.Track(name, opts)
	s.must(err)
	return k
}

func (s *session) close() {
	s.t.Helper()
	s.must(s.tracer.Close(context.Background()))
	s.must(s.rec.Close(context.Background()))
}

// telemetryArchive is an archive of two runs, with everything that exports have to make right.
func telemetryArchive(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "archive")
	s := openSession(t, dir, "first")
	k := s.track("main", nil)
	defined := func() { s.must(s.rec.WaitDurable(t.Context())) } // cat reads once: what it is to decode stands behind its definition
	defined()
	s.must(s.order.Emit(k, oneOrder))
	outer := s.order.Begin(k, oneOrder)
	s.step.Begin(k, struct{}{}) // its end is not recorded
	s.must(outer.End())
	s.must(outer.End()) // a second end, of nothing
	k.Producer().Lose(3, 100, journal.LossSource)
	shared := s.track("pool", &recorder.ProducerOptions{Shared: true})
	a := s.order.Begin(shared, oneOrder)
	b := s.step.Begin(shared, struct{}{})
	s.must(a.End())
	c := s.step.Begin(shared, struct{}{})
	s.must(b.End())
	s.must(c.End())
	depth, err := tracebuf.NewCounter[int64](s.tracer, "depth", "bytes")
	s.must(err)
	load, err := tracebuf.NewCounter[float64](s.tracer, "load", "%")
	s.must(err)
	defined()
	s.must(depth.Set(k, -7))
	s.must(load.Set(shared, 0.5))
	for _, weight := range []int64{1000, 2000} { // the same stack: the second sample stands behind its definition
		s.must(k.Sample(0, weight))
		defined()
	}
	s.step.Begin(k, struct{}{}) // open when the process ends
	messages, err := s.rec.Producer("messages", nil)
	s.must(err)
	_, err = messages.Write([]byte("no telemetry"))
	s.must(err)
	s.close()

	s = openSession(t, dir, "second")
	s.step.Begin(s.track("main", nil), struct{}{}) // open at the end
	s.close()
	return dir
}

// runExport runs the command, and returns what it wrote to stdout and stderr.
func runExport(t *testing.T, dir string, args ...string) (out []byte, said string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := newRootCmd()
	cmd.SetOut(&stdout)
	cmd.SetErr(&stderr)
	cmd.SetArgs(append([]string{"export", dir, "--out", "-"}, args...))
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
	return stdout.Bytes(), stderr.String()
}

// The trace keeps the format's rules, and says what was recorded.
func TestPerfetto(t *testing.T) {
	out, said := runExport(t, telemetryArchive(t), "--format", "perfetto")
	if said != "" {
		t.Errorf("it says %q", said)
	}
	trace, err := checkTrace(out)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range trace.events {
		got = append(got, e.String())
	}
	args := " ID=9223372036854775808 price (ticks)=-5 symbol=AB Levels=1.5;-2; Big=-1;2; Buy=true Odd=false"
	args = sortWords(args)
	want := []string{
		"instant first/main order" + args, "slice first/main order ended" + args, "slice first/main step ended end=not recorded",
		"instant first/main records lost bytes=100 reason=source gap records=3 stream=trace/main",
		"slice first/pool/pool order ended" + args, "slice first/pool/pool step ended", "slice first/pool/pool step ended",
		"counter first/depth bytes -7", "counter first/load % 0.5",
		"sample first/main sample goroutines=1 1000 main.TestPerfetto", "sample first/main sample goroutines=1 2000 main.TestPerfetto",
		"slice first/main step ended end=not recorded", "slice second/main step open",
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the trace has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if trace.clocks != 1 || len(trace.sequences) != 4 {
		t.Errorf("%d clock snapshots, %d sequences; want 1 and 4: one for each track and one for all", trace.clocks, len(trace.sequences))
	}
}

func sortWords(args string) string {
	words := regexp.MustCompile(` (\w+( \(\w+\))?=\S+)`).FindAllString(args, -1)
	slices.Sort(words)
	return strings.Join(words, "")
}

func (e *traceEvent) String() string {
	text := e.kind + " " + e.path + " " + e.name
	if e.kind == "slice" {
		text += map[bool]string{true: " open", false: " ended"}[e.end == 0]
	}
	var args []string
	for name, v := range e.args {
		args = append(args, " "+name+"="+v)
	}
	slices.Sort(args)
	text += strings.Join(args, "")
	if e.kind == "counter" {
		text += " " + e.value
	}
	if e.kind == "sample" {
		text += fmt.Sprintf(" %v", e.weight)
		for _, f := range e.stack {
			if strings.HasSuffix(f, ".TestPerfetto") {
				text += " main.TestPerfetto"
			}
		}
	}
	return text
}

// Perfetto's own definitions read it. They are not part of this project: LOGBUF_PERFETTO_PROTO is a directory with a copy of Perfetto's
// protos/. Without it protoc reads the bare encoding, and LOGBUF_REQUIRE_PROTOC demands that there is one.
func TestPerfettoInProtoc(t *testing.T) {
	protoc, err := exec.LookPath("protoc")
	if err != nil {
		if os.Getenv("LOGBUF_REQUIRE_PROTOC") != "" {
			t.Fatalf("LOGBUF_REQUIRE_PROTOC is set: %v", err)
		}
		t.Skip("protoc is not installed")
	}
	out, _ := runExport(t, telemetryArchive(t), "--format", "perfetto")
	args := []string{"--decode_raw"}
	dir := os.Getenv("LOGBUF_PERFETTO_PROTO")
	if dir != "" {
		args = []string{"-I", dir, "--decode", "perfetto.protos.Trace", "protos/perfetto/trace/trace.proto"}
	}
	var stderr bytes.Buffer
	cmd := exec.Command(protoc, args...)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(out), &stderr
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("protoc: %v: %s", err, &stderr)
	}
	if dir == "" {
		if n := strings.Count("\n"+string(text), "\n1 {"); n < 20 {
			t.Errorf("protoc finds %d packets", n)
		}
		return
	}
	if unknown := regexp.MustCompile(`(?m)^\s*\d+[ :].*`).FindString(string(text)); unknown != "" {
		t.Errorf("a field that Perfetto does not have: %s", unknown)
	}
	for _, want := range []string{
		"primary_trace_clock: BUILTIN_CLOCK_REALTIME", "type: TYPE_SLICE_BEGIN", "type: TYPE_SLICE_END", "type: TYPE_INSTANT", "type: TYPE_COUNTER",
		"counter_value: -7", "double_counter_value: 0.5", "unit: UNIT_SIZE_BYTES", `unit_name: "%"`, "callstack_weight: 1000",
		"uint_value: 9223372036854775808", "int_value: -5", `string_value: "AB"`, "bool_value: true", "double_value: -2", `process_name: "first"`,
		"sibling_merge_behavior: SIBLING_MERGE_BEHAVIOR_NONE", `name: "pool"`, "line_number: ",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("nothing says %s", want)
		}
	}
}

// Rules that the checker must know are broken one by one.
func TestRulesOfPerfetto(t *testing.T) {
	out, _ := runExport(t, telemetryArchive(t), "--format", "perfetto")
	packets := splitPackets(t, out)
	find := func(what string, is func(node) bool) int {
		for i, p := range packets {
			n, err := readMessage(p, traceRules[1].in)
			if err != nil {
				t.Fatal(err)
			}
			if is(n) {
				return i
			}
		}
		t.Fatalf("no %s", what)
		return 0
	}
	drop := func(i int) []byte { return joinPackets(slices.Delete(slices.Clone(packets), i, i+1)) }
	twice := func(i int) []byte { return joinPackets(slices.Insert(slices.Clone(packets), i, packets[i])) }
	tests := []struct {
		name  string
		trace []byte
		want  string
	}{
		{"a begin is missing", drop(find("begin", func(n node) bool { return n.sub(11).num(9) == 1 })), "where none is open"},
		{"a name is not interned", drop(find("instant", func(n node) bool { return n.sub(11).num(9) == 3 && n.has(12) })), "is not interned on this sequence"},
		{"an end comes twice", twice(find("end", func(n node) bool { return n.sub(11).num(9) == 2 && n.sub(11).has(11) })), "where none is open"},
		{"a track is not described", drop(find("track", func(n node) bool { return n.has(59) })), "not cleared on this sequence"},
		{"a process is described twice", twice(find("process", func(n node) bool { return n.sub(60).has(3) })), "described twice"},
		{"a counter is not described", drop(find("counter", func(n node) bool { return n.sub(60).has(8) })), "is not described"},
		{"a packet is cut", out[:len(out)-1], "unexpected EOF"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := checkTrace(tt.trace); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %.200v, want one with %q", err, tt.want)
			}
		})
	}
}

func splitPackets(t *testing.T, trace []byte) (packets [][]byte) {
	t.Helper()
	for len(trace) > 0 {
		n, size := binary.Uvarint(trace[1:])
		packets = append(packets, trace[1+size:1+size+int(n)])
		trace = trace[1+size+int(n):]
	}
	return packets
}

func joinPackets(packets [][]byte) (trace []byte) {
	for _, p := range packets {
		trace = append(binary.AppendUvarint(append(trace, 1<<3|2), uint64(len(p))), p...)
	}
	return trace
}

// A trace of an archive that is damaged, and of a part of one, keeps the rules as well.
func TestPerfettoOfPieces(t *testing.T) {
	dir := telemetryArchive(t)
	a, err := openArchive(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	next := a.reader.NextSeq()
	a.close()
	for from := range next {
		out, _ := runExport(t, dir, "--format", "perfetto", "--from-seq", fmt.Sprint(from))
		if _, err := checkTrace(out); err != nil {
			t.Fatalf("from %d: %v", from, err)
		}
		out, _ = runExport(t, dir, "--format", "perfetto", "--to-seq", fmt.Sprint(from))
		if _, err := checkTrace(out); err != nil {
			t.Fatalf("to %d: %v", from, err)
		}
	}
}

// Where a clock went back the trace does not, and a time before 1970 is its beginning.
func TestPerfettoOfClockThatGoesBack(t *testing.T) {
	from := telemetryArchive(t)
	for _, start := range []int64{archiveStart.UnixNano(), 5} {
		dir := filepath.Join(t.TempDir(), "archive")
		w, err := journal.Open(dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		a, err := openArchive(from, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer a.close()
		for rec, err := range a.reader.All() {
			if err != nil {
				t.Fatal(err)
			}
			rec.Time, rec.Stream = start-int64(rec.Seq), 0
			if _, err := w.Append(rec); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		out, _ := runExport(t, dir, "--format", "perfetto")
		trace, err := checkTrace(out)
		if err != nil {
			t.Fatal(err)
		}
		if len(trace.events) < 10 {
			t.Errorf("%d events", len(trace.events))
		}
	}
}

// A program that forgets to end its spans makes a trace nevertheless, in a bounded depth and number of rows.
func TestPerfettoOfSpansWithoutEnds(t *testing.T) {
	for _, shared := range []bool{false, true} {
		dir := filepath.Join(t.TempDir(), "archive")
		s := openSession(t, dir, "leaky")
		k := s.track("main", &recorder.ProducerOptions{Shared: shared, LaneSize: 1 << 20})
		for range 2000 {
			s.step.Begin(k, struct{}{})
		}
		s.close()
		out, _ := runExport(t, dir, "--format", "perfetto")
		trace, err := checkTrace(out)
		if err != nil {
			t.Fatal(err)
		}
		open := 0
		for _, e := range trace.events {
			if e.end == 0 {
				open++
			}
		}
		if len(trace.events) != 2000 || open == 0 || open > 1024 || len(trace.tracks) > 1030 {
			t.Errorf("shared %v: %d slices, %d of them open, %d tracks", shared, len(trace.events), open, len(trace.tracks))
		}
	}
}

// The table of an event has its fields in columns, spans with how long they took, and losses.
func TestEventsCSV(t *testing.T) {
	dir := telemetryArchive(t)
	rows := readCSV(t, dir, "order")
	head := "seq,time,unix_ns,stream,track,process,phase,span,parent,duration_ns,lost,ID,price (ticks),symbol,Levels,Big,Buy,Odd"
	if strings.Join(rows[0], ",") != head {
		t.Errorf("columns %q", rows[0])
	}
	fields := "9223372036854775808,-5,AB,[1.5 -2],[-1 2],true,false"
	var got []string
	for _, r := range rows[1:] {
		took := map[bool]string{true: "took", false: ""}[r[9] != ""]
		got = append(got, strings.Join([]string{r[3], r[4], r[5], r[6], r[7], r[8], took, r[10]}, ",")+","+strings.Join(r[11:], ","))
	}
	want := []string{
		"trace/main,main,first,event,,,,," + fields, "trace/main,main,first,begin,1,,,," + fields, "trace/main,main,first,end,1,,took,,,,,,,,",
		"trace/main,main,first,end,1,,,,,,,,,,", "trace/main,,,loss,,,,3,,,,,,,",
		"trace/pool,pool,first,begin,1,,,," + fields, "trace/pool,pool,first,end,1,,took,,,,,,,,",
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("rows\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	rows = readCSV(t, dir, "depth")
	if last := rows[len(rows)-1]; rows[0][11] != "depth (bytes)" || !slices.ContainsFunc(rows, func(r []string) bool { return r[6] == "counter" && r[11] == "-7" }) {
		t.Errorf("the counter's table ends with %q", last)
	}
}

func readCSV(t *testing.T, dir, event string) [][]string {
	t.Helper()
	out, _ := runExport(t, dir, "--format", "csv", "--event", event)
	rows, err := csv.NewReader(bytes.NewReader(out)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// cat says what telemetry says, and prints what it cannot decode as it is.
func TestCatOfTelemetry(t *testing.T) {
	var stdout bytes.Buffer
	cmd := newRootCmd()
	cmd.SetOut(&stdout)
	cmd.SetErr(io.Discard)
	cmd.SetArgs([]string{"cat", telemetryArchive(t)})
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	fields := " ID=9223372036854775808 price=-5ticks symbol=AB Levels=[1.5 -2] Big=[-1 2] Buy=true Odd=false\n"
	for _, want := range []string{
		"  definition\n", "  order" + fields, "  begin order #1" + fields, "  end order #1\n", "  counter depth=-7bytes\n", "  counter load=0.5%\n",
		"  sample 1 in github.com/nexus-logbuf/logbuf/cmd/logbuf.telemetryArchive\n", "  no telemetry\n",
	} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("nothing says %q", want)
		}
	}
	var p traceText
	rec := journal.Record{Kind: tracebuf.KindEvent, Payload: make([]byte, 8)}
	if text, ok := p.append([]byte("x"), rec); ok || string(text) != "x" {
		t.Errorf("%q of an event without a definition", text)
	}
}

// What cannot be decoded is left out and named.
func TestExportOfBadTelemetry(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "archive")
	w, err := journal.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, rec := range []journal.Record{
		{Time: 1, Kind: tracebuf.KindDefine, Payload: []byte{9, 9, 0, 0, 0, 0, 0, 0}},
		{Time: 2, Kind: tracebuf.KindEvent, Payload: make([]byte, 8)},
		{Time: 3, Kind: tracebuf.KindEvent, Payload: make([]byte, 3)},
		{Time: 4, Payload: []byte("a message")},
	} {
		if _, err := w.Append(rec); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	out, said := runExport(t, dir, "--format", "perfetto")
	for _, want := range []string{"definition of version 9", "2 records left out", "shorter than its 8 bytes"} {
		if !strings.Contains(said, want) {
			t.Errorf("it says %q, not %q", said, want)
		}
	}
	if len(out) != 0 {
		t.Errorf("a trace of %d bytes of nothing", len(out))
	}
	cmd := newRootCmd()
	cmd.SetOut(io.Discard)
	cmd.SetErr(io.Discard)
	cmd.SetArgs([]string{"export", dir, "--out", "-", "--format", "csv", "--event", "order"})
	if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), `no event is named "order": the archive has none`) {
		t.Errorf("error %v", err)
	}
}
