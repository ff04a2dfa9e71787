package replay_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/replay"
)

// An archive recorded over three quarters of an hour is replayed a thousand times as fast, its silences cut short.
func ExampleRun() {
	dir, err := os.MkdirTemp("", "replay")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	record(dir)

	r, err := journal.OpenReader(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	sink := func(rec journal.Record) error {
		fmt.Printf("%d %s %s\n", rec.Seq, r.StreamName(rec.Stream), rec.Payload)
		return nil
	}
	report, err := replay.Run(context.Background(), r, sink, &replay.Options{Speed: 1000, MaxGap: 10 * time.Millisecond})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d records recorded in %v, %d pause cut\n", report.Records, report.Recorded(), report.GapsCut)
	// Output:
	// 0 trades open
	// 1 trades 101.5
	// 2 trades close
	// 3 records recorded in 45m0.001s, 1 pause cut
}

func record(dir string) {
	w, err := journal.Open(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	stream, err := w.DefineStream("trades")
	if err != nil {
		log.Fatal(err)
	}
	opening := time.Date(2026, 11, 21, 9, 30, 0, 0, time.UTC)
	for _, rec := range []struct {
		at   time.Duration
		text string
	}{{0, "open"}, {time.Millisecond, "101.5"}, {45*time.Minute + time.Millisecond, "close"}} {
		_, err := w.Append(journal.Record{Time: opening.Add(rec.at).UnixNano(), Stream: stream, Payload: []byte(rec.text)})
		if err != nil {
			log.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		log.Fatal(err)
	}
}
