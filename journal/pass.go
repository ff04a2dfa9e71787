package journal

import (
	"errors"
	"fmt"
)

// pass is Verify's way through one segment.
type pass struct {
	v   *verifier
	i   int
	w   *walker
	seg *segment

	size     int64
	end      int64 // blocks are expected up to here
	finished bool  // end is known to be where the data ends
	trailer  trailer
	sealed   bool
	index    []indexEntry
	entries  int    // of index that were met
	succ     uint64 // base sequence of the segment after it
	first    *tail  // judgement on the first gap
	damaged  bool   // totals cannot be compared with the footer any more
}

func (p *pass) run() error {
	if err := p.look(); err != nil {
		return err
	}
	for {
		var b block
		bad, err := p.w.next(p.end, &b)
		switch {
		case err != nil:
			return err
		case bad == "":
			p.take(&b)
		case bad == atEnd && (p.finished || p.bounded()):
			return p.close()
		default:
			if more, err := p.gap(bad); !more || err != nil {
				return err
			}
		}
	}
}

// look finds out where the data ends.
func (p *pass) look() error {
	var err error
	if p.size, err = p.w.file.Size(); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	p.end = p.size
	t, bad, err := p.w.trailer()
	if err != nil {
		return err
	}
	if bad == "" {
		p.trailer, p.sealed, p.finished, p.end = t, true, true, int64(t.dataEnd)
		if p.index, err = p.w.index(t); err != nil {
			return err
		}
	}
	if p.i+1 < len(p.v.segs) {
		p.succ = p.v.segs[p.i+1].baseSeq
		if err := p.askSuccessor(); err != nil {
			return err
		}
	}
	if p.bounded() {
		p.end = min(p.end, offsetOf(p.v.head.writtenPos, p.w.hdr.basePos))
	}
	return nil
}

// bounded reports whether this is the segment that a live writer was writing when Verify began.
func (p *pass) bounded() bool {
	return p.v.live && p.v.head.segment == p.w.hdr.number && p.v.head.epoch == p.w.hdr.epoch
}

// askSuccessor takes the end from the next segment, if this one has no footer.
func (p *pass) askSuccessor() error {
	f, hdr, err := p.v.a.openSegment(p.v.segs[p.i+1])
	var c *CorruptionError
	if errors.As(err, &c) {
		return nil // reported when it is its turn
	}
	if err != nil {
		return err
	}
	if !p.finished && hdr.number == p.w.hdr.number+1 && hdr.uuid == p.w.hdr.uuid && hdr.predPos >= p.w.hdr.basePos+segmentHeaderLen {
		p.finished, p.end = true, min(p.size, offsetOf(hdr.predPos, p.w.hdr.basePos))
		if offsetOf(hdr.predPos, p.w.hdr.basePos) > p.size {
			p.finished = false // the end is missing
		}
	}
	return closing(f, nil)
}

// take counts a whole block.
func (p *pass) take(b *block) {
	r := p.v.rep
	r.Blocks++
	r.Records += uint64(b.count)
	r.Control += uint64(b.info.frames - b.info.count)
	r.Bytes += b.info.bytes
	r.MinTime = min(r.MinTime, b.minTime)
	r.MaxTime = max(r.MaxTime, b.info.maxTime)
	if b.flags&blockControlOnly != 0 {
		eachStream(b.frames, func(id uint16, name string) { r.Streams[id] = name })
	}
	if b.info.losses > 0 {
		p.takeLosses(b)
	}
	if p.entries < len(p.index) && p.index[p.entries].offset == uint64(b.off) {
		e := p.index[p.entries]
		if e.hcrc == b.hcrc && e.firstSeq == b.baseSeq && e.maxTime == b.maxTime && e.count == b.count {
			p.entries++
		}
	}
	p.seg.note(&b.blockHeader, &b.info)
	p.v.show(p.w.off)
}

func (p *pass) takeLosses(b *block) {
	seq := b.baseSeq
	for off := 0; off < len(b.frames); {
		size, typ, bad := frameAt(b.frames, off)
		if bad != "" {
			return
		}
		if kind, _, stream := SplitType(typ); typ != skipType {
			switch {
			case kind < firstControl:
				seq++
			case kind == KindLoss:
				if l, err := ParseLoss(framePayload(b.frames[off : off+size])); err == nil {
					l.Stream = stream
					p.v.rep.loss(LossRecord{Loss: l, Seq: seq})
				}
			}
		}
		off += size
	}
}

// gap handles a place where a whole block should be and is not. more says to go on behind it.
func (p *pass) gap(bad string) (more bool, err error) {
	w := p.w
	if p.first == nil { // one judgement serves all gaps of a segment: it has read to the end
		t, err := p.v.a.judge(w, bad, p.v.segs[p.i+1:])
		if err != nil {
			return false, err
		}
		p.first = &t
	}
	t := p.first.at(w, bad)
	if t.verdict == Torn && !p.bounded() {
		if t.size > t.off || t.endSeq > t.nextSeq || p.seg.closed {
			p.v.rep.Torn = t.torn(p.seg.name)
		}
		return false, nil
	}
	p.damaged = true
	from := w.off
	var b block
	if head, err := w.header(p.end, &b); err != nil {
		return false, err
	} else if head == "" && w.off+b.size() <= p.end { // only the payload is bad: exactly its records are lost
		p.report(from, b.nextSeq(), bad)
		w.pass(&b)
		return true, nil
	}
	found := false
	err = searchBlocks(w, from+blockAlign, p.end, func(off int64, h *blockHeader) bool {
		if h.baseSeq < w.nextSeq {
			return true // a copy in some record's payload
		}
		found = true
		p.report(from, h.baseSeq, bad)
		w.off, w.nextSeq, w.chained, w.maxTime = off, h.baseSeq, false, noMaxTime
		return false
	})
	if err != nil || found {
		return found, err
	}
	p.skipRest(from, t, bad)
	return false, nil
}

// report adds a problem that costs the records from the walker's next one up to next.
func (p *pass) report(off int64, next uint64, bad string) {
	p.v.rep.problem(Problem{File: p.seg.name, Offset: off, FirstSeq: p.w.nextSeq, LastSeq: max(next, p.w.nextSeq) - 1, What: bad})
}

// skipRest gives the rest of the segment up.
func (p *pass) skipRest(from int64, t tail, bad string) {
	next := t.endSeq
	switch {
	case p.sealed:
		next = p.trailer.nextSeq
	case p.i+1 < len(p.v.segs):
		next = p.succ
	}
	p.report(from, next, bad)
	w := p.w
	w.off, w.nextSeq, w.chained = max(from, p.end), max(next, w.nextSeq), false
	if p.i+1 < len(p.v.segs) { // let the next segment say where this one ended
		if f, hdr, err := p.v.a.openSegment(p.v.segs[p.i+1]); err == nil {
			_ = f.Close() // opened for reading
			if hdr.number == w.hdr.number+1 {
				w.off = max(offsetOf(hdr.predPos, w.hdr.basePos), segmentHeaderLen)
				w.nextSeq = hdr.predSeq
			}
		}
	}
}

// close checks what stands behind the last block.
func (p *pass) close() error {
	if p.bounded() {
		return nil
	}
	last := p.i+1 == len(p.v.segs)
	if !p.sealed {
		return p.missingFooter()
	}
	p.v.rep.Sealed = last
	bad := ""
	switch {
	case p.index == nil && p.trailer.indexLen <= maxIndexLen:
		bad = "footer's index is damaged"
	case p.damaged:
	case p.seg.matches(p.trailer) != "":
		bad = p.seg.matches(p.trailer)
	case p.entries != len(p.index):
		bad = fmt.Sprintf("footer's index entry %d points to no such block", p.entries)
	}
	if bad != "" {
		p.report(p.w.off, p.w.nextSeq, bad)
	}
	return nil
}

// missingFooter handles a segment with all its blocks and no footer, that has a successor. A crash can leave that only of the last two
// segments: a writer makes nothing durable in the next one before the footer is.
func (p *pass) missingFooter() error {
	later := p.v.segs[p.i+1:]
	if p.v.live && len(later) <= 1 {
		return nil // being sealed
	}
	t, err := p.v.a.judge(p.w, "footer is missing or damaged", later)
	if err != nil {
		return err
	}
	f, hdr, err := p.v.a.openSegment(later[0])
	if err != nil {
		return err
	}
	_ = f.Close() // opened for reading
	if len(later) > 1 || hdr.predFlags&predNotSynced == 0 || t.promised > hdr.basePos {
		p.report(p.w.off, p.w.nextSeq, "footer is missing or damaged")
	}
	return nil
}
