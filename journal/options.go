package journal

import (
	"fmt"
	"time"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// Sync is a policy: when written records are made durable.
type Sync uint8

// Policies. In each, what WaitDurable has confirmed survives a crash of the process and a power cut.
const (
	// SyncInterval syncs when SyncEvery has passed or SyncBytes were written since the last sync, whichever comes first.
	SyncInterval Sync = iota
	// SyncBatch syncs after every append, as soon as the sync before it is done: appends made meanwhile share the next one (group commit).
	SyncBatch
	// SyncNone syncs only when asked by WaitDurable or Sync, at rotation and at Close.
	SyncNone
)

// String returns the name of the policy as the tool spells it: interval, batch, none.
func (s Sync) String() string {
	switch s {
	case SyncInterval:
		return "interval"
	case SyncBatch:
		return "batch"
	case SyncNone:
		return "none"
	}
	return fmt.Sprintf("Sync(%d)", uint8(s))
}

// ParseSync is the inverse of Sync.String.
func ParseSync(s string) (Sync, error) {
	for _, p := range [...]Sync{SyncInterval, SyncBatch, SyncNone} {
		if s == p.String() {
			return p, nil
		}
	}
	return 0, fmt.Errorf("journal: sync policy %q: must be none, interval or batch", s)
}

// Options are the options of Open. Nil or a zero value is the default.
type Options struct {
	Sync      Sync          // when records become durable; default SyncInterval
	SyncEvery time.Duration // SyncInterval: longest time between a write and its sync; default 10 ms, at least 100 µs
	SyncBytes int64         // SyncInterval: most bytes written and not yet being synced; default 1 MiB

	SegmentSize int64         // bytes after which a new segment is begun; default 128 MiB, at least 64 KiB, at most 1 TiB
	SegmentAge  time.Duration // age after which a new segment is begun with the next append; default 0 = never
	MaxBlock    int           // most bytes of frames in one block, so also the longest frame; default 1 MiB, 4 KiB to 64 MiB, a multiple of 8

	Retention Retention // how much to keep; default everything. Enforced in the background, at Open and when a segment has been finished
	Compress  bool      // compress finished segments with zstd, in the background; default false

	// Retain is how many bytes of blocks that are not durable yet the writer keeps in memory, allocated at Open; default 0 = none, otherwise
	// at least MaxBlock + 64, at most 1 GiB. With it a write or a sync that fails loses nothing: the file is not used any more, and a new
	// segment takes over, in the same directory or, when that fails, in Failover. Nobody hears of it but Stats.Takeovers; WaitDurable waits
	// for the new file. An append waits for a sync when more than Retain would be undurable.
	Retain int64

	// Failover is a directory on another disk where segments go when the archive's own fails; default none. It needs Retain. It is made
	// and locked by Open, and the archive remembers it in a file FAILOVER: those that read the archive or open it again look there, too.
	Failover string

	// Reserve is how many bytes of disk the writer keeps in a file named reserve, and gives back when the disk is full, so that the records
	// under way can still be written and the archive be sealed; default 0 = none, otherwise 1 MiB to 16 GiB. It is written at Open, filled
	// again when there is room at a rotation, and removed by Close.
	Reserve int64

	FS vfs.FS // default: the operating system's
}

// Limits and defaults of Options.
const (
	DefaultSegmentSize = 128 << 20
	DefaultMaxBlock    = 1 << 20

	defaultSyncEvery = 10 * time.Millisecond
	defaultSyncBytes = 1 << 20
	minSegmentSize   = 64 << 10
	maxSegmentSize   = 1 << 40
	minMaxBlock      = 4 << 10
	maxMaxBlock      = 64 << 20
	maxRetain        = 1 << 30
	minReserve       = 1 << 20
	maxReserve       = 16 << 30
)

// withDefaults returns a copy with every field set, or an error that names the field, its value and its limits.
func (o *Options) withDefaults() (Options, error) {
	var c Options
	if o != nil {
		c = *o
	}
	setDefault(&c.SyncEvery, defaultSyncEvery)
	setDefault(&c.SyncBytes, defaultSyncBytes)
	setDefault(&c.SegmentSize, DefaultSegmentSize)
	setDefault(&c.MaxBlock, DefaultMaxBlock)
	if c.FS == nil {
		c.FS = vfs.OS
	}
	switch {
	case c.Sync > SyncNone:
		return c, fmt.Errorf("journal: Options.Sync is %d: must be SyncInterval, SyncBatch or SyncNone", c.Sync)
	case c.SyncEvery < 100*time.Microsecond:
		return c, fmt.Errorf("journal: Options.SyncEvery is %v: must be at least 100µs", c.SyncEvery)
	case c.SyncBytes < 0:
		return c, fmt.Errorf("journal: Options.SyncBytes is %d: must not be negative", c.SyncBytes)
	case c.SegmentSize < minSegmentSize || c.SegmentSize > maxSegmentSize:
		return c, fmt.Errorf("journal: Options.SegmentSize is %d bytes: must be %d to %d", c.SegmentSize, minSegmentSize, int64(maxSegmentSize))
	case c.SegmentAge < 0:
		return c, fmt.Errorf("journal: Options.SegmentAge is %v: must not be negative", c.SegmentAge)
	case c.MaxBlock < minMaxBlock || c.MaxBlock > maxMaxBlock || c.MaxBlock%8 != 0:
		return c, fmt.Errorf("journal: Options.MaxBlock is %d bytes: must be a multiple of 8 from %d to %d", c.MaxBlock, minMaxBlock, maxMaxBlock)
	case c.Retain != 0 && (c.Retain < int64(c.MaxBlock)+blockHeaderLen || c.Retain > maxRetain):
		return c, fmt.Errorf("journal: Options.Retain is %d bytes: must be 0, or %d (MaxBlock and a header) to %d", c.Retain, c.MaxBlock+blockHeaderLen, maxRetain)
	case c.Failover != "" && c.Retain == 0:
		return c, fmt.Errorf("journal: Options.Failover is %q without Options.Retain: there would be nothing to write there", c.Failover)
	case c.Reserve != 0 && (c.Reserve < minReserve || c.Reserve > maxReserve):
		return c, fmt.Errorf("journal: Options.Reserve is %d bytes: must be 0, or %d to %d", c.Reserve, minReserve, int64(maxReserve))
	}
	return c, c.Retention.check("Options.Retention")
}

func setDefault[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}
