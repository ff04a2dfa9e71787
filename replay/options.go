package replay

import (
	"fmt"
	"io"
	"math"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
)

// Sink takes one record. rec.Payload is valid until the call returns. Run calls it from its own goroutine, one record after another; an
// error ends the replay and is returned by Run.
type Sink func(rec journal.Record) error

// ToWriter returns a sink that writes the payloads of data records to w, one Write each, and nothing else.
func ToWriter(w io.Writer) Sink {
	return func(rec journal.Record) error {
		if rec.Kind >= firstControl {
			return nil
		}
		_, err := w.Write(rec.Payload)
		return err
	}
}

// Late is what Run does about records that are late by more than Options.Tolerance.
type Late uint8

const (
	// LateCatchUp delivers what is overdue without pauses, until the schedule is met again.
	LateCatchUp Late = iota
	// LateShift moves the rest of the schedule by as much as the record is late.
	LateShift
	// LateDrop leaves the record out and counts it. A message in fragments is dropped or delivered as a whole, as its first fragment is: a
	// fragment is a record with a WebSocket opcode of text or binary and without FlagFinal, and continuations after it in its stream.
	LateDrop
)

// DefaultTolerance is how late a record may be before LateShift and LateDrop do something about it.
const DefaultTolerance = 10 * time.Millisecond

// Options are the options of Run. Nil or a zero value replays everything once, as fast as the sink takes it. Values outside their limits
// are a programmer's mistake: Run panics.
type Options struct {
	// Speed is how many seconds of recording are replayed in one second: 1 as recorded, 10 ten times as fast. Default 0 = no pauses. At
	// least 0, finite.
	Speed float64

	// Rate is how many data records are delivered in one second, whatever their times. Default 0 = as Speed says. At least 0, finite. Not
	// together with Speed.
	Rate float64

	// MaxGap is the longest pause between two records, in time of the replay. Longer ones are shortened to it, and the schedule moves up.
	// Default 0 = no limit. At least 0. Says nothing with Rate.
	MaxGap time.Duration

	// Loops is how often to replay the journal; negative = until the context ends. Default 0 = once. A pass that delivers no data record
	// ends the replay. More than one pass needs Reopen.
	Loops int

	// Reopen opens the journal for a pass after the first, where that one began. Run closes what it returns. An error ends the replay.
	Reopen func() (*journal.Reader, error)

	// Filter says which records to replay, control records among them; the others take no part in the schedule. It sees times as recorded.
	// It must not keep the payload. Default nil = all.
	Filter func(rec journal.Record) bool

	// LastSeq ends a pass after the record with this sequence. Default 0 = at the end of the journal. (To replay only the record with
	// sequence 0, use Filter.)
	LastSeq uint64

	// Late is what to do about records that are late by more than Tolerance. Default LateCatchUp.
	Late Late

	// Tolerance is for LateShift and LateDrop. Default 0 = DefaultTolerance. At least 0.
	Tolerance time.Duration

	// Gap is told of records that are missing where the reader goes on behind them (*journal.GapError: damage with ReaderOptions.Salvage, and
	// what was trimmed). An error ends the replay. Default nil = the Report's counts.
	Gap func(g journal.Gap) error

	// BeforeWait is called before each pause, when all that is due was delivered: a sink that buffers flushes here. An error ends the
	// replay. Default none.
	BeforeWait func() error
}

func (o *Options) withDefaults() Options {
	if o == nil {
		return Options{}
	}
	c := *o
	switch {
	case !(c.Speed >= 0) || math.IsInf(c.Speed, 0) || c.MaxGap < 0:
		panic(fmt.Sprintf("replay: Options: Speed %v (0 or more, finite), MaxGap %v (0 or more)", c.Speed, c.MaxGap))
	case !(c.Rate >= 0) || math.IsInf(c.Rate, 0) || c.Rate > 0 && c.Speed > 0:
		panic(fmt.Sprintf("replay: Options: Rate %v (0 or more, finite), Speed %v (0 with a Rate)", c.Rate, c.Speed))
	case c.Late > LateDrop || c.Tolerance < 0:
		panic(fmt.Sprintf("replay: Options: Late %d (at most %d), Tolerance %v (0 or more)", c.Late, LateDrop, c.Tolerance))
	case c.Loops != 0 && c.Loops != 1 && c.Reopen == nil:
		panic(fmt.Sprintf("replay: Options: Loops %d without Reopen", c.Loops))
	}
	if c.Tolerance == 0 {
		c.Tolerance = DefaultTolerance
	}
	return c
}
