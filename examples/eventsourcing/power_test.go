package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
	"github.com/nexus-logbuf/logbuf/journal"
)

// acknowledged is an answer, and how many operations the disk had done when it
// came.
type acknowledged struct {
	id, result string
	after      int
}

// A disk that forgets what was not synced: whatever moment the power is cut at,
// what was acknowledged before is in the state that the next start makes, with
// the same result, and that state is the journal's. Nothing else is lost in a
// way that stops the service.
func TestPowerCut(t *testing.T) {
	dir, sim := t.TempDir(), vfs.NewSim()
	s, err := Start(powerConfig(dir, sim))
	if err != nil {
		t.Fatal(err)
	}
	sim.InSync(func(string) { time.Sleep(time.Millisecond) }) // as a disk takes; what is acknowledged too early shows then
	acks := tradeInProcess(t, s, sim)
	end := sim.Total()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	rng := rand.New(rand.NewPCG(testSeed(t), 0))
	known, cuts := 0, 0
	rounds := 12
	if os.Getenv("LOGBUF_SOAK") != "" {
		rounds = 500
	}
	for _, model := range []vfs.Model{vfs.CrashDrop, vfs.CrashSubset, vfs.CrashTorn, vfs.CrashZeros, vfs.CrashGarbage, vfs.CrashRandom} {
		for range rounds {
			c := vfs.Crash{After: acks[0].after + rng.IntN(end-acks[0].after), Model: model, Seed: rng.Uint64()}
			known += checkPowerCut(t, dir, sim, c, acks)
			if cuts++; t.Failed() {
				t.Fatal(c)
			}
		}
	}
	t.Logf("%d acknowledgements, of which %d on average before the power was cut", len(acks), known/cuts)
}

func powerConfig(dir string, fs vfs.FS) Config {
	return Config{Dir: dir, Journal: journal.Options{FS: fs, SegmentSize: 64 << 10, MaxBlock: 4096}}
}

// tradeInProcess sends commands and quotes, and returns the answers in the
// order in which they came.
func tradeInProcess(t *testing.T, s *Service, sim *vfs.Sim) (acks []acknowledged) {
	ctx, stop := context.WithCancel(t.Context())
	var market, clients sync.WaitGroup
	market.Go(func() {
		if err := feed(ctx, s, 60000); err != nil {
			t.Error(err)
		}
	})
	var mu sync.Mutex
	for i := range 8 {
		clients.Go(func() {
			for n := range 60 {
				line := fmt.Sprintf("order %d-%d %s %d %d", i, n, symbols[n%3], n%7-3|1, 900+n*i)
				if n%20 == 19 {
					line = fmt.Sprintf("%s %d-%d %s", [...]string{"halt", "resume"}[i%2], i, n, symbols[i%3])
				}
				id, result, err := s.Do(ctx, []byte(line))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				acks = append(acks, acknowledged{id, result, sim.Total()})
				mu.Unlock()
			}
		})
	}
	clients.Wait()
	stop()
	market.Wait()
	return acks
}

// checkPowerCut starts a service on what a power cut has left, and returns how
// many acknowledgements there were before it.
func checkPowerCut(t *testing.T, dir string, sim *vfs.Sim, c vfs.Crash, acks []acknowledged) (known int) {
	t.Helper()
	disk := sim.Disk()
	disk.Trust("LOCK")
	disk.StepTo(c.After)
	img := disk.Crash(c.Model, c.Seed)
	s, err := Start(powerConfig(dir, img))
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range acks {
		if a.after > c.After {
			continue
		}
		known++
		if result, ok := s.Status(a.id); !ok || result != a.result {
			t.Errorf("%s was acknowledged as %q after operation %d, and is %q now (known: %v)", a.id, a.result, a.after, result, ok)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	have := s.state
	want, err := replay(journalDir(dir), &journal.ReaderOptions{Control: true, FS: img})
	if err != nil {
		t.Fatal(err)
	}
	a, _ := have.encode()
	if b, _ := want.encode(); string(a) != string(b) {
		t.Errorf("the state is\n%.500s\nand the journal's\n%.500s", a, b)
	}
	return known
}
