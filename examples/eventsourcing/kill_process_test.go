package main

import (
	"fmt"
	"os"
	"os/exec"
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
		args := []string{
			"-dir", g.dir, "-feed", fmt.Sprint([]int{0, 3000, 40000}[g.rng.IntN(3)]), "-quote-lane", fmt.Sprint(1024 << g.rng.IntN(4)),
			"-snapshot-every", fmt.Sprint(200 + g.rng.IntN(2000)), "-segment-size", "65536", "-keep", "131072",
		}
		if g.rng.IntN(3) == 0 {
			early++
			g.killEarly(t, args)
		}
		p := g.start(t, nil, args[2:]...)
		done := g.trade(t, p.addr)
		wait := time.Duration(g.rng.Int64N(int64(300 * time.Millisecond)))
		time.Sleep(wait)
		p.kill()
		done.Wait()
		if g.check(t); t.Failed() {
			t.Fatalf("kill %d", k)
		}
	}
	segments, err := os.ReadDir(g.journal())
	if err != nil {
		t.Error(err)
	}
	if g.shots < kills()/3 {
		t.Errorf("%d of %d starts began with a snapshot", g.shots, kills())
	}
	t.Logf("%d services killed, %d more while they started; %d commands acknowledged, %d of those sent again; %d quotes, %d lost; %d starts from snapshots; journal of %d records in %d files",
		kills(), early, len(g.acked), g.resent, g.model.quotes, g.model.lost, g.shots, g.model.next, len(segments))
}

// killEarly kills a service while it opens the journal and catches up, or soon
// after.
func (g *rig) killEarly(t *testing.T, args []string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), childEnv+"=1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Duration(g.rng.Int64N(int64(20 * time.Millisecond))))
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}
