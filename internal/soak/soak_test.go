package soak

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"testing"
	"time"
)

// A round may take this long before it counts as stuck. It takes well below a
// second.
const stuck = 3 * time.Minute

// Rounds leave nothing behind: no goroutine, and no more memory than this.
const maxGrowth = 16 << 20

func TestSoak(t *testing.T) {
	setting := os.Getenv("LOGBUF_SOAK")
	if setting == "" {
		t.Skip("LOGBUF_SOAK is not set; it is a duration, like 10m")
	}
	duration, err := time.ParseDuration(setting)
	if err != nil {
		t.Fatalf("LOGBUF_SOAK: %v", err)
	}
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("LOGBUF_SOAK_SEED"); s != "" {
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("LOGBUF_SOAK_SEED: %v", err)
		}
	}
	t.Logf("seed %d, for %v", seed, duration)
	stop := make(chan bool)
	defer close(stop)
	go collect(stop)
	goroutines := runtime.NumGoroutine()
	var sum totals
	base := uint64(0)
	begin := time.Now()
	for round := 0; time.Since(begin) < duration; round++ {
		at := seed + uint64(round)
		r := &rig{rng: rand.New(rand.NewPCG(at, 0)), seed: at}
		watchdog := time.AfterFunc(stuck, func() {
			debug.SetTraceback("all")
			panic(fmt.Sprintf("seed %d: stuck: %s", at, r.what))
		})
		if err := r.run(); err != nil {
			t.Fatalf("seed %d: %s: %v", at, r.what, err)
		}
		watchdog.Stop()
		sum.add(r)
		if round%50 != 49 {
			continue
		}
		r = nil
		for range 100 { // goroutines that are on their way out
			if runtime.NumGoroutine() <= goroutines {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if n := runtime.NumGoroutine(); n > goroutines {
			t.Fatalf("up to seed %d: %d goroutines, %d before", at, n, goroutines)
		}
		heap := liveHeap()
		if base == 0 {
			base = heap
		}
		if heap > base+maxGrowth {
			t.Fatalf("up to seed %d: %d bytes live, %d before", at, heap, base)
		}
		sum.heap = max(sum.heap, heap)
	}
	t.Logf("%+v", sum)
	if sum.Rounds == 0 || sum.Delivered == 0 {
		t.Error("nothing was done")
	}
}

// collect collects garbage often: at most four buffers wait for the owners of
// claims that were passed, and a claim that leaked is gone when the collector
// says so.
func collect(stop chan bool) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(5 * time.Millisecond):
			runtime.GC()
		}
	}
}

func liveHeap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// totals is what all rounds did.
type totals struct {
	Rounds                               int
	Offered, Refused, Committed, Aborted int // by producers, as they were told
	Abandoned, Leaked, Late, Left        int
	Delivered, Passed, Closed            int // by readers
	heap                                 uint64
}

func (s *totals) add(r *rig) {
	s.Rounds++
	for _, p := range r.producers {
		t := p.all()
		s.Offered += t.offered
		s.Refused += t.refused
		s.Committed += t.committed
		s.Aborted += t.aborted
		s.Abandoned += t.abandoned
		s.Leaked += t.leaked
		s.Late += p.late
		s.Left += p.left
	}
	for _, d := range r.readers {
		s.Delivered += len(d.delivered)
	}
	s.Passed += int(r.total().Abandoned)
	if r.closedEarly {
		s.Closed++
	}
}
