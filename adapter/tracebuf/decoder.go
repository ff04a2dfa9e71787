package tracebuf

import (
	"cmp"
	"encoding/binary"
	"errors"
	"slices"
	"strings"

	"github.com/nexus-logbuf/logbuf/journal"
)

// ErrUndefined is the error of Decode for a record whose event, counter or
// stack no definition has been learned of.
var ErrUndefined = errors.New("tracebuf: no definition")

// maxLearned is the most bytes of definitions that a Decoder keeps.
const maxLearned = 256 << 20

// Decoder turns records into entries. Give it the definitions of the archive
// first, or as they come: see the package documentation. The zero Decoder has
// none. A Decoder is for one goroutine at a time.
type Decoder struct {
	events    map[uint32]*event
	counters  map[uint32]*counter
	tracks    map[uint32]*TrackInfo
	processes map[uint32]*Process
	stacks    map[uint64][]Frame
	learned   int // bytes
}

// Learn takes the definition that a record of KindDefine holds, and does
// nothing with others. The error says what is wrong with it; such a definition
// is left out, and what it would have described is ErrUndefined.
func (d *Decoder) Learn(rec journal.Record) error {
	if rec.Kind != KindDefine {
		return nil
	}
	c := &cutter{b: rec.Payload}
	v, what := c.u8(), c.u8()
	c.u16()
	id := c.u32()
	switch {
	case c.err != nil:
		return badRecord(rec, "definition: %w", c.err)
	case v != version:
		return badRecord(rec, "definition of version %d: this program reads version %d", v, version)
	case d.learned > maxLearned:
		return badRecord(rec, "more than %d MiB of definitions", maxLearned>>20)
	}
	if err := d.learn(what, id, c); err != nil {
		return badRecord(rec, "definition: %w", err)
	}
	return nil
}

var errHash = errors.New("its hash is not its id")

func (d *Decoder) learn(what uint8, id uint32, c *cutter) error {
	size := len(c.b)
	switch what {
	case defProcess:
		p := &Process{Start: int64(c.u64()), PID: c.u32()}
		p.Name = c.str()
		return put(d, &d.processes, id, p, size, c.end())
	case defTrack:
		t := &TrackInfo{ID: id, Process: c.u32(), Shared: c.u8() == 1}
		t.Name = c.str()
		return put(d, &d.tracks, id, t, size, c.end())
	case defEvent:
		if uint32(hashOf(what, c.b)) != id {
			return errHash
		}
		e, err := c.event()
		return put(d, &d.events, id, e, size, err)
	case defCounter:
		if uint32(hashOf(what, c.b)) != id {
			return errHash
		}
		k, err := c.counter()
		return put(d, &d.counters, id, k, size, err)
	case defStack:
		hash := c.u64()
		if hashOf(what, c.b) != hash {
			return errHash
		}
		frames, err := c.stack()
		return put(d, &d.stacks, hash, frames, size, err)
	}
	return nil // of a later version of this package
}

// put keeps a definition that was read without error. The same one comes again
// and again; the first stays, so that what an Entry points to does.
func put[K comparable, V any](d *Decoder, into *map[K]V, id K, v V, size int, err error) error {
	if err != nil {
		return err
	}
	if _, known := (*into)[id]; known {
		return nil
	}
	if *into == nil {
		*into = make(map[K]V)
	}
	d.learned += size + 64
	(*into)[id] = v
	return nil
}

// Entry is a decoded record. Its fields and what they point to are shared with
// the Decoder and not to be changed.
type Entry struct {
	Kind  uint8
	Time  int64      // ns since the Unix epoch
	Track *TrackInfo // its Name is "" where the track's definition is missing

	// Of KindEvent, KindBegin, KindEnd and KindCounter.
	Name string
	ID   uint32 // of the event or counter: the hash of its definition

	// Of KindBegin and KindEnd. Spans are numbered from 1 in their track.
	Span, Parent uint32 // Parent is the span it is inside of in its track, or 0

	// Of KindEvent and KindBegin, and of KindCounter, which has one field, the
	// value, and its name and unit.
	Fields []Field
	Body   []byte // what the fields are in; the record's payload, and valid as long

	// Of KindSample.
	Stack  []Frame // the innermost first
	Count  uint32  // goroutines that had this stack
	Weight int64   // what the sample stands for: ns, or what the sampler says
}

// Decode decodes a record of a kind of this package's. For a record that
// defines something it is Learn, and the Entry has only Kind and Time. The error
// is ErrUndefined, or says what is wrong with the record.
func (d *Decoder) Decode(rec journal.Record) (Entry, error) {
	e := Entry{Kind: rec.Kind, Time: rec.Time}
	b := rec.Payload
	need := [...]int{KindEvent & 7: eventLen, KindBegin & 7: spanLen, KindEnd & 7: spanLen, KindCounter & 7: counterLen, KindSample & 7: sampleLen}
	switch {
	case !IsKind(rec.Kind):
		return e, badRecord(rec, "this is no kind of telemetry")
	case rec.Kind == KindDefine:
		return e, d.Learn(rec)
	case len(b) < need[rec.Kind&7]:
		return e, badRecord(rec, "shorter than its %d bytes", need[rec.Kind&7])
	}
	if rec.Kind == KindSample {
		return d.sample(e, rec)
	}
	e.ID = binary.LittleEndian.Uint32(b)
	e.Track = d.track(binary.LittleEndian.Uint32(b[4:]))
	if rec.Kind == KindCounter {
		return d.counter(e, rec)
	}
	return d.event(e, rec)
}

func (d *Decoder) event(e Entry, rec journal.Record) (Entry, error) {
	head := eventLen
	if rec.Kind != KindEvent {
		head = spanLen
		e.Span, e.Parent = binary.LittleEndian.Uint32(rec.Payload[8:]), binary.LittleEndian.Uint32(rec.Payload[12:])
	}
	def := d.events[e.ID]
	if def == nil {
		return e, ErrUndefined
	}
	e.Name = def.name
	if rec.Kind == KindEnd {
		if len(rec.Payload) != spanLen {
			return e, badRecord(rec, "the end of a span has %d bytes", spanLen)
		}
		return e, nil
	}
	e.Fields, e.Body = def.fields, rec.Payload[head:]
	if len(e.Body) != def.size {
		return e, badRecord(rec, "event %.80q has %d bytes", def.name, head+def.size)
	}
	return e, nil
}

func (d *Decoder) counter(e Entry, rec journal.Record) (Entry, error) {
	def := d.counters[e.ID]
	if def == nil {
		return e, ErrUndefined
	}
	if len(rec.Payload) != counterLen {
		return e, badRecord(rec, "a counter has %d bytes", counterLen)
	}
	e.Name, e.Body = def.field.Name, rec.Payload
	e.Fields = []Field{def.field}
	return e, nil
}

func (d *Decoder) sample(e Entry, rec journal.Record) (Entry, error) {
	b := rec.Payload
	if len(b) != sampleLen {
		return e, badRecord(rec, "a sample has %d bytes", sampleLen)
	}
	e.Track = d.track(binary.LittleEndian.Uint32(b))
	e.Count = binary.LittleEndian.Uint32(b[4:])
	e.Weight = int64(binary.LittleEndian.Uint64(b[16:]))
	frames, ok := d.stacks[binary.LittleEndian.Uint64(b[8:])]
	if !ok {
		return e, ErrUndefined
	}
	e.Stack = frames
	return e, nil
}

// track is what is known of a track, and its number if nothing is.
func (d *Decoder) track(id uint32) *TrackInfo {
	if t := d.tracks[id]; t != nil {
		return t
	}
	return &TrackInfo{ID: id}
}

// Process is the process of that number, see TrackInfo.Process; ok is false if
// its definition is missing.
func (d *Decoder) Process(id uint32) (p Process, ok bool) {
	if known := d.processes[id]; known != nil {
		return *known, true
	}
	return Process{}, false
}

// Schema is a definition of an event or a counter. One name can have several,
// when the type was changed between two runs.
type Schema struct {
	ID      uint32 // the hash of the definition
	Name    string
	Counter bool
	Fields  []Field // of a counter one, its value
}

// Schemas are the events and counters that the Decoder knows, by name and ID.
func (d *Decoder) Schemas() []Schema {
	var all []Schema
	for id, e := range d.events {
		all = append(all, Schema{ID: id, Name: e.name, Fields: e.fields})
	}
	for id, c := range d.counters {
		all = append(all, Schema{ID: id, Name: c.field.Name, Counter: true, Fields: []Field{c.field}})
	}
	slices.SortFunc(all, func(a, b Schema) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return all
}
