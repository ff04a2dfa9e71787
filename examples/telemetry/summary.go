package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/nexus-logbuf/logbuf/adapter/tracebuf"
	"github.com/nexus-logbuf/logbuf/journal"
)

// summarize reads the archive as any program can: the definitions first, then
// the records.
func summarize(dir string, out io.Writer) error {
	var d tracebuf.Decoder
	if err := each(dir, d.Learn); err != nil {
		return err
	}
	begun := make(map[[2]uint32]int64) // track and span → when
	took := make(map[string][]time.Duration)
	orders, lots, samples := 0, uint64(0), uint32(0)
	err := each(dir, func(rec journal.Record) error {
		if !tracebuf.IsKind(rec.Kind) || rec.Kind == tracebuf.KindDefine {
			return nil
		}
		e, err := d.Decode(rec)
		if err != nil {
			return err
		}
		switch {
		case e.Kind == tracebuf.KindBegin:
			begun[[2]uint32{e.Track.ID, e.Span}] = e.Time
		case e.Kind == tracebuf.KindEnd:
			took[e.Name] = append(took[e.Name], time.Duration(e.Time-begun[[2]uint32{e.Track.ID, e.Span}]))
		case e.Kind == tracebuf.KindSample:
			samples += e.Count
		case e.Name == "order":
			var o Order // this program has the type; others go by e.Fields
			if _, err := binary.Decode(e.Body, binary.LittleEndian, &o); err != nil {
				return err
			}
			orders, lots = orders+1, lots+uint64(o.Size)
		}
		return nil
	})
	fmt.Fprintf(out, "%d orders of %d lots\n", orders, lots)
	for _, name := range []string{"batch", "check"} {
		if t := took[name]; len(t) > 0 {
			slices.Sort(t)
			fmt.Fprintf(out, "span %s: %d times, median %s, longest %s\n", name, len(t), t[len(t)/2], t[len(t)-1])
		}
	}
	fmt.Fprintf(out, "%d goroutines were sampled\n", samples)
	return err
}

// each calls do with the records of an archive.
func each(dir string, do func(journal.Record) error) error {
	r, err := journal.OpenReader(dir, nil)
	if err != nil {
		return err
	}
	defer r.Close()
	var failed error
	for rec, err := range r.All() {
		if failed = errors.Join(err, do(rec)); failed != nil {
			break
		}
	}
	return failed
}
