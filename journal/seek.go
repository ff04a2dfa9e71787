package journal

import (
	"errors"
	"sort"
)

// goal is what a seek looks for in the segment that has it.
type goal struct {
	before func(*blockHeader) bool // reading begins behind this block's beginning, perhaps in it
	skip   func(*blockHeader) bool // nothing of this block is wanted
	over   func(*blockHeader) bool // reading may begin with this block, although what is before it is damaged
}

// seek goes to where the options say that reading begins.
//
// A sequence is found by the segments' names, a time by a binary search over their headers, each of which has the latest time of all segments
// before it. In a segment, the index of its footer leads to at most 1 MiB or 64 blocks before the goal; where there is none, as in the segment
// being written, a binary search by looking for block headers does. The rest is a walk over headers. So with n segments of m bytes a seek reads
// log₂ n headers, then one index or log₂ m pieces of a block's size, then at most 1 MiB of headers: nothing grows with the archive but log₂ n.
// Without a HEAD or a footer, damage on the way is passed over, see hop.
func (r *Reader) seek() error {
	switch {
	case r.opts.End:
		if err := r.openFirst(len(r.segs) - 1); err != nil {
			return err
		}
		all := func(*blockHeader) bool { return true }
		return r.find(goal{before: all, skip: all, over: all})
	case r.opts.FromTime != 0:
		return r.seekTime(r.opts.FromTime)
	}
	seq := r.opts.FromSeq
	if err := r.openFirst(r.segmentOf(seq)); err != nil {
		return err
	}
	return r.find(goal{
		before: func(h *blockHeader) bool { return h.baseSeq < seq },
		skip:   func(h *blockHeader) bool { return h.nextSeq() < seq || h.count > 0 && h.nextSeq() == seq },
		over:   func(h *blockHeader) bool { return h.baseSeq <= seq && seq > r.FirstSeq() }, // who wants all wants to know what is damaged before it
	})
}

// seekTime goes to the first block that has a record of time t or later. The running maximum of time, over the archive and within a segment,
// makes that a search although clocks step back: it reaches t first where the first such record is.
func (r *Reader) seekTime(t int64) error {
	var failed error
	reached := func(i int) bool { // the segments before i have such a record
		for ; i < len(r.segs); i++ { // one whose header is damaged says nothing: ask the one after it
			f, hdr, err := r.a.openSegment(r.segs[i])
			var c *CorruptionError
			switch {
			case err == nil:
				failed = errors.Join(failed, closing(f, nil))
				r.reached = r.reached || i == 0 && hdr.maxBefore >= t
				return hdr.maxBefore >= t
			case !errors.As(err, &c):
				failed = errors.Join(failed, err)
				return true
			}
		}
		return true
	}
	i := max(0, sort.Search(len(r.segs), reached)-1)
	if failed != nil {
		return failed
	}
	if r.reached { // in a segment that is gone: begin with the first record there is
		r.fits = true
		return r.openFirst(0)
	}
	if err := r.openFirst(i); err != nil {
		return err
	}
	early := func(h *blockHeader) bool { return h.maxTime < t }
	return r.find(goal{before: early, skip: early, over: early})
}

// segmentOf returns the segment that has a sequence: the last one that begins at or before it. Empty segments begin with the same sequence as
// the one after them: the first of those that can be read is taken, for its control records.
func (r *Reader) segmentOf(seq uint64) int {
	i := sort.Search(len(r.segs), func(i int) bool { return r.segs[i].baseSeq >= seq })
	if i == len(r.segs) || i > 0 && r.segs[i].baseSeq > seq {
		return i - 1
	}
	for i+1 < len(r.segs) && r.segs[i+1].baseSeq == r.segs[i].baseSeq {
		f, _, err := r.a.openSegment(r.segs[i])
		if err == nil && f.Close() == nil {
			break
		}
		i++
	}
	return i
}

// openFirst opens the segment that reading begins in, and fixes where it stops when it does not follow.
func (r *Reader) openFirst(i int) error {
	if err := r.enter(i); passing(err) {
		r.gap = err
	} else if err != nil {
		return err
	}
	if r.gap == nil && i == 0 {
		r.gap = r.beginning()
	}
	v := &r.view
	if r.opts.Follow || !v.headOK || r.stop > 0 {
		return nil
	}
	switch {
	case r.opts.Durable && !r.allSealed():
		r.stop = v.head.durablePos
	case r.a.writing():
		r.stop = v.head.writtenPos
	}
	v.end = r.bound()
	return nil
}

// beginning is what Salvage says about records that are missing before the first segment, if they were wanted.
func (r *Reader) beginning() error {
	hdr := &r.w.hdr
	if !r.opts.Salvage || r.opts.End || r.opts.FromTime != 0 || r.opts.FromSeq >= hdr.baseSeq {
		return nil
	}
	gap, missing := r.a.beforeFirst(*hdr)
	if !missing && hdr.predFlags&predGap != 0 {
		gap, missing = r.declaredGap(), true
	}
	if gap.FirstSeq = max(gap.FirstSeq, r.opts.FromSeq); !missing || gap.LastSeq+1 <= gap.FirstSeq {
		return nil
	}
	return &GapError{Gap: gap}
}

// allSealed reports whether the last segment is sealed: then all of the archive is durable, whatever HEAD says.
func (r *Reader) allSealed() bool {
	f, hdr, err := r.a.openSegment(r.segs[len(r.segs)-1])
	if err != nil {
		return false
	}
	w := &walker{}
	w.reset(f, hdr)
	_, bad, err := w.trailer()
	return closing(f, err) == nil && bad == ""
}

// find moves the walker, which stands at the beginning of a segment, to the goal, or to the end when it is not there.
func (r *Reader) find(g goal) error {
	if r.over {
		return nil
	}
	found, err := r.useIndex(g)
	if err == nil && !found {
		err = r.probe(g)
	}
	if err == nil {
		err = r.hop(g)
	}
	if err == nil && r.probed && r.w.off >= r.view.end && !r.confirmed(atEnd) {
		err = r.rewalk() // NextSeq is asked for before anything is read
	}
	return err
}

// useIndex moves the walker to the last indexed block that is before the goal. The index is only a hint: when it is missing or damaged, or does
// not fit the block it points to, the walker stays where it is.
func (r *Reader) useIndex(g goal) (bool, error) {
	v := &r.view
	if !v.sealed || v.trailer.indexLen == 0 {
		return false, nil
	}
	index, err := r.w.index(v.trailer)
	if err != nil || index == nil {
		return false, err
	}
	k := sort.Search(len(index), func(i int) bool {
		return !g.before(&blockHeader{baseSeq: index[i].firstSeq, maxTime: index[i].maxTime})
	}) - 1
	if k < 0 {
		return true, nil // the goal is in front of all
	}
	e := index[k]
	if e.offset < segmentHeaderLen || e.offset >= v.trailer.dataEnd || e.offset%blockAlign != 0 || e.firstSeq < r.w.hdr.baseSeq {
		return false, nil
	}
	start := r.w
	r.w.place(int64(e.offset), e.firstSeq)
	var b block
	bad, err := r.w.header(v.end, &b)
	if err != nil || bad != "" || b.hcrc != e.hcrc || !g.before(&b.blockHeader) {
		r.w.restore(&start)
		return false, err
	}
	r.unscanned = r.w.off
	return true, nil
}

// probeSpan is how near to the goal a search without an index comes. The rest is walked.
const probeSpan = 512 << 10

// probe moves the walker to a block before the goal by looking for block headers in the middle of what is left, again and again. Records may
// hold copies of blocks of this very segment, which the search cannot tell from blocks; then the walk from there breaks off, and doubt has
// rewalk begin at the beginning.
func (r *Reader) probe(g goal) error {
	w := &r.w
	from, hi := w.off, r.view.end
	lo, seq := w.off, w.nextSeq
	for hi-lo > probeSpan {
		mid := (lo + (hi-lo)/2) &^ (blockAlign - 1)
		h, off, err := w.nextHeader(mid, hi, w.hdr.baseSeq)
		switch {
		case err != nil:
			return err
		case off >= 0 && g.before(&h):
			lo, seq = off, h.baseSeq
		default:
			hi = mid
		}
	}
	if lo > from {
		w.place(lo, seq)
		r.unscanned, r.probed = lo, true
	}
	return nil
}

// confirmed reports whether the place that a walk from probe's has come to is one where blocks end, by the footer or by HEAD.
func (r *Reader) confirmed(bad string) bool {
	v, w := &r.view, &r.w
	h, t := &v.head, &v.trailer
	return bad == atEnd && (v.sealed && w.chained && t.nextSeq == w.nextSeq && t.lastHcrc == w.prevHcrc ||
		v.headOK && h.segment == w.hdr.number && h.epoch == w.hdr.epoch && h.writtenPos == w.pos() && h.nextSeq == w.nextSeq)
}

// rewalk finds the walker's next sequence again, from the beginning of the segment, block by block.
func (r *Reader) rewalk() error {
	r.probed = false
	w := &r.w
	seq := w.nextSeq
	start := *w
	w.reset(w.file, w.hdr)
	err := r.hop(goal{
		skip: func(h *blockHeader) bool { return h.nextSeq() <= seq && h.baseSeq < seq },
		over: func(h *blockHeader) bool { return h.baseSeq <= seq },
	})
	if err != nil { // nothing has happened yet
		w.restore(&start)
		r.probed = true
	} else if w.nextSeq != seq {
		w.restore(&start)
	}
	return err
}

// hop passes blocks, reading only their headers, as long as none of them is wanted and they are whole as far as that can be seen. It passes
// damage too when whoever begins with the block behind it misses nothing.
func (r *Reader) hop(g goal) error {
	for !r.over {
		var b block
		bad, err := r.w.header(r.view.end, &b)
		if err == nil && bad != "" && bad != atEnd {
			var found bool
			if found, err = r.hopDamage(g); found {
				continue
			}
		}
		if err != nil || bad != "" || r.w.off+b.size() > r.view.end || !g.skip(&b.blockHeader) {
			return err
		}
		r.w.pass(&b)
		r.unscanned = r.w.off
	}
	return nil
}

// hopDamage moves to the next whole block behind damage if reading may begin there.
func (r *Reader) hopDamage(g goal) (bool, error) {
	w := &r.w
	start := *w
	found, err := w.resync(r.view.end)
	if err != nil || !found {
		return false, err
	}
	var b block
	if _, err = w.header(r.view.end, &b); err != nil || !g.over(&b.blockHeader) {
		w.restore(&start)
		return false, err
	}
	r.unscanned = w.off
	return true, nil
}
