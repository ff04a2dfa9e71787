package journal

import "sort"

// seek goes to where the options say that reading begins.
func (r *Reader) seek() error {
	switch {
	case r.opts.End:
		return r.seekEnd()
	case r.opts.FromTime != 0:
		return r.seekTime(r.opts.FromTime)
	}
	seq := r.opts.FromSeq
	if err := r.openFirst(r.segmentOf(seq)); err != nil {
		return err
	}
	if err := r.useIndex(func(e indexEntry) bool { return e.firstSeq >= seq }); err != nil {
		return err
	}
	skip := func(b *block) bool { return b.nextSeq() < seq || b.count > 0 && b.nextSeq() == seq }
	return r.hop(skip, func(h *blockHeader) bool { return h.baseSeq <= seq })
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

// seekTime goes to the first block that has a record of time t or later. The running maximum of time makes that a search: it reaches t
// first in the block that holds the first such record.
func (r *Reader) seekTime(t int64) error {
	for i := range r.segs {
		if r.file != nil { // segments are opened here out of order: no chain from one to the next
			err := r.file.Close()
			r.file = nil
			if err != nil {
				return err
			}
		}
		if err := r.openFirst(i); err != nil {
			return err
		}
		if r.view.sealed && r.view.trailer.maxTime < t && i+1 < len(r.segs) {
			continue
		}
		if err := r.useIndex(func(e indexEntry) bool { return e.maxTime >= t }); err != nil {
			return err
		}
		if err := r.hop(func(b *block) bool { return b.maxTime < t }, func(h *blockHeader) bool { return h.maxTime < t }); err != nil {
			return err
		}
		if r.w.off < r.view.end {
			return nil
		}
	}
	return nil
}

// seekEnd goes behind the last whole block.
func (r *Reader) seekEnd() error {
	if err := r.openFirst(len(r.segs) - 1); err != nil {
		return err
	}
	if err := r.useIndex(func(indexEntry) bool { return false }); err != nil {
		return err
	}
	return r.hop(func(*block) bool { return true }, func(*blockHeader) bool { return true })
}

// useIndex moves the walker to the last indexed block before the first one that reached says is at or after the goal. The index is only a
// hint: when it is missing, damaged or does not fit the block it points to, the walker stays at the start.
func (r *Reader) useIndex(reached func(indexEntry) bool) error {
	if !r.view.sealed || r.over {
		return nil
	}
	index, err := r.w.index(r.view.trailer)
	if err != nil {
		return err
	}
	k := sort.Search(len(index), func(i int) bool { return reached(index[i]) }) - 1
	if k < 0 {
		return nil
	}
	e := index[k]
	if e.offset < segmentHeaderLen || e.offset >= r.view.trailer.dataEnd || e.offset%blockAlign != 0 || e.firstSeq < r.w.hdr.baseSeq {
		return nil
	}
	start := r.w
	r.w.off, r.w.nextSeq, r.w.chained = int64(e.offset), e.firstSeq, false
	var b block
	bad, err := r.w.header(r.view.end, &b)
	if err != nil {
		return err
	}
	if bad != "" || b.hcrc != e.hcrc {
		start.buf, start.bufOff = r.w.buf, r.w.bufOff
		r.w = start
		return nil
	}
	r.unscanned = r.w.off
	return nil
}

// hop passes blocks, reading only their headers, as long as skip says so and they are whole as far as that can be seen. It passes damage too
// when over says that whoever begins with a block behind it misses nothing.
func (r *Reader) hop(skip func(*block) bool, over func(*blockHeader) bool) error {
	for !r.over {
		var b block
		bad, err := r.w.header(r.view.end, &b)
		if err == nil && bad != "" && bad != atEnd {
			var found bool
			if found, err = r.hopDamage(over); found {
				continue
			}
		}
		if err != nil || bad != "" || r.w.off+b.size() > r.view.end || !skip(&b) {
			return err
		}
		r.w.pass(&b)
		r.unscanned = r.w.off
	}
	return nil
}

// hopDamage moves to the next block header behind damage if over allows it.
func (r *Reader) hopDamage(over func(*blockHeader) bool) (bool, error) {
	w := &r.w
	h, off, err := w.nextHeader(w.off+blockAlign, r.view.end, w.nextSeq)
	if err != nil || off < 0 || !over(&h) {
		return false, err
	}
	w.off, w.nextSeq, w.chained, w.maxTime, w.lastFlag = off, h.baseSeq, false, noMaxTime, 0
	r.unscanned = off
	return true, nil
}
