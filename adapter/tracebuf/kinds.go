package tracebuf

// Kinds of the records in an archive, of the user kinds of package journal.
const (
	KindDefine  = 0x10 // what others mean: read by Decoder.Learn
	KindEvent   = 0x11 // an event at a time
	KindBegin   = 0x12 // a span begins
	KindEnd     = 0x13 // a span ends
	KindCounter = 0x14 // a counter has a value
	KindSample  = 0x15 // a stack was found
)

// IsKind says whether a record of that kind is one of this package's.
func IsKind(kind uint8) bool { return kind >= KindDefine && kind <= KindSample }

// version is the version byte of definitions.
const version = 1

// What a definition defines.
const (
	defProcess = 1
	defTrack   = 2
	defEvent   = 3
	defCounter = 4
	defStack   = 5
)

// Lengths of what is before the body.
const (
	defineLen  = 8  // version, what, 0, id
	eventLen   = 8  // event, track
	spanLen    = 16 // event, track, span, parent
	counterLen = 16 // counter, track, value
	sampleLen  = 24 // track, count, stack, weight
)

// Limits of what is registered.
const (
	maxBody   = 4096 // bytes of an event
	maxFields = 512  // of an event, the elements of an array of numbers counted once
	maxName   = 255  // bytes
)
