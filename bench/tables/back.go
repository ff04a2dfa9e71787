package main

import (
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/tidwall/wal"
)

// backSize is the payload of what is read back.
const backSize = 256

// back is reading what is in the page cache, and finding a record in it.
func back(o *options) []*question {
	records := max(o.records/4, batch)
	q := &question{name: "back", title: "Back from the page cache, 256 B records", unit: "ns per record", cols: []string{"256 B"}, cpu: true}
	q.note = fmt.Sprintf("An archive of %d records in segments of 16 MiB. Each payload is read. CPU is that of the whole process. The last line is the floor:\n"+
		"the same files read in 256 KiB steps, and their CRC32C.", records)
	archive := o.shared(func(dir string) error { return makeArchive(dir, backSize, records, 16<<20) })
	log := o.shared(func(dir string) error { return makeTidwall(dir, records) })
	for _, r := range []struct {
		name string
		dir  func() (string, error)
		read func(dir string, records int) error
	}{
		{"journal.Reader", archive, readBack},
		{fmt.Sprintf("journal.Verify, %d at a time", runtime.GOMAXPROCS(0)), archive, verifyBack(0)},
		{"journal.Verify, 1 at a time", archive, verifyBack(1)},
		{"tidwall/wal, Read, no checksum", log, tidwallBack},
		{"read and CRC32C", archive, rawBack},
	} {
		q.rows = append(q.rows, row{name: r.name, run: func(_, n int) (result, error) {
			dir, err := r.dir()
			if err != nil {
				return result{}, err
			}
			times := (n + records - 1) / records
			var used time.Duration
			res := timed(times*records, func() {
				start := processorTime()
				for range times {
					err = first(err, r.read(dir, records))
				}
				used = processorTime() - start
			})
			res.cpu = used
			return res, err
		}})
	}
	return []*question{q, seeks(o)}
}

// shared is a directory that is filled when it is first asked for, and removed
// when the program ends.
func (o *options) shared(fill func(dir string) error) func() (string, error) {
	return sync.OnceValues(func() (string, error) {
		dir, err := os.MkdirTemp(o.dir, "logbuf-bench-")
		if err != nil {
			return "", err
		}
		o.atEnd = append(o.atEnd, func() { os.RemoveAll(dir) })
		return dir, fill(dir)
	})
}

// makeArchive writes records a microsecond apart, in segments of so many bytes.
func makeArchive(dir string, size, n int, segment int64) error {
	w, err := journal.Open(dir, &journal.Options{Sync: journal.SyncNone, SegmentSize: segment})
	if err != nil {
		return err
	}
	id, err := w.DefineStream("bench")
	if err != nil {
		return err
	}
	rec := make([]byte, size)
	var frames []byte
	for i := 0; i < n; {
		frames = frames[:0]
		k := min(batch, n-i)
		for range k {
			fill(rec, uint64(i))
			frames = journal.AppendFrame(frames, journal.Record{Time: int64(i) * 1000, Stream: id, Payload: rec})
			i++
		}
		if _, err := w.AppendFrames(frames, k); err != nil {
			return err
		}
	}
	return w.Close()
}

func readBack(dir string, n int) error {
	r, err := journal.OpenReader(dir, nil)
	if err != nil {
		return err
	}
	defer r.Close()
	var sum uint64
	for rec, err := range r.All() {
		if err != nil {
			return err
		}
		sum += read(rec.Payload)
		n--
	}
	sink.Add(sum)
	if n != 0 {
		panic("records are missing")
	}
	return nil
}

func verifyBack(workers int) func(dir string, n int) error {
	return func(dir string, n int) error {
		rep, err := journal.Verify(dir, &journal.VerifyOptions{Workers: workers})
		if err == nil && (rep.Records != uint64(n) || rep.Verdict != journal.Clean) {
			panic("records are missing")
		}
		return err
	}
}

func rawBack(dir string, _ int) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.lbj"))
	if err != nil {
		return err
	}
	buf := make([]byte, 256<<10)
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		for err == nil {
			var n int
			n, err = f.Read(buf)
			sink.Add(uint64(crc32.Checksum(buf[:n], castagnoli)))
		}
		f.Close()
		if err != io.EOF {
			return err
		}
	}
	return nil
}

func makeTidwall(dir string, n int) error {
	l, err := tidwall(place{dir: dir}, backSize)
	if err != nil {
		return err
	}
	rec := make([]byte, backSize)
	for i := range n {
		fill(rec, uint64(i))
		if err := l.write(rec); err != nil {
			return err
		}
	}
	return first(l.flush(), l.close())
}

func tidwallBack(dir string, n int) error {
	l, err := wal.Open(filepath.Join(dir, "wal"), &wal.Options{NoSync: true, SegmentSize: 128 << 20})
	if err != nil {
		return err
	}
	var sum uint64
	for i := range n {
		var rec []byte
		if rec, err = l.Read(uint64(i) + 1); err != nil {
			break
		}
		sum += read(rec)
	}
	sink.Add(sum)
	return first(err, l.Close())
}

// seeks is opening a reader somewhere in an archive, and reading one record.
func seeks(o *options) *question {
	const size = 64
	records := o.records
	q := &question{
		name: "seek", title: fmt.Sprintf("One record somewhere in %d, from opening the archive to the record", records), unit: "ns", quantiles: true, plotted: 50,
		cols: []string{"8 segments", "128 segments"},
		note: "Records of 64 B, a microsecond apart, in the page cache.",
	}
	bytes := int64(records) * int64(journal.FrameLen(size))
	var dirs []func() (string, error)
	for _, segment := range []int64{max(bytes/8, 64<<10), max(bytes/128, 64<<10)} {
		dirs = append(dirs, o.shared(func(dir string) error { return makeArchive(dir, size, records, segment) }))
	}
	for _, r := range []struct {
		name string
		at   func(i uint64) journal.ReaderOptions
	}{
		{"by sequence", func(i uint64) journal.ReaderOptions { return journal.ReaderOptions{FromSeq: i} }},
		{"by time", func(i uint64) journal.ReaderOptions { return journal.ReaderOptions{FromTime: int64(i)*1000 + 1} }},
	} {
		q.rows = append(q.rows, row{name: r.name, run: func(col, n int) (result, error) {
			dir, err := dirs[col]()
			if err != nil {
				return result{}, err
			}
			return seek(dir, n, uint64(records), r.at)
		}})
	}
	return q
}

func seek(dir string, n int, records uint64, at func(uint64) journal.ReaderOptions) (result, error) {
	var err error
	h, x := newHist(), uint64(1)
	res := timed(n, func() {
		for range n {
			x = x*6364136223846793005 + 1442695040888963407
			opts := at(x >> 33 % (records - 2))
			var took int64
			if took, err = openAt(dir, &opts); err != nil {
				return
			}
			_ = h.RecordValue(took) // out of range: more than 10 s
		}
	})
	res.hist = h
	return res, err
}

func openAt(dir string, opts *journal.ReaderOptions) (took int64, err error) {
	start := now()
	r, err := journal.OpenReader(dir, opts)
	if err != nil {
		return 0, err
	}
	rec, err := r.Next(context.Background())
	took = now() - start
	sink.Add(read(rec.Payload))
	return took, first(err, r.Close())
}
