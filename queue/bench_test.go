package queue

import (
	"encoding/binary"
	"fmt"
	"sync"
	"testing"
)

// The benchmarks write every payload byte, read one word of each line of it,
// and report allocations. "alone" runs both roles in one goroutine: what the
// calls cost. "saturated" lets producers run against a consumer that reads in
// batches; when the ring is full they wait. "heels" lets the consumer poll for
// each record, so that it reads the line that is being written.
const benchCapacity = 2 << 20

var benchSizes = []int{8, 64, 256, 1024}

// benchWays is the ways to write; both put n bytes into the ring.
var benchWays = []struct {
	name  string
	write func(w writer, buf []byte) bool
}{
	{"Write", func(w writer, buf []byte) bool { _, err := w.Write(buf); return err == nil }},
	{"Claim", func(w writer, buf []byte) bool {
		c, err := w.TryClaim(len(buf))
		if err != nil {
			return false
		}
		copy(c.Bytes(), buf)
		c.Commit()
		return true
	}},
}

func touch(rec []byte) (sum uint64) {
	for len(rec) >= 8 {
		sum += binary.LittleEndian.Uint64(rec)
		rec = rec[min(64, len(rec)):]
	}
	return sum
}

var benchSink uint64

// benchRing has fresh rings of one kind: a writer for each producer, and the
// reader.
type benchRing struct {
	name      string
	producers int
	make      func() ([]writer, reader)
}

func benchRings() (list []benchRing) {
	list = append(list, benchRing{"SPSC", 1, func() ([]writer, reader) {
		p, c, _ := NewSPSC(benchCapacity)
		return []writer{p}, c
	}})
	for _, n := range []int{1, 2, 4} {
		list = append(list, benchRing{fmt.Sprintf("MPSC %dP", n), n, func() (ws []writer, r reader) {
			p, c, _ := NewMPSC(benchCapacity)
			for range n {
				ws = append(ws, p)
			}
			return ws, c
		}})
	}
	for _, n := range []int{1, 2, 4} {
		list = append(list, benchRing{fmt.Sprintf("FanIn %dP", n), n, func() (ws []writer, r reader) {
			f := must(NewFanIn(benchCapacity))
			for range n {
				ws = append(ws, must(f.NewProducer()))
			}
			return ws, f
		}})
	}
	return list
}

func BenchmarkAlone(b *testing.B) {
	for _, ring := range benchRings() {
		if ring.producers > 1 {
			continue
		}
		for _, way := range benchWays {
			for _, n := range benchSizes {
				b.Run(fmt.Sprintf("%s/%s/%dB", ring.name, way.name, n), func(b *testing.B) {
					ws, r := ring.make()
					buf := pattern(n, 1)
					b.ReportAllocs()
					b.SetBytes(int64(n))
					sum := uint64(0)
					read := func(_ int32, rec []byte) { sum += touch(rec) }
					for b.Loop() {
						for !way.write(ws[0], buf) {
							r.Drain(1<<30, read)
						}
					}
					benchSink += sum
				})
			}
		}
	}
}

func BenchmarkSaturated(b *testing.B) {
	benchCross(b, func(r reader, total int) {
		sum := uint64(0)
		read := func(_ int32, rec []byte) { sum += touch(rec) }
		for total > 0 {
			n := r.Drain(256, read)
			if total -= n; n == 0 {
				pause()
			}
		}
		benchSink += sum
	})
}

func BenchmarkHeels(b *testing.B) {
	benchCross(b, func(r reader, total int) {
		sum := uint64(0)
		for idle := 0; total > 0; {
			rec, ok := r.Next()
			if !ok {
				if idle++; idle%64 == 0 {
					pause() // more goroutines than cores
				}
				continue
			}
			sum += touch(rec)
			total--
		}
		benchSink += sum
	})
}

// benchCross runs each producer and the consumer on goroutines of their own.
func benchCross(b *testing.B, consume func(r reader, total int)) {
	for _, ring := range benchRings() {
		for _, way := range benchWays {
			for _, n := range benchSizes {
				b.Run(fmt.Sprintf("%s/%s/%dB", ring.name, way.name, n), func(b *testing.B) {
					ws, r := ring.make()
					each := b.N/ring.producers + 1
					b.ReportAllocs()
					b.SetBytes(int64(n))
					b.ResetTimer()
					var wg sync.WaitGroup
					for _, w := range ws {
						wg.Go(func() {
							buf := pattern(n, 1)
							for i := 0; i < each; {
								if way.write(w, buf) {
									i++
								} else {
									pause()
								}
							}
						})
					}
					consume(r, each*ring.producers)
					wg.Wait()
				})
			}
		}
	}
}
