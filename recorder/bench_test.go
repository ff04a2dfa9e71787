package recorder

import (
	"fmt"
	"testing"

	"github.com/nexus-logbuf/logbuf/journal"
)

// Cost of a record to its producer, into an archive that discards: claim,
// time, copy, commit, and being at the heels of the archiver. Lost records are
// reported, for they are cheaper than others.
func BenchmarkWrite(b *testing.B) {
	for _, size := range []int{64, 1024} {
		for _, shared := range []bool{false, true} {
			b.Run(fmt.Sprintf("%dB/shared=%v", size, shared), func(b *testing.B) {
				r := startDiscard(b, new(discard), nil)
				defer mustClose(b, r)
				p := mustProducer(b, r, "a", &ProducerOptions{LaneSize: 4 << 20, Shared: shared, Overload: OverloadWait})
				benchWrite(b, p, size)
			})
		}
	}
}

// The whole way into a journal in a temporary directory; the time of Close is
// included.
func BenchmarkWriteJournal(b *testing.B) {
	for _, size := range []int{64, 1024} {
		for _, stage := range []bool{false, true} {
			b.Run(fmt.Sprintf("%dB/stage=%v", size, stage), func(b *testing.B) {
				r, err := Open(b.TempDir(), &Options{Stage: stage, Journal: journal.Options{Sync: journal.SyncNone}})
				if err != nil {
					b.Fatal(err)
				}
				p := mustProducer(b, r, "a", &ProducerOptions{LaneSize: 4 << 20, Overload: OverloadWait})
				benchWrite(b, p, size)
				mustClose(b, r)
			})
		}
	}
}

func benchWrite(b *testing.B, p *Producer, size int) {
	rec := make([]byte, size)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Write(rec); err != nil {
			b.Fatal(err)
		}
	}
	if s := p.Stats(); s.Lost > 0 {
		b.ReportMetric(float64(s.Lost)/float64(b.N), "lost/op")
	}
}
