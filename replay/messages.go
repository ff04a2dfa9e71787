package replay

import "github.com/nexus-logbuf/logbuf/journal"

// messages knows, for each stream and direction, the message whose fragments are being taken: whether it is delivered.
type messages map[uint32]bool

// keep tells whether to deliver rec, when by itself it would be delivered or not as on says. Fragments of a message share the fate of the
// first one; control frames between them have their own.
func (m messages) keep(rec journal.Record, on bool) bool {
	if rec.Kind != journal.KindData {
		return on
	}
	key := uint32(rec.Stream)<<1 | uint32(rec.Flags&journal.FlagOutbound)/uint32(journal.FlagOutbound)
	final := rec.Flags&journal.FlagFinal != 0
	switch rec.Flags & journal.FlagSourceMask {
	case opContinuation:
		if fate, open := m[key]; open {
			on = fate
		}
		if final {
			delete(m, key)
		}
	case opText, opBinary:
		delete(m, key)
		if !final {
			m[key] = on
		}
	}
	return on
}

// WebSocket opcodes of data, as source codes of records.
const (
	opContinuation = 0
	opText         = 1
	opBinary       = 2
)
