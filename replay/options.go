package replay

import (
	"fmt"
	"math"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
)

// Sink takes one record. rec.Payload is valid until the call returns. Run calls it from its own goroutine, one record after another; an
// error ends the replay and is returned by Run.
type Sink func(rec journal.Record) error

// Options are the options of Run. Nil or a zero value replays everything as fast as the sink takes it.
type Options struct {
	// Speed is how many seconds of recording are replayed in one second: 1 as recorded, 10 ten times as fast. Default 0 = no pauses.
	// A negative or infinite speed is a programmer's mistake: Run panics.
	Speed float64

	// MaxGap is the longest pause between two records, in time of the replay. Longer ones are shortened to it, and the schedule moves up.
	// Default 0 = no limit. A negative one is a programmer's mistake: Run panics.
	MaxGap time.Duration

	// Filter says which data records to replay; the others take no part in the schedule. Default nil = all. It must not keep the payload.
	Filter func(rec journal.Record) bool

	// LastSeq ends the replay after the record with this sequence. Default 0 = at the end of the journal. (To replay only the record with
	// sequence 0, use Filter.)
	LastSeq uint64

	// BeforeWait is called before each pause, when all that is due was delivered: a sink that buffers flushes here. An error ends the
	// replay. Default none.
	BeforeWait func() error
}

func (o *Options) withDefaults() Options {
	if o == nil {
		return Options{}
	}
	if !(o.Speed >= 0) || math.IsInf(o.Speed, 0) || o.MaxGap < 0 {
		panic(fmt.Sprintf("replay: Options: speed %v (0 or more, finite), MaxGap %v (0 or more)", o.Speed, o.MaxGap))
	}
	return *o
}
