package monitor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/capture"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/source"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// Limits of keeping up.
const (
	maxLag     = 10 * time.Second // durability lag, beyond what the sync policy allows
	maxStill   = 10 * time.Second // time that records wait while none is written
	maxStall   = time.Second      // age of an open claim that holds up others
	lossMemory = time.Minute      // how long a loss is remembered
	lookEvery  = time.Second      // between two looks, when nobody asks
)

// Checker decides whether a recording is keeping up. It remembers what it saw
// during the last minute. Its methods may be called from any goroutine.
type Checker struct {
	maxLag time.Duration // 0: the policy promises nothing

	mu       sync.Mutex
	looks    []look // of the last lossMemory, oldest first, and one that is older
	written  uint64 // records in the archive at the last look
	waiting  bool   // records were waiting then
	progress time.Time
}

// look is what was lost until some moment.
type look struct {
	at   time.Time
	lost []uint64 // of each stream, in the order of recorder.Stats.Streams
}

// NewChecker makes a Checker for a recording with these options. Durability lag
// is bad beyond 10 s and twice the time between syncs; with SyncNone lag is what
// was asked for.
func NewChecker(o *journal.Options) *Checker {
	c := &Checker{}
	if o.Sync != journal.SyncNone {
		c.maxLag = maxLag + 2*o.SyncEvery
	}
	return c
}

// Look says why the recording is not keeping up, a line for each reason; nil
// when it is. It is to be called at least once a second.
func (c *Checker) Look(now time.Time, s *capture.Snapshot) (reasons []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	add := func(format string, args ...any) { reasons = append(reasons, fmt.Sprintf(format, args...)) }
	st, j := &s.Stats, &s.Stats.Journal
	if st.Err != nil {
		add("the recording has failed: %v", st.Err)
	}
	if !j.FullSince.IsZero() {
		add("the disk has been full for %s: nothing is written", cli.Elapsed(now.Sub(j.FullSince)))
	}
	if c.maxLag > 0 && st.Lag > c.maxLag {
		add("%s (%s) are not durable yet, the oldest for %s; the limit is %s",
			cli.Plural(st.UndurableRecords, "record"), cli.Bytes(st.UndurableBytes), cli.Elapsed(st.Lag), cli.Elapsed(c.maxLag))
	}
	if still := c.still(now, st); still > maxStill {
		add("nothing was written for %s, and %s wait in the rings", cli.Elapsed(still), cli.Plural(st.LagRecords, "record"))
	}
	if text := c.lost(now, st.Streams); text != "" {
		add("%s", text)
	}
	for i := range st.Streams {
		if one := &st.Streams[i]; one.StalledFor > maxStall {
			add("%q: a claim has been open for %s and holds up the records behind it", one.Name, cli.Elapsed(one.StalledFor))
		}
	}
	if live := connected(s.Sources); live == 0 {
		add("no source is connected (%s); stderr says why", states(s.Sources))
	}
	return reasons
}

// still is how long nothing was written although something waits.
func (c *Checker) still(now time.Time, st *recorder.Stats) time.Duration {
	var written uint64
	for i := range st.Streams {
		written += st.Streams[i].Records
	}
	if written != c.written || st.LagRecords == 0 || !c.waiting {
		c.written, c.progress = written, now
	}
	c.waiting = st.LagRecords > 0
	return now.Sub(c.progress)
}

// lost says what was lost during the last minute because the recording did not
// keep up; empty when nothing was.
func (c *Checker) lost(now time.Time, streams []recorder.StreamStats) string {
	l := look{at: now, lost: make([]uint64, len(streams))}
	for i := range streams {
		l.lost[i] = tooSlow(&streams[i])
	}
	if n := len(c.looks); n == 0 {
		c.looks = append(c.looks, look{at: now}, l) // when it began nothing was lost
	} else if now.Sub(c.looks[n-1].at) >= lookEvery/2 { // however often somebody asks
		c.looks = append(c.looks, l)
	}
	drop := 0
	for drop+1 < len(c.looks) && now.Sub(c.looks[drop+1].at) >= lossMemory {
		drop++
	}
	c.looks = slices.Delete(c.looks, 0, drop)

	type loss struct {
		name    string
		records uint64
	}
	var all []loss
	var total uint64
	for i, n := range l.lost {
		if before := c.looks[0].lost; i < len(before) {
			n -= before[i] // a stream that is new since then had lost nothing
		}
		if n > 0 {
			all = append(all, loss{streams[i].Name, n})
			total += n
		}
	}
	if total == 0 {
		return ""
	}
	slices.SortFunc(all, func(a, b loss) int { return cmp.Compare(b.records, a.records) })
	text := fmt.Sprintf("%s lost within the last minute, because the disk or this machine is too slow: %s of %q",
		cli.Plural(total, "record"), cli.Count(all[0].records), all[0].name)
	if len(all) > 1 {
		text += fmt.Sprintf(", the rest of %s", cli.Plural(len(all)-1, "other stream"))
	}
	return text
}

// tooSlow is how many records of a stream were lost for a reason that is this
// side's.
func tooSlow(s *recorder.StreamStats) (n uint64) {
	for _, l := range s.ByReason {
		switch l.Reason {
		case journal.LossOverload, journal.LossWrite, journal.LossStalled:
			n += l.Records
		}
	}
	return n
}

func connected(sources []source.Status) (n int) {
	for _, s := range sources {
		if s.State == source.Live {
			n++
		}
	}
	return n
}

// states counts the sources by what they do: "2 waiting, 1 ended".
func states(sources []source.Status) string {
	var parts []string
	for state := source.Connecting; state <= source.Ended; state++ {
		n := 0
		for _, s := range sources {
			if s.State == state {
				n++
			}
		}
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, state))
		}
	}
	return strings.Join(parts, ", ")
}
