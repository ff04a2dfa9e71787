package journal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// CompactOptions are the options of Compact. Nil is the default.
type CompactOptions struct {
	Stop     <-chan struct{}         // when it is closed, Compact ends soon with context.Canceled; segments that are finished stay compressed
	Progress func(done, total int64) // called with bytes of segments gone through and there are, on the caller's goroutine; default none
	FS       vfs.FS                  // default: the operating system's
}

// CompactReport says what Compact did.
type CompactReport struct {
	Segments   int   // segments compressed
	Compressed int   // segments that were compressed before
	Skipped    []Gap // segments left as they are, and why: not sealed, damaged, or no smaller; FirstSeq and LastSeq are the segment's
	Before     int64 // bytes of the files of the segments compressed, before
	After      int64 // and after
}

// Ratio returns how many times smaller the segments have become; 1 when none was compressed.
func (r *CompactReport) Ratio() float64 {
	if r.After == 0 {
		return 1
	}
	return float64(r.Before) / float64(r.After)
}

// Compact compresses the sealed segments of the archive in dir with zstd. Small blocks are put together, up to 256 KiB, and each is compressed by
// itself: records are found by sequence and time as before, and nothing about them changes. A block that does not shrink stays as it is.
//
// Each segment is written to a new file, which is synced, read back and compared record by record before it takes the old one's place, so an
// interruption or a crash leaves the old one or the new one. A damaged segment is left alone: Compact is no repair, and no salvage.
//
// It takes the writer's lock: when a writer has the archive open, the error wraps ErrLocked, and that writer's Options.Compress is the way. It
// uses one goroutine and about 4 MiB, and three of the largest blocks.
func Compact(dir string, opts *CompactOptions) (rep *CompactReport, err error) {
	var o CompactOptions
	if opts != nil {
		o = *opts
	}
	if o.FS == nil {
		o.FS = vfs.OS
	}
	if o.Progress == nil {
		o.Progress = func(int64, int64) {}
	}
	a := archive{fs: o.FS, dir: dir}
	err = a.atRest(func() error {
		rep, err = a.compactAll(&o)
		return err
	})
	return rep, err
}

func (a archive) compactAll(o *CompactOptions) (*CompactReport, error) {
	segs, _, err := a.listForReading()
	if err != nil {
		return nil, err
	}
	if err := a.removeCompactTmp(); err != nil {
		return nil, err
	}
	rep := &CompactReport{}
	var done, total int64
	sizes := make([]int64, len(segs))
	for i, s := range segs {
		fi, err := a.fs.Stat(a.path(s.name))
		if err != nil {
			return rep, fmt.Errorf("journal: %w", err)
		}
		sizes[i] = fi.Size()
		total += sizes[i]
	}
	c := &compactor{a: a, stop: o.Stop}
	defer c.close()
	for i, s := range segs {
		o.Progress(done, total)
		c.progress = func(n int64) { o.Progress(done+min(n, sizes[i]), total) }
		if err := rep.take(c, s, segs[i+1:]); err != nil {
			return rep, err
		}
		done += sizes[i]
	}
	o.Progress(total, total)
	return rep, nil
}

// take compresses a segment and counts it.
func (r *CompactReport) take(c *compactor, s segmentFile, later []segmentFile) error {
	var succ *segmentFile
	if len(later) > 0 {
		succ = &later[0]
	}
	before, after, err := c.compact(s, succ)
	var skip *skipError
	switch {
	case errors.As(err, &skip):
		g := Gap{File: s.name, Offset: skip.off, FirstSeq: s.baseSeq, LastSeq: s.baseSeq - 1, Reason: skip.reason}
		if len(later) > 0 {
			g.LastSeq = later[0].baseSeq - 1
		}
		r.Skipped = append(r.Skipped, g)
		return nil
	case err != nil:
		return err
	case after == 0:
		r.Compressed++
		return nil
	}
	r.Segments++
	r.Before += before
	r.After += after
	return nil
}

// compactName is the name of a segment that is being compressed, in the directory of the original.
const compactName = "compact" + tmpExt

// removeCompactTmp removes what an interrupted compaction has left.
func (a archive) removeCompactTmp() error {
	dirs, err := a.dirs()
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	for _, dir := range dirs {
		if err := a.fs.Remove(filepath.Join(dir, compactName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("journal: %w", err)
		}
	}
	return nil
}

// compressSealed is the keeper's compression: all segments that may be touched, oldest first. Between two of them the limits are looked at.
func (w *Writer) compressSealed() error {
	if !w.opts.Compress {
		return nil
	}
	c := &w.keep.compactor
	if c.a.fs == nil {
		*c = compactor{a: w.a, stop: w.quit, mu: &w.keep.mu}
		if err := w.a.removeCompactTmp(); err != nil {
			return err
		}
	}
	var first error
	for {
		s, succ, err := w.nextToCompress()
		if succ == nil || err != nil {
			c.close()
			return errors.Join(first, err)
		}
		_, after, err := c.compact(s, succ)
		var skip *skipError
		switch {
		case errors.Is(err, context.Canceled):
			c.close()
			return first
		case errors.As(err, &skip) && skip.harmless, errors.Is(err, fs.ErrNotExist): // not smaller; or trimmed meanwhile
		case err != nil && first == nil:
			first = fmt.Errorf("journal: %s is not compressed: %w", s.name, err)
		case err == nil && after > 0:
			w.keep.compressed.Add(1)
		}
		w.keep.tried = s
		select {
		case <-w.keep.ask:
			if err := w.trimNow(); err != nil && first == nil {
				first = err
			}
		default:
		}
	}
}

// nextToCompress returns the oldest segment that has not been tried since Open, and that the keeper may touch, with its successor; nil when
// there is none.
func (w *Writer) nextToCompress() (s segmentFile, succ *segmentFile, err error) {
	p, err := w.keepPlan()
	if p == nil || err != nil {
		return s, nil, err
	}
	tried := w.keep.tried
	for i, s := range p.segs[:p.limit] {
		if s.baseSeq > tried.baseSeq || s.baseSeq == tried.baseSeq && s.epoch > tried.epoch {
			return s, &p.segs[i+1], nil
		}
	}
	return s, nil, nil
}

// skipError says why a segment is left as it is.
type skipError struct {
	off      int64
	reason   string
	harmless bool // nothing is wrong with it
}

func (e *skipError) Error() string { return fmt.Sprintf("%s, at offset %d", e.reason, e.off) }

// newSalt returns a random salt.
func newSalt() (uint64, error) {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return 0, fmt.Errorf("journal: %w", err)
	}
	return le.Uint64(b[:]), nil
}
