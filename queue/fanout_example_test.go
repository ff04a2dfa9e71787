package queue_test

import (
	"fmt"
	"sync"

	"github.com/nexus-logbuf/logbuf/queue"
)

// Orders go to workers by account: those of one account stay in order.
func ExampleNewFanOut() {
	fanOut, workers, err := queue.NewFanOut(4, 64<<10)
	if err != nil {
		fmt.Println(err)
		return
	}
	var wg sync.WaitGroup
	last := make([]map[int32]byte, len(workers)) // the state of each worker: by account
	for w, lane := range workers {
		last[w] = map[int32]byte{}
		wg.Go(func() {
			for !lane.Drained() { // closed, and everything is read
				lane.Drain(100, func(account int32, rec []byte) {
					last[w][account] = rec[0]
				})
			}
		})
	}
	for i := range byte(30) {
		account := int32(i%3 + 1)
		for fanOut.Send(uint64(account), account, []byte{i}) == queue.ErrFull {
			// This worker is behind; the caller waits, drops, or fails.
		}
	}
	fanOut.Close()
	wg.Wait()
	for account := int32(1); account <= 3; account++ {
		fmt.Println(account, last[fanOut.Worker(uint64(account))][account])
	}
	// Output:
	// 1 27
	// 2 28
	// 3 29
}

// Move what a consumer has to workers. A record whose lane is full stays where
// it is until it fits.
func ExampleFanOut_Forward() {
	producer, consumer, _ := queue.NewMPSC(1024)
	fanOut, workers, _ := queue.NewFanOut(2, 64) // a lane has room for three small records

	for i := range byte(8) {
		producer.Write([]byte{i})
	}
	n, err := fanOut.Forward(consumer, 100, nil) // in turn
	fmt.Println(n, err)
	fmt.Println("worker 0 was full", fanOut.WorkerStats(0).Full, "time")

	workers[1].Drain(100, func(int32, []byte) {})
	n, err = fanOut.Forward(consumer, 100, nil)
	fmt.Println(n, err)
	rec, _ := workers[1].Next()
	fmt.Println(rec)
	// Output:
	// 6 queue: ring is full
	// worker 0 was full 1 time
	// 2 <nil>
	// [6]
}
