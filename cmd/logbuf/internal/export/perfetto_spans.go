package export

import (
	"slices"

	"github.com/nexus-logbuf/logbuf/adapter/tracebuf"
)

// notRecorded is the argument "end" of a slice that ends where something else shows that it had.
const notRecorded = "not recorded"

// Limits of open spans, which are there to be reached by programs that forget to end them. Behind the first, trace_processor drops slices.
const (
	maxDepth = 512  // of a track: then all are ended
	maxRows  = 1024 // of a shared track: then the oldest is
)

// beginSpan begins a slice. Spans that are still open and not around it have ended before.
func (p *Perfetto) beginSpan(t *perfettoTrack, at int64, e *tracebuf.Entry) {
	if t.info.Shared {
		if len(t.busy) == maxRows && !slices.Contains(t.busy, 0) {
			p.endRow(t, at, uint32(t.busy[t.oldest]-1), notRecorded)
			t.oldest = (t.oldest + 1) % maxRows
		}
		row := t.row(e.Span)
		if row == t.rows {
			t.rows++
			p.global(descriptorPacket(descriptor(t.rowUUID(row), t.uuid, t.info.Name, false)), at)
		}
		p.begin(t, typeBegin, e.Name)
		p.event.varint(eventTrack, t.rowUUID(row))
	} else {
		p.endInside(t, at, e.Parent)
		if len(t.open) == maxDepth {
			p.endInside(t, at, 0)
		}
		t.open = append(t.open, e.Span)
		p.begin(t, typeBegin, e.Name)
	}
	p.arguments(t, e)
	p.end(t, at)
}

// endInside ends what is open inside of a span, or all for 0. A span that is not known has its begin missing, and says nothing.
func (p *Perfetto) endInside(t *perfettoTrack, at int64, span uint32) {
	if span != 0 && t.index(span) < 0 {
		return
	}
	for n := len(t.open); n > 0 && t.open[n-1] != span; n = len(t.open) {
		p.endTop(t, at, notRecorded)
	}
}

// endTop ends the innermost slice.
func (p *Perfetto) endTop(t *perfettoTrack, at int64, why string) {
	t.open = t.open[:len(t.open)-1]
	p.begin(t, typeEnd, "")
	if why != "" {
		p.annotate(t, "end", func(m *message) { m.str(annotationString, why) })
	}
	p.end(t, at)
}

// endSpan ends a slice, and before it those inside of it.
func (p *Perfetto) endSpan(t *perfettoTrack, at int64, e *tracebuf.Entry) {
	if t.info.Shared {
		p.endRow(t, at, e.Span, "")
		return
	}
	if t.index(e.Span) < 0 {
		p.Unpaired++
		return
	}
	p.endInside(t, at, e.Span)
	p.endTop(t, at, "")
}

// index is where a span is among the open ones, or -1.
func (t *perfettoTrack) index(span uint32) int {
	for i := len(t.open) - 1; i >= 0; i-- {
		if t.open[i] == span {
			return i
		}
	}
	return -1
}

// endAll ends what is open, when its process has gone.
func (p *Perfetto) endAll(t *perfettoTrack, at int64) {
	p.endInside(t, at, 0)
	for _, open := range t.busy {
		if open != 0 {
			p.endRow(t, at, uint32(open-1), notRecorded)
		}
	}
	t.last = max(t.last, at)
}

// row is the first free row of a shared track, which the span takes.
func (t *perfettoTrack) row(span uint32) int {
	for i, open := range t.busy {
		if open == 0 {
			t.busy[i] = uint64(span) + 1
			return i
		}
	}
	t.busy = append(t.busy, uint64(span)+1)
	return len(t.busy) - 1
}

func (t *perfettoTrack) rowUUID(row int) uint64 {
	return uint64(row+4)<<32 | uint64(t.info.ID)
}

// endRow ends the slice on the row of a span.
func (p *Perfetto) endRow(t *perfettoTrack, at int64, span uint32, why string) {
	for i, open := range t.busy {
		if open != uint64(span)+1 {
			continue
		}
		t.busy[i] = 0
		p.begin(t, typeEnd, "")
		p.event.varint(eventTrack, t.rowUUID(i))
		if why != "" {
			p.annotate(t, "end", func(m *message) { m.str(annotationString, why) })
		}
		p.end(t, at)
		return
	}
	p.Unpaired++
}
