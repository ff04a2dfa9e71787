package journal

import (
	"bytes"
	"errors"
	"fmt"
)

// prepare compares what is in the destination with the source. It returns the first item to copy, and the last segment of the destination when
// that item takes its place. It changes nothing unless the destination is empty and the source was trimmed: then the note comes first.
func (b *backup) prepare(items []backupItem) (from int, old *segmentFile, err error) {
	have, _, err := b.dst.list()
	if err != nil {
		return 0, nil, fmt.Errorf("journal: %w", err)
	}
	if len(have) == 0 {
		return 0, nil, b.copyTrim(items[0].seg)
	}
	at := 0 // of have: the first one that the source still has
	for at < len(have) && before(have[at], items[0].seg) {
		at++
	}
	if at == len(have) {
		return 0, nil, b.joins(have[at-1], items[0].seg)
	}
	for i, h := range have[at:] {
		last := at+i == len(have)-1
		if i >= len(items) || h.baseSeq != items[i].seg.baseSeq || h.epoch != items[i].seg.epoch {
			return 0, nil, b.diverged(h, "the source has no such segment: the backup was opened for writing, or the source has lost it")
		}
		same, err := b.sameEnd(h, items[i])
		switch {
		case err != nil:
			return 0, nil, err
		case !same && !last:
			return 0, nil, b.diverged(h, "it does not end as the source's segment does, and another one follows it: the backup was opened for writing")
		case !same:
			return i, &have[at+i], nil
		}
	}
	return len(have) - at, nil, nil
}

// before reports whether a segment comes before another one, by name.
func before(s, t segmentFile) bool {
	return s.baseSeq < t.baseSeq || s.baseSeq == t.baseSeq && s.epoch < t.epoch
}

func (b *backup) diverged(s segmentFile, reason string) error {
	return fmt.Errorf("journal: %w: %s: %s", ErrDiverged, b.dst.path(s.name), reason)
}

// copyTrim tells an empty destination that the source's first segments were trimmed, before it gets the first one.
func (b *backup) copyTrim(first segmentFile) error {
	f, hdr, err := b.src.openSegment(first)
	if err != nil {
		return err
	}
	_ = f.Close() // opened for reading
	note, ok := b.src.trimNote(hdr.uuid)
	if !ok || note.segment != hdr.number {
		return nil // nothing was trimmed, or more is missing than was: the copy says the same
	}
	return b.dst.writeTrim(note, hdr.uuid)
}

// joins checks that the source begins where the destination ends, when they have no segment in common.
func (b *backup) joins(last, first segmentFile) error {
	f, hdr, err := b.src.openSegment(first)
	if err != nil {
		return err
	}
	_ = f.Close() // opened for reading
	g, mine, err := b.dst.openSegment(last)
	if err != nil {
		return err
	}
	defer g.Close() // opened for reading: nothing to lose
	if hdr.uuid != mine.uuid {
		return b.diverged(last, "it belongs to another archive")
	}
	var w walker
	w.reset(g, mine)
	t, bad, err := w.trailer()
	if err != nil {
		return err
	}
	if bad != "" || hdr.number != mine.number+1 || hdr.predPos != mine.endPos(int64(t.dataEnd)) || hdr.predHcrc != mine.endHcrc(t.lastHcrc) {
		return b.diverged(last, fmt.Sprintf("the source was trimmed past it and begins with segment %d, sequence %d: what is between them is gone; "+
			"begin a new backup, and keep this one; a hold keeps the source from being trimmed meanwhile", hdr.number, hdr.baseSeq))
	}
	return nil
}

// sameEnd compares a segment of the destination with the source's of the same name, from header and footer. same is false when the source's
// goes on, or is sealed and the destination's is not.
func (b *backup) sameEnd(mine segmentFile, it backupItem) (same bool, err error) {
	f, hdr, err := b.src.openSegment(it.seg)
	if err != nil {
		return false, err
	}
	defer f.Close() // opened for reading: nothing to lose
	g, ghdr, err := b.dst.openSegment(mine)
	if err != nil {
		return false, err
	}
	defer g.Close()
	if !sameSegment(hdr, ghdr) {
		return false, b.diverged(mine, "its header is not that of the source's segment: another archive, or the backup was opened for writing")
	}
	var w, v walker
	w.reset(f, hdr)
	v.reset(g, ghdr)
	t, srcBad, err1 := w.trailer()
	u, dstBad, err2 := v.trailer()
	if err := errors.Join(err1, err2); err != nil {
		return false, err
	}
	switch {
	case dstBad == "" && srcBad == "" && it.end == toFooter:
		if ghdr.endPos(int64(u.dataEnd)) == hdr.endPos(int64(t.dataEnd)) && ghdr.endHcrc(u.lastHcrc) == hdr.endHcrc(t.lastHcrc) && t.nextSeq == u.nextSeq {
			return true, nil
		}
		if t.nextSeq >= u.nextSeq && hdr.endPos(int64(t.dataEnd)) >= ghdr.endPos(int64(u.dataEnd)) {
			return false, nil // sealed by Repair where the source went on
		}
		return false, b.diverged(mine, "it is longer than the source's segment: the source has lost its end")
	case dstBad == "" && it.end != toFooter:
		if it.seal && int64(u.dataEnd) == it.end {
			return true, nil
		}
		return false, nil // copy finds out whether it is a beginning
	case dstBad != "" && it.end != toFooter:
		size, err := g.Size()
		if err != nil {
			return false, fmt.Errorf("journal: %w", err)
		}
		return size == it.end && !it.seal, nil
	}
	return false, nil
}

// sameSegment reports whether two headers are those of one segment, whether it was rewritten or not.
func sameSegment(x, y segmentHeader) bool {
	return x.uuid == y.uuid && x.number == y.number && x.epoch == y.epoch && x.baseSeq == y.baseSeq && x.basePos == y.basePos && x.created == y.created &&
		x.predHcrc == y.predHcrc && (x.salt == y.salt || x.rewritten() || y.rewritten())
}

// isPrefix reports whether the frames of mine, which ends where no whole block is any more, are the beginning of those of a source's segment
// up to end. Both walkers stand at their first block.
func isPrefix(mine *walker, mineEnd int64, src *walker, end int64) (bool, error) {
	var x, y []byte
	var a, b block
	for {
		for len(x) == 0 {
			bad, err := mine.next(mineEnd, &a)
			if err != nil || bad != "" {
				return err == nil, err
			}
			x = a.frames
		}
		for len(y) == 0 {
			bad, err := src.next(end, &b)
			if err != nil || bad != "" {
				return false, err
			}
			y = b.frames
		}
		n := min(len(x), len(y))
		if !bytes.Equal(x[:n], y[:n]) {
			return false, nil
		}
		x, y = x[n:], y[n:]
	}
}
