package serve

import (
	"fmt"
	"unicode/utf8"

	"github.com/gobwas/ws"
	"github.com/nexus-logbuf/logbuf/journal"
)

// Counts are what became of a stream's records.
type Counts struct {
	Frames  uint64 // sent as frames
	Skipped uint64 // not sent: fragments whose message did not begin, close frames before the end, what is no frame
	Cut     uint64 // messages that were ended early, because their last fragment never came
}

// frames turns records of one stream into a sequence of frames that a client can accept, wherever the records begin and whatever is missing
// between them.
type frames struct {
	emit      func(op ws.OpCode, final bool, payload []byte) error
	webSocket bool   // continuations need a beginning; otherwise the records come from a byte stream, and each is a message
	open      bool   // a message was begun
	goodbye   []byte // payload of the recorded close frame, sent if nothing comes after it
	closed    bool   // there is one
	counts    Counts
}

// take sends one record, or says why it cannot be.
func (f *frames) take(rec journal.Record) error {
	if f.closed { // the recording went on with another connection
		f.closed = false
		f.counts.Skipped++
	}
	op, final := ws.OpCode(rec.Flags&journal.FlagSourceMask), rec.Flags&journal.FlagFinal != 0
	switch {
	case rec.Kind != journal.KindData:
		f.counts.Skipped++
		return nil
	case rec.Flags&journal.FlagCompressed != 0:
		return fmt.Errorf("record %d is compressed as it was received; a client that has not agreed to that cannot be given it", rec.Seq)
	case op.IsReserved() || op.IsControl() && (!final || len(rec.Payload) > ws.MaxControlFramePayloadSize):
		f.counts.Skipped++
		return nil
	case op == ws.OpClose:
		f.closed, f.goodbye = true, append(f.goodbye[:0], rec.Payload...)
		return nil
	case op.IsControl():
		return f.send(op, true, rec.Payload)
	case op == ws.OpContinuation && !f.open:
		if f.webSocket {
			f.counts.Skipped++
			return nil
		}
		op = messageType(final, rec.Payload)
	case op != ws.OpContinuation && f.open:
		if err := f.cut(); err != nil {
			return err
		}
	}
	f.open = !final
	return f.send(op, final, rec.Payload)
}

// messageType is what a record of a byte stream is sent as. Pieces may be cut within a character, so they are binary.
func messageType(final bool, payload []byte) ws.OpCode {
	if final && utf8.Valid(payload) {
		return ws.OpText
	}
	return ws.OpBinary
}

// cut ends the message that is open.
func (f *frames) cut() error {
	if !f.open {
		return nil
	}
	f.open = false
	f.counts.Cut++
	return f.emit(ws.OpContinuation, true, nil)
}

func (f *frames) send(op ws.OpCode, final bool, payload []byte) error {
	f.counts.Frames++
	return f.emit(op, final, payload)
}

// end is the payload of the close frame to end with: the recorded one, if it is one that may be sent.
func (f *frames) end() []byte {
	if f.closed {
		f.closed = false
		f.counts.Frames++
		if validClose(f.goodbye) {
			return f.goodbye
		}
	}
	return ws.NewCloseFrameBody(ws.StatusNormalClosure, "the replay has ended")
}

func validClose(payload []byte) bool {
	if len(payload) < 2 {
		return len(payload) == 0
	}
	code, reason := ws.ParseCloseFrameData(payload)
	return ws.CheckCloseFrameData(code, reason) == nil
}
