package queue

import (
	"fmt"
	"testing"
)

// BenchmarkPriority fills the levels and reads them empty in one goroutine, as
// BenchmarkAlone does: "only the first" has records in level 0 alone, "only the
// last" in the least urgent, "all" in each.
func BenchmarkPriority(b *testing.B) {
	for _, levels := range []int{1, 2, 4, 16} {
		for name, to := range map[string][]int{
			"only the first": {0},
			"only the last":  {levels - 1},
			"all":            {0, levels / 2, levels - 1},
		} {
			for verb, read := range map[string]func(p *Priority, sum *uint64){
				"Drain": func(p *Priority, sum *uint64) {
					p.Drain(1<<30, func(_ int32, rec []byte) { *sum += touch(rec) })
				},
				"Next": func(p *Priority, sum *uint64) {
					for rec, ok := p.Next(); ok; rec, ok = p.Next() {
						*sum += touch(rec)
					}
				},
			} {
				b.Run(fmt.Sprintf("%d levels/%s/%s/64B", levels, name, verb), func(b *testing.B) {
					ps, p, _ := NewPriority(levels, 64<<10)
					rec, sum, i := pattern(64, 1), uint64(0), 0
					b.ReportAllocs()
					b.SetBytes(64)
					for b.Loop() {
						for ps[to[i%len(to)]].WriteTyped(1, rec) != nil {
							read(p, &sum)
						}
						i++
					}
					benchSink += sum
				})
			}
		}
	}
}
