package queue_test

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"sync"

	"github.com/nexus-logbuf/logbuf/queue"
)

// One goroutine writes, another reads; here they are one for the sake of the
// output.
func ExampleNewSPSC() {
	producer, consumer, err := queue.NewSPSC(64 << 10)
	if err != nil {
		fmt.Println(err)
		return
	}
	producer.Write([]byte("first"))
	producer.WriteTyped(7, []byte("second"))
	producer.Close()

	for !consumer.Drained() {
		if rec, ok := consumer.Next(); ok { // rec is valid until the next call
			fmt.Printf("%s, type %d\n", rec, consumer.Type())
		}
	}
	// Output:
	// first, type 1
	// second, type 7
}

func ExampleNewMPSC() {
	producer, consumer, err := queue.NewMPSC(64 << 10)
	if err != nil {
		fmt.Println(err)
		return
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				for {
					if _, err := producer.Write([]byte("tick")); err != queue.ErrFull {
						break // full: here the caller waits; it could drop, or fail
					}
				}
			}
		})
	}
	wg.Wait()
	fmt.Println(consumer.Drain(1000, func(typ int32, rec []byte) {}))
	// Output: 400
}

func ExampleNewFanIn() {
	fanIn, err := queue.NewFanIn(64 << 10)
	if err != nil {
		fmt.Println(err)
		return
	}
	var wg sync.WaitGroup
	for range 4 {
		lane, err := fanIn.NewProducer() // one for each goroutine
		if err != nil {
			fmt.Println(err)
			return
		}
		wg.Go(func() {
			defer lane.Close() // the lane goes when it is read to its end
			for range 100 {
				lane.Write([]byte("tick"))
			}
		})
	}
	wg.Wait()
	fmt.Println(fanIn.Drain(1000, func(typ int32, rec []byte) {}))
	// Output: 400
}

// Encode straight into the ring, and publish no more than was needed.
func ExampleClaim() {
	producer, consumer, _ := queue.NewSPSC(1024)

	write := func(price uint64) error {
		claim, err := producer.TryClaim(64)
		if err != nil {
			return err // ErrFull: not now. ErrTooLarge: never. ErrClosed.
		}
		defer claim.Abort() // does nothing behind a commit
		b := claim.Bytes()
		binary.LittleEndian.PutUint64(b, price)
		n := 8 + copy(b[8:], "EURUSD")
		claim.CommitN(n)
		return nil
	}
	if err := write(10801); err != nil {
		fmt.Println(err)
	}
	rec, _ := consumer.Next()
	fmt.Println(binary.LittleEndian.Uint64(rec), string(rec[8:]))
	// Output: 10801 EURUSD
}

// Let an encoder of the append kind write into the ring.
func ExampleProducer_Append() {
	producer, consumer, _ := queue.NewSPSC(1024)
	err := producer.Append(20, func(dst []byte) ([]byte, error) {
		return strconv.AppendInt(dst, -42, 10), nil
	})
	if err != nil {
		fmt.Println(err)
	}
	rec, _ := consumer.Next()
	fmt.Printf("%s\n", rec)
	// Output: -42
}

// Take whole frames, hand them on as they lie, and give the space back when
// they are safe.
func ExampleConsumer_Peek() {
	producer, consumer, _ := queue.NewSPSC(1024)
	producer.Write([]byte("abc"))
	producer.Write([]byte("defgh"))

	for span := consumer.Peek(1 << 20); span.Records() > 0; span = consumer.Peek(1 << 20) {
		fmt.Printf("%d records\n% x\n", span.Records(), span.Frames())
		consumer.ReleaseTo(span.End())
	}
	// Output:
	// 2 records
	// 0b 00 00 00 01 00 00 00 61 62 63 00 00 00 00 00 0d 00 00 00 01 00 00 00 64 65 66 67 68 00 00 00
}

func ExampleConsumer_Drain() {
	producer, consumer, _ := queue.NewSPSC(1024)
	for i := range 5 {
		producer.Write([]byte{byte('a' + i)})
	}
	n := consumer.Drain(3, func(typ int32, rec []byte) {
		fmt.Printf("%s ", rec) // rec is valid until this function returns
	})
	fmt.Println(n)
	// Output: a b c 3
}

// A claim is settled once. A second Commit would publish somebody else's
// record; it panics instead.
func ExampleClaim_Commit_twice() {
	producer, _, _ := queue.NewSPSC(1024)
	claim, _ := producer.TryClaim(8)
	claim.Commit()
	defer func() { fmt.Println(recover()) }()
	claim.Commit()
	// Output: queue: Commit of a claim of 8 bytes that is not open: it was committed or aborted before, or replaced by a later claim of its producer
}
