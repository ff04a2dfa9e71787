package export

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"
)

// Blocks and options of pcapng (draft-ietf-opsawg-pcapng).
const (
	blockSection    = 0x0A0D0D0A
	blockInterface  = 1
	blockStatistics = 5
	blockPacket     = 6

	optEnd            = 0
	optComment        = 1
	optUserApp        = 4 // of a section
	optInterfaceName  = 2
	optInterfaceTicks = 9
	optPacketFlags    = 2
	optPacketDrops    = 4
	optPacketID       = 5
	optStatReceived   = 4
	optStatDropped    = 5

	linkTypeUser0 = 147
	ticksNano     = 9 // 10^-9 s

	// Wireshark takes no longer packet.
	maxPacket  = 256 << 10
	maxComment = 4096 // bytes; an option takes 65535
)

// pcapng writes a capture with one interface for each stream.
//
//	┌─────────┬─────────────┬──────────────┬─────────────┬──────────────┬───┬─────────────┬───┐
//	│ section │ interface 0 │ packet of 0  │ interface 1 │ packet of 1  │ … │ statistics  │ … │
//	│         │ if_name     │ time, length │             │              │   │ of 0        │   │
//	│         │ if_tsresol 9│ payload      │             │              │   │ received,   │   │
//	│         │             │ flags, id, … │             │              │   │ dropped     │   │
//	└─────────┴─────────────┴──────────────┴─────────────┴──────────────┴───┴─────────────┴───┘
//
// A record is an enhanced packet block: link type USER0, sequence in epb_packetid, direction in epb_flags, what the flags of the record say
// in a comment. Records longer than 256 KiB, which Wireshark does not take, are several packets with the same id. What was lost before a
// packet is in its epb_dropcount and a comment; what was lost after the last packet of a stream in the statistics of its interface.
type pcapng struct {
	w          io.Writer
	interfaces map[string]*iface
	order      []*iface
	notes      []string // about gaps, for the next packet of any stream
	last       int64    // latest time
	buf        []byte
	err        error
}

// iface is an interface: a stream.
type iface struct {
	id       uint32
	received uint64 // packets
	dropped  uint64
	pending  uint64 // dropped since the last packet
	notes    []string
}

// NewPcapng writes pcapng to w, one write for each block. Nothing but the longest record and the streams' names is kept in memory.
func NewPcapng(w io.Writer) Writer {
	p := &pcapng{w: w, interfaces: make(map[string]*iface)}
	p.begin(blockSection)
	p.u32(0x1A2B3C4D) // byte order
	p.buf = append(p.buf, 1, 0, 0, 0)
	p.u64(^uint64(0)) // length of the section: not given
	p.option(optUserApp, []byte("logbuf"))
	p.end()
	return p
}

func (p *pcapng) Write(r *Row) error {
	switch {
	case p.err != nil:
	case r.Kind == "gap":
		p.notes = note(p.notes, describeGap(r))
	case r.missing():
		i := p.iface(r)
		i.pending += r.Loss.Records
		i.dropped += r.Loss.Records
		i.notes = note(i.notes, describeLoss(r.Loss))
	case r.Kind == "mark":
		i := p.iface(r)
		i.notes = note(i.notes, "mark: "+string(r.Payload))
	default:
		p.packet(r)
	}
	return p.err
}

// note adds a comment, of bounded number and length: a stream that loses and never delivers must not fill the memory.
func note(notes []string, text string) []string {
	const most = 16
	if len(notes) == most {
		notes[most-1] = "and more"
		return notes
	}
	return append(notes, strings.ToValidUTF8(text[:min(len(text), maxComment)], "\uFFFD"))
}

func describeGap(r *Row) string {
	if r.Loss.Records == 0 {
		return fmt.Sprintf("records from %d on are missing: %s", r.Seq, r.Loss.Reason)
	}
	return fmt.Sprintf("records %d to %d are missing: %s", r.Seq, r.Seq+r.Loss.Records-1, r.Loss.Reason)
}

func describeLoss(l *Loss) string {
	if l.Records == 0 {
		return fmt.Sprintf("lost here: an unknown number of records (%s)", l.Reason)
	}
	return fmt.Sprintf("lost here: %d records, %d bytes (%s), from %s to %s", l.Records, l.Bytes, l.Reason, formatTime(l.From), formatTime(l.To))
}

// packet writes a record as one packet, or several.
func (p *pcapng) packet(r *Row) {
	i := p.iface(r)
	parts := max(1, (len(r.Payload)+maxPacket-1)/maxPacket)
	for n := range parts {
		part := r.Payload[n*maxPacket : min((n+1)*maxPacket, len(r.Payload))]
		comments := describe(r)
		if parts > 1 {
			comments = append(comments, fmt.Sprintf("part %d of %d of a record of %d bytes", n+1, parts, len(r.Payload)))
		}
		if n == 0 {
			comments = append(append(comments, i.notes...), p.notes...)
			i.notes, p.notes = i.notes[:0], p.notes[:0]
		}
		p.part(i, r, part, comments)
		i.pending = 0
	}
}

func (p *pcapng) part(i *iface, r *Row, payload []byte, comments []string) {
	p.begin(blockPacket)
	p.u32(i.id)
	p.time(r.Time)
	p.u32(uint32(len(payload)))
	p.u32(uint32(len(payload)))
	p.bytes(payload)
	for _, c := range comments {
		p.option(optComment, []byte(c))
	}
	direction := []byte{1, 0, 0, 0} // inbound
	if r.Outbound {
		direction[0] = 2
	}
	p.option(optPacketFlags, direction)
	if i.pending > 0 {
		p.option(optPacketDrops, binary.LittleEndian.AppendUint64(nil, i.pending))
	}
	p.option(optPacketID, binary.LittleEndian.AppendUint64(nil, r.Seq))
	p.end()
	i.received++
}

// describe says what pcapng has no field for.
func describe(r *Row) []string {
	var words []string
	if r.Kind != "data" {
		words = append(words, r.Kind)
	}
	if r.Opcode != "" {
		words = append(words, r.Opcode)
	} else if r.Code != 0 {
		words = append(words, fmt.Sprintf("code %d", r.Code))
	}
	if r.Code != 0 && !r.Final {
		words = append(words, "not final")
	}
	if r.Code == 0 && r.Final {
		words = append(words, "final")
	}
	if r.Compressed {
		words = append(words, "compressed as received")
	}
	if r.Truncated {
		words = append(words, "cut by a limit")
	}
	if r.Time < 0 {
		words = append(words, "time "+formatTime(r.Time))
	}
	if len(words) == 0 {
		return nil
	}
	return []string{strings.Join(words, ", ")}
}

// iface is the interface of a row's stream, made when it is first asked for.
func (p *pcapng) iface(r *Row) *iface {
	name := r.Stream
	if name == "" {
		name = "-"
	}
	i := p.interfaces[name]
	if i != nil {
		return i
	}
	i = &iface{id: uint32(len(p.order))}
	p.interfaces[name] = i
	p.order = append(p.order, i)
	p.begin(blockInterface)
	p.buf = binary.LittleEndian.AppendUint16(p.buf, linkTypeUser0)
	p.buf = append(p.buf, 0, 0)
	p.u32(0) // no limit to a packet's length
	p.option(optInterfaceName, []byte(name))
	p.option(optInterfaceTicks, []byte{ticksNano})
	p.end()
	return i
}

func (p *pcapng) Close() error {
	for n, i := range p.order {
		p.begin(blockStatistics)
		p.u32(i.id)
		p.time(p.last)
		for _, c := range i.notes {
			p.option(optComment, []byte(c))
		}
		if n == 0 {
			for _, c := range p.notes {
				p.option(optComment, []byte(c))
			}
		}
		p.option(optStatReceived, binary.LittleEndian.AppendUint64(nil, i.received))
		p.option(optStatDropped, binary.LittleEndian.AppendUint64(nil, i.dropped))
		p.end()
	}
	return p.err
}

// time writes a time as two halves, the high one first. Times before 1970 cannot be said: they are 0, and a comment has them.
func (p *pcapng) time(ns int64) {
	t := uint64(max(ns, 0))
	p.last = max(p.last, ns)
	p.u32(uint32(t >> 32))
	p.u32(uint32(t))
}

func (p *pcapng) begin(block uint32) {
	p.buf = binary.LittleEndian.AppendUint32(p.buf[:0], block)
	p.u32(0) // total length
}

func (p *pcapng) u32(v uint32) { p.buf = binary.LittleEndian.AppendUint32(p.buf, v) }
func (p *pcapng) u64(v uint64) { p.buf = binary.LittleEndian.AppendUint64(p.buf, v) }

// bytes writes b and zeros up to a multiple of 4.
func (p *pcapng) bytes(b []byte) {
	p.buf = append(p.buf, b...)
	p.buf = append(p.buf, 0, 0, 0)[:len(p.buf)+(-len(b)&3)]
}

func (p *pcapng) option(code uint16, value []byte) {
	p.buf = binary.LittleEndian.AppendUint16(p.buf, code)
	p.buf = binary.LittleEndian.AppendUint16(p.buf, uint16(len(value)))
	p.bytes(value)
}

// end closes the options and writes the block out.
func (p *pcapng) end() {
	p.option(optEnd, nil)
	p.u32(uint32(len(p.buf) + 4))
	binary.LittleEndian.PutUint32(p.buf[4:], uint32(len(p.buf)))
	if p.err == nil {
		_, p.err = p.w.Write(p.buf)
	}
}
