// Package diskbench measures what a directory's disk does with the two calls that a journal makes: a write at the end
// of a file, and a sync of its data.
package diskbench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// Options are the options of Run. Nil or a zero value is the default.
type Options struct {
	Time time.Duration // for each test; default 2 s
	FS   vfs.FS        // default: the operating system's

	Progress func(test string, done, total time.Duration) // called after each call to the disk; default none
}

// maxFile is the size at which a test begins its file again, so that no more than this is ever taken from the disk.
const maxFile = 256 << 20

// maxSamples bounds the memory of a test. It is never reached by a test of seconds on a disk.
const maxSamples = 1 << 20

// test is one pattern of calls.
type test struct {
	name string
	size int  // bytes of each write
	sync bool // each write is followed by a sync, and the time is that of both
}

var tests = [...]test{
	{"write 64 KiB", 64 << 10, false},
	{"write 4 KiB + sync", 4 << 10, true},
	{"write 64 KiB + sync", 64 << 10, true},
	{"write 1 MiB + sync", 1 << 20, true},
}

// Result is what one test found.
type Result struct {
	Name  string
	Size  int           // bytes of each write
	Sync  bool          // each write was followed by a sync
	Calls int           // how many
	Took  time.Duration // all of them

	P50, P90, P99, P999, Max time.Duration
}

// PerSecond returns the bytes written in a second.
func (r Result) PerSecond() float64 {
	if r.Took <= 0 {
		return 0
	}
	return float64(r.Calls) * float64(r.Size) / r.Took.Seconds()
}

// Run measures in a file of its own in dir, which it removes, also when ctx ends. The error then wraps ctx.Err, and the
// results are those of the tests that came to their end.
func Run(ctx context.Context, dir string, opts *Options) (results []Result, err error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.Time <= 0 {
		o.Time = 2 * time.Second
	}
	if o.FS == nil {
		o.FS = vfs.OS
	}
	if o.Progress == nil {
		o.Progress = func(string, time.Duration, time.Duration) {}
	}
	name := filepath.Join(dir, fmt.Sprintf("bench-disk-%d.tmp", os.Getpid()))
	f, err := o.FS.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close(), o.FS.Remove(name)) }()
	for i := range tests {
		r, err := tests[i].run(ctx, f, &o)
		if err != nil {
			return results, err
		}
		results = append(results, r)
	}
	return results, nil
}

func (t *test) run(ctx context.Context, f vfs.File, o *Options) (Result, error) {
	r := Result{Name: t.name, Size: t.size, Sync: t.sync}
	if err := errors.Join(f.Truncate(0), f.Sync()); err != nil {
		return r, err
	}
	buf := make([]byte, t.size)
	for i := range buf {
		buf[i] = byte(i * 131 >> 3) // not zeros: some disks do not write those
	}
	bufs := [][]byte{buf}
	var took []time.Duration
	off := int64(0)
	for r.Took < o.Time && len(took) < maxSamples {
		if ctx.Err() != nil {
			return r, ctx.Err()
		}
		if off+int64(t.size) > maxFile {
			if err := errors.Join(f.Truncate(0), f.Sync()); err != nil {
				return r, err
			}
			off = 0
		}
		began := time.Now()
		if _, err := f.WritevAt(bufs, off); err != nil {
			return r, err
		}
		if t.sync {
			if err := f.SyncData(); err != nil {
				return r, err
			}
		}
		d := time.Since(began)
		took = append(took, d)
		off += int64(t.size)
		r.Took += d
		o.Progress(t.name, r.Took, o.Time)
	}
	r.Calls = len(took)
	r.percentiles(took)
	return r, nil
}

// percentiles sorts took.
func (r *Result) percentiles(took []time.Duration) {
	slices.Sort(took)
	at := func(share float64) time.Duration { return took[min(len(took)-1, int(share*float64(len(took))))] }
	r.P50, r.P90, r.P99, r.P999, r.Max = at(0.5), at(0.9), at(0.99), at(0.999), took[len(took)-1]
}
