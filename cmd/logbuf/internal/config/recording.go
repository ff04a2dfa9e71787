package config

import (
	"net"
	"time"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/capture"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/spf13/pflag"
)

// Recording is what can be said of a recording as a whole.
type Recording struct {
	Dir         string
	For         cli.Duration
	SegmentSize cli.Size
	KeepSize    cli.Size
	KeepAge     cli.Duration
	Compress    bool
	Sync        string
	SyncEvery   cli.Duration
	Retain      cli.Size
	Failover    string
	Reserve     cli.Size
	Metrics     string
}

// AddFlags registers the flags, with the defaults as values.
func (r *Recording) AddFlags(f *pflag.FlagSet) {
	r.SegmentSize = journal.DefaultSegmentSize
	f.StringVar(&r.Dir, "dir", "", "archive `directory`; made if need be, continued if there is one")
	f.Var(&r.For, "for", "stop after this time; 0 = when the sources end")
	f.Var(&r.SegmentSize, "segment-size", "begin a new file after this many bytes")
	f.Var(&r.KeepSize, "keep-size", "remove the oldest segments when there is more than this; 0 = keep all")
	f.Var(&r.KeepAge, "keep-age", "remove segments that were finished longer ago; 0 = keep all")
	f.BoolVar(&r.Compress, "compress", false, "compress finished segments, in the background")
	f.StringVar(&r.Sync, "sync", "interval", "when records become durable: `policy` none, interval (10ms or 1 MiB) or batch (each)")
	f.Var(&r.SyncEvery, "sync-every", "--sync interval: longest time between a write and its sync; 0 = 10ms")
	f.Var(&r.Retain, "retain", "keep this much in memory until it is durable, so that a failed disk loses nothing of it; 0 = none")
	f.StringVar(&r.Failover, "failover", "", "`directory` on another disk that takes over when the archive's own fails; needs --retain")
	f.Var(&r.Reserve, "reserve", "keep this much of the disk in a file that is given up when the disk is full; 0 = none")
	f.StringVar(&r.Metrics, "metrics", "", "serve counters and health at this `address`, HOST:PORT, to all who reach it; port 0 = any free one")
}

// Limits of what can be said. They lie within those of package journal.
const (
	minSegment, maxSegment = 64 << 10, 1 << 40
	minSyncEvery           = 100 * time.Microsecond
	minRetain, maxRetain   = 2 << 20, 1 << 30
	minReserve, maxReserve = 1 << 20, 16 << 30
)

// config makes the configuration, without sources.
func (r *Recording) config() (*capture.Config, []problem) {
	cfg := &capture.Config{
		Dir: r.Dir, For: time.Duration(r.For), Metrics: r.Metrics,
		Journal: journal.Options{
			SyncEvery: time.Duration(r.SyncEvery), SegmentSize: int64(r.SegmentSize),
			Retention: journal.Retention{MaxBytes: int64(r.KeepSize), MaxAge: time.Duration(r.KeepAge)}, Compress: r.Compress,
			Retain: int64(r.Retain), Failover: r.Failover, Reserve: int64(r.Reserve),
		},
	}
	var problems []problem
	if r.SegmentSize < minSegment || r.SegmentSize > maxSegment {
		problems = append(problems, problemf("segment-size", "%v: must be 64 KiB to 1 TiB", r.SegmentSize))
	}
	policy, err := journal.ParseSync(r.Sync)
	switch {
	case err != nil:
		problems = append(problems, problemf("sync", "%q: must be none, interval or batch", r.Sync))
	case r.SyncEvery != 0 && time.Duration(r.SyncEvery) < minSyncEvery:
		problems = append(problems, problemf("sync-every", "%v: must be at least 100us", r.SyncEvery))
	case r.SyncEvery != 0 && policy != journal.SyncInterval:
		problems = append(problems, problemf("sync-every", "%v: needs sync interval, not %s", r.SyncEvery, r.Sync))
	}
	cfg.Journal.Sync = policy
	if _, port, err := net.SplitHostPort(r.Metrics); r.Metrics != "" && (err != nil || port == "") {
		problems = append(problems, problemf("metrics", "%q: must be HOST:PORT, such as 127.0.0.1:9464", r.Metrics))
	}
	return cfg, append(problems, r.checkDisk()...)
}

// checkDisk checks what is said about failing and full disks.
func (r *Recording) checkDisk() (problems []problem) {
	if r.Retain != 0 && (r.Retain < minRetain || r.Retain > maxRetain) {
		problems = append(problems, problemf("retain", "%v: must be 0, or %v to %v", r.Retain, cli.Size(minRetain), cli.Size(maxRetain)))
	}
	if r.Failover != "" && r.Retain == 0 {
		problems = append(problems, problemf("failover", "%s: needs retain, such as 64MiB: what is not durable yet is written there again, from memory", r.Failover))
	}
	if r.Reserve != 0 && (r.Reserve < minReserve || r.Reserve > maxReserve) {
		problems = append(problems, problemf("reserve", "%v: must be 0, or %v to %v", r.Reserve, cli.Size(minReserve), cli.Size(maxReserve)))
	}
	return problems
}
