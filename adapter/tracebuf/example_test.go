package tracebuf_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"log"
	"os"

	"github.com/nexus-logbuf/logbuf/adapter/tracebuf"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
)

type Order struct {
	ID    uint64
	Price int64 `trace:"price,unit=ticks"`
	Size  uint32
	Buy   bool
}

// Record events and spans.
func ExampleNew() {
	dir, err := os.MkdirTemp("", "tracebuf")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	record(dir)
	read(dir)
	// Output:
	// gateway: begin handle
	// gateway: order ID=7 price=100ticks Size=3 Buy=true
	// the same in this program: {7 100 3 true}
	// gateway: end handle
}

func record(dir string) {
	rec, err := recorder.Open(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	tracer, err := tracebuf.New(rec, nil)
	if err != nil {
		log.Fatal(err)
	}
	order, err := tracebuf.Register[Order](tracer, "order")
	if err != nil {
		log.Fatal(err)
	}
	handle, err := tracebuf.Register[struct{}](tracer, "handle")
	if err != nil {
		log.Fatal(err)
	}
	track, err := tracer.Track("gateway", nil) // one per goroutine
	if err != nil {
		log.Fatal(err)
	}

	span := handle.Begin(track, struct{}{})
	_ = order.Emit(track, Order{ID: 7, Price: 100, Size: 3, Buy: true})
	_ = span.End()

	if err := tracer.Close(context.Background()); err != nil {
		log.Fatal(err)
	}
	if err := rec.Close(context.Background()); err != nil {
		log.Fatal(err)
	}
}

// read reads the archive twice: first for the definitions.
func read(dir string) {
	var d tracebuf.Decoder
	each(dir, func(rec journal.Record) {
		if err := d.Learn(rec); err != nil {
			log.Print(err)
		}
	})
	words := map[uint8]string{tracebuf.KindBegin: "begin ", tracebuf.KindEnd: "end "}
	each(dir, func(rec journal.Record) {
		if !tracebuf.IsKind(rec.Kind) || rec.Kind == tracebuf.KindDefine {
			return
		}
		e, err := d.Decode(rec)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s: %s%s", e.Track.Name, words[e.Kind], e.Name)
		for _, f := range e.Fields {
			fmt.Printf(" %s=%s%s", f.Name, f.Append(nil, e.Body), f.Unit)
		}
		fmt.Println()
		if e.Kind == tracebuf.KindEvent {
			var o Order
			if _, err := binary.Decode(e.Body, binary.LittleEndian, &o); err != nil {
				log.Fatal(err)
			}
			fmt.Println("the same in this program:", o)
		}
	})
}

func each(dir string, do func(journal.Record)) {
	r, err := journal.OpenReader(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	for rec, err := range r.All() {
		if err != nil {
			log.Fatal(err)
		}
		do(rec)
	}
}
