package journal

import (
	"errors"
	"fmt"
	"slices"
)

// pass goes through one segment from its first block to its footer, past every damage, and counts. It is one goroutine's.
type pass struct {
	s   *survey
	i   int // index of the segment in s.segs
	w   *walker
	seg *segment
	rep *Report // on this segment alone

	totals   []StreamTotal              // by stream id; its memory is kept from segment to segment
	onBlock  func(b *block) error       // called for every whole block, nil when nobody wants them
	onGap    func(g Gap, data bool)     // called for every problem, after the blocks before it; data: blocks may be missing
	onRead   func(n int64) (stop error) // called with the bytes read since the last call
	beyond   bool                       // go on behind a torn place when whole blocks are there
	headless bool                       // the segment's header could not be read: nothing can be judged by positions

	size     int64
	read     int64 // of it, as told to onRead
	end      int64 // blocks are expected up to here
	finished bool  // end is known to be where the data ends
	trailer  trailer
	sealed   bool
	index    []indexEntry
	entries  int      // of index that were met
	first    *tail    // judgement on the first gap
	damaged  bool     // totals cannot be compared with the footer any more
	table    ordinals // of the stream table, nil when its end was not seen
	unsure   bool     // records of streams that are not known are declared lost: ordinals are at least what was counted
	found    int64    // where the last search has found a block: never twice the same, whatever is wrong there
	probe    walker   // for looks ahead, with beyond
}

func (p *pass) run() error {
	if err := p.look(); err != nil {
		return err
	}
	for {
		var b block
		bad, err := p.w.next(p.end, &b)
		more := true
		switch {
		case err != nil:
			return err
		case bad == "":
			err = p.take(&b)
		case bad == atEnd && (p.finished || p.bounded()):
			more, err = false, p.close()
		default:
			more, err = p.gap(bad)
		}
		if err != nil {
			return err
		}
		if !more {
			break
		}
	}
	p.sumStreams()
	return p.onRead(p.size - p.read)
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
	if p.headless {
		return nil
	}
	if !p.finished && !p.w.hdr.rewritten() {
		if err := p.askSuccessor(); err != nil {
			return err
		}
	}
	if p.bounded() {
		p.end = min(p.end, offsetOf(p.s.head.writtenPos, p.w.hdr.basePos))
	}
	return nil
}

// last reports whether no segment comes after this one.
func (p *pass) last() bool { return p.i+1 == len(p.s.segs) }

// bounded reports whether this is the segment that a live writer was writing when the survey was made.
func (p *pass) bounded() bool {
	return p.s.live && p.s.head.segment == p.w.hdr.number && p.s.head.epoch == p.w.hdr.epoch
}

// successor returns the header of the segment after this one, if it can be read and continues this one.
func (p *pass) successor() (hdr segmentHeader, ok bool, err error) {
	if p.last() {
		return hdr, false, nil
	}
	f, hdr, err := p.s.a.openSegment(p.s.segs[p.i+1])
	var c *CorruptionError
	if errors.As(err, &c) {
		return hdr, false, nil // reported when it is its turn
	}
	if err != nil {
		return hdr, false, err
	}
	mine := p.w.hdr
	return hdr, hdr.number == mine.number+1 && hdr.uuid == mine.uuid && hdr.predPos >= mine.basePos+segmentHeaderLen, closing(f, nil)
}

// askSuccessor takes the end from the next segment.
func (p *pass) askSuccessor() error {
	hdr, ok, err := p.successor()
	if !ok || err != nil {
		return err
	}
	end := offsetOf(hdr.predPos, p.w.hdr.basePos)
	p.finished, p.end = end <= p.size, min(p.size, end)
	return nil
}

// take counts a whole block.
func (p *pass) take(b *block) error {
	r := p.rep
	r.Blocks++
	r.Records += uint64(b.count)
	r.Control += uint64(b.info.frames - b.info.count)
	r.Bytes += b.info.bytes
	r.MinTime = min(r.MinTime, b.minTime)
	r.MaxTime = max(r.MaxTime, b.info.maxTime)
	if b.flags&blockControlOnly != 0 {
		eachStream(b.frames, func(id uint16, name string) { r.Streams[id] = name })
	}
	p.countFrames(b)
	if p.entries < len(p.index) && p.index[p.entries].offset == uint64(b.off) {
		e := p.index[p.entries]
		if e.hcrc == b.hcrc && e.firstSeq == b.baseSeq && e.maxTime == b.maxTime && e.count == b.count {
			p.entries++
		}
	}
	if bad := p.seg.ordinals.take(b.frames, &b.info); bad != "" && !p.unsure {
		p.note(b.off, b.off+b.size(), b.baseSeq, bad, false)
	}
	if b.flags&blockTableEnd != 0 {
		p.table = slices.Clone(p.seg.ordinals)
	}
	p.seg.note(&b.blockHeader, &b.info)
	if p.onBlock != nil {
		if err := p.onBlock(b); err != nil {
			return err
		}
	}
	if n := p.w.off - p.read; n >= 1<<20 {
		p.read = p.w.off
		return p.onRead(n)
	}
	return nil
}

// countFrames adds the records of a block to their streams.
func (p *pass) countFrames(b *block) {
	if id, one := b.info.stream(); one && b.info.losses == 0 { // the usual case costs no look at each frame
		p.total(id).addAll(&b.info)
		return
	}
	seq := b.baseSeq
	for off := 0; off < len(b.frames); {
		size, typ, bad := frameAt(b.frames, off)
		if bad != "" {
			return
		}
		frame := b.frames[off : off+size]
		off += size
		if typ == skipType {
			continue
		}
		kind, _, stream := SplitType(typ)
		switch {
		case kind < firstControl:
			seq++
			p.total(stream).add(uint64(le.Uint32(frame))-frameOverhead, int64(le.Uint64(frame[FrameHeaderLen:])))
		case kind == KindLoss:
			if l, err := ParseLoss(framePayload(frame)); err == nil {
				l.Stream = stream
				p.total(stream).Lost += l.Records
				p.unsure = p.unsure || stream == 0 && l.Reason == LossDamage
				p.rep.loss(LossRecord{Loss: l, Seq: seq})
			}
		}
	}
}

// total returns the totals of a stream.
func (p *pass) total(id uint16) *StreamTotal {
	if int(id) >= len(p.totals) {
		p.totals = append(p.totals, make([]StreamTotal, int(id)+1-len(p.totals))...)
	}
	return &p.totals[id]
}

// sumStreams puts the totals into the report.
func (p *pass) sumStreams() {
	for id, t := range p.totals {
		if t != (StreamTotal{}) {
			p.rep.Totals[uint16(id)] = t
		}
	}
}

// gap handles a place where a whole block should be and is not. more says to go on behind it.
func (p *pass) gap(bad string) (more bool, err error) {
	w := p.w
	if bad == atEnd {
		bad = "blocks are missing at the end"
	}
	t, err := p.judge(bad)
	if err != nil {
		return false, err
	}
	torn := t.verdict != Corrupt && !p.bounded()
	if torn && !p.beyond {
		p.torn(t)
		return false, nil
	}
	from := w.off
	var b block
	if head, err := w.header(p.end, &b); err != nil {
		return false, err
	} else if head == "" && w.off+b.size() <= p.end && (!p.beyond || p.followed(&b)) { // only the payload is bad: exactly its records are lost
		p.report(from, w.off+b.size(), b.nextSeq(), bad)
		w.pass(&b)
		return true, nil
	}
	found, err := p.search(bad)
	if err != nil || found {
		return found, err
	}
	if torn {
		p.torn(t)
		return false, nil
	}
	return false, p.skipRest(from, t, bad)
}

// judge decides what the end of the whole blocks is. One judgement serves all gaps of a segment: it has read to the end.
func (p *pass) judge(bad string) (tail, error) {
	if p.first == nil && p.headless {
		p.first = &tail{settled: true, size: p.size}
	}
	if p.first == nil {
		t, err := p.s.a.judge(p.w, bad, p.s.segs[p.i+1:])
		if err != nil {
			return t, err
		}
		p.first = &t
	}
	p.w.free = p.beyond // bytes may have been cut out, or put in
	return p.first.at(p.w, bad), nil
}

// torn notes that the segment ends in a torn tail, if there is anything in it, or that the records from there to the next segment are lost.
func (p *pass) torn(t tail) {
	switch {
	case t.verdict == Lossy:
		p.lost(t.endSeq)
	case t.something() || p.seg.closed:
		p.rep.Torn = t.torn(p.seg.name)
	}
}

// lost notes that a power cut took what was between the walker's place and the next segment, which begins with next.
func (p *pass) lost(next uint64) {
	p.w.lossy, p.seg.ordinals = true, nil
	g := lossGap(p.seg.name, p.w, next)
	if !p.sealed {
		g.Bytes = max(0, p.size-p.w.off)
	}
	p.rep.lost++
	p.rep.gap(g)
	if p.onGap != nil {
		p.onGap(g, true)
	}
}

// search goes on at the next whole block header, which may be here when the block does not continue what is before it.
func (p *pass) search(bad string) (found bool, err error) {
	w := p.w
	from := w.off
	err = searchBlocks(w, from, p.end, func(off int64, h *blockHeader) bool {
		if off == p.found || h.baseSeq < w.nextSeq || off+h.size() > p.end || w.met(h) || p.beyond && !p.belongs(off, h) {
			return true // a copy, in some record's payload or of a block
		}
		found, p.found = true, off
		p.report(from, off, h.baseSeq, bad)
		w.off, w.nextSeq, w.chained, w.maxTime = off, h.baseSeq, false, noMaxTime
		return false
	})
	return found, err
}

// followed reports whether another block, or the end, comes where a block's header says that it ends: no bytes have been cut out of it, or put in.
func (p *pass) followed(b *block) bool {
	at := b.off + b.size()
	if at == p.end {
		return true
	}
	var next [blockHeaderLen]byte
	n, err := p.w.file.ReadAt(next[:], at)
	if ignoreEOF(err) != nil {
		return true // met by who reads there
	}
	h, bad := decodeBlockHeader(next[:n], p.w.seed, p.w.hdr.maxBlock)
	return bad == "" && h.prevHcrc == b.hcrc
}

// belongs reports whether to go on at a block header that a search has found. Its frames must be whole: if they are not, nothing is lost by
// going past it, and it may be a piece of a block that a misdirected write has put here. A block that promises more than what is before it was
// written further on in the file: either bytes have been cut out before it, or it is such a piece. Then blocks that come before it stand
// behind it.
func (p *pass) belongs(off int64, h *blockHeader) bool {
	w, probe := p.w, &p.probe
	probe.reset(w.file, w.hdr)
	probe.seed, probe.off, probe.nextSeq, probe.chained, probe.free = w.seed, off, h.baseSeq, false, true
	var b block
	if bad, err := probe.next(p.end, &b); bad != "" || err != nil {
		return err != nil // met by who reads there
	}
	if h.durablePos <= w.hdr.basePos+uint64(off) {
		return true
	}
	misplaced := false
	probe.free = false
	err := searchBlocks(probe, off+blockAlign, p.end, func(_ int64, next *blockHeader) bool {
		if next.baseSeq < w.nextSeq || w.met(next) {
			return true
		}
		misplaced = next.baseSeq <= h.baseSeq
		return false
	})
	return err != nil || !misplaced
}

// report adds a problem at the offsets [off, end) that costs the records from the walker's next one up to next.
func (p *pass) report(off, end int64, next uint64, bad string) {
	p.damaged, p.seg.ordinals = true, nil
	p.note(off, end, next, bad, true)
}

func (p *pass) note(off, end int64, next uint64, bad string, data bool) {
	g := Gap{
		File: p.seg.name, Offset: off, FirstSeq: p.w.nextSeq, LastSeq: max(next, p.w.nextSeq) - 1,
		Bytes: max(0, min(end, p.size)-off), Reason: bad,
	}
	p.rep.problem(g)
	if p.onGap != nil {
		p.onGap(g, data)
	}
}

// skipRest gives the rest of the segment up.
func (p *pass) skipRest(from int64, t tail, bad string) error {
	next := t.endSeq
	switch {
	case p.sealed:
		next = p.trailer.nextSeq
		if !p.last() {
			next = min(next, p.s.segs[p.i+1].baseSeq)
		}
	case !p.last():
		next = p.s.segs[p.i+1].baseSeq
	}
	p.report(from, p.end, next, bad)
	w := p.w
	w.off, w.nextSeq, w.chained = max(from, p.end), max(next, w.nextSeq), false
	hdr, ok, err := p.successor() // let it say where this segment ended
	if ok && !p.headless {
		w.off = max(offsetOf(hdr.predPos, w.hdr.basePos), segmentHeaderLen)
		w.nextSeq = hdr.predSeq
	}
	return err
}

// close checks what stands behind the last block.
func (p *pass) close() error {
	if p.bounded() {
		return nil
	}
	if !p.sealed {
		return p.missingFooter("footer is missing or damaged")
	}
	p.rep.Sealed = p.last()
	bad := ""
	switch {
	case p.index == nil && p.trailer.indexLen <= maxIndexLen:
		return p.missingFooter("footer's index is damaged")
	case p.damaged:
	case p.seg.matches(p.trailer) != "":
		bad = p.seg.matches(p.trailer)
	case p.entries != len(p.index):
		bad = fmt.Sprintf("footer's index entry %d points to no such block", p.entries)
	}
	if bad != "" {
		p.note(p.w.off, p.size, p.w.nextSeq, bad, false)
	}
	return p.declaredLoss()
}

// declaredLoss notes the loss between a segment that recovery has cut and its successor.
func (p *pass) declaredLoss() error {
	if p.trailer.flags&sealLoss == 0 || p.damaged {
		return nil
	}
	hdr, ok, err := p.successor()
	if ok && hdr.predFlags&predNotSynced != 0 {
		p.w.lossy, p.seg.ordinals = true, nil
		if hdr.predSeq > p.w.nextSeq {
			p.lost(hdr.predSeq)
		}
	}
	return err
}

// missingFooter handles a segment with all its blocks and no whole footer. A crash can leave that only of the last two segments: a writer
// makes nothing durable in the next one before the footer is.
func (p *pass) missingFooter(bad string) error {
	later := p.s.segs[p.i+1:]
	if p.s.live && len(later) <= 1 {
		return nil // being sealed
	}
	hdr, ok, err := p.successor()
	if err != nil || ok && hdr.predFlags&predPoisoned != 0 && hdr.predPos == p.w.pos() {
		return err // it has none: it was given up, and its successor says where it ends
	}
	t, err := p.s.a.judge(p.w, bad, later)
	if err != nil {
		return err
	}
	switch {
	case t.verdict == Corrupt:
		p.note(p.w.off, p.size, p.w.nextSeq, bad, false)
	case t.verdict == Lossy: // it was there, with a loss declared, and is written again at the next open
		p.lost(t.endSeq)
	case p.last():
		p.rep.Sealed = false
		p.torn(t)
	}
	return nil
}
