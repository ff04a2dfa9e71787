package slogbuf

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strconv"
	"time"
)

// A handler may need several encoders, and gives each the attributes of
// WithAttrs. Those are to be evaluated once and in WithAttrs, as package slog
// does it: a LogValuer may say something else the next time, and what a pointer
// points to may be written to by then. So WithAttrs freezes them: it resolves
// values, calls ReplaceAttr, and has everything encoded that is not a plain
// number, string, bool, time or duration. A frozen value is one of the following
// types, which the slog handlers encode to the same bytes again.
type (
	frozenJSON  []byte // a JSON value
	frozenText  []byte // text that needs no quotes
	frozenQuote []byte // text that needs quotes: TextHandler puts them around every byte slice
)

func (f frozenJSON) MarshalJSON() ([]byte, error) { return f, nil }
func (f frozenText) MarshalText() ([]byte, error) { return f, nil }

// nothing stands for an attribute that slog leaves out. It stays in its place,
// so that an encoder takes the same way through a group as slog would.
type nothing struct{}

// thaw is what a ReplaceAttr returns for frozen attributes, which went through
// it in WithAttrs.
func thaw(a slog.Attr) (slog.Attr, bool) {
	if a.Value.Kind() != slog.KindAny {
		return a, false
	}
	switch a.Value.Any().(type) {
	case frozenJSON, frozenText, frozenQuote:
		return a, true
	case nothing:
		return slog.Attr{}, true
	}
	return a, false
}

// freeze returns attrs, in the given groups, frozen.
func (o *output) freeze(attrs []slog.Attr, groups []string) []slog.Attr {
	frozen := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		frozen[i] = o.freezeAttr(a, groups)
	}
	return frozen
}

func (o *output) freezeAttr(a slog.Attr, groups []string) slog.Attr {
	a.Value = a.Value.Resolve()
	if o.replaceAttr != nil && a.Value.Kind() != slog.KindGroup {
		a = o.replaceAttr(slices.Clip(groups), a)
		a.Value = a.Value.Resolve()
	}
	if src, ok := sourceOf(a.Value); ok && !o.opts.Text {
		a.Value = sourceGroup(src)
		if len(a.Value.Group()) == 0 {
			return o.leftOut()
		}
	}
	switch kind := a.Value.Kind(); {
	case kind == slog.KindGroup:
		if a.Key != "" {
			groups = append(slices.Clip(groups), a.Key)
		}
		a.Value = slog.GroupValue(o.freeze(a.Value.Group(), groups)...)
		return a
	case kind == slog.KindAny && a.Key == "" && a.Value.Any() == nil: // the zero Attr
		return o.leftOut()
	case kind != slog.KindAny && o.replaceAttr == nil:
		return a
	}
	var ok bool
	if a.Value, ok = o.encodeValue(a.Value); !ok {
		return o.leftOut()
	}
	return a
}

// leftOut is the attribute that leaves no trace in a line.
func (o *output) leftOut() slog.Attr {
	if o.replaceAttr == nil {
		return slog.Attr{}
	}
	return slog.Any("", nothing{})
}

func sourceOf(v slog.Value) (src *slog.Source, ok bool) {
	if v.Kind() == slog.KindAny {
		src, ok = v.Any().(*slog.Source)
	}
	return src, ok
}

// sourceGroup is what slog.JSONHandler makes of a source.
func sourceGroup(src *slog.Source) slog.Value {
	var attrs []slog.Attr
	if src != nil && src.Function != "" {
		attrs = append(attrs, slog.String("function", src.Function))
	}
	if src != nil && src.File != "" {
		attrs = append(attrs, slog.String("file", src.File))
	}
	if src != nil && src.Line != 0 {
		attrs = append(attrs, slog.Int("line", src.Line))
	}
	return slog.GroupValue(attrs...)
}

// encodeValue has slog encode a value, and returns the bytes in a frozen type.
// It returns false for a value that slog leaves out.
func (o *output) encodeValue(v slog.Value) (slog.Value, bool) {
	var buf bytes.Buffer
	r := slog.NewRecord(time.Time{}, slog.LevelInfo, "", 0)
	r.AddAttrs(slog.Attr{Key: "v", Value: v})
	_ = newSlogHandler(&buf, o.opts.Text, nil).Handle(context.Background(), r) // a bytes.Buffer takes everything

	before, after := `{"level":"INFO","msg":"","v":`, "}\n"
	if o.opts.Text {
		before, after = `level=INFO msg="" v=`, "\n"
	}
	value, ok := bytes.CutPrefix(buf.Bytes(), []byte(before))
	if !ok {
		return slog.Value{}, false
	}
	value = bytes.TrimSuffix(value, []byte(after))
	if !o.opts.Text {
		return slog.AnyValue(frozenJSON(value)), true
	}
	if unquoted, err := strconv.Unquote(string(value)); err == nil && value[0] == '"' {
		return slog.AnyValue(frozenQuote(unquoted)), true
	}
	return slog.AnyValue(frozenText(value)), true
}
