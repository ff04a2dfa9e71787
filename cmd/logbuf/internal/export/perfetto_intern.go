package export

import "github.com/nexus-logbuf/logbuf/adapter/tracebuf"

// Fields of InternedData, and of what is in it.
const (
	internNames     = 2 // EventName
	internArguments = 3 // DebugAnnotationName
	internFunctions = 5 // InternedString
	internFrames    = 6
	internStacks    = 7
	internFiles     = 18 // InternedString

	internedID   = 1
	internedText = 2 // of EventName, DebugAnnotationName and InternedString

	frameFunction = 2 // of Frame
	frameFile     = 5
	frameLine     = 6
	stackFrames   = 2 // of Callstack
)

// Fields of DebugAnnotation.
const (
	annotationName   = 1
	annotationBool   = 2
	annotationUint   = 3
	annotationInt    = 4
	annotationDouble = 5
	annotationString = 6
	annotationArray  = 12
)

// internKey is a string among those of one field of InternedData.
type internKey struct {
	field int
	text  string
}

// interner numbers what a sequence has interned, from 1.
type interner[K comparable] map[K]uint64

// id is the number of a key, and whether it is new.
func (i *interner[K]) id(key K) (id uint64, isNew bool) {
	if id, ok := (*i)[key]; ok {
		return id, false
	}
	if *i == nil {
		*i = make(map[K]uint64)
	}
	id = uint64(len(*i)) + 1
	(*i)[key] = id
	return id, true
}

// intern is the number of a string in the sequence of a track. A new one goes into the packet that is being made.
func (p *Perfetto) intern(t *perfettoTrack, field int, text string) uint64 {
	id, isNew := t.strings.id(internKey{field, text})
	if isNew {
		var m message
		m.varint(internedID, id)
		m.str(internedText, text)
		p.interned.sub(field, m)
	}
	return id
}

// stack is the number of a stack, which is written with the outermost call first. The slice is its definition's, so that where it begins tells
// it from others.
func (p *Perfetto) stack(t *perfettoTrack, frames []tracebuf.Frame) uint64 {
	id, isNew := t.stacks.id(&frames[0])
	if !isNew {
		return id
	}
	var m message
	m.varint(internedID, id)
	for i := len(frames) - 1; i >= 0; i-- {
		m.varint(stackFrames, p.frame(t, frames[i]))
	}
	p.interned.sub(internStacks, m)
	return id
}

func (p *Perfetto) frame(t *perfettoTrack, f tracebuf.Frame) uint64 {
	id, isNew := t.frames.id(f)
	if !isNew {
		return id
	}
	var m message
	m.varint(internedID, id)
	m.varint(frameFunction, p.intern(t, internFunctions, f.Function))
	if f.File != "" {
		m.varint(frameFile, p.intern(t, internFiles, f.File))
		m.varint(frameLine, uint64(f.Line))
	}
	p.interned.sub(internFrames, m)
	return id
}

// arguments annotates the event with the fields of an entry.
func (p *Perfetto) arguments(t *perfettoTrack, e *tracebuf.Entry) {
	for _, f := range e.Fields {
		name := f.Name
		if f.Unit != "" {
			name += " (" + f.Unit + ")"
		}
		p.annotate(t, name, func(m *message) {
			if f.Len == 0 || f.Type == tracebuf.Text {
				fieldValue(m, f, e.Body, 0)
				return
			}
			for i := range f.Len {
				var element message
				fieldValue(&element, f, e.Body, i)
				m.sub(annotationArray, element)
			}
		})
	}
}

// annotate adds a DebugAnnotation.
func (p *Perfetto) annotate(t *perfettoTrack, name string, value func(*message)) {
	var m message
	m.varint(annotationName, p.intern(t, internArguments, name))
	value(&m)
	p.event.sub(eventAnnotation, m)
}

// fieldValue writes one value, or one of an array's.
func fieldValue(m *message, f tracebuf.Field, body []byte, i int) {
	switch {
	case f.Type == tracebuf.Text:
		m.str(annotationString, f.Text(body))
	case f.Type == tracebuf.Bool:
		m.boolean(annotationBool, f.Uint(body, i) != 0)
	case f.Type == tracebuf.Float32 || f.Type == tracebuf.Float64:
		m.double(annotationDouble, f.Float(body, i))
	case f.Type >= tracebuf.Uint8 && f.Type <= tracebuf.Uint64:
		m.varint(annotationUint, f.Uint(body, i))
	default:
		m.varint(annotationInt, uint64(f.Int(body, i)))
	}
}
