package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/nexus-logbuf/logbuf/adapter/tracebuf"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// Order is an event: fields of fixed size, the largest first, so that it is
// copied in one piece.
type Order struct {
	ID     uint64
	Price  int64   `trace:"price,unit=ticks"`
	Symbol [8]byte `trace:"symbol,text"`
	Size   uint32  `trace:"size,unit=lots"`
	Risk   float32 `trace:"risk"`
	Buy    bool    `trace:"buy"`
	Flags  [7]bool `trace:"flags"`
}

// Batch is what a span is about.
type Batch struct {
	Orders uint32 `trace:"orders"`
	Worker uint32 `trace:"worker"`
}

// gateway is what its goroutines share: events and counters, but no track.
type gateway struct {
	tracer *tracebuf.Tracer
	order  *tracebuf.Event[Order]
	batch  *tracebuf.Event[Batch]    // a span
	check  *tracebuf.Event[struct{}] // a span without arguments
	open   *tracebuf.Counter[int64]
	load   *tracebuf.Counter[float64]
}

const (
	workers = 3
	batches = 40
	size    = 8 // orders of a batch
)

// record runs the gateway for a fraction of a second.
func record(dir string, out io.Writer) (err error) {
	rec, err := recorder.Open(dir, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rec.Close(context.Background())) }()
	g, err := newGateway(rec)
	if err != nil {
		return err
	}
	stop, err := g.tracer.SampleGoroutines(5 * time.Millisecond)
	if err != nil {
		return err
	}
	start := time.Now()
	failed := make([]error, workers)
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() { failed[w] = g.work(w) })
	}
	all.Wait()
	stop()
	if err := errors.Join(failed...); err != nil {
		return err
	}
	s := rec.Stats()
	var written, lost uint64
	for _, stream := range s.Streams {
		written, lost = written+stream.Records+stream.LagRecords, lost+stream.Lost
	}
	fmt.Fprintf(out, "%d workers, %d records in %s, %d lost\n", workers, written, time.Since(start).Round(time.Millisecond), lost)
	return g.tracer.Close(context.Background()) // before the recorder: it writes the definitions once more
}

func newGateway(rec *recorder.Recorder) (*gateway, error) {
	t, err := tracebuf.New(rec, &tracebuf.Options{Process: "gateway"})
	if err != nil {
		return nil, err
	}
	g := &gateway{tracer: t}
	var errs [5]error
	g.order, errs[0] = tracebuf.Register[Order](t, "order")
	g.batch, errs[1] = tracebuf.Register[Batch](t, "batch")
	g.check, errs[2] = tracebuf.Register[struct{}](t, "check")
	g.open, errs[3] = tracebuf.NewCounter[int64](t, "open orders", "count")
	g.load, errs[4] = tracebuf.NewCounter[float64](t, "risk", "")
	return g, errors.Join(errs[:]...)
}

// work is one goroutine, with a track of its own. What the lane has no room for
// is dropped and counted: the errors of Emit and the others are not looked at.
func (g *gateway) work(n int) error {
	track, err := g.tracer.Track(fmt.Sprintf("worker %d", n), nil)
	if err != nil {
		return err
	}
	defer track.Close()
	risk := 0.0
	for i := range batches {
		span := g.batch.Begin(track, Batch{Orders: size, Worker: uint32(n)})
		for j := range size {
			o := Order{ID: uint64(n*batches*size + i*size + j), Price: 1000 + int64(j), Size: uint32(i + 1), Buy: j%2 == 0}
			copy(o.Symbol[:], [...]string{"ACME", "GLOBEX", "INITECH"}[n])
			o.Risk = g.verify(track, &o)
			risk += float64(o.Risk)
			_ = g.order.Emit(track, o)
			_ = g.open.Add(track, 1)
		}
		_ = g.load.Set(track, risk)
		_ = g.open.Add(track, -size)
		_ = span.End()
		time.Sleep(time.Millisecond) // waits for the next batch
	}
	return nil
}

// verify takes a moment, and a span says how long.
func (g *gateway) verify(track *tracebuf.Track, o *Order) float32 {
	defer g.check.Begin(track, struct{}{}).End()
	sum := float32(0)
	for i := range 20_000 {
		sum += float32(o.Price) / float32(i+1)
	}
	return sum
}
