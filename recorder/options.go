package recorder

import (
	"fmt"
	"math/bits"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
)

// Overload is what happens to a record that finds its lane full. See the
// package documentation.
type Overload uint8

// Policies.
const (
	// OverloadDrop loses the record, counts it, and writes a loss record that
	// says which ones are missing. The producer never waits.
	OverloadDrop Overload = iota
	// OverloadWait makes Write, WriteAt and Claim wait for room. TryClaim
	// returns queue.ErrFull.
	OverloadWait
	// OverloadFail returns queue.ErrFull and leaves the record to the caller.
	OverloadFail
)

// String returns the name of the policy as the tool spells it: drop, wait,
// fail.
func (o Overload) String() string {
	switch o {
	case OverloadDrop:
		return "drop"
	case OverloadWait:
		return "wait"
	case OverloadFail:
		return "fail"
	}
	return fmt.Sprintf("Overload(%d)", uint8(o))
}

// ParseOverload is the inverse of Overload.String.
func ParseOverload(s string) (Overload, error) {
	for _, o := range [...]Overload{OverloadDrop, OverloadWait, OverloadFail} {
		if s == o.String() {
			return o, nil
		}
	}
	return 0, fmt.Errorf("recorder: overload policy %q: must be drop, wait or fail", s)
}

// Options are the options of Open. Nil or a zero value is the default.
type Options struct {
	Journal journal.Options // of the archive: sync policy, segment size and so on

	// LaneSize is the size in bytes of the lane of a producer that does not
	// say otherwise; default 256 KiB, at least 64 B, at most 1 GiB, rounded up
	// to a power of two. A lane should take four of its largest records: a
	// record of more than half a lane can be refused although the lane is
	// empty, until the archiver has stepped over the end of the lane.
	LaneSize int

	// MemoryLimit is the most bytes that the lanes of all producers together
	// may take, from when a producer is made until its lane is drained after
	// its Close; default 64 MiB, at least 4 KiB. Producer returns an error
	// beyond it. A lane counts with its size, rounded up to a power of two, but
	// with 4 KiB at least, 16 KiB if it is shared, for what comes with it.
	//
	// Urgent lanes have room besides, see UrgentMemory. Not counted: of larger
	// lanes that same addition, 2.5 KiB or 15 KiB; up to 64 KiB of losses in a lane
	// whose archiver cannot keep up; one copy of the batch being written; and the
	// journal's own buffers.
	MemoryLimit int

	// UrgentMemory is how many bytes of lanes of urgent producers do not count
	// against MemoryLimit, so that there is room for them however many others
	// are open; default 4 MiB, negative: none. All lanes together take at most
	// MemoryLimit and UrgentMemory.
	UrgentMemory int

	// StallLimit is how long an open claim of a shared producer may hold up
	// others: records claimed after it, losses, a WaitDurable, a record that
	// finds no room. Default 10 s, negative: for ever. The time counts from when
	// the archiver meets the claim and has nothing before it to write. Then the
	// archiver goes past it. Its Commit, if it still comes, returns false, and
	// the record is lost with reason journal.LossStalled, at the place where it
	// was committed. Several such claims in a row take their time one after
	// another. A claim that holds up nobody may stay open.
	//
	// The first one passed in a lane's memory costs another memory of the same
	// size, and the old one stays as long as its claim is reachable: up to four
	// of them in each lane, not counted by MemoryLimit. Beyond those, a claim is
	// waited for.
	StallLimit time.Duration

	// Linger is how long the archiver leaves records in their lanes, so that a
	// producer that writes at a pace does not wake it again and again, and that
	// it writes many records at a time; default 1 ms, 50 µs at least. Negative:
	// not at all; it writes each record as soon as it can, and a record that finds
	// it asleep wakes it.
	//
	// With it, a record is handed to the system up to Linger later than without,
	// and what timer and scheduler add, 1 ms on many systems; kill -9 takes that
	// much more. WaitDurable and Close do not wait for it, nor do a lane that is
	// half full, a claim or write that finds no room, and losses. A lane keeps room
	// for as long a record as it has seen; the first one that is much longer than
	// all before it can find the lane half full and no room. After 100 ms in which
	// nothing came the archiver sleeps, and the next record wakes it.
	Linger time.Duration

	// Stage copies each batch before it is checksummed and written. Without
	// it, a producer that writes to a record after its Commit can damage the
	// block that holds it; with it, only the record. It costs one copy, and
	// lanes have room again before the write instead of after it.
	Stage bool
}

// ProducerOptions are the options of Recorder.Producer. Nil or a zero value is
// the default.
type ProducerOptions struct {
	LaneSize int      // size of the lane, bytes; default Options.LaneSize
	Overload Overload // default OverloadDrop
	Shared   bool     // for use by any number of goroutines at once; default: one at a time

	// Urgent gives the stream a share of the archiver's time, and so of the
	// disk, and of the memory, that ordinary streams cannot take: overload hits
	// those first. It is for few streams that offer little, such as orders beside
	// market data. See Overload in the package documentation, and
	// Options.UrgentMemory.
	Urgent bool
}

// Defaults and limits of Options.
const (
	DefaultLaneSize     = 256 << 10
	DefaultMemoryLimit  = 64 << 20
	DefaultUrgentMemory = 4 << 20
	DefaultStallLimit   = 10 * time.Second
	DefaultLinger       = time.Millisecond
	minLinger           = 50 * time.Microsecond

	minLaneSize = 64
	maxLaneSize = 1 << 30

	minLaneCost       = 4 << 10
	minSharedLaneCost = 16 << 10
)

// withDefaults returns a copy with every field of the recorder set.
func (o *Options) withDefaults() (Options, error) {
	var c Options
	if o != nil {
		c = *o
	}
	if c.LaneSize == 0 {
		c.LaneSize = DefaultLaneSize
	}
	if c.MemoryLimit == 0 {
		c.MemoryLimit = DefaultMemoryLimit
	}
	if c.UrgentMemory == 0 {
		c.UrgentMemory = DefaultUrgentMemory
	}
	c.UrgentMemory = max(0, c.UrgentMemory)
	if c.StallLimit == 0 {
		c.StallLimit = DefaultStallLimit
	}
	if c.Linger > 0 {
		c.Linger = max(c.Linger, minLinger)
	}
	if c.Linger == 0 {
		c.Linger = DefaultLinger
	}
	if c.MemoryLimit < minLaneCost {
		return c, fmt.Errorf("recorder: Options.MemoryLimit is %d bytes: must be at least %d", c.MemoryLimit, minLaneCost)
	}
	return c, checkLaneSize("Options", c.LaneSize)
}

func (o *ProducerOptions) withDefaults(r *Options) (ProducerOptions, error) {
	var c ProducerOptions
	if o != nil {
		c = *o
	}
	if c.LaneSize == 0 {
		c.LaneSize = r.LaneSize
	}
	if c.Overload > OverloadFail {
		return c, fmt.Errorf("recorder: ProducerOptions.Overload is %d: must be OverloadDrop, OverloadWait or OverloadFail", c.Overload)
	}
	return c, checkLaneSize("ProducerOptions", c.LaneSize)
}

// cost is what the lane counts against Options.MemoryLimit: the capacity that
// package queue makes of LaneSize, or a minimum, so that what lanes take is
// never more than twice what they count, however small they are.
func (o *ProducerOptions) cost() int {
	capacity := 1 << bits.Len(uint(o.LaneSize-1))
	if o.Shared {
		return max(capacity, minSharedLaneCost)
	}
	return max(capacity, minLaneCost)
}

func checkLaneSize(where string, n int) error {
	if n < minLaneSize || n > maxLaneSize {
		return fmt.Errorf("recorder: %s.LaneSize is %d bytes: must be %d to %d", where, n, minLaneSize, maxLaneSize)
	}
	return nil
}
