package queue

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"
)

// BenchmarkFanInMerge is what reading costs per record when the records of all
// lanes alternate, the worst case for a merge: each record is of another lane
// than the one before. "idle lane" has one more lane, which is empty, so that
// nothing goes out before the clock was asked.
func BenchmarkFanInMerge(b *testing.B) {
	for _, kind := range []string{"round", "by time", "by time, idle lane"} {
		for _, lanes := range []int{1, 2, 4, 16, 64} {
			for _, verb := range []string{"Drain", "Peek"} {
				b.Run(fmt.Sprintf("%s/%d lanes/%s", kind, lanes, verb), func(b *testing.B) {
					f := must(NewFanIn(1 << 16))
					if kind != "round" {
						f = must(NewFanInByTime(1<<16, time.Nanosecond))
					}
					var ps []*Producer
					for range lanes {
						ps = append(ps, must(f.NewProducer()))
					}
					if kind == "by time, idle lane" {
						must(f.NewProducer())
					}
					benchMerge(b, f, ps, verb)
				})
			}
		}
	}
}

func benchMerge(b *testing.B, f *FanIn, ps []*Producer, verb string) {
	rec := make([]byte, 64)
	at, waiting := uint64(0), 0
	read := func() {
		if verb == "Drain" {
			waiting -= f.Drain(1<<20, func(int32, []byte) {})
			return
		}
		for s := f.Peek(1 << 20); s.Records() > 0; s = f.Peek(1 << 20) {
			f.ReleaseTo(s.End())
			waiting -= s.Records()
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		at++
		binary.LittleEndian.PutUint64(rec, at)
		for ps[at%uint64(len(ps))].WriteTyped(1, rec) != nil {
			read()
		}
		waiting++
	}
	for tries := 0; waiting > 0 && tries < 3; tries++ {
		read()
	}
}
