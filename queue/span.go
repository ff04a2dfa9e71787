package queue

// Span is a run of whole committed frames, as they lie in the ring: each an
// 8-byte header, the payload, and zeros up to a multiple of 8. It may contain
// skips (type -1) of up to 256 bytes between records, which readers step over,
// and begins and ends with a record. The zero Span is empty.
type Span struct {
	frames  []byte
	records int
	end     uint64
}

// Frames is the bytes of the span, valid until they are released. They are
// the consumer's to read, not to change.
func (s Span) Frames() []byte { return s.frames }

// Records is how many records the span holds, skips not counted. 0 means that
// nothing was there.
func (s Span) Records() int { return s.records }

// End is the position behind the span, for ReleaseTo.
func (s Span) End() uint64 { return s.end }
