package bench

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/nexus-logbuf/logbuf/queue"
)

// ringSize is the capacity of every ring, and of every channel in payload.
const ringSize = 2 << 20

var sizes = []int{8, 64, 256, 1024}

// read consumes a record the way every row does: each 8-byte word is loaded.
func read(rec []byte) (sum uint64) {
	for ; len(rec) >= 8; rec = rec[8:] {
		sum += binary.LittleEndian.Uint64(rec)
	}
	return sum
}

// fill is the producer's share: it writes the payload that read reads.
func fill(rec []byte, n uint64) {
	for ; len(rec) >= 8; rec = rec[8:] {
		binary.LittleEndian.PutUint64(rec, n)
	}
}

var sink uint64

// run starts the producers, each with its share of b.N records, and consumes
// until all are read. produce sends record n of its producer; consume returns
// how many records it read, and their sum.
func run(b *testing.B, size, producers int, produce func(p int, rec []byte, n uint64), consume func() (int, uint64)) {
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for p := range producers {
		share := b.N / producers
		if p == 0 {
			share += b.N % producers
		}
		wg.Go(func() {
			rec := make([]byte, size)
			for n := range uint64(share) {
				fill(rec, n)
				produce(p, rec, n)
			}
		})
	}
	for got := 0; got < b.N; {
		n, sum := consume()
		if n == 0 {
			runtime.Gosched()
		}
		got += n
		sink += sum
	}
	wg.Wait()
}

// until repeats a call that fails while the ring is full.
func until(try func() error) {
	for try() != nil {
		runtime.Gosched()
	}
}

// reader is what Consumer and FanIn have in common.
type reader interface {
	Next() ([]byte, bool)
	Drain(limit int, fn func(typ int32, rec []byte)) int
}

func next(c reader) func() (int, uint64) {
	return func() (int, uint64) {
		rec, ok := c.Next()
		if !ok {
			return 0, 0
		}
		return 1, read(rec)
	}
}

func drain(c reader) func() (int, uint64) {
	var sum uint64
	fn := func(_ int32, rec []byte) { sum += read(rec) }
	return func() (int, uint64) {
		sum = 0
		n := c.Drain(256, fn)
		return n, sum
	}
}

// BenchmarkOneToOne is one producer and one consumer on two cores.
func BenchmarkOneToOne(b *testing.B) {
	for _, size := range sizes {
		b.Run(fmt.Sprintf("logbuf-SPSC-Write-Next/%dB", size), func(b *testing.B) {
			p, c, _ := queue.NewSPSC(ringSize)
			run(b, size, 1, func(_ int, rec []byte, _ uint64) {
				until(func() error { _, err := p.Write(rec); return err })
			}, next(c))
		})
		b.Run(fmt.Sprintf("logbuf-SPSC-Write-Drain/%dB", size), func(b *testing.B) {
			p, c, _ := queue.NewSPSC(ringSize)
			run(b, size, 1, func(_ int, rec []byte, _ uint64) {
				until(func() error { _, err := p.Write(rec); return err })
			}, drain(c))
		})
		b.Run(fmt.Sprintf("logbuf-SPSC-Claim-Drain/%dB", size), func(b *testing.B) {
			p, c, _ := queue.NewSPSC(ringSize)
			run(b, size, 1, func(_ int, rec []byte, _ uint64) {
				until(func() error {
					cl, err := p.TryClaim(len(rec))
					if err == nil {
						copy(cl.Bytes(), rec)
						cl.Commit()
					}
					return err
				})
			}, drain(c))
		})
		b.Run(fmt.Sprintf("go-channel-of-copies/%dB", size), func(b *testing.B) {
			ch := make(chan []byte, ringSize/size)
			run(b, size, 1, func(_ int, rec []byte, _ uint64) { ch <- append([]byte(nil), rec...) }, receive(ch))
		})
	}
}

// BenchmarkTwoToOne is two producers and one consumer, on as many cores as
// there are.
func BenchmarkTwoToOne(b *testing.B) {
	const producers = 2
	for _, size := range sizes[1:2] {
		b.Run(fmt.Sprintf("logbuf-MPSC/%dB", size), func(b *testing.B) {
			p, c, _ := queue.NewMPSC(ringSize)
			run(b, size, producers, func(_ int, rec []byte, _ uint64) {
				until(func() error { _, err := p.Write(rec); return err })
			}, drain(c))
		})
		b.Run(fmt.Sprintf("logbuf-FanIn/%dB", size), func(b *testing.B) {
			f, _ := queue.NewFanIn(ringSize)
			var lanes [producers]*queue.Producer
			for i := range lanes {
				lanes[i], _ = f.NewProducer()
			}
			run(b, size, producers, func(p int, rec []byte, _ uint64) {
				until(func() error { _, err := lanes[p].Write(rec); return err })
			}, drain(f))
		})
		b.Run(fmt.Sprintf("go-channel-of-copies/%dB", size), func(b *testing.B) {
			ch := make(chan []byte, ringSize/size)
			run(b, size, producers, func(_ int, rec []byte, _ uint64) { ch <- append([]byte(nil), rec...) }, receive(ch))
		})
	}
}

func receive(ch chan []byte) func() (int, uint64) {
	return func() (int, uint64) {
		select {
		case rec := <-ch:
			return 1, read(rec)
		default:
			return 0, 0
		}
	}
}
