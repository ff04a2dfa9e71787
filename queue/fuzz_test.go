package queue

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// bytesChooser takes each decision from fuzzed input, and ends with it.
type bytesChooser struct{ in []byte }

func (b *bytesChooser) done() bool { return len(b.in) == 0 }

func (b *bytesChooser) n(k int) int {
	v := 0
	for m := 1; m < k && len(b.in) > 0; m <<= 8 {
		v = v<<8 | int(b.in[0])
		b.in = b.in[1:]
	}
	return v % k
}

// FuzzModel runs any sequence of operations against the model.
func FuzzModel(f *testing.F) {
	rnd := rand.New(rand.NewPCG(7, 7))
	for i := range 24 {
		ops := make([]byte, 50<<(i%4))
		for k := range ops {
			ops[k] = byte(rnd.Uint32())
		}
		f.Add(byte(i), ops)
	}
	f.Fuzz(func(t *testing.T, how byte, ops []byte) {
		if len(ops) > 4096 {
			return
		}
		kind := []string{"SPSC", "MPSC", "FanIn", "FanInByTime"}[how%4]
		capacity := 64 << (how / 4 % 4)
		start := starts[int(how/16)%len(starts)].pos
		newModel(t, &bytesChooser{ops}, kind, capacity, start).run()
	})
}

// FuzzRecord writes one record of any type and content at any place, and reads
// it back in each way.
func FuzzRecord(f *testing.F) {
	f.Add(uint16(0), int32(1), []byte("payload"), byte(0))
	f.Add(uint16(7), int32(1<<31-1), []byte{}, byte(1))
	f.Add(uint16(120), int32(257), bytes.Repeat([]byte{0xff}, 112), byte(2))
	f.Add(uint16(63), int32(2), bytes.Repeat([]byte{0}, 500), byte(3))
	f.Fuzz(func(t *testing.T, place uint16, typ int32, payload []byte, how byte) {
		if typ < 1 {
			return
		}
		w, c := newRingAt(t, how&1 != 0, 512, uint64(place)*8)
		dirty(t, w, c)
		var err error
		for range 2 { // once more behind the padding
			if err = w.WriteTyped(typ, payload); err != ErrFull {
				break
			}
			wantNothing(t, c)
		}
		if len(payload) > 512-16 {
			if err != ErrTooLarge {
				t.Fatalf("%d bytes: %v", len(payload), err)
			}
			return
		}
		if err != nil {
			t.Fatalf("%d bytes: %v", len(payload), err)
		}
		if how&2 != 0 {
			wantNext(t, c, typ, payload)
			return
		}
		s := c.Peek(0)
		recs := checkSpan(t, s, 0)
		if len(recs) != 1 || recs[0].typ != typ || !bytes.Equal(recs[0].payload, payload) {
			t.Fatalf("got %v", recs)
		}
		c.ReleaseTo(s.End())
		checkIdle(t, w, c)
	})
}

// dirty fills the memory of an empty ring, whose header word at the tail stays
// zero, with what earlier records could have left there.
func dirty(t testing.TB, w writer, c *Consumer) {
	t.Helper()
	for range 4 { // two laps
		cl := must(w.TryClaim(w.Capacity()/2 - headerLen))
		for i := range cl.Bytes() {
			cl.Bytes()[i] = 0xa5
		}
		cl.Commit()
		if _, ok := c.Next(); !ok {
			t.Fatal("nothing")
		}
		c.Release()
	}
}
