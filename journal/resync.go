package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// resync moves the walker from damage at its place to the next whole block before end. Found is false when there is none; then the walker
// stands where it stood. It reads each byte at most twice, whatever the file says: a block whose header is whole and whose frames are not is
// skipped as a whole.
func (w *walker) resync(end int64) (found bool, err error) {
	from := w.off // the block here may be whole and not continue what is before it
	var b block
	if bad, err := w.header(end, &b); err != nil {
		return false, err
	} else if bad == "" && b.size() <= end-w.off { // only the frames are damaged: the next block begins behind them
		from = w.off + b.size()
	}
	start := *w
	start.recent = slices.Clone(w.recent)
	for {
		h, off, err := w.nextHeader(from, end, start.nextSeq)
		if err != nil || off < 0 {
			w.restore(&start)
			return false, err
		}
		w.place(off, h.baseSeq)
		bad, err := w.next(end, &b)
		if err != nil {
			w.restore(&start)
			return false, err
		}
		if bad == "" { // back to its start: it is read by the one who asked
			w.place(off, h.baseSeq)
			return true, nil
		}
		from = off + blockAlign
		if h.size() <= end-off {
			from = off + h.size()
		}
	}
}

// nextHeader returns the first whole block header in [from, end) that begins with seq or later, and where it is; −1 when there is none.
// Headers with lower sequences are copies in some record's payload, and blocks that were met already are copies, too.
func (w *walker) nextHeader(from, end int64, seq uint64) (h blockHeader, off int64, err error) {
	off = -1
	err = searchBlocks(w, from, end, func(at int64, found *blockHeader) bool {
		if found.baseSeq < seq || w.met(found) {
			return true
		}
		h, off = *found, at
		return false
	})
	return h, off, err
}

// place puts the walker at a block that was found by a search: it is not known what stands before it.
func (w *walker) place(off int64, seq uint64) {
	w.off, w.nextSeq, w.chained, w.maxTime, w.lastFlag = off, seq, false, noMaxTime, 0
}

// restore puts the walker back to where it stood, keeping its memory.
func (w *walker) restore(at *walker) {
	buf, bufOff, scan, raw := w.buf, w.bufOff, w.scan, w.raw
	*w = *at
	w.buf, w.bufOff, w.scan, w.raw = buf, bufOff, scan, raw
}

// damage handles bytes at the walker's place that were promised and are not there. It finds out exactly what is lost. Without Salvage that
// is the error, and final; with it the reader goes on behind it, having said so once.
func (r *Reader) damage(t tail) error {
	v, w := &r.view, &r.w
	start := *w
	end, finished := v.finish(&w.hdr)
	if !finished {
		end = t.size
	}
	gap := Gap{File: r.segs[r.i].name, Offset: w.off, FirstSeq: w.nextSeq, Reason: t.reason}
	found, err := w.resync(min(end, t.size))
	if err != nil {
		return err
	}
	if !found && !finished && r.i+1 < len(r.segs) { // nobody says where the segment ends
		gap.Bytes = t.size - gap.Offset
		return r.across(r.i+1, gap)
	}
	if !found { // all the rest of the segment
		next := t.endSeq
		switch {
		case v.succ != nil:
			next = v.succ.predSeq
		case v.sealed:
			next = r.sealedSeq()
		}
		if !finished && !w.hdr.rewritten() {
			end = max(end, offsetOf(t.promised, w.hdr.basePos))
		}
		w.off, w.nextSeq, w.chained, w.lastFlag = max(end, w.off), max(next, w.nextSeq), false, 0
	}
	gap.LastSeq, gap.Bytes = w.nextSeq-1, max(0, min(w.off, t.size)-gap.Offset)
	if !r.opts.Salvage {
		w.restore(&start)
		return gap.corruption()
	}
	if !found && w.off == start.off && w.nextSeq == start.nextSeq { // the gap has been told, and nothing is behind it
		if r.i+1 < len(r.segs) {
			return r.across(r.i+1, gap)
		}
		return r.rest()
	}
	return &GapError{Gap: gap}
}

// corruption returns the gap as the error that ends reading.
func (g Gap) corruption() *CorruptionError {
	return &CorruptionError{File: g.File, Offset: g.Offset, FirstSeq: g.FirstSeq, LastSeq: g.LastSeq, Reason: g.Reason}
}

// enter goes from the end of the current segment, if there is one, to segment j. When that cannot be read, or does not continue the current
// one, it finds out what exactly is lost. Without Salvage that is the error; with it, reading goes on in the next segment that can be read.
func (r *Reader) enter(j int) error {
	for try := 1; ; try++ {
		err := r.enterOnce(j)
		if r.file == nil || r.i+1 >= len(r.segs) || try == listTries || !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		j = r.i + 1 // what was listed has been trimmed
	}
}

func (r *Reader) enterOnce(j int) error {
	err := r.openNext(j)
	var c *CorruptionError
	if err == nil || passing(err) {
		return err
	}
	if trimmed, e := r.passTrimmed(); trimmed || e != nil {
		return e
	}
	if !errors.As(err, &c) {
		return err
	}
	gap := Gap{File: c.File, Offset: c.Offset, FirstSeq: c.FirstSeq, Reason: c.Reason}
	if r.file != nil {
		gap.FirstSeq, j = r.w.nextSeq, r.i+1
	}
	return r.across(j, gap)
}

// passTrimmed goes to the first segment there is now, when those between it and the current one have been trimmed. It says so once, also
// without Salvage: whoever reads an archive that is being trimmed may fall behind.
func (r *Reader) passTrimmed() (bool, error) {
	if r.file == nil || r.i+1 >= len(r.segs) {
		return false, nil
	}
	f, hdr, err := r.a.openSegment(r.segs[r.i+1])
	if err != nil {
		return false, nil //nolint:nilerr // nothing can be said; the caller has an error
	}
	gap, missing := r.a.beforeFirst(hdr)
	if !missing || !gap.Trimmed || hdr.uuid != r.w.hdr.uuid || hdr.number <= r.w.hdr.number {
		return false, closing(f, nil)
	}
	gap.FirstSeq = r.w.nextSeq
	if err := r.use(r.i+1, f, hdr); err != nil || gap.LastSeq+1 <= gap.FirstSeq {
		return true, err
	}
	return true, &GapError{Gap: gap}
}

// across goes to the first segment from j on that can be read; all before it is in the gap.
func (r *Reader) across(j int, gap Gap) error {
	k, f, hdr, err := r.nextReadable(j, &gap)
	if err != nil {
		return err
	}
	gap.LastSeq = ^uint64(0)
	if f != nil {
		gap.LastSeq = max(hdr.baseSeq, gap.FirstSeq) - 1
	} else if uuid, ok := r.a.anyUUID(r.segs); ok {
		if hd, ok := r.a.readHead(uuid); ok && hd.nextSeq >= gap.FirstSeq {
			gap.LastSeq = hd.nextSeq - 1
		}
	}
	switch {
	case !r.opts.Salvage && f != nil:
		return closing(f, gap.corruption())
	case !r.opts.Salvage:
		return gap.corruption()
	case f == nil:
		r.over = true
		return &GapError{Gap: gap}
	}
	r.opts.FromSeq = max(r.opts.FromSeq, gap.FirstSeq) // a segment that begins before the last one ended says nothing new
	if err := r.use(k, f, hdr); err != nil {
		return err
	}
	return &GapError{Gap: gap}
}

// nextReadable opens the first segment from j on whose header is whole and of this archive; f is nil when there is none. It adds the sizes of
// those that are not to the gap.
func (r *Reader) nextReadable(j int, gap *Gap) (k int, f vfs.File, hdr segmentHeader, err error) {
	for k = j; k < len(r.segs); k++ {
		f, hdr, err := r.a.openSegment(r.segs[k])
		var c *CorruptionError
		switch {
		case errors.As(err, &c):
			if fi, err := r.a.fs.Stat(r.a.path(r.segs[k].name)); err == nil {
				gap.Bytes += fi.Size()
			}
		case err != nil:
			return k, nil, hdr, err
		case r.file != nil && hdr.uuid != r.w.hdr.uuid:
			if err := f.Close(); err != nil {
				return k, nil, hdr, fmt.Errorf("journal: %w", err)
			}
		default:
			return k, f, hdr, nil
		}
	}
	return k, nil, hdr, nil
}
