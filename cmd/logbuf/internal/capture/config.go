package capture

import (
	"math"
	"math/bits"
	"slices"
	"time"

	"github.com/nexus-logbuf/logbuf/adapter/fixbuf"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/source"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// Config says what to record, how, and where to.
type Config struct {
	Dir     string
	Sources []Source
	Journal journal.Options
	For     time.Duration // 0: until the sources end

	// Force, when closed, makes Run let go of what it waits for: records that are
	// not written by then are given up. Nil: never.
	Force <-chan struct{}

	Warn  func(format string, args ...any) // what a person should know at once; nil: nobody
	Watch func(*Snapshot)                  // called every WatchEvery; nil: nobody

	// Began is called when the recording begins, with a function that tells its
	// state, to any goroutine at any time, also after the end; nil: nobody.
	Began func(state func() *Snapshot)

	// Metrics is the address, HOST:PORT, at which the caller of Run serves what
	// Began gave it; empty: none. Run itself does not look at it.
	Metrics string

	// WatchEvery is how often the state is looked at. Default 100 ms.
	WatchEvery time.Duration
}

// Source is one of the things to record, and how.
type Source struct {
	source.Spec
	Options  source.Options
	Ring     int                // bytes; 0: recorder.DefaultLaneSize
	Overload *recorder.Overload // nil: drop for a live feed, wait for standard input
	Urgent   bool               // see recorder.ProducerOptions
}

func (c *Config) withDefaults() Config {
	d := *c
	d.Sources = slices.Clone(c.Sources)
	for i := range d.Sources {
		if d.Sources[i].Ring == 0 {
			d.Sources[i].Ring = recorder.DefaultLaneSize
		}
	}
	if d.Warn == nil {
		d.Warn = func(string, ...any) {}
	}
	if d.Watch == nil {
		d.Watch = func(*Snapshot) {}
	}
	if d.Began == nil {
		d.Began = func(func() *Snapshot) {}
	}
	if d.WatchEvery == 0 {
		d.WatchEvery = 100 * time.Millisecond
	}
	return d
}

// memory is what the rings of all sources take together, in bytes, with room for
// the rounding up.
func (c *Config) memory() int {
	rings, sessions := c.Rings()
	return int(min(max(recorder.DefaultMemoryLimit, 2*rings+sessions), math.MaxInt))
}

// Rings is how many bytes the rings of the sources are, and those of as many FIX
// sessions as there may be.
func (c *Config) Rings() (sources, sessions int64) {
	for _, s := range c.Sources {
		if !source.BySession(s.Spec, &s.Options) {
			sources += int64(s.Ring)
		}
	}
	if o := c.sessions(); o != nil {
		sessions = int64(o.Memory(o.MaxSessions))
	}
	return sources, sessions
}

// Forwards tells whether connections go through the recording, which then outlives its
// archive.
func (c *Config) Forwards() bool {
	return slices.ContainsFunc(c.Sources, func(s Source) bool { return s.Kind == source.TCPProxy })
}

// maxSessions is how many FIX sessions a recording takes: as many as a listener takes
// connections.
const maxSessions = source.MaxConnections

// sessions is how FIX sessions are recorded, which may come by any source; nil
// when there are none. Each has half the ring of a source, the largest if they
// differ; with sources that have the default, the sessions have theirs, too, which
// makes 78 MiB for 512 of them.
func (c *Config) sessions() *fixbuf.Options {
	var o *fixbuf.Options
	for _, s := range c.Sources {
		if !source.BySession(s.Spec, &s.Options) {
			continue
		}
		if o == nil {
			o = &fixbuf.Options{MaxSessions: maxSessions, Overload: s.overload()}
		}
		if s.Ring != recorder.DefaultLaneSize {
			o.LaneSize = max(o.LaneSize, 4<<10, 1<<(bits.Len(uint(s.Ring-1))-1))
		}
		o.Urgent = o.Urgent || s.Urgent
		o.Overload = min(o.Overload, s.overload()) // drop wins: a live connection cannot wait
	}
	return o
}

func (s *Source) overload() recorder.Overload {
	switch {
	case s.Overload != nil:
		return *s.Overload
	case s.Live():
		return recorder.OverloadDrop
	}
	return recorder.OverloadWait
}
