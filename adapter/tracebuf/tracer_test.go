package tracebuf

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/queue"
	"github.com/nexus-logbuf/logbuf/recorder"
)

func TestEventsComeBack(t *testing.T) {
	dir := t.TempDir()
	rec := openRecorder(t, dir, nil)
	tracer := mustTracer(t, rec, &Options{Process: "test"})
	order := mustRegister[dense](t, tracer, "order")
	state := mustRegister[nested](t, tracer, "state")
	idle := mustRegister[struct{}](t, tracer, "idle")
	k := mustTrack(t, tracer, "gateway", nil)

	want := dense{ID: 1 << 60, Price: -7, Size: 3, Code: 9, Buy: true, Side: 2}
	deep := nested{Took: 5 * time.Millisecond, Symbol: [8]byte{'A', 'C', 'M', 'E'}, Legs: [2]inner{1: {X: 1.5, Y: -2}}, Flags: [3]bool{true}}
	before := time.Now().UnixNano()
	must(t, order.Emit(k, want))
	must(t, state.Emit(k, deep))
	must(t, idle.Emit(k, struct{}{}))
	after := time.Now().UnixNano()
	closeAll(t, tracer, rec)

	d, entries := decodeAll(t, dir)
	if len(entries) != 3 {
		t.Fatalf("%d entries, want 3", len(entries))
	}
	for i, name := range []string{"order", "state", "idle"} {
		e := entries[i]
		if e.Kind != KindEvent || e.Name != name || e.Track.Name != "gateway" || e.Track.Shared {
			t.Errorf("entry %d is %+v", i, e)
		}
		if e.Time < before || e.Time > after {
			t.Errorf("entry %d has time %d, not in [%d, %d]", i, e.Time, before, after)
		}
	}
	var got dense
	if _, err := binary.Decode(entries[0].Body, binary.LittleEndian, &got); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	var words []string
	for _, f := range entries[1].Fields {
		words = append(words, f.Name+"="+string(f.Append(nil, entries[1].Body)))
	}
	if got, want := strings.Join(words, " "), "Took=5000000 symbol=ACME At.X=0 At.Y=0 Legs[0].X=0 Legs[0].Y=0 Legs[1].X=1.5 Legs[1].Y=-2"+
		" Grid=[0 0 0 0 0 0] Flags=[true false false]"; got != want {
		t.Errorf("fields\n%s, want\n%s", got, want)
	}
	p, ok := d.Process(entries[0].Track.Process)
	if !ok || p.Name != "test" || p.PID != uint32(os.Getpid()) {
		t.Errorf("process %+v, %v", p, ok)
	}
	var names []string
	for _, s := range d.Schemas() {
		names = append(names, s.Name)
	}
	if !slices.Equal(names, []string{"idle", "order", "state"}) {
		t.Errorf("events %q", names)
	}
}

// Spans say which one they are inside of, whether the ones around them were
// recorded or not.
func TestSpans(t *testing.T) {
	dir := t.TempDir()
	rec := openRecorder(t, dir, nil)
	tracer := mustTracer(t, rec, nil)
	step := mustRegister[inner8](t, tracer, "step")
	k := mustTrack(t, tracer, "a", nil)
	shared := mustTrack(t, tracer, "b", &recorder.ProducerOptions{Shared: true})

	outer := step.Begin(k, inner8{1})
	in := step.Begin(k, inner8{2})
	step.Begin(k, inner8{3}) // never ends
	must(t, in.End())
	must(t, step.Begin(k, inner8{4}).End())
	must(t, outer.End())
	must(t, step.Begin(shared, inner8{5}).End())
	must(t, Span{}.End())
	closeAll(t, tracer, rec)

	type row struct {
		kind         uint8
		span, parent uint32
	}
	want := []row{
		{KindBegin, 1, 0}, {KindBegin, 2, 1}, {KindBegin, 3, 2}, {KindEnd, 2, 1}, {KindBegin, 4, 1}, {KindEnd, 4, 1}, {KindEnd, 1, 0},
		{KindBegin, 1, 0}, {KindEnd, 1, 0},
	}
	var got []row
	_, entries := decodeAll(t, dir)
	for _, e := range entries {
		got = append(got, row{e.Kind, e.Span, e.Parent})
	}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestCounters(t *testing.T) {
	dir := t.TempDir()
	rec := openRecorder(t, dir, nil)
	tracer := mustTracer(t, rec, nil)
	depth := mustCounter[int64](t, tracer, "depth", "count")
	load := mustCounter[float64](t, tracer, "load", "%")
	k := mustTrack(t, tracer, "a", nil)
	must(t, depth.Set(k, 5))
	must(t, depth.Add(k, -7))
	must(t, load.Set(k, 0.25))
	must(t, load.Add(k, 0.5))
	closeAll(t, tracer, rec)

	var got []string
	_, entries := decodeAll(t, dir)
	for _, e := range entries {
		f := e.Fields[0]
		got = append(got, e.Name+"="+string(f.Append(nil, e.Body))+" "+f.Unit)
	}
	if want := []string{"depth=5 count", "depth=-2 count", "load=0.25 %", "load=0.75 %"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestSamples(t *testing.T) {
	dir := t.TempDir()
	rec := openRecorder(t, dir, nil)
	tracer := mustTracer(t, rec, nil)
	k := mustTrack(t, tracer, "a", nil)
	for range 3 {
		must(t, k.Sample(0, 7))
	}
	must(t, k.SampleStack(nil, 2, 1))
	closeAll(t, tracer, rec)

	_, entries := decodeAll(t, dir)
	if len(entries) != 4 {
		t.Fatalf("%d entries, want 4", len(entries))
	}
	for _, e := range entries[:3] {
		if e.Kind != KindSample || e.Count != 1 || e.Weight != 7 || !strings.HasSuffix(e.Stack[0].Function, ".TestSamples") ||
			!strings.HasSuffix(e.Stack[0].File, "tracer_test.go") || e.Stack[0].Line == 0 {
			t.Errorf("sample %+v", e)
		}
	}
	if e := entries[3]; e.Stack[0].Function != "(other stacks)" || e.Count != 2 {
		t.Errorf("sample of nothing %+v", e)
	}
	stacks := 0
	for _, r := range readAll(t, dir) {
		if r.Kind == KindDefine && r.Payload[1] == defStack {
			stacks++
		}
	}
	if stacks != 4 { // two stacks, each when it was made and at Close
		t.Errorf("%d definitions of stacks, want 4", stacks)
	}
}

// The sampler finds a goroutine that waits, and says how many wait there.
func TestSampleGoroutines(t *testing.T) {
	dir := t.TempDir()
	rec := openRecorder(t, dir, nil)
	tracer := mustTracer(t, rec, nil)
	release := make(chan struct{})
	var waiting sync.WaitGroup
	for range 5 {
		waiting.Go(func() { waitForSampler(release) })
	}
	wait := &recorder.ProducerOptions{Overload: recorder.OverloadWait} // the loop below may be faster than the archiver
	s := sampler{k: mustTrack(t, tracer, "goroutines", wait), interval: time.Millisecond}
	for !s.sawWaiting(5) {
		s.sample()
		runtime.Gosched()
	}
	close(release)
	waiting.Wait()
	closeAll(t, tracer, rec)

	_, entries := decodeAll(t, dir)
	for _, e := range entries {
		if e.Count == 5 && e.Weight == int64(5*time.Millisecond) && slices.ContainsFunc(e.Stack, isWaiter) {
			return
		}
	}
	t.Error("no sample of the five goroutines")
}

//go:noinline
func waitForSampler(c chan struct{}) { <-c }

func isWaiter(f Frame) bool { return strings.HasSuffix(f.Function, ".waitForSampler") }

func (s *sampler) sawWaiting(n uint32) bool {
	for _, f := range s.counts {
		if f.count == n && slices.ContainsFunc(symbolize(f.pcs), isWaiter) {
			return true
		}
	}
	return false
}

func TestSampleGoroutinesStops(t *testing.T) {
	rec := openRecorder(t, t.TempDir(), nil)
	tracer := mustTracer(t, rec, nil)
	if _, err := tracer.SampleGoroutines(time.Microsecond); err == nil {
		t.Error("sampling every microsecond is accepted")
	}
	stop, err := tracer.SampleGoroutines(time.Millisecond)
	must(t, err)
	stop()
	stop()
	stop, err = tracer.SampleGoroutines(time.Millisecond) // the track's name is free again
	must(t, err)
	stop()
	closeAll(t, tracer, rec)
}

// A type that has changed is another event of the same name: both come back.
func TestRegisterAgain(t *testing.T) {
	dir := t.TempDir()
	for run := range 2 {
		rec := openRecorder(t, dir, nil)
		tracer := mustTracer(t, rec, nil)
		k := mustTrack(t, tracer, "a", nil)
		if run == 0 {
			must(t, mustRegister[struct{ A int32 }](t, tracer, "e").Emit(k, struct{ A int32 }{1}))
			mustRegister[struct{ A int32 }](t, tracer, "e")
		} else {
			must(t, mustRegister[struct{ A, B int64 }](t, tracer, "e").Emit(k, struct{ A, B int64 }{2, 3}))
		}
		closeAll(t, tracer, rec)
	}
	_, entries := decodeAll(t, dir)
	if len(entries) != 2 || len(entries[0].Fields) != 1 || len(entries[1].Fields) != 2 || entries[0].ID == entries[1].ID {
		t.Errorf("entries %+v", entries)
	}
	if entries[0].Track.Process == entries[1].Track.Process {
		t.Error("two runs are one process")
	}
}

func TestRegisterErrors(t *testing.T) {
	rec := openRecorder(t, t.TempDir(), nil)
	tracer := mustTracer(t, rec, nil)
	tests := []struct {
		name string
		call func() error
		want string
	}{
		{"event without a name", func() error { _, err := Register[inner8](tracer, ""); return err }, "needs a name"},
		{"event of a string", func() error { _, err := Register[struct{ S string }](tracer, "e"); return err }, `event "e": field S: string`},
		{"long name", func() error { _, err := NewCounter[int64](tracer, strings.Repeat("x", 256), ""); return err }, "256 bytes, more than 255"},
		{"name that is not UTF-8", func() error { _, err := tracer.Track("\xff", nil); return err }, "not UTF-8"},
		{"unit that is not UTF-8", func() error { _, err := NewCounter[int64](tracer, "c", "\xff"); return err }, "unit"},
		{"a track twice", func() error {
			_, err := tracer.Track("a", nil)
			must(t, err)
			_, err = tracer.Track("a", nil)
			return err
		}, `track "a"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.call(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

// Two definitions of one hash are refused, not mixed up.
func TestHashCollision(t *testing.T) {
	rec := openRecorder(t, t.TempDir(), nil)
	tracer := mustTracer(t, rec, nil)
	must(t, tracer.reg.add([]byte("one"), 7, "one"))
	if err := tracer.reg.add([]byte("two"), 7, "two"); err == nil || !strings.Contains(err.Error(), "same 32-bit hash") {
		t.Errorf("error %v", err)
	}
}

// When a lane is full the events are lost, the loss is in the archive, a span
// whose begin was lost has no end, and everything that is there can be decoded.
func TestOverload(t *testing.T) {
	dir := t.TempDir()
	rec := openRecorder(t, dir, nil)
	tracer := mustTracer(t, rec, nil)
	order := mustRegister[dense](t, tracer, "order")
	k := mustTrack(t, tracer, "a", &recorder.ProducerOptions{LaneSize: 1024})
	lost, refused := 0, 0
	const n = 20000
	for range n {
		s := order.Begin(k, dense{})
		if s == (Span{}) {
			lost++
			must(t, s.End())
			continue
		}
		if err := s.End(); err != nil {
			if !errors.Is(err, queue.ErrFull) {
				t.Fatal(err)
			}
			refused++
		}
	}
	closeAll(t, tracer, rec)
	if lost+refused == 0 {
		t.Skip("the archiver kept up with a lane of 1 KiB")
	}
	_, entries := decodeAll(t, dir)
	begins, ends := 0, 0
	for _, e := range entries {
		switch e.Kind {
		case KindBegin:
			begins++
		case KindEnd:
			ends++
		}
	}
	if begins != n-lost || ends != n-lost-refused {
		t.Errorf("%d begins and %d ends, want %d and %d", begins, ends, n-lost, n-lost-refused)
	}
	var told uint64
	r, err := journal.OpenReader(dir, &journal.ReaderOptions{Control: true})
	must(t, err)
	defer r.Close()
	for rec, err := range r.All() {
		must(t, err)
		if rec.Kind == journal.KindLoss {
			l, err := journal.ParseLoss(rec.Payload)
			must(t, err)
			told += l.Records
		}
	}
	if told != uint64(lost+refused) {
		t.Errorf("loss records tell of %d, lost were %d", told, lost+refused)
	}
}

// Many goroutines, each with its track, share events and counters.
func TestConcurrent(t *testing.T) {
	dir := t.TempDir()
	rec := openRecorder(t, dir, nil)
	tracer := mustTracer(t, rec, nil)
	order := mustRegister[dense](t, tracer, "order")
	total := mustCounter[int64](t, tracer, "total", "")
	const workers, each = 4, 200
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			k, err := tracer.Track("worker "+itoa(i), &recorder.ProducerOptions{Overload: recorder.OverloadWait})
			if err != nil {
				t.Error(err)
				return
			}
			defer k.Close()
			for n := range each {
				s := order.Begin(k, dense{ID: uint64(n)})
				if err := errors.Join(order.Emit(k, dense{}), total.Add(k, 1), k.Sample(0, 1), s.End()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	closeAll(t, tracer, rec)
	_, entries := decodeAll(t, dir)
	count := make(map[uint8]int)
	var top int64
	for _, e := range entries {
		count[e.Kind]++
		if e.Kind == KindCounter {
			top = max(top, e.Fields[0].Int(e.Body, 0))
		}
	}
	want := map[uint8]int{KindEvent: 800, KindBegin: 800, KindEnd: 800, KindCounter: 800, KindSample: 800}
	if !reflect.DeepEqual(count, want) || top != workers*each {
		t.Errorf("%v, the counter came to %d", count, top)
	}
}

// The clock follows the wall clock when that was set, and not otherwise.
func TestClockFollowsSteps(t *testing.T) {
	for _, tt := range []struct {
		off     time.Duration // of the tracer's clock
		follows bool
	}{{time.Hour, true}, {-time.Hour, true}, {-100 * time.Millisecond, true}, {10 * time.Millisecond, false}, {0, false}} {
		var tracer Tracer
		tracer.start = time.Now()
		before := tracer.start.UnixNano() + int64(tt.off)
		tracer.base.Store(before)
		tracer.look()
		if off := time.Duration(tracer.now() - time.Now().UnixNano()).Abs(); tt.follows && off > clockStep || (tracer.base.Load() != before) != tt.follows {
			t.Errorf("a clock that was off by %s is off by %s", tt.off, off)
		}
	}
}

func TestCloseWithoutRecorder(t *testing.T) {
	rec := openRecorder(t, t.TempDir(), nil)
	tracer := mustTracer(t, rec, nil)
	must(t, rec.Close(context.Background()))
	if err := tracer.Close(context.Background()); !errors.Is(err, recorder.ErrClosed) {
		t.Errorf("error %v, want one that wraps recorder.ErrClosed", err)
	}
	if _, err := Register[inner8](tracer, "late"); !errors.Is(err, recorder.ErrClosed) {
		t.Errorf("error %v, want one that wraps recorder.ErrClosed", err)
	}
}
