package recorder_test

import (
	"context"
	"encoding/json"
	"expvar"
	"fmt"
	"log"

	"github.com/nexus-logbuf/logbuf/recorder"
)

// Publish a recorder's counters as an expvar: a program that serves
// http.DefaultServeMux then shows them at /debug/vars.
func ExampleRecorder_Stats_expvar() {
	dir, remove := tempDir()
	defer remove()
	rec, err := recorder.Open(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	expvar.Publish("logbuf", expvar.Func(func() any { return rec.Stats() }))

	trades, err := rec.Producer("trades", nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprint(trades, "buy 10")
	fmt.Fprint(trades, "sell 7")
	if err := rec.Close(context.Background()); err != nil {
		log.Fatal(err)
	}

	var vars struct {
		Streams []struct {
			Name                 string
			Records, Bytes, Lost uint64
		}
		Journal struct{ Syncs, DurableSeq uint64 }
	}
	if err := json.Unmarshal([]byte(expvar.Get("logbuf").String()), &vars); err != nil {
		log.Fatal(err)
	}
	fmt.Println(vars.Streams[0], vars.Journal.Syncs > 0, vars.Journal.DurableSeq)
	// Output:
	// {trades 2 12 0} true 2
}
