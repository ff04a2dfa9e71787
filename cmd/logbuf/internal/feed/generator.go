package feed

import (
	"encoding/binary"
	"hash/fnv"
	"math/rand/v2"

	"github.com/gobwas/ws"
)

// MaxPayload is the largest payload a Generator makes, in bytes.
const MaxPayload = 64 << 10

// edgeSizes are the payload sizes at which a WebSocket header or a record
// changes form. Each connection meets all of them in its first frames, so that a
// short run covers them too.
var edgeSizes = [...]int{0, 1, 7, 8, 9, 125, 126, 127, 1023, 4096, 65535, MaxPayload}

// Generator makes the frames of one symbol. It is for one goroutine.
type Generator struct {
	rng      *rand.Rand
	schedule schedule
	market   market
	frames   uint64
	buf      []byte
	rest     []byte    // what is left of a fragmented message
	restOp   ws.OpCode // the opcode of its next fragment
	pinged   bool      // the frame before was a ping between two fragments
}

// NewGenerator returns the generator of symbol's frames. Equal seeds and symbols
// give equal frames. rate is in frames per second and sets only Frame.Due; 0
// makes every frame due at once.
func NewGenerator(seed uint64, symbol string, rate float64) *Generator {
	h := fnv.New64a()
	h.Write([]byte(symbol))
	rng := rand.New(rand.NewPCG(seed, h.Sum64()))
	return &Generator{
		rng:      rng,
		schedule: newSchedule(rate, rand.New(rand.NewPCG(seed, ^h.Sum64()))),
		market:   newMarket(symbol, rng),
		buf:      make([]byte, 0, MaxPayload+512),
	}
}

// Next makes the next frame. There is always one.
func (g *Generator) Next() Frame {
	f := g.build()
	f.Due = g.schedule.next()
	g.frames++
	return f
}

func (g *Generator) build() Frame {
	if len(g.rest) > 0 {
		return g.fragment()
	}
	// The edge sizes begin at the fourth frame and take every second one.
	if i := g.frames; i >= 4 && i%2 == 0 && (i-4)/2 < uint64(len(edgeSizes)) {
		return g.sized(edgeSizes[(i-4)/2], i%4 == 0)
	}
	g.market.tick()
	switch p := g.rng.IntN(10_000); {
	case p < 5200:
		return g.whole(ws.OpText, g.market.appendTrade(g.buf[:0]))
	case p < 8200:
		return g.whole(ws.OpText, g.market.appendBook(g.buf[:0], 1+g.rng.IntN(24)))
	case p < 9400:
		return g.whole(ws.OpBinary, g.market.appendDelta(g.buf[:0], g.rng.IntN(24)))
	case p < 9600:
		return g.whole(ws.OpText, g.market.appendHeartbeat(g.buf[:0]))
	case p < 9650:
		return g.whole(ws.OpText, nil)
	case p < 9680:
		return g.whole(ws.OpBinary, nil)
	case p < 9760:
		return g.ping()
	case p < 9770:
		return g.whole(ws.OpPong, g.random(g.rng.IntN(126)))
	case p < 9790: // sizes spread evenly over the powers of two
		n := g.rng.IntN(1 << (1 + g.rng.IntN(16)))
		return g.sized(n, p%2 == 0)
	case p < 9800:
		return g.whole(ws.OpText, g.market.appendSnapshot(g.buf[:0], 1024+g.rng.IntN(MaxPayload-1024)))
	default:
		return g.startFragments()
	}
}

func (g *Generator) whole(op ws.OpCode, payload []byte) Frame {
	return Frame{Op: op, Final: true, Payload: payload}
}

func (g *Generator) ping() Frame {
	n := 8
	if g.rng.IntN(4) == 0 {
		n = g.rng.IntN(126)
	}
	return g.whole(ws.OpPing, g.random(n))
}

// sized makes a message of exactly n bytes.
func (g *Generator) sized(n int, text bool) Frame {
	if !text {
		return g.whole(ws.OpBinary, g.random(n))
	}
	b := g.buf[:0]
	for len(b) < n {
		b = append(b, "0123456789abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ\n"...)
	}
	return g.whole(ws.OpText, b[:n])
}

// startFragments makes a message and sends its first fragment.
func (g *Generator) startFragments() Frame {
	g.restOp = ws.OpText
	g.rest = g.market.appendBook(g.buf[:0], 4+g.rng.IntN(40))
	if g.rng.IntN(2) == 0 {
		g.restOp = ws.OpBinary
		g.rest = g.market.appendDelta(g.buf[:0], 4+g.rng.IntN(40))
	}
	g.pinged = true // the first fragment comes first
	return g.fragment()
}

// fragment sends the next piece of the message in hand, or now and then a ping
// in between: control frames may come between fragments, and consumers that
// forget it lose their place.
func (g *Generator) fragment() Frame {
	if !g.pinged && g.rng.IntN(4) == 0 {
		g.pinged = true
		// The rest of the message lives in buf: this payload goes behind it.
		n := len(g.buf[:cap(g.buf)]) - 64
		tail := g.buf[n : n+8 : n+8]
		binary.LittleEndian.PutUint64(tail, g.rng.Uint64())
		return g.whole(ws.OpPing, tail)
	}
	g.pinged = false
	n := min(1+g.rng.IntN(512), len(g.rest))
	f := Frame{Op: g.restOp, Final: n == len(g.rest), Payload: g.rest[:n]}
	g.rest = g.rest[n:]
	g.restOp = ws.OpContinuation
	return f
}

// random returns n random bytes in the generator's buffer.
func (g *Generator) random(n int) []byte {
	b := g.buf[:0]
	for len(b) < n {
		b = binary.LittleEndian.AppendUint64(b, g.rng.Uint64())
	}
	return b[:n]
}
