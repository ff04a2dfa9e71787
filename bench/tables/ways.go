package main

import (
	"encoding/binary"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"unsafe"

	"code.cloudfoundry.org/go-diodes"
	"github.com/nexus-logbuf/logbuf/queue"
	"github.com/puzpuzpuz/xsync/v4"
	"github.com/smallnest/ringbuffer"
)

// ringSize is the size of every ring, and what queues of items hold in payload.
const ringSize = 2 << 20

// pipe brings records from one goroutine to another. send returns false when
// there is no room. recv shows what has come to visit, and returns how many
// records that were; a record is valid until visit returns.
type pipe struct {
	send func(rec []byte) bool
	recv func(visit func(rec []byte)) int
}

// way is one way to do that.
type way struct {
	name  string
	lossy bool // send never fails, and overwrites what was not received in time
	open  func(largest int) (pipe, error)
}

const batch = 256 // records that a consumer takes at once, where it can

// ways are those of one producer and one consumer.
var ways = []way{
	{name: "SPSC, Write, Drain", open: func(int) (pipe, error) {
		p, c, err := queue.NewSPSC(ringSize)
		return pipe{writeTo(p), drainFrom(c)}, err
	}},
	{name: "SPSC, claim, Drain", open: func(int) (pipe, error) {
		p, c, err := queue.NewSPSC(ringSize)
		return pipe{claimFrom(p), drainFrom(c)}, err
	}},
	{name: "SPSC, Write, Next", open: func(int) (pipe, error) {
		p, c, err := queue.NewSPSC(ringSize)
		return pipe{writeTo(p), nextFrom(c)}, err
	}},
	{name: "MPSC, Write, Drain", open: func(int) (pipe, error) {
		p, c, err := queue.NewMPSC(ringSize)
		return pipe{writeTo(p), drainFrom(c)}, err
	}},
	{name: "Go channel of copies", open: func(largest int) (pipe, error) {
		ch := make(chan []byte, ringSize/largest)
		return pipe{sendTo(ch), receiveFrom(ch)}, nil
	}},
	{name: "xsync.SPSCQueue of copies", open: func(largest int) (pipe, error) {
		q := xsync.NewSPSCQueue[[]byte](ringSize / largest)
		return pipe{
			send: func(rec []byte) bool { return q.TryEnqueue(clone(rec)) },
			recv: oneBy(q.TryDequeue),
		}, nil
	}},
	{name: "smallnest/ringbuffer", open: func(largest int) (pipe, error) {
		return byteStream(ringbuffer.New(ringSize), largest), nil
	}},
	{name: "go-diodes, of copies", lossy: true, open: func(largest int) (pipe, error) {
		d := diodes.NewOneToOne(ringSize/largest, diodes.AlertFunc(func(int) {}))
		return pipe{
			send: func(rec []byte) bool {
				b := clone(rec)
				d.Set(diodes.GenericDataType(&b))
				return true
			},
			recv: func(visit func([]byte)) int {
				p, ok := d.TryNext()
				if !ok {
					return 0
				}
				visit(*(*[]byte)(unsafe.Pointer(p)))
				return 1
			},
		}, nil
	}},
}

func clone(rec []byte) []byte { return append([]byte(nil), rec...) }

func writeTo(w io.Writer) func([]byte) bool {
	return func(rec []byte) bool { _, err := w.Write(rec); return err == nil }
}

func claimFrom(p interface {
	TryClaim(n int) (queue.Claim, error)
}) func([]byte) bool {
	return func(rec []byte) bool {
		c, err := p.TryClaim(len(rec))
		if err != nil {
			return false
		}
		copy(c.Bytes(), rec)
		return c.Commit()
	}
}

func drainFrom(c interface {
	Drain(limit int, fn func(typ int32, rec []byte)) int
}) func(func([]byte)) int {
	var visit func([]byte)
	fn := func(_ int32, rec []byte) { visit(rec) } // made once: a closure for each call would be an allocation
	return func(v func([]byte)) int {
		visit = v
		return c.Drain(batch, fn)
	}
}

func nextFrom(c interface{ Next() ([]byte, bool) }) func(func([]byte)) int { return oneBy(c.Next) }

func oneBy(next func() ([]byte, bool)) func(func([]byte)) int {
	return func(visit func([]byte)) int {
		rec, ok := next()
		if !ok {
			return 0
		}
		visit(rec)
		return 1
	}
}

func sendTo(ch chan []byte) func([]byte) bool {
	return func(rec []byte) bool {
		select {
		case ch <- clone(rec):
			return true
		default:
			return false
		}
	}
}

func receiveFrom(ch chan []byte) func(func([]byte)) int {
	return func(visit func([]byte)) int {
		select {
		case rec := <-ch:
			visit(rec)
			return 1
		default:
			return 0
		}
	}
}

// byteStream frames records with their length in a ring of bytes.
func byteStream(r *ringbuffer.RingBuffer, largest int) pipe {
	const header = 4
	out, in := make([]byte, header+largest), make([]byte, header+largest)
	return pipe{
		send: func(rec []byte) bool {
			if r.Free() < header+len(rec) {
				return false
			}
			binary.LittleEndian.PutUint32(out, uint32(len(rec)))
			n := copy(out[header:], rec)
			must(r.Write(out[:header+n]))
			return true
		},
		recv: func(visit func([]byte)) int {
			if r.Length() < header { // whole records are written at once
				return 0
			}
			must(r.Read(in[:header]))
			rec := in[:binary.LittleEndian.Uint32(in)]
			if len(rec) > 0 {
				must(r.Read(rec))
			}
			visit(rec)
			return 1
		},
	}
}

func must(_ int, err error) {
	if err != nil {
		panic(err)
	}
}

// fill is the producer's share of a record, read the consumer's: every word.
func fill(rec []byte, n uint64) {
	for ; len(rec) >= 8; rec = rec[8:] {
		binary.LittleEndian.PutUint64(rec, n)
	}
}

func read(rec []byte) (sum uint64) {
	for ; len(rec) >= 8; rec = rec[8:] {
		sum += binary.LittleEndian.Uint64(rec)
	}
	return sum
}

var sink atomic.Uint64

// payload is a column: records of one size, or of random sizes, the same ones
// for everybody.
type payload struct {
	name     string
	low, top int // bytes
}

var payloads = []payload{{"8 B", 8, 8}, {"64 B", 64, 64}, {"256 B", 256, 256}, {"1 KiB", 1024, 1024}, {"16 KiB", 16384, 16384}, {"8–1024 B", 8, 1024}}

func payloadNames() (names []string) {
	for _, p := range payloads {
		names = append(names, p.name)
	}
	return names
}

// sizes are 4096 payload lengths, multiples of 8, to be used in turn.
func (p payload) sizes() []int {
	r := rand.New(rand.NewPCG(1, 2))
	s := make([]int, 4096)
	for i := range s {
		s[i] = p.low + r.IntN((p.top-p.low)/8+1)*8
	}
	return s
}
