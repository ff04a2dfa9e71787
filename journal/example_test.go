package journal_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/nexus-logbuf/logbuf/journal"
)

func tempArchive() (dir string, remove func()) {
	parent, err := os.MkdirTemp("", "logbuf")
	if err != nil {
		log.Fatal(err)
	}
	return filepath.Join(parent, "archive"), func() { _ = os.RemoveAll(parent) }
}

func write(dir string, payloads ...string) {
	w, err := journal.Open(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	stream, err := w.DefineStream("orders")
	if err != nil {
		log.Fatal(err)
	}
	for i, p := range payloads {
		if _, err := w.Append(journal.Record{Time: int64(1000 + i), Stream: stream, Payload: []byte(p)}); err != nil {
			log.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		log.Fatal(err)
	}
}

func ExampleOpen() {
	dir, remove := tempArchive()
	defer remove()

	w, err := journal.Open(dir, &journal.Options{Sync: journal.SyncBatch})
	if err != nil {
		log.Fatal(err)
	}
	orders, err := w.DefineStream("orders")
	if err != nil {
		log.Fatal(err)
	}
	seq, err := w.Append(journal.Record{Stream: orders, Payload: []byte("buy 10 XYZ")})
	if err != nil {
		log.Fatal(err)
	}
	// From here on the record survives a power cut. Only now tell the client.
	if err := w.WaitDurable(context.Background(), seq); err != nil {
		log.Fatal(err)
	}
	fmt.Println("durable up to", w.DurableSeq())
	if err := w.Close(); err != nil {
		log.Fatal(err)
	}
	// Output: durable up to 1
}

// A ring's span goes to disk as it is.
func ExampleWriter_AppendFrames() {
	dir, remove := tempArchive()
	defer remove()

	var span []byte
	span = journal.AppendFrame(span, journal.Record{Time: 1, Payload: []byte("a")})
	span = journal.AppendFrame(span, journal.Record{Time: 2, Payload: []byte("b")})

	w, err := journal.Open(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	first, err := w.AppendFrames(span, 2)
	fmt.Println(first, w.NextSeq(), err)
	_, err = w.AppendFrames(span[:len(span)-8], 2)
	fmt.Println(err)
	if err := w.Close(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// 0 2 <nil>
	// journal: malformed frames: frame is longer than what is left, at byte 24 of 40
}

func ExampleOpenReader() {
	dir, remove := tempArchive()
	defer remove()
	write(dir, "zero", "one", "two", "three")

	r, err := journal.OpenReader(dir, &journal.ReaderOptions{FromSeq: 2})
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	for rec, err := range r.All() {
		if err != nil {
			log.Fatal(err) // a *CorruptionError names file, offset and the sequences lost
		}
		fmt.Println(rec.Seq, r.StreamName(rec.Stream), string(rec.Payload))
	}
	if torn := r.Torn(); torn != nil {
		fmt.Println("the writer crashed:", torn)
	}
	// Output:
	// 2 orders two
	// 3 orders three
}

// A payload is valid until the next record is read: keep a copy.
func ExampleReader_Next() {
	dir, remove := tempArchive()
	defer remove()
	write(dir, "first", "second")

	r, err := journal.OpenReader(dir, &journal.ReaderOptions{FromTime: 1001})
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	rec, err := r.Next(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	kept := append([]byte(nil), rec.Payload...)
	_, err = r.Next(context.Background())
	fmt.Printf("%s, then %v\n", kept, err)
	// Output: second, then EOF
}

func ExampleVerify() {
	dir, remove := tempArchive()
	defer remove()
	write(dir, "a", "flip me", "c")

	rep, err := journal.Verify(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(rep.Verdict, rep.Records, "records, next sequence", rep.NextSeq)

	// One bit, in a record that was durable.
	files, _ := filepath.Glob(filepath.Join(dir, "*.lbj"))
	b, _ := os.ReadFile(files[0])
	b[bytes.Index(b, []byte("flip me"))] ^= 1
	_ = os.WriteFile(files[0], b, 0o600)

	rep, err = journal.Verify(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(rep.Verdict)
	for _, p := range rep.Problems {
		fmt.Println(p.Reason, "- sequence", p.FirstSeq, "to", p.LastSeq, "lost")
	}
	// Output:
	// clean 3 records, next sequence 3
	// corrupt
	// block payload checksum is wrong - sequence 1 to 1 lost
}
