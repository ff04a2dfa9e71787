package tracebuf

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// Retention takes the segments that have the first definitions. What is left
// can be decoded all the same.
func TestDefinitionsSurviveTrimming(t *testing.T) {
	dir := t.TempDir()
	rec := openRecorder(t, dir, &recorder.Options{Journal: journal.Options{
		SegmentSize: 64 << 10, MaxBlock: 4 << 10, Retention: journal.Retention{MaxSegments: 2},
	}})
	tracer, err := newTracer(rec, nil, 5*time.Millisecond)
	must(t, err)
	order := mustRegister[dense](t, tracer, "order")
	k := mustTrack(t, tracer, "a", &recorder.ProducerOptions{Overload: recorder.OverloadWait})
	for rec.Stats().Journal.Trimmed < 3 {
		for n := range 1000 {
			must(t, order.Emit(k, dense{ID: uint64(n)}))
		}
		must(t, k.Producer().WaitDurable(context.Background()))
	}
	closeAll(t, tracer, rec)
	_, entries := decodeAll(t, dir)
	if len(entries) == 0 {
		t.Fatal("nothing is left")
	}
	for _, e := range entries {
		if e.Name != "order" || e.Track.Name != "a" {
			t.Fatalf("entry %+v", e)
		}
	}
}

// A round writes every definition, and none begins before the last has ended.
func TestDefinitionsComeAgain(t *testing.T) {
	dir := t.TempDir()
	rec := openRecorder(t, dir, nil)
	p, err := rec.Producer("definitions", &recorder.ProducerOptions{Overload: recorder.OverloadFail})
	must(t, err)
	r := newRegistry(p)
	must(t, r.add([]byte("definition"), 0, "a"))
	for round := range 2 {
		if !r.again() {
			t.Errorf("no new round behind round %d", round)
		}
	}
	r.next = 0 // as if the lane had been full
	if r.again() {
		t.Error("a round was begun while one goes on")
	}
	must(t, r.finish(context.Background()))
	must(t, rec.Close(context.Background()))
	if n := len(readAll(t, dir)); n != 4 { // one, two rounds, and the end of the third
		t.Errorf("%d definitions, want 4", n)
	}
}

// While events are written the definitions come again without anybody's doing,
// twice behind the last event, and then no more.
func TestDefinitionsFollowEvents(t *testing.T) {
	rec := openRecorder(t, t.TempDir(), nil)
	p, err := rec.Producer("definitions", &recorder.ProducerOptions{Overload: recorder.OverloadFail})
	must(t, err)
	written := func() uint64 { s := p.Stats(); return s.Records + s.LagRecords }
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry(p)
		var used atomic.Bool
		stop := make(chan struct{})
		var done sync.WaitGroup
		done.Go(func() { r.run(stop, 10*time.Second, &used, func() {}) })
		must(t, r.add([]byte("definition"), 0, "a"))
		for tick, want := range []uint64{2, 3, 3, 4, 5, 5} {
			if tick == 0 || tick == 3 {
				used.Store(true)
			}
			time.Sleep(10 * time.Second)
			synctest.Wait()
			if got := written(); got != want {
				t.Errorf("after %d ticks %d definitions, want %d", tick+1, got, want)
			}
		}
		close(stop)
		done.Wait()
	})
}

// A lane that is full keeps no definition out, and nobody waits for it.
func TestDefinitionsWaitForRoom(t *testing.T) {
	dir := t.TempDir()
	rec := openRecorder(t, dir, &recorder.Options{LaneSize: 256})
	tracer := mustTracer(t, rec, nil)
	var events []*Event[inner8]
	for i := range 300 {
		events = append(events, mustRegister[inner8](t, tracer, "event "+itoa(i)))
	}
	k := mustTrack(t, tracer, "a", &recorder.ProducerOptions{Overload: recorder.OverloadWait})
	for _, e := range events {
		must(t, e.Emit(k, inner8{}))
	}
	closeAll(t, tracer, rec)
	if _, entries := decodeAll(t, dir); len(entries) != 300 {
		t.Errorf("%d entries, want 300", len(entries))
	}
}

// Close gives up when its context ends, and says what is missing.
func TestCloseEnds(t *testing.T) {
	rec := openRecorder(t, t.TempDir(), nil)
	p, err := rec.Producer("full", &recorder.ProducerOptions{LaneSize: 256, Overload: recorder.OverloadFail, Shared: true})
	must(t, err)
	c, err := p.TryClaim(KindDefine, 0, 8) // open: nothing behind it gets out of the lane
	must(t, err)
	defer c.Abort()
	r := newRegistry(p)
	for range 5 {
		must(t, r.add(make([]byte, 100), 0, "a"))
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.finish(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "4 of 5 definitions are not in the archive") {
		t.Errorf("error %v", err)
	}
}
