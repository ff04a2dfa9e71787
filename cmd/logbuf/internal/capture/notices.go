package capture

import (
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
)

// notices tells of what a recording lives through, once each: a full disk and its end, a segment that took over from one that failed, and
// what keeps retention or compression from their work. It is used by one goroutine.
type notices struct {
	dir  string
	warn func(format string, args ...any)

	full      bool
	since     time.Time
	takeovers uint64
	keeping   string
}

func (n *notices) see(s *journal.Stats) {
	switch full := !s.FullSince.IsZero(); {
	case full && !n.full:
		n.full, n.since = true, s.FullSince
		n.warn("%s: the disk is full: nothing is written until there is space again; what comes meanwhile waits in the rings, and is lost or held up when they are full (--overload)", n.dir)
	case !full && n.full:
		n.full = false
		n.warn("%s: there is space on the disk again after %v; the recording goes on", n.dir, time.Since(n.since).Round(time.Millisecond))
	}
	if s.Takeovers > n.takeovers {
		n.takeovers = s.Takeovers
		n.warn("%s: a file could not be written or synced any more; %s took over, and nothing was lost. Look at the disk", n.dir, s.SegmentFile)
	}
	keeping := ""
	if s.KeepErr != nil {
		keeping = s.KeepErr.Error()
	}
	if keeping != n.keeping {
		if n.keeping = keeping; keeping != "" {
			n.warn("%s: %s; the recording goes on", n.dir, keeping)
		}
	}
}
