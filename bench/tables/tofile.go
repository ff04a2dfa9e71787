package main

import (
	"os"
	"syscall"
	"time"
)

// toFile is one goroutine whose records end up in files.
func toFile(o *options) []*question {
	sizes := []int{64, 256, 1024}
	cols := []string{"64 B", "256 B", "1 KiB"}
	const lane = "Lane, or channel, of 2 MiB. Until the last record is handed to the system. "
	const cpu = "CPU is user and system time of the whole process."
	discarded := &question{
		name: "file-discard", title: "Into a file that discards", unit: "ns per record", cols: cols, ordered: len(cols), cpu: true,
		note: lane + "Nothing but headers is written: what a way costs without the disk.\n" + cpu,
	}
	cache := &question{
		name: "file-cache", title: "Into a file in the page cache, nothing synced", unit: "ns per record", cols: cols, ordered: len(cols), cpu: true,
		note: lane + "pebble and the rows with bufio write a\nCRC32C for each record, the archive one for each block, tidwall/wal none. " + cpu,
	}
	disk := &question{
		name: "file-disk", title: "Into a file, one sync at the end", unit: "ns per record", cols: cols, ordered: len(cols),
		note: "Lane, or channel, of 2 MiB. Until everything is durable.",
	}
	for _, q := range []*question{discarded, cache, disk} {
		for _, w := range toDisks {
			if q == discarded && w.name == tidwallName {
				continue // it opens its files itself
			}
			q.rows = append(q.rows, row{name: w.name, run: func(col, n int) (result, error) {
				return w.run(place{o.dir, q == discarded}, sizes[col], n, q == disk)
			}})
		}
	}
	return []*question{discarded, cache, disk}
}

// run writes n records into files in a directory of their own.
func (w toDisk) run(at place, size, n int, sync bool) (result, error) {
	dir, err := os.MkdirTemp(at.dir, "logbuf-bench-")
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(dir)
	at.dir = dir
	l, err := w.open(at, size)
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
	res.cpu = used
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
