package logbuf_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
	"github.com/nexus-logbuf/logbuf/replay"
)

// Record from a hot path, then verify and replay what was recorded.
func Example() {
	dir, err := os.MkdirTemp("", "logbuf-example-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	archive := filepath.Join(dir, "trades")

	rec, err := recorder.Open(archive, nil)
	if err != nil {
		panic(err)
	}
	trades, err := rec.Producer("trades", nil) // a lane of its own, for one goroutine
	if err != nil {
		panic(err)
	}
	for _, t := range []string{"BTC-USD 64000.5 0.2", "ETH-USD 3100 5"} {
		trades.Write([]byte(t)) // never blocks; what does not fit is counted as lost
	}
	if err := trades.WaitDurable(context.Background()); err != nil { // on disk, or the error says what is not
		panic(err)
	}
	if err := rec.Close(context.Background()); err != nil { // drains, seals
		panic(err)
	}

	report, err := journal.Verify(archive, nil)
	if err != nil {
		panic(err)
	}
	fmt.Println(report.Verdict, report.Records, "records")

	r, err := journal.OpenReader(archive, nil)
	if err != nil {
		panic(err)
	}
	defer r.Close()
	_, err = replay.Run(context.Background(), r, func(rec journal.Record) error {
		_, err := fmt.Printf("%d %s %s\n", rec.Seq, r.StreamName(rec.Stream), rec.Payload)
		return err
	}, nil) // as fast as it can be read
	if err != nil {
		panic(err)
	}
	// Output:
	// clean 2 records
	// 0 trades BTC-USD 64000.5 0.2
	// 1 trades ETH-USD 3100 5
}
