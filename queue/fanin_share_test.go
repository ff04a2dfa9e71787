package queue

import "testing"

// The look that finds a lane's share of the round used up sees what is at its
// head: the grace counts from there, not from the look after it.
func TestFanInByTimeSeesBehindTheShare(t *testing.T) {
	const grace = 6400
	f, clock := newFakeFanIn(t, 64, 0, grace)
	a := must(f.NewProducer())
	must(f.NewProducer()) // stays empty: everything in a waits for the grace
	writeAt(t, a, 100)
	f.Due() // seen
	clock.now += 2 * grace
	// As much as the lane has goes in this round, without a look at the clock.
	for n := 0; n < 64; n += 16 {
		if rec, ok := f.Next(); !ok {
			t.Fatalf("after %d bytes: %v", n, rec)
		}
		if n+16 < 64 {
			writeAt(t, a, 100)
		}
	}
	writeAt(t, a, 200)
	wait, ok := f.Due() // one look, no more
	if !ok || wait == 0 {
		t.Fatalf("Due: %v, %v: a record may go before its grace is over", wait, ok)
	}
	clock.now += wait
	if _, ok := f.Next(); !ok {
		t.Fatalf("held back for longer than the %v that Due said", wait)
	}
}
