package park

import (
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A lost wake-up leaves the sleeper parked with every other goroutine of the
// bubble gone, which synctest reports as a deadlock.
func TestNoLostWakeup(t *testing.T) {
	rounds := 2000
	if testing.Short() {
		rounds = 200
	}
	synctest.Test(t, func(t *testing.T) {
		p := New()
		var work, seen atomic.Int64
		go func() {
			for i := range rounds {
				work.Add(1)
				p.Wake()
				if i%3 == 0 {
					runtime.Gosched()
				}
			}
		}()
		for seen.Load() < int64(rounds) {
			if n := work.Load(); n > seen.Load() {
				seen.Store(n)
				continue
			}
			p.Arm()
			if work.Load() > seen.Load() {
				p.Disarm()
				continue
			}
			p.Park(nil, nil)
		}
	})
}

func TestDisarmTakesTheTokenOfAWakerThatWon(t *testing.T) {
	p := New()
	p.Arm()
	p.Wake()
	p.Disarm()
	if p.token.Full() {
		t.Fatal("a token is left behind; the next sleep would end at once")
	}
	p.Arm()
	alarm := time.After(time.Millisecond)
	if !p.Park(nil, alarm) {
		t.Fatal("Park returned without the alarm")
	}
}

func TestParkEndsByEachCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New()

		p.Arm()
		go p.Wake()
		if p.Park(nil, nil) {
			t.Error("Wake counted as an alarm")
		}

		done := make(chan struct{})
		p.Arm()
		go close(done)
		if p.Park(done, nil) {
			t.Error("done counted as an alarm")
		}

		p.Arm()
		start := time.Now()
		if !p.Park(nil, time.After(time.Second)) || time.Since(start) != time.Second {
			t.Error("the alarm did not end the sleep when due")
		}
		if p.state.Load() != idle || p.token.Full() {
			t.Error("still armed after Park")
		}
	})
}

func TestWakeOfAnAwakeSleeperLeavesNoToken(t *testing.T) {
	p := New()
	for range 3 {
		p.Wake()
	}
	if p.token.Full() {
		t.Fatal("Wake without Arm sent a token")
	}
}
