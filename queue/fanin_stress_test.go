package queue

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Producers on goroutines of their own take their timestamps from one counter,
// so that no two are equal, and open and close lanes as they go. With a grace
// longer than the test nothing is late; with a short one whatever is late is
// flagged and counted. Others look at the counters all the time.
func TestFanInByTimeStress(t *testing.T) {
	for _, grace := range []time.Duration{0, time.Microsecond, time.Hour} {
		for _, capacity := range []int{64, 1024, 1 << 16} {
			for _, verb := range []string{"Next", "Drain", "Peek"} {
				t.Run(fmt.Sprintf("%v/%d/%s", grace, capacity, verb), func(t *testing.T) {
					stressByTime(t, grace, capacity, verb)
				})
			}
		}
	}
}

func stressByTime(t *testing.T, grace time.Duration, capacity int, verb string) {
	const producers, lives = 3, 4
	each := stressRecords() / 30
	base := time.Now()
	f := must(newFanInByTime(capacity, 1<<32-72, grace, func() time.Duration { return time.Since(base) }))
	var clock atomic.Int64
	var wg sync.WaitGroup
	for range producers {
		first := must(f.NewProducer())
		wg.Go(func() {
			p := first
			for life := range lives {
				for range each {
					for {
						c, err := p.TryClaim(timeLen + life)
						if err == nil {
							copy(c.Bytes(), stamped(clock.Add(1), timeLen))
							c.Commit()
							break
						}
						pause()
					}
				}
				old := p
				if life < lives-1 { // the next lane is there before this one goes
					p = must(f.NewProducer())
				}
				old.Close()
			}
		})
	}
	done := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			sum, before := Stats{}, f.Stats()
			for _, s := range f.Lanes {
				sum = sum.add(s)
			}
			if after := f.Stats(); sum.Records < before.Records || sum.Records > after.Records {
				panic(fmt.Sprintf("Lanes add up to %d, Stats was %d, and is %d", sum.Records, before.Records, after.Records))
			}
			time.Sleep(50 * time.Microsecond)
		}
	})
	go func() {
		wg.Wait()
		f.Close()
	}()
	last, late, n := int64(math.MinInt64), 0, 0
	got := func(_ int32, rec []byte) {
		n++
		at := int64(le64(rec))
		if f.Late() != (at < last) {
			panic(fmt.Sprintf("late %v: %d behind %d", f.Late(), at, last))
		}
		if f.Late() {
			late++
		}
		last = max(last, at)
	}
	for !f.Drained() {
		before := n
		switch verb {
		case "Next":
			if rec, ok := f.Next(); ok {
				got(0, rec)
			}
		case "Drain":
			f.Drain(100, got)
		case "Peek":
			s := f.Peek(1 << 20)
			list, err := parse(s.Frames())
			if err != nil {
				panic(err)
			}
			for _, rec := range list {
				if rec.typ != typeSkip {
					got(rec.typ, rec.payload)
				}
			}
			if s.Records() > 0 {
				f.ReleaseTo(s.End())
			}
		}
		if n == before {
			pause()
		}
	}
	close(done)
	watch.Wait()
	f.Release()
	if want := producers * lives * each; n != want {
		t.Errorf("%d records, want %d", n, want)
	}
	if s := f.Stats(); s.Late != uint64(late) || s.Records != uint64(n) {
		t.Errorf("%d late of %d; %+v", late, n, s)
	}
	if grace == time.Hour && late > 0 {
		t.Errorf("%d late", late)
	}
}

func le64(b []byte) (v uint64) {
	for i := range 8 {
		v |= uint64(b[i]) << (8 * i)
	}
	return v
}
