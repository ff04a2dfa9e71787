package queue

import (
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"
)

// wantStats compares a handle's counters with want, but for the high-water
// mark, which is the ring's.
func wantStats(t *testing.T, name string, p *SharedProducer, want Stats) {
	t.Helper()
	got := p.Stats()
	want.HighWater = got.HighWater
	if got != want {
		t.Errorf("%s: %+v, want %+v", name, got, want)
	}
}

// Each handle counts what its own calls have answered; the first counts for
// all.
func TestCloneCountsForItself(t *testing.T) {
	ring, c, _ := newMPSC(128, 0)
	a, b := ring.Clone(), ring.Clone()
	second := a.Clone()
	sink := func(int32, []byte) {}

	mustWrite(t, a, make([]byte, 10))              // 24 bytes
	must(b.TryClaim(20)).Commit()                  // 32
	must(b.TryClaim(8)).CommitN(3)                 // 16
	a.Append(9, func(dst []byte) ([]byte, error) { // 16
		return append(dst, "appended"...), nil
	})
	if _, err := a.Write(make([]byte, 40)); err != ErrFull { // 40 to the end, 32 free
		t.Fatal(err)
	}
	c.Drain(9, sink)
	must(second.TryClaim(1)).Abort()                     // 16: 24 to the end
	if _, err := b.Write(make([]byte, 24)); err != nil { // padding of 24
		t.Fatal(err)
	}
	c.Drain(9, sink)
	cl := must(ring.TryClaim(5))
	cl.Commit()
	cl.Abort()
	mustWrite(t, ring, make([]byte, 7))
	c.Drain(9, sink)

	wantStats(t, "a", a, Stats{Records: 2, Bytes: 18, Full: 1})
	wantStats(t, "b", b, Stats{Records: 3, Bytes: 47, Padding: 24})
	wantStats(t, "the clone of a", second, Stats{Aborts: 1})
	wantStats(t, "ring", ring, Stats{Records: 7, Bytes: 77, Full: 1, Aborts: 1, Padding: 24})
	if ring.Stats() != c.Stats() {
		t.Errorf("consumer %+v, ring %+v", c.Stats(), ring.Stats())
	}
	for _, p := range []*SharedProducer{a, b, second} {
		if got := p.Stats().HighWater; got != c.Stats().HighWater || got == 0 {
			t.Errorf("high-water mark %d, the ring's %d", got, c.Stats().HighWater)
		}
	}

	second.Close()
	for _, p := range []*SharedProducer{ring, a, b, second, b.Clone()} {
		if _, err := p.Write(nil); err != ErrClosed {
			t.Errorf("after Close of one: %v", err)
		}
	}
	if !c.Drained() {
		t.Error("not drained")
	}
}

// Who finds its claim passed counts that, whichever way it settles; who never
// comes back is counted by the ring alone.
func TestCloneCountsAbandoned(t *testing.T) {
	for _, by := range []string{"passed", "closed"} {
		for name, settle := range map[string]func(Claim) bool{
			"Commit":  Claim.Commit,
			"CommitN": func(c Claim) bool { return c.CommitN(3) },
			"Abort":   func(c Claim) bool { c.Abort(); return false },
		} {
			t.Run(by+"/"+name, func(t *testing.T) {
				ring, c, _ := NewMPSC(256)
				a, b := ring.Clone(), ring.Clone()
				late, leaked := mustClaim(t, a, 8), mustClaim(t, b, 8)
				first := mustClaim(t, ring, 8)
				if by == "closed" {
					ring.Close()
					c.Next()
				} else {
					for range 3 {
						if !c.PassStalled(0) {
							t.Fatal("not passed")
						}
					}
					putString(t, b, "in the new ring")
					wantRecords(t, c, "in the new ring")
				}
				if settle(late) || settle(first) {
					t.Fatal("published")
				}
				late.Abort() // of a settled claim
				want := Stats{Abandoned: 1}
				wantStats(t, "a", a, want)
				want = Stats{}
				if by == "passed" {
					want = Stats{Records: 1, Bytes: 15}
				}
				wantStats(t, "b", b, want)
				want.Abandoned = 3
				wantStats(t, "ring", ring, want)
				_ = leaked
			})
		}
	}
}

// A copy of a settled claim does nothing for nobody, whose slot its slot may
// have become.
func TestStaleClaimCountsForNobody(t *testing.T) {
	ring, c, _ := NewMPSC(1 << 12)
	a, b := ring.Clone(), ring.Clone()
	stale := mustClaim(t, a, 8)
	stale.Commit()
	var open []Claim
	for range slotCount { // one of them has the slot
		open = append(open, mustClaim(t, b, 8))
	}
	if stale.p.own.Load() != b.own {
		t.Fatal("nobody has taken the slot")
	}
	stale.Abort()
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the second Commit does not panic")
			}
		}()
		stale.Commit()
	}()
	wantStats(t, "a", a, Stats{Records: 1, Bytes: 8})
	wantStats(t, "b", b, Stats{})
	beyond := mustClaim(t, a, 8) // has a slot of its own
	for _, cl := range open {
		cl.Commit()
	}
	beyond.Commit()
	wantStats(t, "a", a, Stats{Records: 2, Bytes: 16})
	wantStats(t, "b", b, Stats{Records: slotCount, Bytes: 8 * slotCount})
	if n := c.Drain(1000, func(int32, []byte) {}); n != slotCount+2 {
		t.Errorf("%d records", n)
	}
}

// tally is what a goroutine was told.
type tally struct {
	Stats
	leaked uint64
}

// Goroutines that share slots, pass claims on, leak them and come back late;
// some of them use several handles at once. Each handle's counters are what its
// calls have answered, and with what leaked they add up to the ring's.
func TestStressCloneCounts(t *testing.T) {
	records := 3000
	if testing.Short() || raceEnabled {
		records = 600
	}
	for _, capacity := range []int{64, 512, 1 << 14} {
		ring, c, _ := NewMPSC(capacity)
		const goroutines, each = 3, 2
		var handles [goroutines][each]*SharedProducer
		var told [goroutines][each]tally
		var wg sync.WaitGroup
		for g := range handles {
			for h := range handles[g] {
				handles[g][h] = ring.Clone()
			}
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(g), uint64(capacity)))
				for range records {
					h := rng.IntN(each)
					tellOne(rng, handles[g][h], &told[g][h])
				}
			})
		}
		done := make(chan struct{})
		go func() { wg.Wait(); ring.Close(); close(done) }()
		for !c.Drained() {
			if _, ok := c.Next(); !ok {
				if !c.PassStalled(50 * time.Microsecond) {
					runtime.Gosched()
					if len(c.retired) == maxRetired {
						runtime.GC() // leaked claims hold their buffers until it runs
					}
				}
			}
		}
		<-done
		c.Release() // shows what was read to Stats
		var sum tally
		for g := range handles {
			for h, p := range handles[g] {
				got, want := p.Stats(), told[g][h].Stats
				want.Padding, want.HighWater = got.Padding, got.HighWater // nobody is told
				if got != want {
					t.Errorf("capacity %d, handle %d of goroutine %d: %+v, was told %+v", capacity, h, g, got, want)
				}
				sum.Stats = sum.add(got)
				sum.leaked += told[g][h].leaked
			}
		}
		sum.Abandoned += sum.leaked
		if total := ring.Stats(); total != sum.Stats || total != c.Stats() {
			t.Errorf("capacity %d: the ring has counted %+v, the handles %+v with %d leaked", capacity, total, sum.Stats, sum.leaked)
		}
		t.Logf("capacity %d: %+v, %d leaked", capacity, ring.Stats(), sum.leaked)
	}
}

// tellOne makes one record of p in some way, and notes what it was told.
func tellOne(rng *rand.Rand, p *SharedProducer, told *tally) {
	n := rng.IntN(20)
	commit := func(ok bool) {
		if !ok {
			told.Abandoned++
			return
		}
		told.Records++
		told.Bytes += uint64(n)
	}
	if rng.IntN(4) == 0 {
		var rec [20]byte
		binary.LittleEndian.PutUint64(rec[:], rng.Uint64())
		before := p.Stats().Abandoned
		if _, err := p.Write(rec[:n]); err != nil {
			told.Full++
			runtime.Gosched()
		} else {
			commit(true)
		}
		told.Abandoned += p.Stats().Abandoned - before // a Write that was passed and has tried again
		return
	}
	cl, err := p.TryClaim(20)
	if err != nil {
		told.Full++
		runtime.Gosched()
		return
	}
	switch how := rng.IntN(100); {
	case how == 0:
		told.leaked++
		return
	case how < 3:
		time.Sleep(time.Duration(rng.IntN(200)) * time.Microsecond)
	case how < 20:
		before := p.Stats().Abandoned
		cl.Abort()
		late := p.Stats().Abandoned - before
		told.Abandoned += late
		told.Aborts += 1 - late
		return
	}
	defer cl.Abort()
	commit(cl.CommitN(n))
}
