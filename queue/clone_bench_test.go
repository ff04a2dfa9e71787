package queue

import "testing"

// What counting for itself costs a handle: the same writes, alone, on the
// handle that NewMPSC returned and on a clone of it.
func BenchmarkClone(b *testing.B) {
	for _, way := range benchWays {
		for _, clone := range []bool{false, true} {
			name := way.name + "/original"
			if clone {
				name = way.name + "/clone"
			}
			b.Run(name, func(b *testing.B) {
				p, c, _ := NewMPSC(1 << 16)
				if clone {
					p = p.Clone()
				}
				var w writer = p
				buf := make([]byte, 64)
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if !way.write(w, buf) {
						b.Fatal("refused")
					}
					if i%64 == 63 {
						c.Drain(64, func(int32, []byte) {})
					}
				}
			})
		}
	}
}
