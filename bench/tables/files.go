package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/record"
	"github.com/nexus-logbuf/logbuf/internal/vfs"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
	"github.com/tidwall/wal"
)

// journey is records on their way into files. flush returns when all are handed to
// the system; sync, when they are durable. What it costs to open and to close is
// not measured.
type journey struct {
	write       func(rec []byte) error
	flush, sync func() error
	close       func() error
}

// toDisk is a way to get records from a goroutine into files in dir.
type toDisk struct {
	name string
	open func(dir string) (journey, error)
}

var toDisks = []toDisk{
	{"recorder, Write", func(dir string) (journey, error) { return recording(dir, vfs.OS) }},
	{"journal.Append", journalAppend},
	{"Go channel of copies, bufio, CRC32C", throughChannel},
	{"bufio, CRC32C", func(dir string) (journey, error) {
		f, err := newFile(dir)
		w := bufferedLog(f)
		return journey{write: w, flush: func() error { return w(nil) }, sync: f.Sync, close: f.Close}, err
	}},
	{"pebble record.LogWriter", func(dir string) (journey, error) {
		f, err := newFile(dir)
		w := record.NewLogWriter(unclosed{f}, 1, record.LogWriterConfig{WriteWALSyncOffsets: func() bool { return false }})
		return journey{
			write: func(rec []byte) error { _, err := w.WriteRecord(rec); return err },
			flush: w.Close, // there is no other way to wait for the last block
			sync:  f.Sync, close: f.Close,
		}, err
	}},
	{"tidwall/wal, batches of 256", tidwall},
	{"bare write of 256 KiB", func(dir string) (journey, error) {
		f, err := newFile(dir)
		buf := make([]byte, 0, 256<<10)
		flush := func() error { _, err := f.Write(buf); buf = buf[:0]; return err }
		return journey{write: func(rec []byte) error {
			if len(buf)+len(rec) > cap(buf) {
				if err := flush(); err != nil {
					return err
				}
			}
			buf = append(buf, rec...)
			return nil
		}, flush: flush, sync: f.Sync, close: f.Close}, err
	}},
}

func recording(dir string, fsys vfs.FS) (journey, error) {
	rec, err := recorder.Open(dir, &recorder.Options{Journal: journal.Options{Sync: journal.SyncNone, SegmentSize: 1 << 30, FS: fsys}})
	if err != nil {
		return journey{}, err
	}
	p, err := rec.Producer("bench", &recorder.ProducerOptions{LaneSize: ringSize, Overload: recorder.OverloadWait})
	return journey{
		write: func(b []byte) error { _, err := p.Write(b); return err },
		flush: func() error {
			for p.Stats().LagRecords > 0 {
				runtime.Gosched()
			}
			return rec.Stats().Err
		},
		sync:  func() error { return p.WaitDurable(context.Background()) },
		close: func() error { return rec.Close(context.Background()) },
	}, err
}

func journalAppend(dir string) (journey, error) {
	w, err := journal.Open(dir, &journal.Options{Sync: journal.SyncNone, SegmentSize: 1 << 30})
	if err != nil {
		return journey{}, err
	}
	id, err := w.DefineStream("bench")
	return journey{
		write: func(rec []byte) error {
			_, err := w.Append(journal.Record{Time: time.Now().UnixNano(), Stream: id, Payload: rec})
			return err
		},
		flush: func() error { return nil },
		sync:  func() error { return w.Sync(context.Background()) },
		close: w.Close,
	}, err
}

// throughChannel is what programs do without a library.
func throughChannel(dir string) (journey, error) {
	f, err := newFile(dir)
	ch, done := make(chan []byte, ringSize/64), make(chan error)
	w := bufferedLog(f)
	go func() {
		var err error
		for rec := range ch {
			err = first(err, w(rec))
		}
		done <- first(err, w(nil))
	}()
	return journey{
		write: func(rec []byte) error { ch <- clone(rec); return nil },
		flush: func() error { close(ch); return <-done },
		sync:  f.Sync, close: f.Close,
	}, err
}

func tidwall(dir string) (journey, error) {
	l, err := wal.Open(filepath.Join(dir, "wal"), &wal.Options{NoSync: true, SegmentSize: 128 << 20})
	var b wal.Batch
	index, in := uint64(1), 0
	flush := func() error { in = 0; return l.WriteBatch(&b) }
	return journey{write: func(rec []byte) error {
		b.Write(index, rec)
		index++
		if in++; in == batch {
			return flush()
		}
		return nil
	}, flush: flush, sync: l.Sync, close: l.Close}, err
}

// first is the first error.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func newFile(dir string) (*os.File, error) { return os.Create(filepath.Join(dir, "log")) }

// unclosed is a file that pebble's writer may close.
type unclosed struct{ f *os.File }

func (u unclosed) Write(b []byte) (int, error) { return u.f.Write(b) }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// bufferedLog writes length, time and checksum before each record; nil flushes.
func bufferedLog(f *os.File) func(rec []byte) error {
	w := bufio.NewWriterSize(f, 256<<10)
	var header [16]byte
	return func(rec []byte) error {
		if rec == nil {
			return w.Flush()
		}
		binary.LittleEndian.PutUint32(header[:], uint32(len(rec)))
		binary.LittleEndian.PutUint32(header[4:], crc32.Checksum(rec, castagnoli))
		binary.LittleEndian.PutUint64(header[8:], uint64(time.Now().UnixNano()))
		must(w.Write(header[:]))
		_, err := w.Write(rec)
		return err
	}
}

// toFile is one goroutine whose records end up in files.
func toFile(o *options) []*question {
	sizes := []int{64, 256, 1024}
	cols := []string{"64 B", "256 B", "1 KiB"}
	cache := &question{
		name: "file-cache", title: "Into a file, nothing synced", unit: "ns per record", cols: cols,
		note: "Until the last record is handed to the system.",
	}
	disk := &question{name: "file-disk", title: "Into a file, one sync at the end", unit: "ns per record", cols: cols}
	cpu := &question{
		name: "file-cpu", title: "Into a file, nothing synced: processor time", unit: "ns of all processors per record", cols: cols,
		note: "User and system time of the process. «Discarded» writes nothing but headers: what a recording takes without the disk.",
	}
	into := func(open func(string) (journey, error), sync, cpu bool) func(col, n int) (result, error) {
		return func(col, n int) (result, error) { return intoFile(o.dir, open, sizes[col], n, sync, cpu) }
	}
	for _, w := range toDisks {
		cache.rows = append(cache.rows, row{name: w.name, run: into(w.open, false, false)})
		disk.rows = append(disk.rows, row{name: w.name, run: into(w.open, true, false)})
		cpu.rows = append(cpu.rows, row{name: w.name, run: into(w.open, false, true)})
	}
	discarded := into(func(dir string) (journey, error) { return recording(dir, discard{vfs.OS}) }, false, true)
	cpu.rows = append(cpu.rows, row{name: "recorder, Write, discarded", run: discarded})
	return []*question{cache, disk, cpu}
}

func intoFile(parent string, open func(string) (journey, error), size, n int, sync, cpu bool) (result, error) {
	dir, err := os.MkdirTemp(parent, "logbuf-bench-")
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(dir)
	l, err := open(dir)
	if err != nil {
		return result{}, err
	}
	rec := make([]byte, size)
	var used time.Duration
	res := timed(n, func() {
		start := processorTime()
		for i := range n {
			fill(rec, uint64(i))
			if err = l.write(rec); err != nil {
				return
			}
		}
		if err = l.flush(); err == nil && sync {
			err = l.sync()
		}
		used = processorTime() - start
	})
	if cpu {
		res.took = used
	}
	return res, first(err, l.close())
}

// processorTime is what the process has used so far.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
