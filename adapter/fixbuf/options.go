package fixbuf

import (
	"fmt"
	"math/bits"

	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// Kinds of records beside journal.KindData, which is a message.
const (
	KindBadSum  = 0x20 // a whole message whose CheckSum is wrong
	KindSkipped = 0x21 // bytes that are no message; without journal.FlagFinal the next record goes on with them
)

// Options are the options of NewRecorder. Nil or a zero field is the default.
type Options struct {
	// LaneSize is the size in bytes of each session's lane, for both directions, at
	// least 4 KiB. Default: 1 MiB for the first 16 sessions, which lasts for the
	// burst of an engine that resends a day, and 128 KiB for each further one, so
	// that 500 sessions take 76.5 MiB; a session also gets 128 KiB when the recorder
	// has no memory for more.
	//
	// The longest message that is recorded as one is a quarter of the lane, by
	// default 32 KiB; a longer one is recorded in pieces of KindSkipped. A tap
	// holds at most so much of a message that has not come whole, for each
	// direction.
	LaneSize int

	// MaxSessions is how many sessions there may be, since the peer chooses their
	// names; default 1000. Messages of further ones are not recorded, and
	// Stats.Unrecorded counts them.
	MaxSessions int

	// Overload is what happens to a message that finds its lane full; default
	// recorder.OverloadDrop. With OverloadWait, reading and writing the
	// connection wait. It is also what happens to the first messages of a session
	// whose stream a busy disk does not let the archiver make: with OverloadWait they
	// wait, else for one second at most, and those behind it are lost until it is made.
	Overload recorder.Overload

	// Urgent makes the sessions' streams urgent, see recorder.ProducerOptions.
	Urgent bool

	// OnGap is called when a sender's MsgSeqNum is higher than expected, from the
	// goroutine that brought the message, with no lock held. Nil: nobody is told;
	// SessionStats counts in any case.
	OnGap func(Gap)
}

// Gap is numbers that are missing on the wire.
type Gap struct {
	Session string // name of the session
	Sender  string // CompID of the side whose messages are missing
	Missing Range  // their MsgSeqNum
}

// Defaults and limits of Options.
const (
	DefaultMaxMessage  = 32 << 10
	DefaultMaxSessions = 1000

	firstLaneSize   = 1 << 20 // by default, of the first sessions
	firstSessions   = 16
	furtherLaneSize = 128 << 10

	minLaneSize = 4 << 10
)

// withDefaults returns a copy with every field set. Nonsense is a programmer's
// mistake and panics with the numbers.
func (o *Options) withDefaults() Options {
	var c Options
	if o != nil {
		c = *o
	}
	if c.MaxSessions == 0 {
		c.MaxSessions = DefaultMaxSessions
	}
	if c.LaneSize != 0 && c.LaneSize < minLaneSize || c.MaxSessions < 0 || c.MaxSessions > journal.MaxStream {
		panic(fmt.Sprintf("fixbuf: Options.LaneSize %d, MaxSessions %d: must be at least %d, and 1 to %d", c.LaneSize, c.MaxSessions, minLaneSize, journal.MaxStream))
	}
	return c
}

// Memory is what the lanes of n sessions take, in bytes, of
// recorder.Options.MemoryLimit.
func (o *Options) Memory(n int) int {
	if o != nil && o.LaneSize != 0 {
		return n << bits.Len(uint(o.LaneSize-1)) // as package queue rounds it up
	}
	return min(n, firstSessions)*firstLaneSize + max(0, n-firstSessions)*furtherLaneSize
}

// checkLimit is the limit of a framer.
func checkLimit(n int) int {
	if n == 0 {
		return DefaultMaxMessage
	}
	if n < MinMessage {
		panic(fmt.Sprintf("fixbuf: the longest message is %d bytes: must be at least %d", n, MinMessage))
	}
	return n
}
