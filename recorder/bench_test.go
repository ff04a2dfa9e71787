package recorder

import (
	"fmt"
	"math"
	"testing"
	"time"

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

// Where a record's time can come from: the wall clock, as before; the monotonic
// clock and the anchor that the archiver keeps; a time that somebody publishes,
// which is as old as the publisher's period; the caller.
func BenchmarkClock(b *testing.B) {
	var c clock
	c.start()
	var t int64
	b.Run("wall", func(b *testing.B) {
		for b.Loop() {
			t += time.Now().UnixNano()
		}
	})
	b.Run("anchored", func(b *testing.B) {
		c.look()
		c.until.Store(math.MaxInt64) // however long the benchmark takes
		for b.Loop() {
			t += c.now()
		}
	})
	b.Run("anchored, archiver asleep", func(b *testing.B) {
		c.rest()
		for b.Loop() {
			t += c.now()
		}
	})
	b.Run("published", func(b *testing.B) {
		for b.Loop() {
			t += int64(c.steps.Load())
		}
	})
	_ = t
	// A whole Write of 64 B with each, by a goroutine that is alone: the lane is
	// emptied while the timer stands.
	rec := make([]byte, 64)
	for _, of := range []struct {
		name  string
		write func(p *Producer) error
	}{
		{"Write, wall", func(p *Producer) error { return p.WriteAt(time.Now().UnixNano(), journal.KindData, 0, rec) }},
		{"Write, anchored", func(p *Producer) error { _, err := p.Write(rec); return err }},
		{"Write, caller", func(p *Producer) error { return p.WriteAt(1, journal.KindData, 0, rec) }},
	} {
		b.Run(of.name, func(b *testing.B) {
			o, _ := (*Options)(nil).withDefaults()
			a := newArchiver(newRecorder(new(discard), o))
			a.rec.clock.look()
			p := mustProducer(b, a.rec, "a", &ProducerOptions{LaneSize: 4 << 20, Overload: OverloadFail})
			for b.Loop() {
				for of.write(p) != nil {
					b.StopTimer()
					for a.round() {
					}
					b.StartTimer()
				}
			}
		})
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

// One snapshot of a recorder with 500 streams: what a scrape or a status line
// costs, and for how long it may hold up a producer that is being made.
func BenchmarkStats(b *testing.B) {
	r := startDiscard(b, new(discard), &Options{LaneSize: 4 << 10})
	defer mustClose(b, r)
	for i := range 500 {
		mustProducer(b, r, fmt.Sprintf("stream %d", i), nil)
	}
	b.ReportAllocs()
	for b.Loop() {
		_ = r.Stats()
	}
}
