package queue_test

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/nexus-logbuf/logbuf/queue"
)

// Two feeds, merged by the timestamps that their records begin with. A lane
// that has nothing keeps the other waiting for the grace, and no longer.
func ExampleNewFanInByTime() {
	fanIn, err := queue.NewFanInByTime(64<<10, 10*time.Millisecond)
	if err != nil {
		fmt.Println(err)
		return
	}
	london, _ := fanIn.NewProducer()
	tokyo, _ := fanIn.NewProducer()
	write := func(p *queue.Producer, nanos uint64, text string) {
		p.Write(append(binary.LittleEndian.AppendUint64(nil, nanos), text...))
	}
	write(london, 1000, "first")
	write(london, 3000, "third")
	write(tokyo, 2000, "second")
	london.Close()
	tokyo.Close()
	fanIn.Close() // no more lanes, so that there is an end

	for !fanIn.Drained() {
		rec, ok := fanIn.Next()
		if !ok {
			if wait, held := fanIn.Due(); held {
				time.Sleep(wait) // or until another record arrives; package channel does this
			}
			continue
		}
		fmt.Printf("lane %d: %s, late %v\n", fanIn.Lane(), rec[8:], fanIn.Late())
	}
	// Output:
	// lane 1: first, late false
	// lane 2: second, late false
	// lane 1: third, late false
}

// What each producer has written, while it runs and after it is gone.
func ExampleFanIn_Lanes() {
	fanIn, _ := queue.NewFanIn(64 << 10)
	for _, n := range []int{1, 2, 3} {
		p, _ := fanIn.NewProducer()
		for range n {
			p.Write([]byte("tick"))
		}
		if n == 2 {
			p.Close()
		}
	}
	fanIn.Drain(100, func(typ int32, rec []byte) {})
	for lane, stats := range fanIn.Lanes {
		fmt.Println(lane, stats.Records) // 0: all that are gone
	}
	// Output:
	// 0 2
	// 1 1
	// 3 3
}
