package channel_test

import (
	"context"
	"fmt"
	"io"

	"github.com/nexus-logbuf/logbuf/channel"
)

// One goroutine sends, another receives until the sender closes.
func ExampleNewSPSC() {
	tx, rx, err := channel.NewSPSC(1<<16, nil)
	if err != nil {
		panic(err)
	}
	go func() {
		defer tx.Close()
		for _, s := range []string{"trade", "quote", "trade"} {
			if err := tx.Send([]byte(s)); err != nil {
				fmt.Println("lost:", err) // full for more than a moment: the caller decides
			}
		}
	}()
	for rec := range rx.Records(context.Background()) {
		fmt.Println(string(rec))
	}
	// Output:
	// trade
	// quote
	// trade
}

// Every goroutine that sends may have a handle of its own; the receiver comes
// to its end when all of them are closed.
func ExampleNewMPSC() {
	tx, rx, err := channel.NewMPSC(1<<16, nil)
	if err != nil {
		panic(err)
	}
	for range 3 {
		go func(tx *channel.SharedSender) {
			defer tx.Close()
			c, err := tx.Claim(8)
			if err != nil {
				return
			}
			n := copy(c.Bytes(), "hello")
			c.CommitN(n)
		}(tx.Clone())
	}
	tx.Close()

	// The loop for an archiver: sleep until there is something, take it all.
	for {
		if err := rx.Wait(context.Background()); err == io.EOF {
			break
		}
		rx.Drain(256, func(_ int32, rec []byte) { fmt.Println(string(rec)) })
	}
	// Output:
	// hello
	// hello
	// hello
}
