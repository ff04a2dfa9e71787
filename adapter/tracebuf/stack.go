package tracebuf

import (
	"encoding/binary"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// Limits of stacks.
const (
	maxFrames = 64   // of a stack, the innermost
	maxStacks = 4096 // of a Tracer; what comes behind them is one stack "(other stacks)"
	maxSymbol = 200  // bytes of a function's or file's name
)

// stackTable knows which stacks the archive has the definition of.
type stackTable struct {
	mu  sync.RWMutex
	ids map[uint64]uint64 // hash of the program counters → number in the archive
}

// Sample records the stack of the caller, without the innermost skip calls,
// with a weight: nanoseconds, bytes, whatever the flame graph is to add up. It
// costs about a microsecond, and more the first time a stack is seen. Its error
// is that of Event.Emit.
func (k *Track) Sample(skip int, weight int64) error {
	var pcs [maxFrames]uintptr
	n := runtime.Callers(skip+2, pcs[:])
	return k.SampleStack(pcs[:n], 1, weight)
}

// SampleStack records a stack that a sampler of the caller's has found: program
// counters as runtime.Callers gives them, the innermost first, and how many
// goroutines had it. weight is as for Sample.
func (k *Track) SampleStack(pcs []uintptr, count uint32, weight int64) error {
	id, err := k.t.stack(pcs)
	if err != nil {
		return err
	}
	var b [sampleLen]byte
	binary.LittleEndian.PutUint32(b[:], k.id)
	binary.LittleEndian.PutUint32(b[4:], count)
	binary.LittleEndian.PutUint64(b[8:], id)
	binary.LittleEndian.PutUint64(b[16:], uint64(weight))
	return k.write(KindSample, b[:])
}

// stack is the number of a stack, which it defines if it is new.
func (t *Tracer) stack(pcs []uintptr) (uint64, error) {
	pcs = pcs[:min(len(pcs), maxFrames)]
	key := hashPCs(pcs)
	t.stacks.mu.RLock()
	id, ok := t.stacks.ids[key]
	t.stacks.mu.RUnlock()
	if ok {
		return id, nil
	}
	t.stacks.mu.Lock()
	defer t.stacks.mu.Unlock()
	if id, ok := t.stacks.ids[key]; ok {
		return id, nil
	}
	if t.stacks.ids == nil {
		t.stacks.ids = make(map[uint64]uint64)
	}
	if len(t.stacks.ids) >= maxStacks {
		key, pcs = 0, nil
		if id, ok := t.stacks.ids[key]; ok {
			return id, nil
		}
	}
	def, id := defineStack(symbolize(slices.Clone(pcs)))
	if err := t.reg.add(def, 0, "stack"); err != nil {
		return 0, err
	}
	t.stacks.ids[key] = id
	return id, nil
}

// hashPCs is FNV-1a over words. 0 is the key of stacks that find no room.
func hashPCs(pcs []uintptr) uint64 {
	h := uint64(14695981039346656037)
	for _, pc := range pcs {
		h = (h ^ uint64(pc)) * 1099511628211
		h ^= h >> 29
	}
	return max(h, 1)
}

// symbolize names the calls of a stack, innermost first.
func symbolize(pcs []uintptr) []Frame {
	if len(pcs) == 0 {
		return []Frame{{Function: "(other stacks)"}}
	}
	var frames []Frame
	next := runtime.CallersFrames(pcs)
	for {
		f, more := next.Next()
		name := f.Function
		if name == "" {
			name = "(unknown)"
		}
		frames = append(frames, Frame{Function: cut(name), File: cut(f.File), Line: uint32(f.Line)})
		if !more || len(frames) == maxFrames {
			return frames
		}
	}
}

// cut shortens a name to what a definition takes. Its end says more than its
// beginning.
func cut(s string) string { return strings.ToValidUTF8(s[max(0, len(s)-maxSymbol):], "") }
