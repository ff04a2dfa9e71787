package wsbuf

import (
	"errors"
	"slices"

	"github.com/gobwas/ws"
	"github.com/nexus-logbuf/logbuf/journal"
)

var errLongCompressed = errors.New("compressed message is longer than a record can be")

// unpacker inflates the compressed messages of one direction of a connection
// while they are recorded: it takes their frames, and records each message as
// one frame. What it cannot inflate it records as it came, with
// journal.FlagCompressed, and counts a gap for. Its memory is at most three
// times limit and 32 KiB for the window.
type unpacker struct {
	inflater
	limit  int                                     // bytes that a record can take
	record func(flags uint8, payload []byte) error // takes a frame to the lane
	gap    func(error)                             // is told of what stays compressed

	op   ws.OpCode // of the message in hand
	z    []byte    // its frames so far
	held bool      // there are any
	raw  bool      // it is recorded as it comes
}

// frame takes a frame of a compressed message.
func (u *unpacker) frame(op ws.OpCode, final bool, payload []byte) error {
	if op != ws.OpContinuation {
		u.op, u.z, u.held, u.raw = op, u.z[:0], false, false
	}
	if len(u.z)+len(payload) > u.limit {
		if err := u.giveUp(errLongCompressed); err != nil {
			return err
		}
	}
	if u.raw {
		return u.record(flagsOf(op, final)|journal.FlagCompressed, payload)
	}
	u.z, u.held = slices.Grow(append(u.z, payload...), len(flushTail)), true
	if !final {
		return nil
	}
	u.held = false
	out, err := u.inflate(u.z, u.limit)
	if err == nil {
		return u.record(flagsOf(u.op, true), out)
	}
	u.gap(err)
	return u.record(flagsOf(u.op, true)|journal.FlagCompressed, u.z)
}

// giveUp records what there is of the message in hand as it came, and so the
// rest of it.
func (u *unpacker) giveUp(why error) error {
	if u.raw {
		return nil
	}
	u.raw = true
	u.forget()
	u.gap(why)
	return u.flush()
}

// flush records the frames of a message whose end has not come, as one.
func (u *unpacker) flush() error {
	if !u.held {
		return nil
	}
	z := u.z
	u.z, u.held = u.z[:0], false
	return u.record(flagsOf(u.op, false)|journal.FlagCompressed, z)
}
