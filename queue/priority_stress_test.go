package queue

import (
	"fmt"
	"testing"
)

func TestPriorityStress(t *testing.T) {
	for _, capacity := range []int{64, 1 << 12, 1 << 18} {
		count := stressRecords() / 2
		if capacity < 4096 {
			count /= 8
		}
		limit := min(capacity-16, 4096)
		for name, read := range stressReads {
			for _, levels := range []int{1, 3} {
				t.Run(fmt.Sprintf("%d/%s/%d", capacity, name, levels), func(t *testing.T) {
					ps, p := newPriorityAt(t, levels, capacity, starts[len(name)%len(starts)].pos)
					const producers = 2 // of each level
					each := count / levels / producers
					for id := range levels * producers {
						go stressProduce(ps[id/producers], id, each, limit)
					}
					stressConsume(p, read, each*levels*producers, limit)
				})
			}
		}
	}
}
