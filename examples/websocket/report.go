package main

import (
	"errors"
	"fmt"

	"github.com/gobwas/ws"
	"github.com/nexus-logbuf/logbuf/adapter/wsbuf"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// printStats says what became of the frames: all that were offered are in the
// archive, or counted as lost.
func printStats(s recorder.Stats) {
	for _, stream := range s.Streams {
		fmt.Printf("stream %-8s  %6d records, %8d bytes as they came, %d lost\n", stream.Name, stream.Records, stream.Bytes, stream.Lost)
	}
}

// printArchive reads the recording back as messages.
func printArchive(dir string) error {
	m, err := wsbuf.OpenMessages(dir, nil)
	if err != nil {
		return err
	}
	defer m.Close()
	const shown = 2 // of each kind
	seen := map[string]int{}
	bytes := map[string]int{}
	for rec, err := range m.All() {
		var unread *wsbuf.MessageError
		if errors.As(err, &unread) { // frames are missing in it: see the losses
			fmt.Println(err)
			continue
		}
		if err != nil {
			return err
		}
		direction := "received"
		if rec.Flags&journal.FlagOutbound != 0 {
			direction = "sent"
		}
		kind := direction + " " + wsbuf.OpName(ws.OpCode(rec.Flags&journal.FlagSourceMask))
		if seen[kind]++; seen[kind] <= shown {
			fmt.Printf("%-15s  %.75q\n", kind, rec.Payload)
		}
		bytes[kind] += len(rec.Payload)
	}
	for _, kind := range []string{"sent text", "received text", "received ping", "sent pong", "received close", "sent close"} {
		fmt.Printf("%6d × %-15s %8d bytes, inflated\n", seen[kind], kind, bytes[kind])
	}
	return nil
}
