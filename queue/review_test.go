package queue

import (
	"runtime"
	"testing"
)

// A: one claim that is held for ever, and others whose owners are gone: only
// one buffer cannot be collected, so claims go on being passed.
func TestChainOfRetiredBuffersIsCollectable(t *testing.T) {
	p, c, _ := NewMPSC(128)
	held := mustClaim(t, p, 8)
	if !c.PassStalled(0) {
		t.Fatal("first")
	}
	for i := range 12 {
		wantRecords(t, c)
		mustClaim(t, p, 8) // its owner is gone
		putString(t, p, "behind")
		passed := false
		for range 5 {
			runtime.GC()
			if passed = c.PassStalled(0); passed {
				break
			}
		}
		if !passed {
			t.Fatalf("claim %d is not passed; one claim is held, %d buffers counted", i, len(c.retired))
		}
		wantRecords(t, c, "behind")
	}
	runtime.KeepAlive(held)
}

// B: the owner is gone, somebody has kept its bytes: the buffer is there.
func TestBytesOfAClaimCountAsItsBuffer(t *testing.T) {
	p, c, _ := NewMPSC(1 << 16)
	var kept [][]byte
	for i := range 3 * maxRetired {
		kept = append(kept, mustClaim(t, p, 8).Bytes())
		runtime.GC()
		runtime.GC()
		if got := c.PassStalled(0); got != (i < maxRetired) {
			t.Fatalf("with %d buffers held by their bytes, passed: %v", i, got)
		}
		wantRecords(t, c)
		if i == maxRetired {
			break
		}
	}
	runtime.KeepAlive(kept)
}

// C: counters through a retirement while a record is held.
func TestStatsThroughARetirement(t *testing.T) {
	for _, how := range []string{"next", "peek"} {
		t.Run(how, func(t *testing.T) {
			p, c, _ := NewMPSC(256)
			leaked := mustClaim(t, p, 8)
			putString(t, p, "one")
			c.PassStalled(0)
			var end uint64
			if how == "next" {
				c.Next()
			} else {
				end = c.Peek(100).End()
			}
			c.Ready() // as channel's Wait does: the record stays valid
			if how == "peek" {
				c.ReleaseTo(end)
			}
			wantRecords(t, c)
			c.Release()
			p.Close()
			wantRecords(t, c)
			if s := c.Stats(); !c.Drained() || s.Records != 1 || s.Bytes != 3 || s.HighWater == 0 {
				t.Fatalf("all is read and given back: %+v", s)
			}
			leaked.Abort()
		})
	}
}

// F: refused records take no turns.
func TestSendNextTooLargeKeepsTheTurn(t *testing.T) {
	f, cs, _ := NewFanOut(2, 64)
	for range 2 {
		if err := f.SendNext(1, make([]byte, 8)); err != nil {
			t.Fatal(err)
		}
		if err := f.SendNext(1, make([]byte, 100)); err != ErrTooLarge {
			t.Fatal(err)
		}
	}
	n := [2]int{}
	for i, c := range cs {
		n[i] = c.Drain(10, func(int32, []byte) {})
	}
	if n != [2]int{1, 1} {
		t.Fatalf("workers got %v records", n)
	}
}
