package journal

import (
	"errors"
	"fmt"
	"math"
)

// backupItem is a segment to copy.
type backupItem struct {
	seg   segmentFile
	size  int64  // of the file, or of the part that counts: for progress
	num   uint64 // of the segment
	next  uint64 // sequence after the segment's last one, as far as its footer or its successor says
	end   int64  // offset where to end; MaxInt64: at the data end that the footer gives
	seal  bool   // write a footer although the source has none: it is what Open would do
	flags uint16 // of that footer
}

// toFooter is the end of an item that is copied whole, footer included.
const toFooter = math.MaxInt64

// plan decides how far the source goes.
func (b *backup) plan() ([]backupItem, error) {
	b.bad = nil
	s := &survey{a: b.src}
	if err := s.begin(); err != nil {
		return nil, err
	}
	b.rep.Live = b.src.writing()
	if b.rep.Live {
		return b.planLive(s)
	}
	items, err := b.planAtRest()
	if err != nil && b.src.writing() { // a writer has begun to repair it meanwhile
		if err := s.begin(); err != nil {
			return nil, err
		}
		b.rep.Live = true
		return b.planLive(s)
	}
	return items, err
}

// planLive goes as far as HEAD says that all is durable. Without a HEAD only what is sealed is known to be.
func (b *backup) planLive(s *survey) ([]backupItem, error) {
	last := -1
	var end int64
	for i := len(s.segs) - 1; i >= 0 && s.headOK; i-- {
		f, hdr, err := b.src.openSegment(s.segs[i])
		var c *CorruptionError
		if errors.As(err, &c) && i == len(s.segs)-1 {
			continue // being made
		}
		if err != nil {
			return nil, err
		}
		_ = f.Close() // opened for reading
		if off := offsetOf(s.head.durablePos, hdr.basePos); off > segmentHeaderLen && hdr.number <= s.head.segment {
			last, end = i, off
			break
		}
	}
	var items []backupItem
	for i, seg := range s.segs {
		if last >= 0 && i > last {
			break
		}
		it, sealed, err := b.sealedItem(s.segs, i)
		if stop, err := b.endsBefore(items, it, err); stop || err != nil {
			return items, err
		}
		switch {
		case i < last && !sealed && it.end == toFooter:
			b.bad = &CorruptionError{File: seg.name, FirstSeq: seg.baseSeq, LastSeq: seg.baseSeq - 1, Reason: "footer is missing or damaged, though the segments after it are durable"}
			return items, nil
		case i < last || last < 0 && sealed:
			items = append(items, it)
		case i == last && !sealed:
			return append(items, backupItem{seg: seg, size: end, end: end}), nil
		case i == last:
			items = append(items, it)
		default:
			return items, nil
		}
	}
	return items, nil
}

// sealedItem returns segment i as an item: whole when it is sealed, and when a takeover has left it, up to where its successor says it ends.
func (b *backup) sealedItem(segs []segmentFile, i int) (it backupItem, sealed bool, err error) {
	f, hdr, err := b.src.openSegment(segs[i])
	if err != nil {
		return it, false, err
	}
	defer f.Close() // opened for reading: nothing to lose
	it = backupItem{seg: segs[i], num: hdr.number, next: segs[i].baseSeq, end: toFooter}
	if it.size, err = f.Size(); err != nil {
		return it, false, fmt.Errorf("journal: %w", err)
	}
	if i+1 < len(segs) {
		if succ, ok := b.src.headerOf(segs[i+1]); ok && succ.predFlags&predPoisoned != 0 && succ.number == hdr.number+1 {
			it.end, it.next = offsetOf(succ.predPos, hdr.basePos), succ.predSeq
			it.size = it.end
			return it, false, nil
		}
	}
	w := &walker{}
	w.reset(f, hdr)
	t, bad, err := w.trailer()
	if bad == "" {
		it.next = t.nextSeq
	}
	return it, bad == "", err
}

// endsBefore reports whether the plan ends before a segment: err says that its header is damaged, or the one before it is missing. Then b.bad
// says so. What is before the first segment is no matter of a backup.
func (b *backup) endsBefore(items []backupItem, it backupItem, err error) (bool, error) {
	var c *CorruptionError
	switch {
	case errors.As(err, &c):
		b.bad = c
		return true, nil
	case err != nil || len(items) == 0:
		return false, err
	}
	prev := items[len(items)-1]
	if it.num == prev.num+1 {
		return false, nil
	}
	b.bad = &CorruptionError{File: it.seg.name, FirstSeq: prev.next, LastSeq: it.seg.baseSeq - 1, Reason: fmt.Sprintf("segment number %d is missing", prev.num+1)}
	return true, nil
}

// planAtRest goes as far as Open would keep. What it finds there is synced first, as Open does.
func (b *backup) planAtRest() ([]backupItem, error) {
	r := &recovery{a: b.src}
	err := r.plan()
	r.abandon()
	if err != nil {
		return nil, err
	}
	if r.last == nil {
		return nil, nil
	}
	var items []backupItem
	for i, seg := range r.segs {
		it, sealed, err := b.sealedItem(r.segs, i)
		if stop, err := b.endsBefore(items, it, err); stop || err != nil {
			return items, err
		}
		switch {
		case r.prev != nil && seg.name == r.prev.name && r.sealPrev:
			it = backupItem{seg: seg, num: it.num, next: r.prev.nextSeq, size: r.prev.off, end: r.prev.off, seal: true, flags: sealRecover}
			if r.lost != nil {
				it.flags |= sealTorn | sealLoss
			}
		case seg.name == r.last.name && r.seal:
			it = backupItem{seg: seg, num: it.num, next: r.last.nextSeq, size: r.last.off, end: r.last.off}
		case !sealed && it.end == toFooter:
			b.bad = &CorruptionError{File: seg.name, FirstSeq: seg.baseSeq, LastSeq: seg.baseSeq - 1, Reason: "footer is missing or damaged"}
			return items, nil
		}
		items = append(items, it)
		if seg.name == r.last.name {
			break
		}
	}
	return items, nil
}
