package fixbuf

import (
	"fmt"

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
	// LaneSize is the size in bytes of each session's lane, for both directions;
	// default 128 KiB, at least 4 KiB, so that 500 sessions take 62.5 MiB. The
	// longest message that is recorded as one is a quarter of it; a longer one is
	// recorded in pieces of KindSkipped. A tap holds at most so much of a message
	// that has not come whole, for each direction.
	LaneSize int

	// MaxSessions is how many sessions there may be, since the peer chooses their
	// names; default 1000. Messages of further ones are not recorded, and
	// Stats.Unrecorded counts them.
	MaxSessions int

	// Overload is what happens to a message that finds its lane full; default
	// recorder.OverloadDrop. With OverloadWait, reading and writing the
	// connection wait.
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
	DefaultLaneSize    = 128 << 10
	DefaultMaxMessage  = DefaultLaneSize / 4
	DefaultMaxSessions = 1000

	minLaneSize = 4 << 10
)

// withDefaults returns a copy with every field set. Nonsense is a programmer's
// mistake and panics with the numbers.
func (o *Options) withDefaults() Options {
	var c Options
	if o != nil {
		c = *o
	}
	if c.LaneSize == 0 {
		c.LaneSize = DefaultLaneSize
	}
	if c.MaxSessions == 0 {
		c.MaxSessions = DefaultMaxSessions
	}
	if c.LaneSize < minLaneSize || c.MaxSessions < 0 || c.MaxSessions > journal.MaxStream {
		panic(fmt.Sprintf("fixbuf: Options.LaneSize %d, MaxSessions %d: must be at least %d, and 1 to %d", c.LaneSize, c.MaxSessions, minLaneSize, journal.MaxStream))
	}
	return c
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
