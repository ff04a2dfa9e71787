package diskbench

import (
	"fmt"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
)

// Advice is the policy that a disk's figures suggest, and why, in sentences.
type Advice struct {
	Sync  journal.Sync
	Every time.Duration // for SyncInterval
	Why   []string
}

const (
	// A sync that is done sooner than this has not been to any medium that keeps its data without power, as far as
	// disks of today go.
	tooFast = 15 * time.Microsecond
	// With syncs of this length someone who waits for each of them hardly notices.
	quick = 2 * time.Millisecond
	// The journal's own interval.
	defaultEvery = 10 * time.Millisecond
)

// Advise makes up a policy from the results of Run. ok is false when a test is missing.
func Advise(results []Result) (a Advice, ok bool) {
	var small, big, write *Result
	for i := range results {
		switch r := &results[i]; {
		case r.Sync && r.Size == 4<<10:
			small = r
		case r.Sync && r.Size == 1<<20:
			big = r
		case !r.Sync:
			write = r
		}
	}
	if small == nil || big == nil || write == nil {
		return a, false
	}
	say := func(format string, args ...any) {
		for i := range args {
			if d, ok := args[i].(time.Duration); ok {
				args[i] = threeDigits(d)
			}
		}
		a.Why = append(a.Why, fmt.Sprintf(format, args...))
	}
	if small.P50 < tooFast {
		say("A sync takes %v at the median. No disk is that fast: this is memory (tmpfs), or something that says 'done' "+
			"before it is. What is recorded here survives a crash of the process, and no power cut.", small.P50)
	}
	a.Sync, a.Every = journal.SyncInterval, defaultEvery
	switch {
	case small.P99 <= quick:
		a.Sync, a.Every = journal.SyncBatch, 0
		say("Waiting for a record to be durable costs %v at the median and %v at p99: batch makes every record durable as "+
			"soon as the disk can, and those who wait share a sync.", small.P50, small.P99)
	case small.P99 <= defaultEvery:
		say("A sync takes up to %v at p99: at the default interval of %v a power cut takes about %v at most. Whoever must "+
			"know waits with WaitDurable.", small.P99, defaultEvery, defaultEvery+small.P99)
	default:
		a.Every = (2 * small.P99).Round(5 * time.Millisecond)
		say("A sync takes up to %v at p99, longer than the default interval of %v: syncing without a pause would keep the "+
			"disk busy with nothing else. An interval of %v halves that; a power cut then takes about %v at most.",
			small.P99, defaultEvery, a.Every, a.Every+small.P99)
	}
	say("Durable throughput is about %.0f MiB/s (1 MiB at a time); the page cache takes %.0f MiB/s until memory is full. "+
		"A feed above the first figure fills memory, then the rings.", big.PerSecond()/(1<<20), write.PerSecond()/(1<<20))
	stall := max(small.Max, big.Max, write.Max)
	say("The slowest call took %v: lanes must hold that much of the feed, which is its bytes per second times %.3f.",
		stall, stall.Seconds())
	return a, true
}

// threeDigits rounds d to what is worth reading.
func threeDigits(d time.Duration) time.Duration {
	unit := time.Duration(1)
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit)
}
