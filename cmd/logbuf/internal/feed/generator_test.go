package feed

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"
	"github.com/nexus-logbuf/logbuf/adapter/wsbuf"
)

func take(seed uint64, symbol string, rate float64, n int) ([]Digest, []Frame) {
	g := NewGenerator(seed, symbol, rate)
	var ds []Digest
	var fs []Frame
	for range n {
		f := g.Next()
		ds = append(ds, DigestOf(f.Op, f.Final, f.Payload))
		f.Payload = bytes.Clone(f.Payload)
		fs = append(fs, f)
	}
	return ds, fs
}

func TestGeneratorIsDeterministic(t *testing.T) {
	const n = 20_000
	a, _ := take(1, "BTC-USD", 1000, n)
	b, _ := take(1, "BTC-USD", 0, n) // the rate changes when, not what
	for i := range a {
		if a[i] != b[i] {
			t.Fatalf("frame %d: %v, the second time %v", i, a[i], b[i])
		}
	}
	for _, other := range []struct {
		name   string
		seed   uint64
		symbol string
	}{{"another seed", 2, "BTC-USD"}, {"another symbol", 1, "ETH-USD"}} {
		c, _ := take(other.seed, other.symbol, 0, 1000)
		same := 0
		for i := range c {
			if c[i] == a[i] {
				same++
			}
		}
		if same > 200 { // empty frames and edge sizes are alike
			t.Errorf("%s: %d of 1000 frames are equal", other.name, same)
		}
	}
}

// The frames have everything that a consumer can get wrong.
func TestGeneratorVariety(t *testing.T) {
	_, fs := take(7, "BTC-USD", 0, 50_000)
	ops := map[ws.OpCode]int{}
	sizes := map[int]int{}
	var total, fragments, inside, emptyText, emptyBinary int
	open := false
	var message []byte
	for i, f := range fs {
		ops[f.Op]++
		sizes[len(f.Payload)]++
		total += len(f.Payload)
		if len(f.Payload) > MaxPayload {
			t.Fatalf("frame %d has %d bytes, over the limit of %d", i, len(f.Payload), MaxPayload)
		}
		switch {
		case f.Op.IsControl():
			if !f.Final || len(f.Payload) > 125 {
				t.Fatalf("frame %d: %v: an illegal control frame", i, DigestOf(f.Op, f.Final, f.Payload))
			}
			if open {
				inside++
			}
			continue
		case open != (f.Op == ws.OpContinuation):
			t.Fatalf("frame %d: opcode %v with a message open: %v", i, f.Op, open)
		}
		if !open {
			message = message[:0]
		}
		message = append(message, f.Payload...)
		if !f.Final {
			fragments++
		}
		open = !f.Final
		if f.Op == ws.OpText && f.Final {
			if len(f.Payload) == 0 {
				emptyText++
			}
			if !utf8.Valid(f.Payload) {
				t.Fatalf("frame %d: text that is not UTF-8", i)
			}
			if len(f.Payload) > 0 && f.Payload[0] == '{' && !json.Valid(f.Payload) {
				t.Fatalf("frame %d: not JSON: %s", i, f.Payload)
			}
		}
		if f.Op == ws.OpBinary && f.Final && len(f.Payload) == 0 {
			emptyBinary++
		}
	}
	for _, op := range []ws.OpCode{ws.OpText, ws.OpBinary, ws.OpContinuation, ws.OpPing, ws.OpPong} {
		if ops[op] == 0 {
			t.Errorf("no %s frame in %d", wsbuf.OpName(op), len(fs))
		}
	}
	for _, n := range edgeSizes {
		if sizes[n] == 0 {
			t.Errorf("no frame of %d bytes", n)
		}
	}
	if fragments == 0 || inside == 0 || emptyText == 0 || emptyBinary == 0 {
		t.Errorf("fragments %d, control frames between fragments %d, empty text %d, empty binary %d: all must occur", fragments, inside, emptyText, emptyBinary)
	}
	t.Logf("mean payload %d bytes", total/len(fs))
}

func TestScheduleKeepsTheMeanRate(t *testing.T) {
	const rate, n = 1000, 100_000
	_, fs := take(3, "BTC-USD", rate, n)
	bursts := 0
	for i := 1; i < n; i++ {
		if fs[i].Due < fs[i-1].Due {
			t.Fatalf("frame %d is due at %v, before frame %d at %v", i, fs[i].Due, i-1, fs[i-1].Due)
		}
		if fs[i].Due == fs[i-1].Due {
			bursts++
		}
	}
	want := time.Duration(n) * time.Second / rate
	if got := fs[n-1].Due; got < want-time.Second || got > want {
		t.Errorf("the last frame is due at %v, want about %v", got, want)
	}
	if bursts < n/20 {
		t.Errorf("%d frames in bursts of %d: too few", bursts, n)
	}
}

func TestNextDoesNotAllocate(t *testing.T) {
	g := NewGenerator(1, "BTC-USD", 1000)
	if n := testing.AllocsPerRun(5000, func() { g.Next() }); n != 0 {
		t.Errorf("%v allocations for each frame", n)
	}
}

// A seed means the same frames in every build, also of later versions: archives
// and measurements can be made again.
func TestGeneratorGolden(t *testing.T) {
	ds, _ := take(1, "BTC-USD", 0, 10_000)
	h := sha256.New()
	for _, d := range ds {
		fmt.Fprintln(h, d)
	}
	const want = "fe5cb4159ddee958"
	if got := fmt.Sprintf("%x", h.Sum(nil)[:8]); got != want {
		t.Errorf("the first 10000 frames of seed 1 hash to %s, want %s", got, want)
	}
}
