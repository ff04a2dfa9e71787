// Command eventsourcing is a service whose state is what its journal says:
// docs/patterns/event-sourcing.md explains it.
//
//	eventsourcing                             a demonstration, a second or two
//	eventsourcing -dir D -listen :7070        the service
//	eventsourcing -send :7070 LINE...         a client: sends lines and prints the answers
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

func run(args []string) error {
	fs := flag.NewFlagSet("eventsourcing", flag.ContinueOnError)
	dir := fs.String("dir", "", "where journal and snapshots are; empty: a demonstration in a temporary directory")
	listen := fs.String("listen", "127.0.0.1:0", "TCP address for clients")
	send := fs.String("send", "", "address of a service: send it the arguments, each a line, and print its answers")
	rate := fs.Int("feed", 1000, "quotes a second of the simulated market, 0 for none")
	every := fs.Uint64("snapshot-every", 100_000, "records between snapshots, 0 for none")
	lane := fs.Int("quote-lane", 0, "bytes of ring for quotes, 0 for 64 KiB")
	segment := fs.Int64("segment-size", 0, "bytes of a journal segment, 0 for 128 MiB")
	keep := fs.Int64("keep", 0, "bytes of journal to keep of what snapshots cover, 0 for all")
	if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch {
	case *send != "":
		return sendLines(*send, fs.Args())
	case fs.NArg() > 0:
		return fmt.Errorf("%q: no arguments but lines for -send", fs.Args())
	case *dir == "":
		return demo(ctx)
	}
	return serve(ctx, *listen, *rate, Config{
		Dir: *dir, SnapshotEvery: *every, QuoteLane: *lane,
		Journal: journal.Options{SegmentSize: *segment, Retention: journal.Retention{MaxBytes: *keep}},
	})
}

// sendLines sends lines to a service, one after another.
func sendLines(addr string, lines []string) error {
	c, err := dial(addr)
	for range 30 { // the service may just have been started
		if !errors.Is(err, syscall.ECONNREFUSED) {
			break
		}
		time.Sleep(100 * time.Millisecond)
		c, err = dial(addr)
	}
	if err != nil {
		return err
	}
	defer c.close()
	for _, line := range lines {
		answer, err := c.ask(line)
		if err != nil {
			return fmt.Errorf("no answer to %q: %w", line, err)
		}
		fmt.Println(answer)
	}
	return nil
}

// serve runs the service until ctx ends or it fails.
func serve(ctx context.Context, listen string, rate int, c Config) (err error) {
	s, err := Start(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	context.AfterFunc(s.stopped, cancel)
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	fmt.Printf("rebuilt: %v\n", s.Rebuilt)
	fmt.Printf("listening on %v\n", l.Addr())
	market := make(chan error, 1)
	go func() {
		defer s.rec.CloseOnPanic(shutdownTime)
		market <- feed(ctx, s, rate)
		cancel()
	}()
	err = (&server{service: s}).serve(ctx, l)
	cancel()
	return errors.Join(err, <-market)
}
