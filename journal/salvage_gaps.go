package journal

import (
	"errors"
	"math"
)

// unsettled is a gap that nothing whole has been met behind. What comes next may say that less is missing: a segment that took over from one
// that failed has the records again that the other one has lost.
type unsettled struct {
	Gap
	data bool // it lies where records may have been
}

// beginSegment compares a segment's header with what came before it.
func (s *salvager) beginSegment(i int, hdr segmentHeader) {
	name := s.segs[i].name
	declared := hdr.predFlags&predGap != 0 && hdr.predSeq < hdr.baseSeq
	var c *CorruptionError
	switch {
	case !s.begun:
		s.rep.FirstSeq, s.next = 0, 0
		if g, missing := s.a.beforeFirst(hdr); missing {
			s.missingBefore(g)
		}
	case s.prev != nil && errors.As(checkSuccessor(s.prev, hdr, name), &c):
		s.gap(Gap{File: name, FirstSeq: s.reach(), LastSeq: max(hdr.baseSeq, s.reach()) - 1, Reason: c.Reason}, true)
	}
	if declared && s.reach() < hdr.baseSeq {
		s.settle(s.reach())
		s.declared(Gap{File: name, FirstSeq: s.next, LastSeq: hdr.baseSeq - 1, Reason: declaredMissing, Declared: true})
	}
	s.begun = true
	s.upTo(i, hdr.baseSeq)
}

// beginHeadless notes that a segment's header page is lost, and the segment is not.
func (s *salvager) beginHeadless(i int, c *CorruptionError) {
	file := s.segs[i]
	if !s.begun && file.baseSeq > 0 {
		g := Gap{File: file.name, LastSeq: file.baseSeq - 1, Reason: "segments are missing before the first one that can be read"}
		if note, ok := s.a.trimNote(s.uuid); s.known && ok && note.firstSeq >= file.baseSeq {
			g.Trimmed, g.Reason = true, "removed: "+note.why.String()
		}
		s.missingBefore(g)
	}
	s.begun = true
	s.gap(Gap{File: file.name, FirstSeq: s.reach(), LastSeq: s.reach() - 1, Bytes: segmentHeaderLen, Reason: c.Reason + "; the blocks can be read"}, false)
	s.upTo(i, file.baseSeq)
}

// missingBefore notes what is missing before the first segment.
func (s *salvager) missingBefore(g Gap) {
	lost := g
	if g.LastSeq = g.FirstSeq - 1; lost.Trimmed { // all of it, or nothing
		g.LastSeq = lost.LastSeq
	}
	if g.LastSeq+1 > 0 {
		g.FirstSeq, g.Trimmed = 0, true
		s.declared(g)
		s.rep.FirstSeq = s.next
		if s.out != nil {
			s.out.trimmedBefore(s.a, s.uuid, s.next)
		}
	}
	if !lost.Trimmed {
		s.gap(lost, true)
	}
}

// upTo notes a gap before segment i that nothing has explained.
func (s *salvager) upTo(i int, base uint64) {
	if base > s.reach() {
		s.gap(Gap{File: s.segs[i].name, FirstSeq: s.reach(), LastSeq: base - 1, Reason: "records before this segment are missing"}, true)
	}
}

// hopeless notes a segment of which nothing can be read.
func (s *salvager) hopeless(i int, c *CorruptionError) error {
	g, torn, unborn, err := s.lostSegment(i, c, s.prev, s.reach())
	switch {
	case err != nil || unborn:
		return err
	case torn != nil:
		s.rep.Torn = torn
		return nil
	}
	s.begun, s.prev = true, nil
	s.gap(g, true)
	return s.read(g.Bytes)
}

// gap takes in damage. data says that it lies where records may have been.
func (s *salvager) gap(g Gap, data bool) {
	if n := len(s.gaps); n >= maxListed { // with nothing whole between them
		last := &s.gaps[n-1]
		last.LastSeq, last.Bytes, last.data = max(last.LastSeq+1, g.LastSeq+1)-1, last.Bytes+g.Bytes, last.data || data
		return
	}
	s.gaps = append(s.gaps, unsettled{g, data})
}

// reach returns the sequence after those that were delivered or are known to be missing.
func (s *salvager) reach() uint64 {
	next := s.next
	for _, g := range s.gaps {
		if _, known := g.Lost(); known {
			next = max(next, g.LastSeq+1)
		}
	}
	return next
}

// settle reports the gaps before a place where reading goes on with a sequence, MaxUint64 at the end.
func (s *salvager) settle(at uint64) {
	at = min(at, s.limit)
	for _, g := range s.gaps {
		records, known := g.Lost()
		end := g.LastSeq + 1
		if !known && at < math.MaxUint64 {
			end, known = at, true
		} else if records == 0 {
			end = g.FirstSeq
		}
		at := max(at, s.next)
		g.FirstSeq = min(max(g.FirstSeq, s.next), at)
		if g.LastSeq = math.MaxUint64; known {
			g.LastSeq = min(max(end, g.FirstSeq), at) - 1
			s.next = max(s.next, g.LastSeq+1)
		}
		records, _ = g.Lost()
		s.rep.Gaps, s.rep.GapCount = listed(s.rep.Gaps, g.Gap), s.rep.GapCount+1
		s.rep.Lost += records
		if s.out != nil && g.data {
			s.out.missing(g.FirstSeq, records)
		}
	}
	s.gaps = s.gaps[:0]
}

// declared takes in what was known to be missing.
func (s *salvager) declared(g Gap) {
	s.rep.Known = listed(s.rep.Known, g)
	s.next = max(s.next, g.LastSeq+1)
}
