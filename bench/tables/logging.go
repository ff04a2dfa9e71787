package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/nexus-logbuf/logbuf/internal/vfs"
	"github.com/nexus-logbuf/logbuf/journal"
)

// regime is what the callers of a logger, and its disk, do.
type regime struct {
	name, title string
	pause       time.Duration // between a goroutine's bursts
	rate        int           // lines a second of all goroutines together; 0: as fast as they can
	stalls      bool
}

var regimes = []regime{
	{name: "log-paced", title: "A call of a logger, 50 000 lines a second", pause: time.Millisecond, rate: 50_000},
	{name: "log-stalls", title: "A call of a logger, 50 000 lines a second, while the disk stands still for 20 ms in every 100",
		pause: time.Millisecond, rate: 50_000, stalls: true},
	{name: "log-saturated", title: "A call of a logger, as fast as can be"},
}

// loggerGoroutines are the columns.
var loggerGoroutines = []int{1, 4}

// logging is loggers of lines with five fields, some 150 bytes.
func logging(o *options) (qs []*question) {
	for _, r := range regimes {
		q := &question{
			name: r.name, title: r.title, unit: "ns per call", quantiles: true,
			note: "The clock's own time is part of each call. Arrived is what is read back from the file or archive, of what was logged. Nothing is synced, but where it says so.",
		}
		for _, n := range loggerGoroutines {
			q.cols = append(q.cols, fmt.Sprintf("from %d", n))
		}
		for _, l := range loggers {
			q.rows = append(q.rows, row{name: l.name, run: func(col, n int) (result, error) {
				return logTo(o.dir, l, r, loggerGoroutines[col], n)
			}})
		}
		qs = append(qs, q)
	}
	return qs
}

// logTo logs n lines from some goroutines, and counts what arrives.
func logTo(parent string, l logger, r regime, goroutines, n int) (result, error) {
	dir, err := os.MkdirTemp(parent, "logbuf-bench-")
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(dir)
	d := &disk{dir: dir, stalls: r.stalls}
	sink, err := l.open(d)
	if err != nil {
		return result{}, err
	}
	hists := make([]*hdrhistogram.Histogram, goroutines)
	each := max(n/goroutines, 1)
	n = each * goroutines
	res := timed(n, func() {
		var wg sync.WaitGroup
		for g := range hists {
			hists[g] = newHist()
			wg.Go(func() { logLines(r, goroutines, each, sink.line, hists[g]) })
		}
		wg.Wait()
	})
	if err := sink.close(); err != nil {
		return result{}, err
	}
	arrived, err := sink.count(dir)
	if err != nil {
		return result{}, err
	}
	// slogbuf's own lines about those that were dropped, one a second, may be dropped, too.
	if lost := sink.lost(); lost >= 0 && (arrived+lost < n || arrived+lost > n+1+int(res.took/time.Second)) {
		panic(fmt.Sprintf("%s: %d lines, %d arrived, %d said to be lost", l.name, n, arrived, lost))
	}
	res.lost, res.hist = n-arrived, newHist()
	for _, h := range hists {
		res.hist.Merge(h)
	}
	return res, nil
}

// logLines is one goroutine's share: n lines, in bursts when the regime has a
// rate. The calls are timed one by one.
func logLines(r regime, goroutines, n int, line func(n int), h *hdrhistogram.Histogram) {
	burst := n
	if r.rate > 0 {
		burst = max(int(int64(r.rate)*int64(r.pause)/int64(time.Second))/goroutines, 1)
	}
	for next, i := now(), 0; i < n; {
		for range min(burst, n-i) {
			start := now()
			line(i)
			_ = h.RecordValue(now() - start) // out of range: more than 10 s
			i++
		}
		next += int64(r.pause)
		time.Sleep(time.Duration(next - now()))
	}
}

// disk is where a logger's lines go, for one run.
type disk struct {
	dir    string
	stalls bool
	next   atomic.Int64 // when the disk stands still again
}

const stallEvery, stallFor = 100 * time.Millisecond, 20 * time.Millisecond

// stall is how much longer a write that begins now takes.
func (d *disk) stall() time.Duration {
	at, next := now(), d.next.Load()
	if !d.stalls || at < next || !d.next.CompareAndSwap(next, at+int64(stallEvery)) {
		return 0
	}
	return stallFor
}

// fs is the disk for an archive.
func (d *disk) fs() vfs.FS {
	if !d.stalls {
		return vfs.OS
	}
	f := vfs.NewFault(vfs.OS)
	f.SetHook(func(_ int, op vfs.Op) (v vfs.Verdict) {
		if op.Kind == vfs.OpWrite {
			v.Delay = d.stall()
		}
		return v
	})
	return f
}

// file is the disk for a log file.
func (d *disk) file() (*logFile, error) {
	f, err := os.OpenFile(filepath.Join(d.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	return &logFile{f: f, d: d}, err
}

// logFile is a log file, for any number of goroutines, as *os.File is.
type logFile struct {
	f *os.File
	d *disk
}

func (l *logFile) Write(b []byte) (int, error) {
	if d := l.d.stall(); d > 0 {
		time.Sleep(d)
	}
	return l.f.Write(b)
}

func (l *logFile) Sync() error  { return nil } // no row waits for the disk
func (l *logFile) Close() error { return l.f.Close() }

// countLines counts the lines of a log file.
func countLines(dir string) (int, error) {
	b, err := os.ReadFile(filepath.Join(dir, "log"))
	return bytes.Count(b, []byte{'\n'}), err
}

// countRecords counts the lines of an archive, but not what slogbuf adds about
// those that were dropped.
func countRecords(dir string) (n int, err error) {
	r, err := journal.OpenReader(dir, nil)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	for {
		rec, err := r.Next(context.Background())
		switch {
		case err == io.EOF:
			return n, nil
		case err != nil:
			return 0, err
		case !bytes.Contains(rec.Payload, []byte("slogbuf: log lines were dropped")):
			n++
		}
	}
}
