// Fix records two FIX engines that talk to each other over TCP, and finds a range
// of messages by MsgSeqNum. The buyer's connection is a fixbuf.Conn: that is
// all that recording takes.
//
//	go run ./examples/fix [-dir DIR] [-orders N]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strings"
	"time"

	"github.com/nexus-logbuf/logbuf/adapter/fixbuf"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
)

func main() {
	dir := flag.String("dir", "", "archive `directory`; default: a temporary one, removed at the end")
	orders := flag.Int("orders", 200, "how many orders to send")
	flag.Parse()
	if err := run(os.Stdout, *dir, *orders); err != nil {
		log.Fatal(err)
	}
}

func run(w io.Writer, dir string, orders int) error {
	if dir == "" {
		tmp, err := os.MkdirTemp("", "fix")
		if err != nil {
			return err
		}
		defer os.RemoveAll(tmp)
		dir = tmp
	}
	if err := record(w, dir, orders); err != nil {
		return err
	}
	return find(w, dir, "SELLER", 20, 23)
}

// record runs both engines until they have logged out.
func record(w io.Writer, dir string, orders int) (err error) {
	rec, err := recorder.Open(dir, nil)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err = errors.Join(err, rec.Close(ctx))
	}()
	sessions := fixbuf.NewRecorder(rec, &fixbuf.Options{OnGap: func(g fixbuf.Gap) {
		fmt.Fprintf(w, "gap: %s has sent no MsgSeqNum %v\n", g.Sender, g.Missing)
	}})
	defer sessions.Close()

	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer ln.Close()
	sold := make(chan error, 1)
	go func() { sold <- sell(ln) }()
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		return err
	}
	conn := fixbuf.NewConn(nc, sessions) // an engine uses it like nc
	err = errors.Join(buy(conn, orders), conn.Close(), conn.Err(), <-sold)

	for _, s := range sessions.Stats().Sessions {
		fmt.Fprintf(w, "%s: %d messages received, %d sent, %d wrong checksums, %d lost by the recording\n",
			s.Name, s.In, s.Out, s.BadSum, s.Recording.Lost)
		for side, q := range s.Sequences {
			fmt.Fprintf(w, "  %-6s MsgSeqNum %d to %d, %d missing, gaps: %d\n", s.Identity.CompID(side), q.First, q.Next-1, q.Missing, q.Gaps)
		}
	}
	return err
}

// find prints the messages of a sender with those numbers. `logbuf fix show` does so with
// an index, and readably.
func find(w io.Writer, dir, sender string, from, to uint64) error {
	r, err := journal.OpenReader(dir, nil)
	if err != nil {
		return err
	}
	defer r.Close()
	for record, err := range r.All() {
		if err != nil {
			return err
		}
		var h fixbuf.Header
		if record.Kind != journal.KindData || h.Parse(record.Payload) != nil || string(h.Sender) != sender || h.SeqNum < from || h.SeqNum > to {
			continue
		}
		fmt.Fprintf(w, "record %d: %s\n", record.Seq, strings.ReplaceAll(string(record.Payload), "\x01", "|"))
	}
	return nil
}
