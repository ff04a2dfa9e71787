package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"hash/crc32"
	"io"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2/record"
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

// toDisk is a way to get records from a goroutine into files of a place.
type toDisk struct {
	name string
	open func(at place, size int) (journey, error)
}

var toDisks = []toDisk{
	{"recorder, Write", func(at place, _ int) (journey, error) {
		return recording(at, func(p *recorder.Producer) func([]byte) error {
			return func(b []byte) error { _, err := p.Write(b); return err }
		})
	}},
	{"recorder, WriteAt", func(at place, _ int) (journey, error) {
		return recording(at, func(p *recorder.Producer) func([]byte) error {
			return func(b []byte) error { return p.WriteAt(1, journal.KindData, 0, b) }
		})
	}},
	{"journal.Append", journalAppend},
	{"journal.AppendFrames of 256", journalAppendFrames},
	{"Go channel of copies, bufio, CRC32C", throughChannel},
	{"bufio, CRC32C", func(at place, _ int) (journey, error) {
		f, err := at.file()
		w := bufferedLog(f)
		return journey{write: w, flush: func() error { return w(nil) }, sync: f.Sync, close: f.Close}, err
	}},
	{"pebble record.LogWriter", func(at place, _ int) (journey, error) {
		f, err := at.file()
		w := record.NewLogWriter(unclosed{f}, 1, record.LogWriterConfig{WriteWALSyncOffsets: func() bool { return false }})
		return journey{
			write: func(rec []byte) error { _, err := w.WriteRecord(rec); return err },
			flush: w.Close, // there is no other way to wait for the last block
			sync:  f.Sync, close: f.Close,
		}, err
	}},
	{tidwallName, tidwall},
	{"bare write of 256 KiB, the archive's bytes", func(at place, size int) (journey, error) {
		return bareWrite(at, journal.FrameLen(size)-size)
	}},
	{"bare write of 256 KiB", func(at place, _ int) (journey, error) { return bareWrite(at, 0) }},
}

const tidwallName = "tidwall/wal, batches of 256"

// bareWrite is what everything else adds to: the payloads, each with as many
// bytes more as are asked for, in calls of exactly 256 KiB.
func bareWrite(at place, more int) (journey, error) {
	f, err := at.file()
	buf, rest := make([]byte, 0, 256<<10), make([]byte, more)
	flush := func() error { _, err := f.Write(buf); buf = buf[:0]; return err }
	add := func(b []byte) error {
		for len(b) > cap(buf)-len(buf) {
			n := cap(buf) - len(buf)
			buf = append(buf, b[:n]...)
			if err := flush(); err != nil {
				return err
			}
			b = b[n:]
		}
		buf = append(buf, b...)
		return nil
	}
	return journey{write: func(rec []byte) error {
		if err := add(rec); err != nil || more == 0 {
			return err
		}
		return add(rest)
	}, flush: flush, sync: f.Sync, close: f.Close}, err
}

func recording(at place, writer func(*recorder.Producer) func([]byte) error) (journey, error) {
	rec, err := recorder.Open(at.dir, &recorder.Options{Journal: at.journal()})
	if err != nil {
		return journey{}, err
	}
	p, err := rec.Producer("bench", &recorder.ProducerOptions{LaneSize: ringSize, Overload: recorder.OverloadWait})
	return journey{
		write: writer(p),
		flush: func() error {
			for p.Stats().LagRecords > 0 {
				time.Sleep(20 * time.Microsecond)
			}
			return rec.Stats().Err
		},
		sync:  func() error { return p.WaitDurable(context.Background()) },
		close: func() error { return rec.Close(context.Background()) },
	}, err
}

func journalAppend(at place, _ int) (journey, error) {
	w, id, err := at.openJournal()
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

// journalAppendFrames gathers frames and appends them together, as a program
// without a ring can.
func journalAppendFrames(at place, size int) (journey, error) {
	w, id, err := at.openJournal()
	frames, n := make([]byte, 0, batch*journal.FrameLen(size)), 0
	flush := func() error {
		if n == 0 {
			return nil
		}
		_, err := w.AppendFrames(frames, n)
		frames, n = frames[:0], 0
		return err
	}
	return journey{
		write: func(rec []byte) error {
			frames = journal.AppendFrame(frames, journal.Record{Time: time.Now().UnixNano(), Stream: id, Payload: rec})
			if n++; n == batch {
				return flush()
			}
			return nil
		},
		flush: flush,
		sync:  func() error { return w.Sync(context.Background()) },
		close: w.Close,
	}, err
}

// throughChannel is what programs do without a library.
func throughChannel(at place, size int) (journey, error) {
	f, err := at.file()
	ch, done := make(chan []byte, ringSize/size), make(chan error)
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

func tidwall(at place, _ int) (journey, error) {
	l, err := wal.Open(filepath.Join(at.dir, "wal"), &wal.Options{NoSync: true, SegmentSize: 128 << 20})
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

// unclosed is a file that pebble's writer may close.
type unclosed struct{ f io.Writer }

func (u unclosed) Write(b []byte) (int, error) { return u.f.Write(b) }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// bufferedLog writes length, time and checksum before each record; nil flushes.
//
//go:noinline
func bufferedLog(f io.Writer) func(rec []byte) error {
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
