package recorder_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// tempDir stands for the archive's place on disk.
func tempDir() (dir string, remove func()) {
	dir, err := os.MkdirTemp("", "recorder")
	if err != nil {
		log.Fatal(err)
	}
	return dir, func() { _ = os.RemoveAll(dir) }
}

// Record two streams, and read them back.
func ExampleOpen() {
	dir, remove := tempDir()
	defer remove()

	rec, err := recorder.Open(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range []string{"trades", "books"} {
		p, err := rec.Producer(name, nil)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Fprintf(p, "first of %s", name)
		p.WaitDurable(context.Background()) // only to make the order certain
	}
	if err := rec.Close(context.Background()); err != nil {
		log.Fatal(err)
	}

	r, err := journal.OpenReader(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	for record, err := range r.All() {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%d %s %q\n", record.Seq, r.StreamName(record.Stream), record.Payload)
	}
	// Output:
	// 0 trades "first of trades"
	// 1 books "first of books"
}

// Write records a copy, and does not wait for the disk. WaitDurable does.
func ExampleProducer_Write() {
	dir, remove := tempDir()
	defer remove()
	rec, err := recorder.Open(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer rec.Close(context.Background())

	orders, err := rec.Producer("orders", &recorder.ProducerOptions{Overload: recorder.OverloadWait})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := orders.Write([]byte("buy 100 at 42.5")); err != nil {
		log.Fatal(err)
	}
	if err := orders.WaitDurable(context.Background()); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d record, %d bytes, %d lost\n", orders.Stats().Records, orders.Stats().Bytes, orders.Stats().Lost)
	// Output: 1 record, 15 bytes, 0 lost
}

// A record is filled where it lies: claim room, fill it, commit as much as was
// needed. Abort behind it is right on every path.
func ExampleProducer_TryClaim() {
	dir, remove := tempDir()
	defer remove()
	rec, err := recorder.Open(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer rec.Close(context.Background())
	p, err := rec.Producer("frames", nil)
	if err != nil {
		log.Fatal(err)
	}

	receive := func(read func(dst []byte) (int, error)) error {
		c, err := p.TryClaim(journal.KindData, journal.FlagFinal, 64)
		if err != nil {
			return err // the lane is full: the record is counted as lost
		}
		defer c.Abort()
		n, err := read(c.Bytes())
		if err != nil {
			return err
		}
		c.CommitN(n)
		return nil
	}
	fmt.Println(receive(func(dst []byte) (int, error) { return copy(dst, "pong"), nil }))
	fmt.Println(receive(func([]byte) (int, error) { return 0, errors.New("connection reset") }))
	_ = p.WaitDurable(context.Background())
	fmt.Println(p.Stats().Records, "record")
	// Output:
	// <nil>
	// connection reset
	// 1 record
}

// An unshared producer is one goroutine's, and the only one of its stream. A
// second one is refused, and so nobody's records end up between another's.
func ExampleRecorder_Producer_twice() {
	dir, remove := tempDir()
	defer remove()
	rec, err := recorder.Open(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer rec.Close(context.Background())

	_, err = rec.Producer("log", nil)
	fmt.Println(err)
	_, err = rec.Producer("log", nil)
	fmt.Println(err)
	// Output:
	// <nil>
	// recorder: stream "log" has an open producer: close it first, or make all producers of the stream with ProducerOptions.Shared
}

// Overload hits ordinary streams first: an urgent one has half of the disk to
// itself when it needs it.
func ExampleProducerOptions_urgent() {
	dir, remove := tempDir()
	defer remove()
	rec, err := recorder.Open(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	quotes, err := rec.Producer("quotes", nil)
	if err != nil {
		log.Fatal(err)
	}
	orders, err := rec.Producer("orders", &recorder.ProducerOptions{Urgent: true})
	if err != nil {
		log.Fatal(err)
	}
	lost := 0
	for i := range 10000 {
		if _, err := fmt.Fprintf(quotes, "quote %d", i); err != nil {
			lost++ // queue.ErrFull: it is counted, and the archive will say so
		}
		if i%1000 == 0 {
			fmt.Fprintf(orders, "order %d", i)
		}
	}
	if err := rec.Close(context.Background()); err != nil {
		log.Fatal(err)
	}
	for _, s := range rec.Stats().Streams {
		if s.Urgent {
			fmt.Println(s.Name, s.Records, "records,", s.Lost, "lost")
		} else {
			fmt.Println(s.Name, s.Records+s.Lost, "offered,", int(s.Lost)-lost, "of the lost ones not counted")
		}
	}
	// Output:
	// quotes 10000 offered, 0 of the lost ones not counted
	// orders 10 records, 0 lost
}
