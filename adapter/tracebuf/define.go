package tracebuf

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/nexus-logbuf/logbuf/journal"
)

// Process is a run of a program that wrote telemetry: one Tracer.
type Process struct {
	Name  string
	PID   uint32
	Start int64 // when the Tracer was made, ns since the Unix epoch
}

// TrackInfo is a time line, as the archive describes it.
type TrackInfo struct {
	ID      uint32
	Name    string
	Shared  bool   // written to by several goroutines: its spans may overlap
	Process uint32 // which one, see Decoder.Process
}

// Frame is a call in a stack.
type Frame struct {
	Function string
	File     string
	Line     uint32
}

// event and counter are what a Decoder keeps of their definitions.
type event struct {
	name   string
	size   int
	fields []Field
}

type counter struct {
	field Field // its name and unit, and how to read the value
}

// appendDefine begins a definition.
func appendDefine(what uint8, id uint32) []byte {
	return binary.LittleEndian.AppendUint32([]byte{version, what, 0, 0}, id)
}

func appendString(b []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint16(b, uint16(len(s))), s...)
}

// hashed sets the id of a definition to its hash.
func hashed(def []byte) ([]byte, uint32) {
	id := uint32(hashOf(def[1], def[defineLen:]))
	binary.LittleEndian.PutUint32(def[4:], id)
	return def, id
}

// hashOf is the first 8 bytes of SHA-256 over the what and a definition's rest.
func hashOf(what uint8, rest []byte) uint64 {
	sum := sha256.Sum256(append([]byte{what}, rest...))
	return binary.LittleEndian.Uint64(sum[:])
}

func defineProcess(id uint32, p Process) []byte {
	b := appendDefine(defProcess, id)
	b = binary.LittleEndian.AppendUint64(b, uint64(p.Start))
	b = binary.LittleEndian.AppendUint32(b, p.PID)
	return appendString(b, p.Name)
}

func defineTrack(t TrackInfo) []byte {
	b := appendDefine(defTrack, t.ID)
	b = binary.LittleEndian.AppendUint32(b, t.Process)
	shared := byte(0)
	if t.Shared {
		shared = 1
	}
	return appendString(append(b, shared), t.Name)
}

func defineEvent(name string, l *layout) ([]byte, uint32) {
	b := appendDefine(defEvent, 0)
	b = binary.LittleEndian.AppendUint16(b, uint16(l.size))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(l.fields)))
	b = appendString(b, name)
	for _, f := range l.fields {
		b = append(b, byte(f.Type))
		b = binary.LittleEndian.AppendUint16(b, uint16(f.Offset))
		b = binary.LittleEndian.AppendUint16(b, uint16(f.Len))
		b = appendString(b, f.Name)
		b = appendString(b, f.Unit)
	}
	return hashed(b)
}

func defineCounter(typ Type, name, unit string) ([]byte, uint32) {
	b := append(appendDefine(defCounter, 0), byte(typ))
	return hashed(appendString(appendString(b, name), unit))
}

func defineStack(frames []Frame) (def []byte, id uint64) {
	b := appendDefine(defStack, 0)
	b = append(b, make([]byte, 8)...)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(frames)))
	for _, f := range frames {
		b = binary.LittleEndian.AppendUint32(b, f.Line)
		b = appendString(b, f.Function)
		b = appendString(b, f.File)
	}
	id = hashOf(defStack, b[defineLen+8:])
	binary.LittleEndian.PutUint64(b[defineLen:], id)
	return b, id
}

// cutter takes a definition apart. The first thing that is missing is its err,
// and everything behind that is zero.
type cutter struct {
	b   []byte
	err error
}

var errShort = errors.New("it ends too early")

func (c *cutter) take(n int) []byte {
	if len(c.b) < n {
		c.b, c.err = nil, errShort
		return make([]byte, n)
	}
	b := c.b[:n]
	c.b = c.b[n:]
	return b
}

func (c *cutter) u8() uint8   { return c.take(1)[0] }
func (c *cutter) u16() uint16 { return binary.LittleEndian.Uint16(c.take(2)) }
func (c *cutter) u32() uint32 { return binary.LittleEndian.Uint32(c.take(4)) }
func (c *cutter) u64() uint64 { return binary.LittleEndian.Uint64(c.take(8)) }

func (c *cutter) str() string {
	n := int(c.u16())
	if n > len(c.b) {
		c.b, c.err = nil, errShort
		return ""
	}
	s := string(c.take(n))
	if !utf8.ValidString(s) && c.err == nil {
		c.err = errors.New("it has a name that is not UTF-8")
	}
	return s
}

// end is the error, also for bytes behind the end.
func (c *cutter) end() error {
	if c.err == nil && len(c.b) > 0 {
		c.err = fmt.Errorf("it has %d bytes too many", len(c.b))
	}
	return c.err
}

// event reads the definition of an event. Its fields are inside its body.
func (c *cutter) event() (*event, error) {
	e := &event{size: int(c.u16())}
	n := int(c.u16())
	e.name = c.str()
	for range n {
		f := Field{Type: Type(c.u8()), Offset: int(c.u16()), Len: int(c.u16())}
		f.Name, f.Unit = c.str(), c.str()
		if c.err != nil {
			break
		}
		if f.Type.Size() == 0 || f.Offset+f.size() > e.size || f.Type == Text && f.Len == 0 {
			return nil, fmt.Errorf("field %.80q, %s of %d at %d, is outside the body of %d bytes", f.Name, f.Type, f.Len, f.Offset, e.size)
		}
		e.fields = append(e.fields, f)
	}
	return e, c.end()
}

func (c *cutter) counter() (*counter, error) {
	typ := Type(c.u8())
	k := &counter{field: Field{Name: c.str(), Unit: c.str(), Type: typ, Offset: eventLen}}
	if c.err == nil && typ != Int64 && typ != Float64 {
		return nil, fmt.Errorf("a counter of type %s", typ)
	}
	return k, c.end()
}

func (c *cutter) stack() ([]Frame, error) {
	n := int(c.u16())
	var frames []Frame
	for range n {
		f := Frame{Line: c.u32()}
		f.Function, f.File = c.str(), c.str()
		if c.err != nil {
			break
		}
		frames = append(frames, f)
	}
	return frames, c.end()
}

// badRecord is the error for a record that says it is telemetry and is not.
func badRecord(rec journal.Record, format string, args ...any) error {
	return fmt.Errorf("tracebuf: record %d of kind %#x, %d bytes: %w", rec.Seq, rec.Kind, len(rec.Payload), fmt.Errorf(format, args...))
}
