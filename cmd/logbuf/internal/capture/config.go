package capture

import (
	"math"
	"time"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/source"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// Config says what to record, how, and where to.
type Config struct {
	Dir      string
	Specs    []source.Spec
	Source   source.Options
	Journal  journal.Options
	Lane     int                // bytes for each source; 0: recorder.DefaultLaneSize
	Overload *recorder.Overload // nil: drop for live feeds, wait for standard input
	For      time.Duration      // 0: until the sources end

	// Force, when closed, makes Run let go of what it waits for: records that are
	// not written by then are given up. Nil: never.
	Force <-chan struct{}

	Warn  func(format string, args ...any) // what a person should know at once; nil: nobody
	Watch func(*Snapshot)                  // called every WatchEvery; nil: nobody
	// WatchEvery is how often the state is looked at. Default 100 ms.
	WatchEvery time.Duration
}

func (c *Config) withDefaults() Config {
	d := *c
	if d.Lane == 0 {
		d.Lane = recorder.DefaultLaneSize
	}
	if d.Warn == nil {
		d.Warn = func(string, ...any) {}
	}
	if d.Watch == nil {
		d.Watch = func(*Snapshot) {}
	}
	if d.WatchEvery == 0 {
		d.WatchEvery = 100 * time.Millisecond
	}
	return d
}

// memory is what the lanes of all sources take together, in bytes, with room for
// the rounding up.
func (c *Config) memory() int {
	return int(min(max(recorder.DefaultMemoryLimit, 2*int64(c.Lane)*int64(len(c.Specs))), math.MaxInt))
}

func (c *Config) overload(s source.Spec) recorder.Overload {
	switch {
	case c.Overload != nil:
		return *c.Overload
	case s.Live():
		return recorder.OverloadDrop
	}
	return recorder.OverloadWait
}
