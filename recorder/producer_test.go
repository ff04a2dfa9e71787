package recorder

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/queue"
)

// bothKinds runs a test for an unshared and a shared producer.
func bothKinds(t *testing.T, test func(t *testing.T, shared bool)) {
	t.Run("unshared", func(t *testing.T) { test(t, false) })
	t.Run("shared", func(t *testing.T) { test(t, true) })
}

func TestRecordsArriveAsOffered(t *testing.T) {
	bothKinds(t, func(t *testing.T, shared bool) {
		for _, stage := range []bool{false, true} {
			f := new(fakeArchive)
			r := startFake(t, f, &Options{Stage: stage})
			p := mustProducer(t, r, "a", &ProducerOptions{Shared: shared})
			before := time.Now().UnixNano()

			if n, err := p.Write([]byte("plain")); n != 5 || err != nil {
				t.Fatal(n, err)
			}
			if err := p.WriteAt(-7, 0x3F, 0xFF, nil); err != nil {
				t.Fatal(err)
			}
			c, err := p.TryClaim(2, journal.FlagFinal, 10)
			if err != nil {
				t.Fatal(err)
			}
			if b := c.Bytes(); len(b) != 10 {
				t.Fatalf("claim of 10 bytes has %d", len(b))
			}
			copy(c.Bytes(), "0123456789")
			c.SetTime(42)
			if !c.CommitN(4) {
				t.Fatal("not committed")
			}
			c.Abort() // a no-op now
			c, err = p.Claim(context.Background(), journal.KindData, 0, 3)
			if err != nil {
				t.Fatal(err)
			}
			c.Abort()
			if _, err := p.Write([]byte("last")); err != nil {
				t.Fatal(err)
			}
			mustClose(t, r)

			got := f.all()
			want := []journal.Record{
				{Kind: 1, Payload: []byte("plain")},
				{Kind: 0x3F, Flags: 0xFF, Time: -7},
				{Kind: 2, Flags: journal.FlagFinal, Time: 42, Payload: []byte("0123")},
				{Kind: 1, Payload: []byte("last")},
			}
			if len(got) != len(want) {
				t.Fatalf("%d records, want %d: %+v", len(got), len(want), got)
			}
			for i, w := range want {
				g := got[i]
				if g.Kind != w.Kind || g.Flags != w.Flags || g.Stream != 1 || !bytes.Equal(g.Payload, w.Payload) {
					t.Errorf("record %d: got %+v, want %+v", i, g, w)
				}
				if w.Time != 0 && g.Time != w.Time {
					t.Errorf("record %d: time %d, want %d", i, g.Time, w.Time)
				}
				if w.Time == 0 && (g.Time < before || g.Time > time.Now().UnixNano()) {
					t.Errorf("record %d: time %d is not the time of the call", i, g.Time)
				}
			}
			s := streamStats(t, r, "a")
			if s.Records != 4 || s.Bytes != 13 || s.Lost != 0 || s.Refused != 0 || s.LagRecords != 0 || s.Open {
				t.Errorf("stats: %+v", s)
			}
		}
	})
}

func TestLargestRecord(t *testing.T) {
	tests := []struct {
		name           string
		lane, maxBlock int
		want           int
	}{
		{"lane decides", 4096, 0, 4096 - 24},
		{"smallest lane", 64, 0, 64 - 24},
		{"block decides", 1 << 20, 4096, 4096 - 16},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bothKinds(t, func(t *testing.T, shared bool) {
				f := new(fakeArchive)
				r := startFake(t, f, &Options{Journal: journal.Options{MaxBlock: test.maxBlock}})
				p := mustProducer(t, r, "a", &ProducerOptions{LaneSize: test.lane, Shared: shared, Overload: OverloadWait})
				if p.MaxRecord() != test.want {
					t.Fatalf("MaxRecord is %d, want %d", p.MaxRecord(), test.want)
				}
				for range 3 { // wherever the tail is
					if _, err := p.Write(bytes.Repeat([]byte{1}, test.want)); err != nil {
						t.Fatal(err)
					}
				}
				n, err := p.Write(make([]byte, test.want+1))
				if n != 0 || !errors.Is(err, queue.ErrTooLarge) || !strings.Contains(err.Error(), `"a"`) {
					t.Fatalf("one byte more: %d, %v", n, err)
				}
				if _, err := p.TryClaim(1, 0, test.want+1); !errors.Is(err, queue.ErrTooLarge) {
					t.Fatal(err)
				}
				mustClose(t, r)
				got := replay(t, f.all(), 1)
				if len(got.data) != 3 || got.lost != 2 || got.losses[0].Reason != journal.LossTooLarge || got.losses[0].Bytes != 2*uint64(test.want+1) {
					t.Fatalf("%d records, losses %+v", len(got.data), got.losses)
				}
				if s := streamStats(t, r, "a"); s.Lost != 2 || s.Records != 3 {
					t.Errorf("stats: %+v", s)
				}
			})
		})
	}
}

func TestMistakesPanic(t *testing.T) {
	f := new(fakeArchive)
	r := startFake(t, f, nil)
	defer mustClose(t, r)
	p := mustProducer(t, r, "a", nil)
	c, err := p.TryClaim(1, 0, 4)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		call func()
		want string
	}{
		{"kind 0", func() { _ = p.WriteAt(0, 0, 0, nil) }, "kind 0x0"},
		{"control kind", func() { _, _ = p.TryClaim(0x40, 0, 1) }, "kind 0x40"},
		{"kind 0xff", func() { _, _ = p.Claim(context.Background(), 0xFF, 0, 1) }, "kind 0xff"},
		{"negative claim", func() { _, _ = p.TryClaim(1, 0, -1) }, "claim of -1 bytes"},
		{"CommitN beyond the claim", func() { c.CommitN(5) }, "CommitN(5) of a claim of 4 bytes"},
		{"CommitN below zero", func() { c.CommitN(-1) }, "CommitN(-1) of a claim of 4 bytes"},
		{"commit twice", func() { c.Commit(); c.Commit() }, "not open"},
		{"SetTime after commit", func() { c.SetTime(1) }, "not open"},
		{"the zero claim", func() { Claim{}.Commit() }, "zero Claim"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			defer func() {
				if got, _ := recover().(string); !strings.Contains(got, test.want) {
					t.Errorf("panic %q, want one with %q", got, test.want)
				}
			}()
			test.call()
		})
	}
	if b := c.Bytes(); b != nil {
		t.Errorf("settled claim has %d bytes", len(b))
	}
	Claim{}.Abort()
}

func TestOpenAndProducerRefuseBadOptions(t *testing.T) {
	if _, err := Open(t.TempDir(), &Options{LaneSize: 63}); err == nil || !strings.Contains(err.Error(), "LaneSize is 63") {
		t.Error(err)
	}
	if _, err := Open(t.TempDir(), &Options{MemoryLimit: -1}); err == nil || !strings.Contains(err.Error(), "MemoryLimit is -1") {
		t.Error(err)
	}
	r := startFake(t, new(fakeArchive), nil)
	defer mustClose(t, r)
	if _, err := r.Producer("a", &ProducerOptions{LaneSize: 1<<30 + 1}); err == nil || !strings.Contains(err.Error(), "LaneSize is 1073741825") {
		t.Error(err)
	}
	if _, err := r.Producer("a", &ProducerOptions{Overload: 3}); err == nil || !strings.Contains(err.Error(), "Overload is 3") {
		t.Error(err)
	}
}

func TestOneUnsharedProducerPerStream(t *testing.T) {
	r := startFake(t, new(fakeArchive), nil)
	defer mustClose(t, r)
	shared := &ProducerOptions{Shared: true}
	a := mustProducer(t, r, "a", nil)
	for _, opts := range []*ProducerOptions{nil, shared} {
		if _, err := r.Producer("a", opts); err == nil || !strings.Contains(err.Error(), "Shared") {
			t.Errorf("second producer: %v", err)
		}
	}
	mustProducer(t, r, "b", shared)
	mustProducer(t, r, "b", shared)
	if _, err := r.Producer("b", nil); err == nil || !strings.Contains(err.Error(), "Shared") {
		t.Errorf("unshared beside shared: %v", err)
	}
	for range 2 {
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.Write(nil); !errors.Is(err, ErrClosed) || !errors.Is(err, os.ErrClosed) {
		t.Errorf("write after Close: %v", err)
	}
	mustProducer(t, r, "a", shared)
}

// A producer that is refused costs nothing: no lane, no stream in the archive.
func TestRefusedProducerAllocatesNothing(t *testing.T) {
	const size = 512 << 20
	tests := []struct {
		name  string
		limit int
		call  string // stream of the call that must fail
		want  string
	}{
		{"memory limit", 1 << 20, "b", "536870912 bytes exceeds Options.MemoryLimit"},
		{"stream in use", 1 << 30, "a", "has an open producer"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := new(fakeArchive)
			r := startFake(t, f, &Options{MemoryLimit: test.limit})
			mustProducer(t, r, "a", nil)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := r.Producer(test.call, &ProducerOptions{LaneSize: size})
			runtime.ReadMemStats(&after)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatal(err)
			}
			if n := after.TotalAlloc - before.TotalAlloc; n >= size/2 {
				t.Errorf("%d bytes were allocated", n)
			}
			if len(f.streams) != 1 || len(r.Stats().Streams) != 1 {
				t.Errorf("streams %q, %+v", f.streams, r.Stats().Streams)
			}
			mustClose(t, r)
		})
	}
}

// Sums of lanes near the largest int do not wrap around, on 32 bits either.
func TestMemoryLimitDoesNotOverflow(t *testing.T) {
	r := newRecorder(new(fakeArchive), Options{MemoryLimit: math.MaxInt})
	r.memory = math.MaxInt - 1<<20
	for size, fits := range map[int]bool{1 << 20: true, 1<<20 + 1: false, maxLaneSize: false} {
		if _, err := r.room("a", &ProducerOptions{LaneSize: size}); (err == nil) != fits {
			t.Errorf("a lane of %d bytes in 1 MiB: %v", size, err)
		}
	}
}

func TestMemoryLimit(t *testing.T) {
	f := new(fakeArchive)
	r := startFake(t, f, &Options{LaneSize: 4096, MemoryLimit: 12000})
	a := mustProducer(t, r, "a", nil)
	mustProducer(t, r, "b", nil)
	_, err := r.Producer("c", nil)
	if err == nil || !strings.Contains(err.Error(), "4096 bytes exceeds Options.MemoryLimit: open lanes take 8192 of 12000") {
		t.Fatalf("third lane: %v", err)
	}
	if _, err := a.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	_ = a.Close()
	c := mustProducer(t, r, "c", nil) // waits until the archiver has let go of a
	if s := r.Stats(); s.LaneMemory != 8192 || len(s.Streams) != 3 || s.Streams[0].Records != 1 || s.Streams[0].Open {
		t.Errorf("stats: %+v", s)
	}
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Producer("d", &ProducerOptions{LaneSize: 16384}); err == nil || !strings.Contains(err.Error(), "16384 bytes exceeds") {
		t.Fatalf("a lane larger than the limit: %v", err)
	}
	mustClose(t, r)
	if s := r.Stats(); s.LaneMemory != 0 {
		t.Errorf("%d bytes of lanes after Close", s.LaneMemory)
	}
	if _, err := r.Producer("a", nil); !errors.Is(err, ErrClosed) {
		t.Errorf("Producer after Close: %v", err)
	}
}

// What a lane takes when it is made is at most twice what it counts.
func TestSmallLanesCount(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	bothKinds(t, func(t *testing.T, shared bool) {
		for size := minLaneSize; size <= 1<<20; size *= 2 {
			o := &ProducerOptions{LaneSize: size, Shared: shared}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			l, err := newLane(o)
			runtime.ReadMemStats(&after)
			if err != nil {
				t.Fatal(err)
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > 2*uint64(l.cost) || l.cost < l.capacity {
				t.Errorf("a lane of %d bytes takes %d, counted %d", size, n, l.cost)
			}
		}
	})
}

// A stream's ordinals go on in its next producer, and the records of the one
// before come first even if they are still in its lane.
func TestReopenedStreamGoesOn(t *testing.T) {
	f := new(fakeArchive)
	gate := make(chan struct{})
	f.before = func(int, []byte) (int, error) { <-gate; return 0, nil }
	r := startFake(t, f, nil)
	for i := range 20 {
		p := mustProducer(t, r, "a", &ProducerOptions{LaneSize: 1024, Shared: i%3 == 1})
		for j := range 3 {
			if _, err := p.Write([]byte{byte(3*i + j)}); err != nil {
				t.Fatal(err)
			}
		}
		_ = p.Close()
	}
	close(gate)
	mustClose(t, r)
	got := replay(t, f.all(), 1)
	if len(got.data) != 60 {
		t.Fatalf("%d records, want 60", len(got.data))
	}
	for i, rec := range got.data {
		if rec.Payload[0] != byte(i) {
			t.Fatalf("record %d is %d", i, rec.Payload[0])
		}
	}
}

// Lanes that are gone are garbage, also those of a stream that is reopened
// time and again.
func TestGoneLanesAreCollected(t *testing.T) {
	f := new(fakeArchive)
	f.before = func(int, []byte) (int, error) { time.Sleep(time.Millisecond); return 0, nil }
	r := startFake(t, f, nil)
	var collected atomic.Int32
	const n = 50
	for range n {
		p := mustProducer(t, r, "a", nil)
		runtime.AddCleanup(p.lane, func(int) { collected.Add(1) }, 0)
		_, _ = p.Write([]byte("x"))
		_ = p.Close()
	}
	last := mustProducer(t, r, "a", nil)
	_, _ = last.Write([]byte("x"))
	if err := last.WaitDurable(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if runtime.GC(); collected.Load() >= n-2 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if got := collected.Load(); got < n-2 {
		t.Errorf("%d of %d lanes are collected", got, n)
	}
	mustClose(t, r)
	runtime.KeepAlive(last)
}
