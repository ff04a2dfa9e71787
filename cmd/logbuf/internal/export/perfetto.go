package export

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"

	"github.com/nexus-logbuf/logbuf/adapter/tracebuf"
)

// Numbers of fields, from protos/perfetto/trace of https://github.com/google/perfetto: trace.proto, trace_packet.proto, clock_snapshot.proto,
// track_event/*.proto, interned_data/interned_data.proto and profiling/profile_common.proto.
const (
	tracePacket = 1 // of Trace, and of all below: TracePacket

	packetClocks      = 6
	packetTimestamp   = 8
	packetSequence    = 10
	packetEvent       = 11
	packetInterned    = 12
	packetFlags       = 13
	packetDefaults    = 59
	packetDescriptor  = 60
	packetFirst       = 87
	defaultsEvent     = 11 // of TracePacketDefaults
	eventAnnotation   = 4  // of TrackEvent, and TrackEventDefaults where it is the track
	eventType         = 9
	eventNameID       = 10
	eventTrack        = 11
	eventCounter      = 30
	eventCounterFloat = 44
	eventCallstackID  = 56
	eventWeight       = 57

	descriptorUUID    = 1 // of TrackDescriptor
	descriptorName    = 2
	descriptorProcess = 3
	descriptorParent  = 5
	descriptorCounter = 8
	descriptorMerge   = 15
	processPID        = 1 // of ProcessDescriptor
	processName       = 6
	counterUnit       = 3 // of CounterDescriptor
	counterUnitName   = 6

	clocksClock   = 1 // of ClockSnapshot
	clocksPrimary = 2
	clockID       = 1 // of Clock
	clockTime     = 2
)

// Values of enums.
const (
	flagCleared = 1 // SEQ_INCREMENTAL_STATE_CLEARED
	flagNeeds   = 2 // SEQ_NEEDS_INCREMENTAL_STATE

	typeBegin   = 1 // of TrackEvent.Type
	typeEnd     = 2
	typeInstant = 3
	typeCounter = 4

	clockRealtime = 1
	clockBoottime = 6

	mergeNone = 2 // SIBLING_MERGE_BEHAVIOR_NONE
)

// counterUnits are the units that CounterDescriptor has numbers for.
var counterUnits = map[string]uint64{"ns": 1, "count": 2, "bytes": 3}

// Perfetto writes telemetry as a trace for ui.perfetto.dev and trace_processor: a Trace message in protocol buffers. Give it the entries of an
// archive in their order. Its memory grows with the definitions and tracks. For one goroutine; its errors stay.
//
// A process is a process track, a track of the archive a track below it with a packet sequence of its own, a counter of a process a counter
// track below it. Names, names of arguments and stacks are interned, once for each sequence. Packets of a sequence never go back in time:
// where the clock did, they have the time of the one before.
//
// Slices of a track nest: a span whose end is not recorded is ended when a span around it ends, or another one begins that is not inside of it,
// with the argument "end". Spans of a shared track overlap, and each is on the first of the track's rows that is free. A span that is open at
// the end is a slice without an end, as the format has it.
type Perfetto struct {
	d         *tracebuf.Decoder
	w         io.Writer
	err       error
	started   bool
	tracks    map[uint32]*perfettoTrack
	streams   map[string]*perfettoTrack // the track that wrote to a stream last
	processes map[uint32]*perfettoProcess
	counters  map[uint64]bool
	last      uint32 // packet sequence
	time      int64  // of the last packet of the first sequence
	latest    int64  // the latest time of any packet
	notes     *perfettoTrack
	waiting   []remark // those that came before anything with a time

	packet, event, interned, inner message

	// Unpaired counts ends of spans whose begin is not there.
	Unpaired uint64
}

// perfettoProcess is a process that has tracks.
type perfettoProcess struct {
	last int64 // the last time of any of its tracks
}

// perfettoTrack is a track and its packet sequence.
type perfettoTrack struct {
	info     *tracebuf.TrackInfo
	process  *perfettoProcess // nil if there is no definition
	uuid     uint64
	sequence uint32
	last     int64    // time of its last packet
	rows     int      // that are described
	open     []uint32 // the spans that have begun and not ended, the innermost last
	busy     []uint64 // of a shared track: 1 + the span that is open on each row, or 0
	oldest   int      // row to end when all are taken
	strings  interner[internKey]
	stacks   interner[*tracebuf.Frame]
	frames   interner[tracebuf.Frame]
}

// NewPerfetto writes to w what d has decoded. d must know all definitions.
func NewPerfetto(w io.Writer, d *tracebuf.Decoder) *Perfetto {
	return &Perfetto{
		w: w, d: d, tracks: make(map[uint32]*perfettoTrack), streams: make(map[string]*perfettoTrack),
		processes: make(map[uint32]*perfettoProcess), counters: make(map[uint64]bool),
	}
}

// Entry writes what a record of that stream says.
func (p *Perfetto) Entry(stream string, e *tracebuf.Entry) error {
	p.start(e.Time)
	t := p.track(e)
	p.streams[stream] = t
	at := t.at(e.Time)
	switch e.Kind {
	case tracebuf.KindEvent:
		p.begin(t, typeInstant, e.Name)
		p.arguments(t, e)
		p.end(t, at)
	case tracebuf.KindBegin:
		p.beginSpan(t, at, e)
	case tracebuf.KindEnd:
		p.endSpan(t, at, e)
	case tracebuf.KindCounter:
		p.counter(t, at, e)
	case tracebuf.KindSample:
		p.begin(t, typeInstant, "sample")
		if len(e.Stack) > 0 { // the format has no stack without calls
			p.event.varint(eventCallstackID, p.stack(t, e.Stack))
		}
		p.event.double(eventWeight, float64(e.Weight))
		p.annotate(t, "goroutines", func(m *message) { m.varint(annotationUint, uint64(e.Count)) })
		p.end(t, at)
	}
	return p.err
}

// remark is an instant with arguments, names and values in pairs.
type remark struct {
	stream string
	text   string
	args   []any
}

// Note writes an instant on the track that wrote to a stream last, or on one for notes of the whole archive: about records that are missing.
// args are the arguments' names and values, in pairs. A time of 0 is that of what was written last.
func (p *Perfetto) Note(stream string, time int64, text string, args ...any) error {
	n := remark{stream, text, args}
	if time == 0 && !p.started {
		p.waiting = append(p.waiting, n)
		return p.err
	}
	p.start(time)
	p.note(n, max(time, p.latest))
	return p.err
}

func (p *Perfetto) note(n remark, time int64) {
	t := p.streams[n.stream]
	if t == nil {
		t = p.noteTrack()
	}
	p.begin(t, typeInstant, n.text)
	for i := 0; i+1 < len(n.args); i += 2 {
		p.annotate(t, fmt.Sprint(n.args[i]), func(m *message) {
			switch v := n.args[i+1].(type) {
			case uint64:
				m.varint(annotationUint, v)
			default:
				m.str(annotationString, fmt.Sprint(v))
			}
		})
	}
	p.end(t, t.at(time))
}

// Reopened says that another writer goes on: what was open has ended with its process.
func (p *Perfetto) Reopened() error {
	for _, t := range p.order() {
		at := t.last
		if t.process != nil {
			at = max(at, t.process.last)
		}
		p.endAll(t, at)
	}
	return p.err
}

// order is the tracks in the order of their sequences.
func (p *Perfetto) order() []*perfettoTrack {
	all := make([]*perfettoTrack, p.last)
	for _, t := range p.tracks {
		all[t.sequence-1] = t
	}
	var tracks []*perfettoTrack
	for _, t := range all {
		if t != nil {
			tracks = append(tracks, t)
		}
	}
	return tracks
}

// Close writes what is left. It does not close what is below.
func (p *Perfetto) Close() error {
	if len(p.waiting) > 0 {
		p.start(0)
	}
	return p.err
}

// start writes what comes first: how the trace's clock, the wall clock, relates to what readers take for their default.
func (p *Perfetto) start(time int64) {
	if p.started {
		return
	}
	p.started = true
	p.last++ // sequence 1: clocks, processes and counters
	var clocks message
	for _, id := range []uint64{clockRealtime, clockBoottime} {
		var clock message
		clock.varint(clockID, id)
		clock.varint(clockTime, uint64(max(time, 0)))
		clocks.sub(clocksClock, clock)
	}
	clocks.varint(clocksPrimary, clockRealtime)
	var m message
	m.sub(packetClocks, clocks)
	p.global(m, time)
	for _, n := range p.waiting {
		p.note(n, time)
	}
	p.waiting = nil
}

// at is the time of the next packet of a track: never before the last.
func (t *perfettoTrack) at(time int64) int64 {
	t.last = max(t.last, time, 0)
	if t.process != nil {
		t.process.last = max(t.process.last, t.last)
	}
	return t.last
}

// track is the track of an entry, described when it is first asked for.
func (p *Perfetto) track(e *tracebuf.Entry) *perfettoTrack {
	if t := p.tracks[e.Track.ID]; t != nil {
		return t
	}
	name := e.Track.Name
	if name == "" {
		name = fmt.Sprintf("track %d", e.Track.ID)
	}
	t := &perfettoTrack{info: e.Track, uuid: 1<<32 | uint64(e.Track.ID), last: e.Time}
	p.tracks[e.Track.ID] = t
	parent := uint64(0)
	if known, ok := p.d.Process(e.Track.Process); ok {
		parent = processUUID(e.Track.Process)
		t.process = p.process(e.Track.Process, known, e.Time)
	}
	p.describe(t, parent, name)
	return t
}

func (p *Perfetto) noteTrack() *perfettoTrack {
	if p.notes == nil {
		p.notes = &perfettoTrack{info: &tracebuf.TrackInfo{}, uuid: 2 << 32}
		p.describe(p.notes, 0, "logbuf")
	}
	return p.notes
}

// describe writes the first packet of a track's sequence.
func (p *Perfetto) describe(t *perfettoTrack, parent uint64, name string) {
	p.last++
	t.sequence = p.last
	var event, defaults message
	event.varint(eventTrack, t.uuid)
	defaults.sub(defaultsEvent, event)
	p.packet = p.packet[:0]
	p.packet.varint(packetSequence, uint64(t.sequence))
	p.packet.varint(packetFlags, flagCleared)
	p.packet.boolean(packetFirst, true)
	p.packet.sub(packetDefaults, defaults)
	p.packet.sub(packetDescriptor, descriptor(t.uuid, parent, name, true))
	p.flush()
}

// descriptor describes a track that is not to be shown as one with others of its name.
func descriptor(uuid, parent uint64, name string, alone bool) message {
	var m message
	m.varint(descriptorUUID, uuid)
	if parent != 0 {
		m.varint(descriptorParent, parent)
	}
	m.str(descriptorName, name)
	if alone {
		m.varint(descriptorMerge, mergeNone)
	}
	return m
}

func processUUID(id uint32) uint64 { return 3<<32 | uint64(id) }

func (p *Perfetto) process(id uint32, known tracebuf.Process, time int64) *perfettoProcess {
	if is := p.processes[id]; is != nil {
		return is
	}
	p.processes[id] = &perfettoProcess{}
	var m, process message
	process.varint(processPID, uint64(int32(known.PID)))
	process.str(processName, known.Name)
	m.varint(descriptorUUID, processUUID(id))
	m.sub(descriptorProcess, process)
	p.global(descriptorPacket(m), time)
	return p.processes[id]
}

func descriptorPacket(d message) (m message) {
	m.sub(packetDescriptor, d)
	return m
}

// global writes a packet of the first sequence.
func (p *Perfetto) global(content message, time int64) {
	p.time = max(p.time, time, 0)
	p.packet = p.packet[:0]
	p.packet.varint(packetSequence, 1)
	p.packet.varint(packetTimestamp, uint64(p.time))
	p.packet = append(p.packet, content...)
	p.flush()
}

// counter writes the value of a counter.
func (p *Perfetto) counter(t *perfettoTrack, at int64, e *tracebuf.Entry) {
	f := e.Fields[0]
	uuid := counterUUID(e)
	if !p.counters[uuid] {
		p.counters[uuid] = true
		parent := uint64(0)
		if t.process != nil {
			parent = processUUID(e.Track.Process)
		}
		m := descriptor(uuid, parent, e.Name, false)
		var unit message
		if n := counterUnits[f.Unit]; n > 0 {
			unit.varint(counterUnit, n)
		} else if f.Unit != "" {
			unit.str(counterUnitName, f.Unit)
		}
		m.sub(descriptorCounter, unit)
		p.global(descriptorPacket(m), at)
	}
	p.event, p.interned = p.event[:0], p.interned[:0]
	p.event.varint(eventType, typeCounter)
	p.event.varint(eventTrack, uuid)
	if f.Type == tracebuf.Float64 {
		p.event.double(eventCounterFloat, f.Float(e.Body, 0))
	} else {
		p.event.varint(eventCounter, uint64(f.Int(e.Body, 0)))
	}
	p.end(t, at)
}

// counterUUID is a counter's in its process; none is a track's.
func counterUUID(e *tracebuf.Entry) uint64 {
	h := fnv.New64a()
	h.Write(binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, e.Track.Process), e.ID))
	return h.Sum64() | 1<<63
}

// begin begins an event, end writes it in a packet.
func (p *Perfetto) begin(t *perfettoTrack, typ uint64, name string) {
	p.event, p.interned = p.event[:0], p.interned[:0]
	p.event.varint(eventType, typ)
	if name != "" {
		p.event.varint(eventNameID, p.intern(t, internNames, name))
	}
}

func (p *Perfetto) end(t *perfettoTrack, at int64) {
	p.packet = p.packet[:0]
	p.latest = max(p.latest, at)
	p.packet.varint(packetTimestamp, uint64(at))
	p.packet.varint(packetSequence, uint64(t.sequence))
	p.packet.varint(packetFlags, flagNeeds)
	if len(p.interned) > 0 {
		p.packet.sub(packetInterned, p.interned)
	}
	p.packet.sub(packetEvent, p.event)
	p.flush()
}

// flush writes the packet into the trace.
func (p *Perfetto) flush() {
	p.inner = p.inner[:0]
	p.inner.sub(tracePacket, p.packet)
	if p.err == nil {
		_, p.err = p.w.Write(p.inner)
	}
}
