//go:build !logbuf_explore

package step

import (
	"os/exec"
	"regexp"
	"runtime"
	"testing"
)

// The two litmus tests are those of package sync/atomic for its stores
// (TestStoreLoadRelAcq64, TestStoreLoadSeqCst64), with StoreRelease in their
// place: plain data behind a signal, and, with an atomic store between, two
// goroutines of which at least one sees what the other has stored.

const litmusRounds = 20_000

// turns has two goroutines do their part of each round.
func turns(part func(me int, round uint64)) {
	done := make(chan struct{})
	for me := range 2 {
		go func() {
			for i := uint64(1); i <= litmusRounds; i++ {
				part(me, i)
			}
			done <- struct{}{}
		}()
	}
	<-done
	<-done
}

// until waits until x is v at least.
func until(x *Uint64, v uint64) {
	for n := 1; x.Load() < v; n++ {
		if n%1000 == 0 {
			runtime.Gosched()
		}
	}
}

func TestStoreReleasePassesData(t *testing.T) {
	var x struct {
		signal Uint64
		_      [128]byte
		data1  uint64
		_      [128]byte
		data2  float64
	}
	turns(func(me int, i uint64) {
		if (i+uint64(me))%2 == 0 {
			x.data1, x.data2 = i, float64(i)
			StoreRelease(&x.signal, i)
			return
		}
		until(&x.signal, i)
		if d1, d2 := x.data1, x.data2; d1 != i || d2 != float64(i) {
			t.Errorf("round %d: the data is that of %d and %v", i, d1, d2)
		}
	})
}

func TestStoreReleaseBehindFence(t *testing.T) {
	type word struct {
		v Uint64
		_ [128]byte
	}
	var stored, fence, ack [2]word
	var saw [2][3]uint64 // by goroutine, of the last rounds
	turns(func(me int, i uint64) {
		other := 1 - me
		StoreRelease(&stored[me].v, i)
		fence[me].v.Store(i)
		saw[me][i%3] = stored[other].v.Load()
		ack[me].v.Store(i)
		until(&ack[other].v, i)
		if mine, its := saw[me][i%3], saw[other][i%3]; mine < i && its < i {
			t.Errorf("round %d: neither has seen what the other has stored: %d, %d", i, mine, its)
		}
	})
}

// Inlined, the store could be merged with others, or removed.
func TestStoreReleaseIsACall(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no go command")
	}
	cmd := exec.Command("go", "build", "-gcflags=-m=2", ".")
	cmd.Env = append(cmd.Environ(), "GOOS=linux", "GOARCH=amd64")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	if !regexp.MustCompile(`release_leaf.go.*cannot inline StoreRelease: marked go:noinline`).Match(out) {
		t.Errorf("StoreRelease may be inlined:\n%s", out)
	}
}
