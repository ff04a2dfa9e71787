package tracebuf

import (
	"encoding/binary"
	"fmt"
	"math"
	"sync/atomic"
)

// Counter is a number that changes: a depth, a total, a rate. Any goroutine
// may use it, each with its own Track.
type Counter[N int64 | float64] struct {
	id   uint32
	bits atomic.Uint64
}

// NewCounter makes a counter, which is 0, and tells the archive about it. unit
// may be empty; "ns", "bytes" and "count" are known to trace viewers.
func NewCounter[N int64 | float64](t *Tracer, name, unit string) (*Counter[N], error) {
	if err := checkName(name); err != nil {
		return nil, fmt.Errorf("tracebuf: counter: %w", err)
	}
	if unit != "" {
		if err := checkName(unit); err != nil {
			return nil, fmt.Errorf("tracebuf: counter %q: unit: %w", name, err)
		}
	}
	typ := Int64
	if _, float := any(N(0)).(float64); float {
		typ = Float64
	}
	def, id := defineCounter(typ, name, unit)
	if err := t.reg.add(def, id, name); err != nil {
		return nil, fmt.Errorf("tracebuf: counter %q: %w", name, err)
	}
	return &Counter[N]{id: id}, nil
}

// Set sets the counter and records its value. Its error is that of Event.Emit.
func (c *Counter[N]) Set(k *Track, v N) error {
	bits := toBits(v)
	c.bits.Store(bits)
	return c.record(k, bits)
}

// Add adds to the counter and records its value then. Values that two
// goroutines record at the same time may have each other's order in the
// archive; the next one is right again.
func (c *Counter[N]) Add(k *Track, delta N) error {
	for {
		old := c.bits.Load()
		sum := toBits(fromBits[N](old) + delta)
		if c.bits.CompareAndSwap(old, sum) {
			return c.record(k, sum)
		}
	}
}

func (c *Counter[N]) record(k *Track, bits uint64) error {
	var b [counterLen]byte
	binary.LittleEndian.PutUint32(b[:], c.id)
	binary.LittleEndian.PutUint32(b[4:], k.id)
	binary.LittleEndian.PutUint64(b[8:], bits)
	return k.write(KindCounter, b[:])
}

func toBits[N int64 | float64](v N) uint64 {
	switch v := any(v).(type) {
	case float64:
		return math.Float64bits(v)
	case int64:
		return uint64(v)
	}
	return 0
}

func fromBits[N int64 | float64](bits uint64) N {
	if _, float := any(N(0)).(float64); float {
		return N(math.Float64frombits(bits))
	}
	return N(int64(bits))
}
