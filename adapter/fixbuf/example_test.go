package fixbuf_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"strings"

	"github.com/nexus-logbuf/logbuf/adapter/fixbuf"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// An engine gets a connection that records what goes over it.
func ExampleNewConn() {
	dir, err := os.MkdirTemp("", "fixbuf")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	rec, err := recorder.Open(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	sessions := fixbuf.NewRecorder(rec, nil)

	nc, peer := net.Pipe() // net.Dial in earnest
	conn := fixbuf.NewConn(nc, sessions)
	go func() {
		fmt.Fprint(peer, "8=FIX.4.4\x019=57\x0135=A\x0134=1\x0149=SELLER\x0152=20261121-09:30:00\x0156=BUYER\x01108=30\x0110=158\x01")
		peer.Close()
	}()
	buf := make([]byte, 4096)
	for {
		if _, err := conn.Read(buf); err != nil {
			break
		}
	}
	conn.Close()
	s := sessions.Stats().Sessions[0]
	fmt.Println(s.Name, "received", s.In, "next", s.Sequences[1].Next, "wrong checksums", s.BadSum)

	sessions.Close()
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
		fmt.Println(r.StreamName(record.Stream), strings.ReplaceAll(string(record.Payload), "\x01", "|"))
	}
	// Output:
	// FIX.4.4:BUYER-SELLER received 1 next 2 wrong checksums 0
	// FIX.4.4:BUYER-SELLER 8=FIX.4.4|9=57|35=A|34=1|49=SELLER|52=20261121-09:30:00|56=BUYER|108=30|10=158|
}

// Record is for engines that have whole messages at hand.
func ExampleRecorder_Record() {
	dir, err := os.MkdirTemp("", "fixbuf")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	rec, err := recorder.Open(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer rec.Close(context.Background())
	sessions := fixbuf.NewRecorder(rec, &fixbuf.Options{OnGap: func(g fixbuf.Gap) {
		fmt.Printf("%s: %s: %d to %d are missing\n", g.Session, g.Sender, g.Missing.From, g.Missing.To)
	}})
	defer sessions.Close()
	heartbeat := func(n int) []byte {
		body := fmt.Sprintf("35=0\x0149=SELLER\x0156=BUYER\x0134=%d\x0152=20261121-09:30:00\x01", n)
		m := fmt.Appendf(nil, "8=FIX.4.4\x019=%d\x01%s", len(body), body)
		return fmt.Appendf(m, "10=%03d\x01", fixbuf.Checksum(m))
	}
	for _, n := range []int{1, 2, 5} {
		if err := sessions.Record(false, heartbeat(n)); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// FIX.4.4:BUYER-SELLER: SELLER: 3 to 4 are missing
}
