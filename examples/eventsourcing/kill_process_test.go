package main

import (
	"fmt"
	"os"
	"testing"
	"time"
)

// kills is how many services TestKilled kills.
func kills() int {
	switch {
	case os.Getenv("LOGBUF_SOAK") != "":
		return 200
	case testing.Short():
		return 3
	}
	return 15
}

// Services are killed at random moments, while they start, too, in one directory, with snapshots and trimming under way. After each kill,
// what was acknowledged is in the journal once, nothing is in it twice, and the state that the next service makes of snapshot and tail is the
// model's.
func TestKilled(t *testing.T) {
	g := newRig(t)
	early := 0
	for k := range kills() {
		p := g.start(t, nil, "-feed", fmt.Sprint([]int{0, 3000, 40000}[g.rng.IntN(3)]), "-quote-lane", fmt.Sprint(1024<<g.rng.IntN(4)),
			"-snapshot-every", fmt.Sprint(200+g.rng.IntN(2000)), "-segment-size", "65536", "-keep", "131072")
		done := g.trade(t, p.addr)
		wait := time.Duration(g.rng.Int64N(int64(300 * time.Millisecond)))
		if g.rng.IntN(4) == 0 {
			wait /= 50
			early++
		}
		time.Sleep(wait)
		p.kill()
		done.Wait()
		if g.check(t); t.Failed() {
			t.Fatalf("kill %d", k)
		}
	}
	shots, err := snapshots(g.dir + "/snapshots")
	if err != nil {
		t.Error(err)
	}
	segments, err := os.ReadDir(g.journal())
	if err != nil {
		t.Error(err)
	}
	t.Logf("%d services killed, %d of them early; %d commands acknowledged, %d of those sent again; %d quotes, %d lost; snapshots %d; journal of %d records in %d files",
		kills(), early, len(g.acked), g.resent, g.model.quotes, g.model.lost, len(shots), g.model.next, len(segments))
}
