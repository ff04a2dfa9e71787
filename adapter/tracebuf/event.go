package tracebuf

import (
	"encoding/binary"
	"fmt"
	"reflect"
)

// Event is a type of events, or of spans. Any goroutine may use it, each with
// its own Track.
type Event[T any] struct {
	id uint32
	l  *layout
}

// Register makes a type of events of T and tells the archive about it. T is a
// struct of fields of fixed size, see the package documentation; the error names
// the field that is none. Registering the same name and type again is no error.
func Register[T any](t *Tracer, name string) (*Event[T], error) {
	if err := checkName(name); err != nil {
		return nil, fmt.Errorf("tracebuf: event: %w", err)
	}
	l, err := layoutOf(reflect.TypeFor[T]())
	if err != nil {
		return nil, fmt.Errorf("tracebuf: event %q: %w", name, err)
	}
	def, id := defineEvent(name, l)
	if err := t.reg.add(def, id, name); err != nil {
		return nil, fmt.Errorf("tracebuf: event %q: %w", name, err)
	}
	return &Event[T]{id: id, l: l}, nil
}

// Emit records an event. It allocates nothing. The error is that of
// recorder.Producer.WriteAt: the event is not recorded then. Where the track's
// policy is recorder.OverloadDrop the loss is counted and in the archive, and
// the error may be ignored.
func (e *Event[T]) Emit(k *Track, v T) error {
	var f frame[T]
	b := f.fill(e.l, &v)[spanLen-eventLen:]
	binary.LittleEndian.PutUint32(b, e.id)
	binary.LittleEndian.PutUint32(b[4:], k.id)
	return k.write(KindEvent, b)
}

// Begin records that a span begins, and Span.End that it ends: two records, so
// that a crash shows what was open. In an unshared track the span is inside of
// the one that was begun before it and has not ended; End comes in the opposite
// order.
//
// A Begin that finds no room returns a Span whose End does nothing. The track's
// counters tell (Track.Producer).
func (e *Event[T]) Begin(k *Track, v T) Span {
	s := Span{k: k, event: e.id, id: k.spans.Add(1)}
	if !k.shared {
		s.parent = k.open
	}
	var f frame[T]
	b := f.fill(e.l, &v)
	s.head(b)
	if k.write(KindBegin, b) != nil {
		return Span{}
	}
	if !k.shared {
		k.open = s.id
	}
	return s
}

// Span is an open span. It is a value; the zero Span is none.
type Span struct {
	k                 *Track
	event, id, parent uint32
}

// End records that the span ends. It is for the goroutine of the span's track,
// and to be called once. Its error is Emit's; End of the zero Span does nothing
// and returns nil.
func (s Span) End() error {
	if s.k == nil {
		return nil
	}
	if !s.k.shared {
		s.k.open = s.parent
	}
	var b [spanLen]byte
	s.head(b[:])
	return s.k.write(KindEnd, b[:])
}

func (s Span) head(b []byte) {
	binary.LittleEndian.PutUint32(b, s.event)
	binary.LittleEndian.PutUint32(b[4:], s.k.id)
	binary.LittleEndian.PutUint32(b[8:], s.id)
	binary.LittleEndian.PutUint32(b[12:], s.parent)
}
