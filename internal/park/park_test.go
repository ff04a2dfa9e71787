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
	tests := []struct {
		name        string
		sleep, wake func(*Parker)
	}{
		{"Arm, Wake", (*Parker).Arm, (*Parker).Wake},
		{"Arm, Rouse", (*Parker).Arm, (*Parker).Rouse},
		{"Doze, Rouse", (*Parker).Doze, (*Parker).Rouse},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := New()
				var work, seen atomic.Int64
				for range 2 {
					go func() {
						for i := range rounds {
							work.Add(1)
							test.wake(p)
							if i%3 == 0 {
								runtime.Gosched()
							}
						}
					}()
				}
				for seen.Load() < int64(2*rounds) {
					if n := work.Load(); n > seen.Load() {
						seen.Store(n)
						continue
					}
					test.sleep(p)
					if work.Load() > seen.Load() {
						p.Disarm()
						continue
					}
					p.Park(nil, nil)
				}
			})
		})
	}
}

func TestWhatEndsWhichSleep(t *testing.T) {
	tests := []struct {
		name        string
		sleep, wake func(*Parker)
		ends        bool
	}{
		{"Wake ends Arm", (*Parker).Arm, (*Parker).Wake, true},
		{"Rouse ends Arm", (*Parker).Arm, (*Parker).Rouse, true},
		{"Wake does not end Doze", (*Parker).Doze, (*Parker).Wake, false},
		{"Rouse ends Doze", (*Parker).Doze, (*Parker).Rouse, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := New()
				for range 2 {
					test.sleep(p)
					if !p.Asleep() {
						t.Error("not asleep")
					}
					go func() { test.wake(p); test.wake(p) }()
					if alarmed := p.Park(nil, time.After(time.Second)); alarmed == test.ends {
						t.Errorf("ended by the alarm: %v", alarmed)
					}
					if p.Asleep() || p.token.Full() {
						t.Error("asleep after Park, or a token is left")
					}
				}
			})
		})
	}
}

func TestDisarmTakesTheTokenOfAWakerThatWon(t *testing.T) {
	p := New()
	p.Arm()
	p.Wake()
	p.Disarm()
	p.Doze()
	p.Rouse()
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
		p.Rouse()
	}
	if p.token.Full() || p.Asleep() {
		t.Fatal("Wake or Rouse without Arm sent a token")
	}
}
