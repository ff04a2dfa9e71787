package wsbuf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"

	"github.com/gobwas/ws"
	"github.com/nexus-logbuf/logbuf/journal"
)

// defaultMessageLimit is the default of Messages.Limit.
const defaultMessageLimit = 64 << 20

// Messages reads an archive of frames as messages: fragments are joined, and
// what was recorded compressed is inflated, with or without context takeover.
// One goroutine.
//
// A message is given as a record: the opcode of its first frame, the number and
// the time of its last, journal.FlagFinal, and without journal.FlagCompressed.
// Records that are no data frames of a WebSocket come as they are: control
// frames, lines, other kinds.
//
// A message that refers to one that is missing is an error, a *MessageError, as
// long as the loss stands at its place. It does not where a producer lost records
// at more than 1024 places before the archiver came to the first of them; see
// package recorder, Ordinals.
//
// A stream must have the frames of one connection at a time, or of one after
// another: records do not say which connection they are from.
type Messages struct {
	// Limit is the largest message, bytes; it may be set before the first Next.
	// Default 64 MiB.
	Limit int

	r       *journal.Reader
	control bool  // the caller wants control records
	toTime  int64 // as in journal.ReaderOptions, of messages
	flows   map[flowKey]*flow
	pending journal.Record // to be looked at before the next record; Kind 0: none

	// Memory of the message that was given last, for the next one of any stream:
	// if each kept its own, a small archive of many streams could take all there is.
	joined, inflated []byte
	decoder          io.ReadCloser
}

// flowKey is one direction in one stream.
type flowKey struct {
	stream uint16
	out    uint8
}

// flow is what is known about one direction in one stream.
type flow struct {
	inflater
	open       bool // a message has begun
	broken     bool // its end is not wanted: the error was given
	compressed bool
	first      uint8 // the flags of its first frame
	buf        []byte
}

// MessageError is what Messages.Next returns once for a message that the archive
// does not have whole, or that cannot be inflated. The next call goes on behind
// it.
type MessageError struct {
	// Record has what there is: the payload as it was recorded, compressed if
	// journal.FlagCompressed says so. Valid until the next call.
	Record journal.Record
	Err    error // why
}

func (e *MessageError) Error() string {
	return fmt.Sprintf("wsbuf: record %d ends a message that cannot be read: %v", e.Record.Seq, e.Err)
}

// Unwrap gives the cause.
func (e *MessageError) Unwrap() error { return e.Err }

// Causes of a MessageError; another is the decoder's.
var (
	errNoEnd    = errors.New("its end is missing")
	errFrameGap = errors.New("records are missing in it, or may be")
	errLongRead = errors.New("it is longer than Messages.Limit")
)

// OpenMessages opens an archive for reading messages; see journal.OpenReader for
// options and errors. Control records are given only if the options ask for
// them, and with them the handshakes (KindHandshake). Messages cannot be had in
// the order of time: with a Window it is an error.
func OpenMessages(dir string, opts *journal.ReaderOptions) (*Messages, error) {
	var o journal.ReaderOptions
	if opts != nil {
		o = *opts
	}
	if o.Window != 0 {
		return nil, fmt.Errorf("wsbuf: ReaderOptions.Window is %v: frames are put together in the order in which they were written; use 0", o.Window)
	}
	control, toTime := o.Control, o.ToTime
	// Messages must see each record, losses above all: a window that lacks
	// something unnoticed would give wrong text.
	o.Control, o.ToTime = true, 0
	r, err := journal.OpenReader(dir, &o)
	if err != nil {
		return nil, err
	}
	return &Messages{r: r, control: control, toTime: toTime, flows: map[flowKey]*flow{}}, nil
}

// Reader is the archive's reader, for the names of its streams and the like.
func (m *Messages) Reader() *journal.Reader { return m.r }

// Close closes the archive's reader.
func (m *Messages) Close() error { return m.r.Close() }

// Next returns the next message. Its payload is valid until the next call. The
// errors are those of journal.Reader.Next, io.EOF at the end among them, and
// *MessageError.
func (m *Messages) Next(ctx context.Context) (journal.Record, error) {
	for {
		rec := m.pending
		m.pending.Kind = 0
		if rec.Kind == 0 {
			var err error
			if rec, err = m.r.Next(ctx); err != nil {
				return rec, m.interrupted(err)
			}
		}
		msg, ok, err := m.add(rec)
		if ok && m.toTime != 0 && msg.Kind < journal.KindStream && msg.Time > m.toTime {
			continue
		}
		if err != nil || ok {
			return msg, err
		}
	}
}

// All gives all messages, to the end; an error that is no *MessageError is the
// last.
func (m *Messages) All() iter.Seq2[journal.Record, error] {
	return func(yield func(journal.Record, error) bool) {
		for {
			msg, err := m.Next(context.Background())
			if err == io.EOF {
				return
			}
			if !yield(msg, err) {
				return
			}
			var unread *MessageError
			if err != nil && !errors.As(err, &unread) {
				return
			}
		}
	}
}

// interrupted forgets what went before where the reader reports a gap or goes
// back.
func (m *Messages) interrupted(err error) error {
	var gap *journal.GapError
	var again *journal.ReissueError
	if errors.As(err, &gap) || errors.As(err, &again) {
		for _, f := range m.flows {
			f.cut()
		}
	}
	return err
}

// add takes a record. ok says that msg is to be given.
func (m *Messages) add(rec journal.Record) (msg journal.Record, ok bool, err error) {
	switch {
	case rec.Kind == journal.KindLoss:
		return rec, m.control, m.lost(rec)
	case rec.Kind >= journal.KindStream:
		return rec, m.control, nil
	case rec.Kind == KindHandshake:
		f := m.flow(rec)
		if f.open {
			m.pending = rec
			return msg, false, m.unread(f, rec, errNoEnd)
		}
		f.broken = false
		f.forget()
		return rec, m.control, nil
	case rec.Kind != journal.KindData || ws.OpCode(rec.Flags&journal.FlagSourceMask).IsControl():
		return rec, true, nil
	}
	return m.data(m.flow(rec), rec)
}

func (m *Messages) flow(rec journal.Record) *flow {
	key := flowKey{rec.Stream, rec.Flags & outbound}
	f := m.flows[key]
	if f == nil {
		f = &flow{}
		m.flows[key] = f
	}
	return f
}

// data takes a data frame.
func (m *Messages) data(f *flow, rec journal.Record) (msg journal.Record, ok bool, err error) {
	op, final := rec.Flags&journal.FlagSourceMask, rec.Flags&journal.FlagFinal != 0
	switch {
	case op != 0 && f.open:
		m.pending = rec
		return msg, false, m.unread(f, rec, errNoEnd)
	case op != 0:
		f.broken, f.first, f.compressed = false, rec.Flags, rec.Flags&journal.FlagCompressed != 0
		if final && !f.compressed {
			return rec, true, nil
		}
		f.buf, m.joined = m.joined[:0], nil
	case f.broken:
		return msg, false, nil
	case !f.open: // nothing of a WebSocket, or the message began before the first record
		return rec, true, nil
	}
	f.open = !final
	if limit := m.limit(); len(f.buf)+len(rec.Payload) > limit {
		return msg, false, m.unread(f, rec, fmt.Errorf("%w: %d bytes", errLongRead, limit))
	}
	f.buf = slices.Grow(append(f.buf, rec.Payload...), len(flushTail))
	if f.open {
		return msg, false, nil
	}
	payload := f.buf
	if f.compressed {
		f.decoder, f.out = m.decoder, m.inflated
		payload, err = f.inflate(f.buf, m.limit())
		f.decoder, m.decoder = nil, f.decoder
		f.out, m.inflated = nil, f.out
		if err != nil {
			return msg, false, m.unread(f, rec, err)
		}
	}
	f.buf, m.joined = nil, f.buf
	rec.Flags, rec.Payload = f.first&^journal.FlagCompressed|journal.FlagFinal, payload
	return rec, true, nil
}

func (m *Messages) limit() int {
	if m.Limit > 0 {
		return m.Limit
	}
	return defaultMessageLimit
}

// unread gives up on the message in hand.
func (m *Messages) unread(f *flow, rec journal.Record, why error) error {
	rec.Kind, rec.Flags, rec.Payload = journal.KindData, f.first&^journal.FlagFinal, f.buf
	f.cut()
	return &MessageError{Record: rec, Err: why}
}

// cut forgets the window, and the message in hand.
func (f *flow) cut() {
	f.forget()
	f.buf = nil
	f.open, f.broken = false, f.broken || f.open
}

// lost is told of a loss: what follows may refer to what is missing.
func (m *Messages) lost(rec journal.Record) error {
	for _, out := range []uint8{0, outbound} {
		f := m.flows[flowKey{rec.Stream, out}]
		if f == nil {
			continue
		}
		if f.open {
			m.pending = rec
			return m.unread(f, rec, errFrameGap)
		}
		f.forget()
	}
	return nil
}
