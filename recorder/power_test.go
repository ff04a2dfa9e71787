package recorder

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
	"github.com/nexus-logbuf/logbuf/journal"
)

// confirmed is how many records of each stream were durable when WaitDurable
// returned, and how many operations the disk had done by then.
type confirmed struct {
	records map[string]int
	after   int
}

// A disk that forgets what was not synced, cut off after any operation: what
// WaitDurable, of a producer and of the recorder, had confirmed by then is in
// what the archive recovers to, whatever the policy.
func TestPowerCut(t *testing.T) {
	for _, sync := range []journal.Sync{journal.SyncInterval, journal.SyncBatch, journal.SyncNone} {
		t.Run(sync.String(), func(t *testing.T) {
			sim := vfs.NewSim()
			sim.InSync(func(string) { time.Sleep(200 * time.Microsecond) }) // what is confirmed too early shows then
			said := confirmAll(t, sim, sync)
			end, rng := sim.Total(), rand.New(rand.NewPCG(uint64(sync), 7))
			for _, model := range []vfs.Model{vfs.CrashDrop, vfs.CrashSubset, vfs.CrashTorn, vfs.CrashZeros, vfs.CrashRandom} {
				for range scaled(20) {
					c := vfs.Crash{After: said[0].after + rng.IntN(end-said[0].after+1), Model: model, Seed: rng.Uint64()}
					disk := sim.Disk()
					disk.Trust("LOCK")
					disk.StepTo(c.After)
					checkConfirmed(t, disk.Crash(c.Model, c.Seed), c, said)
				}
			}
		})
	}
}

// confirmAll records three streams, asks now and then what is durable, and
// returns the answers in their order.
func confirmAll(t *testing.T, sim *vfs.Sim, policy journal.Sync) (said []confirmed) {
	r := mustOpen(t, "archive", &Options{Journal: journal.Options{FS: sim, Sync: policy, SegmentSize: 64 << 10, MaxBlock: 4096}})
	var mu sync.Mutex
	written := map[string]int{}
	var wg sync.WaitGroup
	for i := range 3 {
		name := fmt.Sprint("s", i)
		p := mustProducer(t, r, name, &ProducerOptions{Overload: OverloadWait, Shared: i == 1, LaneSize: 2048})
		wg.Go(func() {
			for n := range scaled(600) {
				if _, err := fmt.Fprintf(p, "%d %0*d", n, n%90, 0); err != nil {
					t.Error(err)
				}
				mu.Lock()
				written[name] = n + 1
				all := map[string]int{name: n + 1}
				if n%50 == 0 {
					for k, v := range written {
						all[k] = v
					}
				}
				mu.Unlock()
				var err error
				switch {
				case n%50 == 0:
					err = r.WaitDurable(t.Context())
				case n%20 == 0:
					err = p.WaitDurable(t.Context())
				default:
					continue
				}
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				said = append(said, confirmed{all, sim.Total()})
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	mustClose(t, r)
	return said
}

// checkConfirmed opens what a power cut has left and looks for what was
// confirmed before it.
func checkConfirmed(t *testing.T, img *vfs.Sim, c vfs.Crash, said []confirmed) {
	t.Helper()
	mustClose(t, mustOpen(t, "archive", &Options{Journal: journal.Options{FS: img}}))
	rd, err := journal.OpenReader("archive", &journal.ReaderOptions{FS: img})
	if err != nil {
		t.Fatalf("%v: %v", c, err)
	}
	defer rd.Close()
	have := map[string]int{} // records from the first on
	for rec, err := range rd.All() {
		var gap *journal.GapError
		if errors.As(err, &gap) {
			break // a power cut may take what nobody was promised, though what was written later is there
		}
		if err != nil {
			t.Fatalf("%v: %v", c, err)
		}
		name, n := rd.StreamName(rec.Stream), 0
		if _, err := fmt.Sscan(string(rec.Payload), &n); err != nil || n != have[name] {
			t.Fatalf("%v: stream %q: record %.20q follows %d", c, name, rec.Payload, have[name]-1)
		}
		have[name]++
	}
	for _, s := range said {
		for name, n := range s.records {
			if s.after <= c.After && have[name] < n {
				t.Fatalf("%v: %d records of %q were confirmed after operation %d, %d are there", c, n, name, s.after, have[name])
			}
		}
	}
}
