package queue_test

import (
	"fmt"

	"github.com/nexus-logbuf/logbuf/queue"
)

// Cancels overtake orders; a flood of them does not keep the orders out.
func ExampleNewPriority() {
	producers, consumer, err := queue.NewPriority(2, 64<<10)
	if err != nil {
		fmt.Println(err)
		return
	}
	cancels, orders := producers[0], producers[1]
	orders.Write([]byte("order"))
	for range 100 {
		cancels.Write([]byte("cancel"))
	}
	n := 0
	for {
		rec, ok := consumer.Next()
		if !ok {
			break
		}
		if consumer.Level() == 1 {
			fmt.Printf("%s behind %d cancels\n", rec, n)
		}
		n++
	}
	fmt.Println(n, "records")
	// Output:
	// order behind 64 cancels
	// 101 records
}
