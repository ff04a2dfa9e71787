package queue

import (
	"fmt"
	"slices"
)

// spans joins the spans that several rings have delivered to one stream of
// positions, in the order of delivery. Skips between spans have no place in
// it. Of the reader's goroutine.
type spans struct {
	read     uint64 // position behind everything delivered
	released uint64 // position behind everything given back
	list     []delivered
}

// delivered is a span that is not given back: [end-size, end) in the joined
// positions is [ringEnd-size, ringEnd) in the ring's.
type delivered struct {
	ring         *Consumer
	end, ringEnd uint64
}

// add notes that ring delivered s, and gives s its end in the joined positions.
func (d *spans) add(ring *Consumer, s Span) Span {
	d.read += uint64(len(s.frames))
	d.list = append(d.list, delivered{ring: ring, end: d.read, ringEnd: s.end})
	s.end = d.read
	return s
}

// releaseTo gives back what lies before pos, ring by ring; see
// Consumer.ReleaseTo.
func (d *spans) releaseTo(pos uint64) {
	if int64(pos-d.released) < 0 || int64(d.read-pos) < 0 || pos%headerLen != 0 {
		panic(fmt.Sprintf("queue: ReleaseTo(%d): must be a multiple of 8 between %d, already released, and %d, read so far",
			pos, d.released, d.read))
	}
	n := 0
	for n < len(d.list) && int64(pos-d.list[n].end) >= 0 {
		d.list[n].ring.ReleaseTo(d.list[n].ringEnd)
		n++
	}
	if n < len(d.list) {
		s := d.list[n]
		if at := s.ringEnd - (s.end - pos); int64(at-s.ring.released) > 0 {
			s.ring.ReleaseTo(at)
		}
	}
	d.list = slices.Delete(d.list, 0, n)
	d.released = pos
}

// releaseAll gives back every span.
func (d *spans) releaseAll() {
	if len(d.list) > 0 {
		d.releaseTo(d.read)
	}
}
