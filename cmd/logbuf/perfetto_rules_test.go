package main

import (
	"fmt"
	"math"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// The rules of Perfetto's trace format, as its .proto files (protos/perfetto/trace) and the errors of its importer (src/trace_processor) state
// them, checked on bytes: nothing here is shared with the writer. protowire is Google's reader of the encoding.

// rule is a field of a message: its number's wire type, and what is in it.
type rule struct {
	wire protowire.Type
	in   map[protowire.Number]rule // of a message
	text bool                      // a string: UTF-8
	many bool                      // repeated
}

var (
	integer = rule{wire: protowire.VarintType}
	text    = rule{wire: protowire.BytesType, text: true}
	double  = rule{wire: protowire.Fixed64Type}
)

func messageOf(fields map[protowire.Number]rule) rule {
	return rule{wire: protowire.BytesType, in: fields}
}
func repeated(r rule) rule { r.many = true; return r }

var (
	named      = repeated(messageOf(map[protowire.Number]rule{1: integer, 2: text}))
	element    = map[protowire.Number]rule{2: integer, 3: integer, 4: integer, 5: double, 6: text}
	annotation = map[protowire.Number]rule{1: integer, 2: integer, 3: integer, 4: integer, 5: double, 6: text, 12: repeated(messageOf(element))}

	traceRules = map[protowire.Number]rule{1: repeated(messageOf(map[protowire.Number]rule{
		6:  messageOf(map[protowire.Number]rule{1: repeated(messageOf(map[protowire.Number]rule{1: integer, 2: integer})), 2: integer}),
		8:  integer,
		10: integer,
		11: messageOf(map[protowire.Number]rule{
			4: repeated(messageOf(annotation)), 9: integer, 10: integer, 11: integer, 30: integer, 44: double, 56: integer, 57: double,
		}),
		12: messageOf(map[protowire.Number]rule{
			2: named, 3: named, 5: named, 18: named,
			6: repeated(messageOf(map[protowire.Number]rule{1: integer, 2: integer, 5: integer, 6: integer})),
			7: repeated(messageOf(map[protowire.Number]rule{1: integer, 2: repeated(integer)})),
		}),
		13: integer,
		59: messageOf(map[protowire.Number]rule{11: messageOf(map[protowire.Number]rule{11: integer})}),
		60: messageOf(map[protowire.Number]rule{
			1: integer, 2: text, 3: messageOf(map[protowire.Number]rule{1: integer, 6: text}), 5: integer,
			8: messageOf(map[protowire.Number]rule{3: integer, 6: text}), 15: integer,
		}),
		87: integer,
	}))}
)

// node is a message that was read: the values of each field, uint64, string or *node.
type node map[protowire.Number][]any

func (n node) has(f protowire.Number) bool { return len(n[f]) > 0 }
func (n node) num(f protowire.Number) uint64 {
	if !n.has(f) {
		return 0
	}
	return n[f][0].(uint64)
}
func (n node) str(f protowire.Number) string {
	if !n.has(f) {
		return ""
	}
	return n[f][0].(string)
}
func (n node) sub(f protowire.Number) node {
	if !n.has(f) {
		return nil
	}
	return n[f][0].(node)
}
func (n node) subs(f protowire.Number) (all []node) {
	for _, v := range n[f] {
		all = append(all, v.(node))
	}
	return all
}

// readMessage reads a message by the rules.
func readMessage(b []byte, rules map[protowire.Number]rule) (node, error) {
	n := make(node)
	for len(b) > 0 {
		field, wire, size := protowire.ConsumeTag(b)
		if size < 0 {
			return nil, protowire.ParseError(size)
		}
		b = b[size:]
		r, ok := rules[field]
		if !ok || r.wire != wire {
			return nil, fmt.Errorf("field %d has wire type %d, the format has %v", field, wire, r.wire)
		}
		if n.has(field) && !r.many {
			return nil, fmt.Errorf("field %d comes twice", field)
		}
		v, size, err := readValue(b, r)
		if err != nil {
			return nil, fmt.Errorf("field %d: %w", field, err)
		}
		n[field], b = append(n[field], v), b[size:]
	}
	return n, nil
}

func readValue(b []byte, r rule) (v any, size int, err error) {
	switch r.wire {
	case protowire.VarintType:
		v, size = first(protowire.ConsumeVarint(b))
	case protowire.Fixed64Type:
		v, size = first(protowire.ConsumeFixed64(b))
	default:
		var inner []byte
		inner, size = protowire.ConsumeBytes(b)
		switch {
		case size < 0:
		case r.in != nil:
			v, err = readMessage(inner, r.in)
		case r.text && !utf8.Valid(inner):
			err = fmt.Errorf("%q is not UTF-8", inner)
		default:
			v = string(inner)
		}
	}
	if size < 0 {
		err = protowire.ParseError(size)
	}
	return v, size, err
}

func first(v uint64, n int) (any, int) { return v, n }

// checkedSequence is a packet sequence so far.
type checkedSequence struct {
	last     uint64
	cleared  bool
	track    uint64 // default
	interned map[protowire.Number]map[uint64]node
}

// checkedTrack is a track so far.
type checkedTrack struct {
	name    string
	parent  uint64
	process node
	counter bool
	unit    string
	open    []int // indices of slices
}

// traceEvent is a slice, instant, counter value or sample as a reader of the trace understands it.
type traceEvent struct {
	kind       string
	path       string // names of the tracks, from the process down
	name       string
	begin, end uint64 // end 0: not ended
	args       map[string]string
	value      string   // of a counter
	stack      []string // outermost first
	weight     float64
}

// checkedTrace is a trace that was read.
type checkedTrace struct {
	sequences map[uint64]*checkedSequence
	tracks    map[uint64]*checkedTrack
	events    []*traceEvent
	clocks    int
}

// checkTrace reads a trace and checks the rules. The error names the packet.
func checkTrace(b []byte) (*checkedTrace, error) {
	root, err := readMessage(b, traceRules)
	if err != nil {
		return nil, err
	}
	t := &checkedTrace{sequences: make(map[uint64]*checkedSequence), tracks: make(map[uint64]*checkedTrack)}
	for i, p := range root.subs(1) {
		if err := t.packet(i, p); err != nil {
			return nil, fmt.Errorf("packet %d: %w: %v", i, err, p)
		}
	}
	return t, nil
}

func (t *checkedTrace) packet(i int, p node) error {
	id := p.num(10)
	if id == 0 || id > math.MaxUint32 {
		return fmt.Errorf("trusted_packet_sequence_id %d", id)
	}
	s := t.sequences[id]
	if (s == nil) != (p.has(87) || p.has(6)) && p.has(87) {
		return fmt.Errorf("first_packet_on_sequence on a sequence that has packets")
	}
	if s == nil {
		s = &checkedSequence{}
		t.sequences[id] = s
	}
	if p.has(8) {
		if p.num(8) > math.MaxInt64 || p.num(8) < s.last {
			return fmt.Errorf("timestamp %d is negative or behind %d", p.num(8), s.last)
		}
		s.last = p.num(8)
	}
	if p.num(13)&1 != 0 { // SEQ_INCREMENTAL_STATE_CLEARED
		s.cleared, s.track, s.interned = true, 0, make(map[protowire.Number]map[uint64]node)
	}
	if (p.num(13)&2 != 0 || p.has(12) || p.has(59)) && !s.cleared {
		return fmt.Errorf("needs incremental state, which was not cleared on this sequence")
	}
	if p.has(12) && p.num(13)&3 == 0 {
		return fmt.Errorf("interned_data without sequence_flags")
	}
	if d := p.sub(59); d != nil {
		s.track = d.sub(11).num(11)
	}
	if err := s.intern(p.sub(12)); err != nil {
		return err
	}
	if c := p.sub(6); c != nil {
		t.clocks++
		if i != 0 || len(c.subs(1)) != 2 || c.num(2) != 1 || c.subs(1)[0].num(1) != 1 {
			return fmt.Errorf("a clock snapshot that is not the first packet, or not of the primary clock")
		}
	}
	if d := p.sub(60); d != nil {
		if err := t.descriptor(d, p.has(8)); err != nil {
			return err
		}
	}
	if e := p.sub(11); e != nil {
		return t.event(s, p, e)
	}
	return nil
}

// intern adds what a packet interns. Names before frames before stacks, as what refers to them in the same packet may stand in any order.
func (s *checkedSequence) intern(d node) error {
	for _, field := range []protowire.Number{2, 3, 5, 18, 6, 7} {
		for _, m := range d.subs(field) {
			id := m.num(1)
			if s.interned[field] == nil {
				s.interned[field] = make(map[uint64]node)
			}
			if _, known := s.interned[field][id]; known || id == 0 {
				return fmt.Errorf("interned field %d: iid %d is 0 or comes twice", field, id)
			}
			s.interned[field][id] = m
		}
	}
	for _, f := range d.subs(6) {
		if _, ok := s.interned[5][f.num(2)]; !ok {
			return fmt.Errorf("frame %d: function %d is not interned", f.num(1), f.num(2))
		}
		if _, ok := s.interned[18][f.num(5)]; f.has(5) && !ok {
			return fmt.Errorf("frame %d: file %d is not interned", f.num(1), f.num(5))
		}
	}
	for _, c := range d.subs(7) {
		if !c.has(2) {
			return fmt.Errorf("callstack %d has no frames", c.num(1))
		}
		for _, f := range c[2] {
			if _, ok := s.interned[6][f.(uint64)]; !ok {
				return fmt.Errorf("callstack %d: frame %d is not interned", c.num(1), f)
			}
		}
	}
	return nil
}

func (s *checkedSequence) name(field protowire.Number, id uint64) (string, error) {
	m, ok := s.interned[field][id]
	if !ok {
		return "", fmt.Errorf("iid %d of field %d is not interned on this sequence", id, field)
	}
	return m.str(2), nil
}

func (t *checkedTrace) descriptor(d node, timed bool) error {
	id := d.num(1)
	if _, known := t.tracks[id]; known || id == 0 {
		return fmt.Errorf("track %d is 0 or described twice", id)
	}
	k := &checkedTrack{name: d.str(2), parent: d.num(5), process: d.sub(3), counter: d.has(8)}
	if k.counter {
		k.unit = d.sub(8).str(6)
		if n := d.sub(8).num(3); n > 0 {
			k.unit = []string{"", "ns", "count", "bytes"}[n]
		}
	}
	if _, ok := t.tracks[k.parent]; d.has(5) && !ok {
		return fmt.Errorf("track %d: its parent %d is not described", id, k.parent)
	}
	if k.process != nil {
		if !k.process.has(1) || !timed {
			return fmt.Errorf("a process without pid or time")
		}
		k.name = k.process.str(6)
	}
	if k.name == "" {
		return fmt.Errorf("track %d has no name", id)
	}
	t.tracks[id] = k
	return nil
}

func (t *checkedTrace) path(id uint64) string {
	k := t.tracks[id]
	if k.parent == 0 {
		return k.name
	}
	return t.path(k.parent) + "/" + k.name
}

// event checks a TrackEvent.
func (t *checkedTrace) event(s *checkedSequence, p, e node) error {
	if !p.has(8) || p.num(13)&2 == 0 {
		return fmt.Errorf("an event without a timestamp, or that does not say it needs interned data")
	}
	id := s.track
	if e.has(11) {
		id = e.num(11)
	}
	k := t.tracks[id]
	if k == nil {
		return fmt.Errorf("track %d is not described", id)
	}
	ev := &traceEvent{path: t.path(id), begin: p.num(8), args: make(map[string]string)}
	if err := ev.annotations(s, e); err != nil {
		return err
	}
	if e.has(10) {
		name, err := s.name(2, e.num(10))
		if err != nil {
			return err
		}
		ev.name = name
	}
	return t.typed(k, ev, s, p, e)
}

// typed checks what an event's type asks for.
func (t *checkedTrace) typed(k *checkedTrack, ev *traceEvent, s *checkedSequence, p, e node) error {
	typ := e.num(9)
	if k.counter != (typ == 4) {
		return fmt.Errorf("type %d on a track that is a counter or not: %v", typ, k.counter)
	}
	switch typ {
	case 1: // TYPE_SLICE_BEGIN
		ev.kind = "slice"
		k.open = append(k.open, len(t.events))
	case 2: // TYPE_SLICE_END
		if len(k.open) == 0 {
			return fmt.Errorf("the end of a slice on track %q, where none is open", k.name)
		}
		slice := t.events[k.open[len(k.open)-1]]
		k.open = k.open[:len(k.open)-1]
		slice.end = p.num(8)
		for name, v := range ev.args {
			slice.args[name] = v
		}
		return nil
	case 3: // TYPE_INSTANT
		ev.kind = "instant"
		if e.has(56) {
			return t.sample(ev, s, e)
		}
	case 4: // TYPE_COUNTER
		ev.kind, ev.name = "counter", k.unit
		if e.has(30) == e.has(44) {
			return fmt.Errorf("a counter event has one value")
		}
		ev.value = fmt.Sprint(int64(e.num(30)))
		if e.has(44) {
			ev.value = fmt.Sprint(math.Float64frombits(e.num(44)))
		}
		t.events = append(t.events, ev)
		return nil
	default:
		return fmt.Errorf("type %d", typ)
	}
	if ev.name == "" {
		return fmt.Errorf("an event without a name")
	}
	t.events = append(t.events, ev)
	return nil
}

func (t *checkedTrace) sample(ev *traceEvent, s *checkedSequence, e node) error {
	ev.kind, ev.weight = "sample", math.Float64frombits(e.num(57))
	c, ok := s.interned[7][e.num(56)]
	if !ok {
		return fmt.Errorf("callstack %d is not interned on this sequence", e.num(56))
	}
	for _, f := range c[2] {
		name, err := s.name(5, s.interned[6][f.(uint64)].num(2))
		if err != nil {
			return err
		}
		ev.stack = append(ev.stack, name)
	}
	t.events = append(t.events, ev)
	return nil
}

func (ev *traceEvent) annotations(s *checkedSequence, e node) error {
	for _, a := range e.subs(4) {
		name, err := s.name(3, a.num(1))
		if err != nil {
			return err
		}
		value, err := annotationText(a)
		if err != nil {
			return fmt.Errorf("argument %q: %w", name, err)
		}
		if a.has(12) {
			value = ""
			for _, m := range a.subs(12) {
				v, err := annotationText(m)
				if err != nil {
					return fmt.Errorf("argument %q: %w", name, err)
				}
				value += v + ";"
			}
		}
		ev.args[name] = value
	}
	return nil
}

// annotationText is the one value that an annotation has; an array has elements instead.
func annotationText(a node) (string, error) {
	var found []string
	for f := protowire.Number(2); f <= 6; f++ {
		switch {
		case !a.has(f):
		case f == 2:
			found = append(found, fmt.Sprint(a.num(f) != 0))
		case f == 4:
			found = append(found, fmt.Sprint(int64(a.num(f))))
		case f == 5:
			found = append(found, fmt.Sprint(math.Float64frombits(a.num(f))))
		case f == 6:
			found = append(found, a.str(f))
		default:
			found = append(found, fmt.Sprint(a.num(f)))
		}
	}
	if len(found) > 1 || len(found) == 0 != a.has(12) {
		return "", fmt.Errorf("%d values: %v", len(found), a)
	}
	if len(found) == 0 {
		return "", nil
	}
	return found[0], nil
}
