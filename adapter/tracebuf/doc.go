// Package tracebuf writes typed telemetry into an archive: events of a fixed
// layout, spans, counters and samples of stacks, each in tens of nanoseconds
// and without allocation, and with them what a reader needs to know to decode
// them.
//
//	type Order struct {
//		ID    uint64
//		Price int64 `trace:"price,unit=ticks"`
//		Size  uint32
//		Buy   bool
//	}
//
//	tracer, err := tracebuf.New(rec, nil)                       // rec is a *recorder.Recorder
//	order, err := tracebuf.Register[Order](tracer, "order")     // checks the type, once
//	parse, err := tracebuf.Register[struct{}](tracer, "parse")
//	track, err := tracer.Track("gateway", nil)                  // one per goroutine
//
//	span := parse.Begin(track, struct{}{})
//	order.Emit(track, Order{ID: 7, Price: 100, Size: 3, Buy: true})
//	span.End()
//
// `logbuf export --format perfetto` makes a trace for ui.perfetto.dev of an
// archive, `logbuf export --format csv --event order` a table of one type.
//
// # Who may call what
//
// A Track is the time line that spans nest on, with a producer of its own
// (package recorder) and so a lane of its own. It is for one goroutine at a
// time, unless it was made with ProducerOptions.Shared; a shared track's spans
// may overlap. Tracer, Event, Counter and Decoder's lookups are described at
// their types; an Event or a Counter may be used from any goroutine, each with
// its own Track.
//
// # Layout
//
// The type of an event is a struct of fields of fixed size: bool, int8 to
// int64, uint8 to uint64, float32, float64, arrays and structs of them, and
// types made of those, such as time.Duration. int, uint and uintptr have
// different sizes on different machines, and pointers, strings, slices, maps,
// interfaces, channels, functions and complex numbers have no fixed layout:
// Register returns an error that names the field. A struct without fields is
// an event without data. At most 4096 bytes, 512 fields.
//
// On the wire an event is what encoding/binary writes for the type in
// little-endian order: the fields in their order, nothing between them, a bool
// as one byte, blank fields (_) as zeros. So
//
//	var o Order
//	n, err := binary.Decode(entry.Body, binary.LittleEndian, &o)
//
// reads it back, in a program that has the type. A type whose memory looks like
// that on a little-endian machine, that is without gaps and blank fields, is
// copied in one piece. In another one the fields are copied piece by piece, so
// that no byte between them, which may be anything, gets into the archive; on a
// big-endian machine each one is turned round. Order fields by size, largest
// first, to have no gaps but at the end.
//
// Fields are named after the Go field; `trace:"name"` renames one, and
// `trace:"name,unit=ms"` or `trace:",unit=ms"` gives it a unit. `trace:",text"`
// says that an array of uint8 holds text, up to the first zero. A
// time.Duration has the unit ns. Fields of a nested struct are named
// outer.inner, elements of an array of structs outer[0].inner.
//
// # Records
//
// All numbers are little-endian. Each record begins with the recorder's
// timestamp, which is not part of the payload. Kinds 0x10 to 0x16:
//
//	0x10 definition   u8 version = 1 · u8 what · u16 0 · u32 id · what it defines, see below
//	0x11 event        u32 event · u32 track · body
//	0x12 begin        u32 event · u32 track · u32 span · u32 parent span or 0 · body
//	0x13 end          u32 event · u32 track · u32 span · u32 parent span or 0
//	0x14 counter      u32 counter · u32 track · 8 bytes, int64 or float64
//	0x15 sample       u32 track · u32 count · u64 stack · i64 weight
//
// The definitions:
//
//	1 process   id is the number of its first track · i64 start, ns since 1970 · u32 pid · str name
//	2 track     id is its number · u32 process · u8 1 if shared · str name
//	3 event     id is its hash · u16 bytes of body · u16 fields · str name ·
//	            and for each field u8 type · u16 offset · u16 elements, 0: no array · str name · str unit
//	4 counter   id is its hash · u8 type, of a field · str name · str unit
//	5 stack     id is 0 · u64 its hash · u16 frames, the innermost first ·
//	            and for each u32 line · str function · str file
//
// str is a u16 length and that many bytes of UTF-8. The hash is the first bytes
// of SHA-256 over the what and all that comes behind the id (or behind the hash,
// of a stack). So an id means the same layout in every run and every archive,
// whatever happened to the type since; Register refuses a second definition
// with the hash of another one, and a Decoder one whose hash is not its id. The
// numbers of tracks count up from a random one in each Tracer.
//
// # Self-describing, also when trimmed
//
// A definition is written when it is made, and all of them are written again
// every 10 s in which something else was, and by Tracer.Close. Nothing of that
// waits for the disk: a definition that finds its lane full is offered again
// until it is taken. So behind each event its definition comes within 10 s, or
// the trace ends there; and trimming (retention) takes from the front of an
// archive. Whatever events are left, their definitions are.
//
// A definition can come behind the events it describes: it travels in a lane of
// its own, and trimming may have taken the first. Who reads an archive from its
// beginning gives a Decoder all definitions first (Learn), in a pass of their
// own, as the tool does; who follows one skips what is ErrUndefined.
//
// # Losses
//
// Overload is the business of the track's producer: ProducerOptions.Overload.
// With the default, OverloadDrop, an event that finds the lane full is lost,
// counted and told to readers by a loss record of the track's stream; Emit
// returns queue.ErrFull, which can be ignored then. A Begin that is lost makes
// an End that does nothing; an End that is lost leaves a span that readers end
// with its parent, or with the next thing that can only come after it: each
// begin names its parent. A crash leaves spans without an end: those were open.
//
// # Time
//
// A record has the wall clock of when the Tracer was made plus the monotonic
// time since, which costs one reading of one clock. Every 10 s the Tracer looks
// whether the wall clock is off by 50 ms or more, because it was set or the
// machine slept, and follows it: a span that was open then is that much too
// long, or ends before it begins. Recorder.Stats counts such steps, and the
// archive has a clock record of each.
package tracebuf
