package journal

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// A look at each frame of a batch: all of one size, of two sizes in no order, and of many.
func BenchmarkWalkFrames(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, of := range []struct {
		name string
		size func() int
	}{
		{"64B", func() int { return 64 }},
		{"256B", func() int { return 256 }},
		{"64-72B", func() int { return 64 + 8*r.IntN(2) }},
		{"8-1024B", func() int { return 8 + r.IntN(1017) }},
	} {
		var frames []byte
		n := 0
		for ; len(frames) < 256<<10; n++ {
			frames = AppendFrame(frames, Record{Time: int64(n), Payload: make([]byte, of.size())})
		}
		b.Run(of.name, func(b *testing.B) {
			for b.Loop() {
				info := newFrameInfo()
				if end, bad := walkFrames(frames, 0, len(frames), &info); end != len(frames) {
					b.Fatal(fmt.Sprint(end, bad))
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/record")
		})
	}
}
