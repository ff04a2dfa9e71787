package queue

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/nexus-logbuf/logbuf/internal/step"
)

// fenced puts the buffer of a new ring between two fences of 4 KiB, and returns a
// function that fails the test if one of them was written to.
func fenced(t *testing.T, r *ring) (intact func()) {
	const size = 4096
	words := make([]step.Uint64, (size+r.capacity+size)/headerLen)
	all := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), size+r.capacity+size)
	fence := bytes.Repeat([]byte{0xA5}, size)
	copy(all, fence)
	copy(all[size+r.capacity:], fence)
	r.mem.base = unsafe.Pointer(&words[size/headerLen])
	r.mem.data = all[size:][:r.capacity]
	return func() {
		t.Helper()
		if !bytes.Equal(all[:size], fence) || !bytes.Equal(all[size+r.capacity:], fence) {
			t.Fatal("bytes outside of the buffer were written to")
		}
	}
}

// An unshared producer writes without looking at bounds: its room must never be
// more than what is free and contiguous, whatever it is asked for.
func TestRoomStaysWithinFreeSpace(t *testing.T) {
	const steps = 10_000
	wrong := []int{-1, -headerLen, math.MinInt, math.MinInt32, math.MaxInt, math.MaxInt - headerLen, math.MaxInt32}
	for _, capacity := range []int{64, 128, 512, 4096} { // room reaches behind the record from 512 on
		for _, start := range []uint64{0, 1<<32 - 24, 1<<64 - 40} {
			t.Run(fmt.Sprintf("%d/%#x", capacity, start), func(t *testing.T) {
				p, c, err := newSPSC(capacity, start)
				if err != nil {
					t.Fatal(err)
				}
				intact := fenced(t, p.ring)
				payload := bytes.Repeat([]byte{0xff}, capacity)
				rng := rand.New(rand.NewPCG(uint64(capacity), start))
				for range steps {
					n := rng.IntN(60)
					if rng.IntN(8) == 0 {
						n = rng.IntN(capacity)
					}
					switch rng.IntN(5) {
					case 0, 1:
						p.Write(payload[:n])
					case 2:
						if rng.IntN(4) == 0 {
							n = wrong[rng.IntN(len(wrong))]
						}
						if cl, err := p.TryClaim(n); err == nil {
							copy(cl.Bytes(), payload)
							cl.CommitN(rng.IntN(n + 1))
						}
					default:
						c.Next()
					}
					if free := p.limit - p.tail + headerLen - 1; int64(p.limit-p.tail) > 0 && (free%headerLen != 0 || free > p.ring.toEnd(p.tail) ||
						p.tail+free-c.head > p.ring.capacity-reserved) {
						t.Fatalf("limit %#x at %#x; the consumer is at %#x", p.limit, p.tail, c.head)
					}
				}
				intact()
			})
		}
	}
}
