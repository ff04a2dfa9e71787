//go:build !race && !logbuf_portable

package tracebuf

import (
	"testing"

	"github.com/nexus-logbuf/logbuf/recorder"
)

// Nothing on the hot path allocates, whatever the type's layout, shared or
// not. A stack that is known already does not either.
func TestNoAllocations(t *testing.T) {
	for _, shared := range []bool{false, true} {
		rec := openRecorder(t, t.TempDir(), nil)
		tracer := mustTracer(t, rec, nil)
		k := mustTrack(t, tracer, "a", &recorder.ProducerOptions{Shared: shared, Overload: recorder.OverloadWait})
		one, holes, deep := mustRegister[dense](t, tracer, "dense"), mustRegister[gaps](t, tracer, "gaps"), mustRegister[nested](t, tracer, "nested")
		depth, load := mustCounter[int64](t, tracer, "depth", ""), mustCounter[float64](t, tracer, "load", "")
		tests := []struct {
			name string
			call func()
		}{
			{"Emit of a dense type", func() { _ = one.Emit(k, dense{ID: 1}) }},
			{"Emit of a type with gaps", func() { _ = holes.Emit(k, gaps{ID: 1}) }},
			{"Emit of a nested type", func() { _ = deep.Emit(k, nested{Took: 1}) }},
			{"Begin, End", func() { s := holes.Begin(k, gaps{ID: 1}); _ = s.End() }},
			{"Counter.Add", func() { _ = depth.Add(k, 1) }},
			{"Counter.Set", func() { _ = load.Set(k, 0.5) }},
			{"Sample", func() { _ = k.Sample(0, 1) }},
		}
		for _, tt := range tests {
			tt.call()
			if n := testing.AllocsPerRun(200, tt.call); n != 0 {
				t.Errorf("shared %v: %s allocates %v times", shared, tt.name, n)
			}
		}
		closeAll(t, tracer, rec)
	}
}
