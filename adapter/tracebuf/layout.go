package tracebuf

import (
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"
)

// layout is what Register finds out about a type: its fields, and how a value
// becomes the bytes on the wire.
type layout struct {
	fields []Field
	size   int    // bytes on the wire
	dense  bool   // memory and wire are the same
	moves  []move // otherwise: how to copy
}

// move copies n bytes from offset src in memory to dst on the wire, in words
// of width bytes that are turned round on a big-endian machine.
type move struct {
	src, dst, n, width int
}

// layoutOf checks a type and lays it out.
func layoutOf(t reflect.Type) (*layout, error) {
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("%s is no struct: wrap it in one", t)
	}
	if t.Size() > maxBody {
		return nil, fmt.Errorf("%s has %d bytes, more than %d", t, t.Size(), maxBody)
	}
	b := layoutBuilder{}
	if err := b.structure(t, "", 0); err != nil {
		return nil, err
	}
	if len(b.l.fields) > maxFields {
		return nil, fmt.Errorf("%s has %d fields, more than %d", t, len(b.l.fields), maxFields)
	}
	seen := make(map[string]bool)
	for _, f := range b.l.fields {
		if seen[f.Name] {
			return nil, fmt.Errorf("%s has two fields named %q", t, f.Name)
		}
		seen[f.Name] = true
	}
	b.l.coalesce()
	whole := len(b.l.moves) == 1 && b.l.moves[0].n == int(t.Size())
	b.l.dense = littleEndian && (whole || b.l.size == 0)
	return &b.l, nil
}

// coalesce joins moves that go on where the one before ended. On a big-endian
// machine only those of one width are joined.
func (l *layout) coalesce() {
	var joined []move
	for _, m := range l.moves {
		if littleEndian {
			m.width = 1
		}
		if n := len(joined) - 1; n >= 0 && joined[n].width == m.width && joined[n].src+joined[n].n == m.src && joined[n].dst+joined[n].n == m.dst {
			joined[n].n += m.n
			continue
		}
		joined = append(joined, m)
	}
	l.moves = joined
}

type layoutBuilder struct{ l layout }

func (b *layoutBuilder) structure(t reflect.Type, prefix string, src uintptr) error {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Name == "_" {
			n, err := wireSize(f.Type, prefix+"_")
			if err != nil {
				return err
			}
			b.l.size += n
			continue
		}
		tag, err := parseTag(f)
		if err != nil {
			return fmt.Errorf("field %s%s: %w", prefix, f.Name, err)
		}
		if err := b.value(f.Type, prefix+tag.name, tag, src+f.Offset); err != nil {
			return err
		}
	}
	return nil
}

// value lays out one value, of a field or an element.
func (b *layoutBuilder) value(t reflect.Type, name string, tag tag, src uintptr) error {
	if t.Kind() == reflect.Struct {
		return b.structure(t, name+".", src)
	}
	if t.Kind() != reflect.Array {
		return b.field(t, 0, name, tag, src)
	}
	n, elem := t.Len(), t.Elem()
	if t.Size() == 0 {
		return fmt.Errorf("field %s: an array of no bytes", name)
	}
	for elem.Kind() == reflect.Array { // [2][3]int8 is six elements
		n, elem = n*elem.Len(), elem.Elem()
	}
	if elem.Kind() != reflect.Struct {
		return b.field(elem, n, name, tag, src)
	}
	for i := range n {
		if err := b.structure(elem, fmt.Sprintf("%s[%d].", name, i), src+uintptr(i)*elem.Size()); err != nil {
			return err
		}
		if len(b.l.fields) > maxFields {
			return fmt.Errorf("more than %d fields", maxFields)
		}
	}
	return nil
}

// field lays out a number, or an array of n of them.
func (b *layoutBuilder) field(t reflect.Type, n int, name string, tag tag, src uintptr) error {
	typ, err := typeOf(t, name)
	if err != nil {
		return err
	}
	if t == reflect.TypeFor[time.Duration]() && tag.unit == "" {
		tag.unit = "ns"
	}
	if tag.text {
		if typ != Uint8 || n == 0 {
			return fmt.Errorf("field %s: text is for arrays of uint8, this is %s", name, t)
		}
		typ = Text
	}
	if err := checkName(name); err != nil {
		return fmt.Errorf("field %.300q: %w", name, err)
	}
	width := typ.Size()
	f := Field{Name: name, Unit: tag.unit, Type: typ, Offset: b.l.size, Len: n}
	b.l.fields = append(b.l.fields, f)
	b.l.moves = append(b.l.moves, move{src: int(src), dst: b.l.size, n: f.size(), width: width})
	b.l.size += f.size()
	return nil
}

var typesOfKinds = map[reflect.Kind]Type{
	reflect.Bool: Bool,
	reflect.Int8: Int8, reflect.Int16: Int16, reflect.Int32: Int32, reflect.Int64: Int64,
	reflect.Uint8: Uint8, reflect.Uint16: Uint16, reflect.Uint32: Uint32, reflect.Uint64: Uint64,
	reflect.Float32: Float32, reflect.Float64: Float64,
}

func typeOf(t reflect.Type, name string) (Type, error) {
	if typ, ok := typesOfKinds[t.Kind()]; ok {
		return typ, nil
	}
	switch t.Kind() {
	case reflect.Int, reflect.Uint, reflect.Uintptr:
		return 0, fmt.Errorf("field %s: %s has different sizes on different machines: use %s64", name, t, strings.TrimSuffix(t.Kind().String(), "ptr"))
	}
	return 0, fmt.Errorf("field %s: %s has no fixed size: bool, sized integers, floats, arrays and structs of them have", name, t)
}

// wireSize is the size of a blank field.
func wireSize(t reflect.Type, name string) (int, error) {
	switch t.Kind() {
	case reflect.Array:
		n, err := wireSize(t.Elem(), name)
		return n * t.Len(), err
	case reflect.Struct:
		sum := 0
		for i := range t.NumField() {
			n, err := wireSize(t.Field(i).Type, name+"."+t.Field(i).Name)
			if err != nil {
				return 0, err
			}
			sum += n
		}
		return sum, nil
	}
	typ, err := typeOf(t, name)
	return typ.Size(), err
}

// tag is the value of a trace tag.
type tag struct {
	name, unit string
	text       bool
}

func parseTag(f reflect.StructField) (tag, error) {
	parts := strings.Split(f.Tag.Get("trace"), ",")
	t := tag{name: parts[0]}
	if t.name == "" {
		t.name = f.Name
	}
	for _, p := range parts[1:] {
		unit, ok := strings.CutPrefix(p, "unit=")
		switch {
		case ok && len(unit) <= maxName && utf8.ValidString(unit):
			t.unit = unit
		case p == "text":
			t.text = true
		default:
			return t, fmt.Errorf("tag %q: want name, unit=NAME, text", f.Tag.Get("trace"))
		}
	}
	return t, nil
}

// checkName checks the name of anything.
func checkName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("needs a name")
	case len(name) > maxName:
		return fmt.Errorf("a name of %d bytes, more than %d", len(name), maxName)
	case !utf8.ValidString(name):
		return fmt.Errorf("the name is not UTF-8")
	}
	return nil
}
