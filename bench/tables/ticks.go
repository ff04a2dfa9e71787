package main

import (
	"sync"
	"time"
)

var epoch = time.Now()

// now is nanoseconds since the program began, by the monotonic clock.
func now() int64 { return int64(time.Since(epoch)) }

// tick is how many nanoseconds a tick is.
var tick = sync.OnceValue(func() float64 {
	start, from := now(), ticks()
	for now()-start < int64(20*time.Millisecond) {
	}
	return float64(now()-start) / float64(ticks()-from)
})

// nanoseconds is the length of so many ticks.
func nanoseconds(ticks int64) int64 { return int64(float64(ticks)*tick() + 0.5) }

// tickStep is the greatest number that divides what readings of ticks differ by: by
// so much the counter moves at a time.
func tickStep() (d int64) {
	last := ticks()
	for range 10_000 {
		at := ticks()
		for b := at - last; b > 0; {
			d, b = b, d%b
		}
		last = at
	}
	return d
}
