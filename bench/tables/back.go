package main

import (
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/tidwall/wal"
)

// back is reading what is in the page cache, and finding a record in it.
func back(o *options) []*question {
	const size = 256
	q := &question{name: "back", title: "Back from the page cache, 256 B records", unit: "ns per record", cols: []string{"256 B"}}
	q.note = "The last line is the floor: the same files read in 256 KiB steps, and their CRC32C."
	for _, r := range []struct {
		name string
		read func(dir string, n int) error
	}{
		{"journal.Reader", readBack},
		{"journal.Verify, " + strconv.Itoa(runtime.GOMAXPROCS(0)) + " at a time", verifyBack},
		{"read and CRC32C", rawBack},
	} {
		q.rows = append(q.rows, row{name: r.name, run: func(_, n int) (result, error) {
			return fromArchive(o.dir, size, n, func(dir string) error { return r.read(dir, n) })
		}})
	}
	q.rows = append(q.rows, row{name: "tidwall/wal, Read, no checksum", run: func(_, n int) (result, error) { return tidwallBack(o.dir, size, n) }})
	return []*question{q, seeks(o)}
}

// fromArchive times job on an archive of n records.
func fromArchive(parent string, size, n int, job func(dir string) error) (result, error) {
	dir, err := os.MkdirTemp(parent, "logbuf-bench-")
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(dir)
	if err := makeArchive(dir, size, n, 16<<20); err != nil {
		return result{}, err
	}
	res := timed(n, func() { err = job(dir) })
	return res, err
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

func verifyBack(dir string, n int) error {
	rep, err := journal.Verify(dir, nil)
	if err == nil && (rep.Records != uint64(n) || rep.Verdict != journal.Clean) {
		panic("records are missing")
	}
	return err
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

func tidwallBack(parent string, size, n int) (result, error) {
	dir, err := os.MkdirTemp(parent, "logbuf-bench-")
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(dir)
	l, err := tidwall(dir)
	if err != nil {
		return result{}, err
	}
	rec := make([]byte, size)
	for i := range n {
		fill(rec, uint64(i))
		if err := l.write(rec); err != nil {
			return result{}, err
		}
	}
	if err := first(l.flush(), l.close()); err != nil {
		return result{}, err
	}
	back, err := wal.Open(filepath.Join(dir, "wal"), &wal.Options{NoSync: true, SegmentSize: 128 << 20})
	if err != nil {
		return result{}, err
	}
	var sum uint64
	res := timed(n, func() {
		for i := range n {
			var rec []byte
			if rec, err = back.Read(uint64(i) + 1); err != nil {
				return
			}
			sum += read(rec)
		}
	})
	sink.Add(sum)
	return res, first(err, back.Close())
}

// seeks is opening a reader somewhere in an archive, and reading one record.
func seeks(o *options) *question {
	const size = 64
	records := o.seekIn
	q := &question{
		name: "seek", title: fmt.Sprintf("One record somewhere in %d, from opening the archive to the record", records), unit: "ns", quantiles: true,
		cols: []string{"8 segments", "128 segments"},
	}
	bytes := int64(records) * int64(journal.FrameLen(size))
	segment := []int64{max(bytes/8, 64<<10), max(bytes/128, 64<<10)}
	for _, r := range []struct {
		name string
		at   func(i uint64) journal.ReaderOptions
	}{
		{"by sequence", func(i uint64) journal.ReaderOptions { return journal.ReaderOptions{FromSeq: i} }},
		{"by time", func(i uint64) journal.ReaderOptions { return journal.ReaderOptions{FromTime: int64(i)*1000 + 1} }},
	} {
		dirs := make([]string, len(q.cols))
		q.rows = append(q.rows, row{name: r.name, run: func(col, n int) (result, error) {
			if dirs[col] == "" {
				dir, err := os.MkdirTemp(o.dir, "logbuf-bench-")
				if err != nil {
					return result{}, err
				}
				o.atEnd = append(o.atEnd, func() { os.RemoveAll(dir) })
				if err := makeArchive(dir, size, records, segment[col]); err != nil {
					return result{}, err
				}
				dirs[col] = dir
			}
			return seek(dirs[col], n, uint64(records), r.at)
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
