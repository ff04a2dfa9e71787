package recorder_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// Before something that must not happen unless the archive has what led to it:
// all producers at once.
func ExampleRecorder_WaitDurable() {
	dir, remove := tempDir()
	defer remove()
	rec, err := recorder.Open(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer rec.Close(context.Background())
	for _, name := range []string{"orders", "fills"} {
		p, err := rec.Producer(name, nil)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Fprint(p, "the last of its kind")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	fmt.Println(rec.WaitDurable(ctx), rec.Stats().UndurableRecords)
	// Output: <nil> 0
}

// A panic that ends the program takes along what is in the lanes, unless the
// goroutine that panics closes the recorder first. Here somebody recovers the
// panic further up, only so that the example can go on to show it.
func ExampleRecorder_CloseOnPanic() {
	dir, remove := tempDir()
	defer remove()
	rec, err := recorder.Open(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	p, err := rec.Producer("feed", nil)
	if err != nil {
		log.Fatal(err)
	}
	worker := func() {
		defer rec.CloseOnPanic(time.Second) // first thing in the goroutine
		fmt.Fprint(p, "what led to it")
		panic("a defect")
	}
	func() {
		defer func() { fmt.Println(recover()) }()
		worker()
	}()

	r, err := journal.OpenReader(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	for record, err := range r.All() {
		fmt.Printf("%s %v\n", record.Payload, err)
	}
	// Output:
	// a defect
	// what led to it <nil>
}
