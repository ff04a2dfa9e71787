package vfs

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
)

// Sector is what a disk writes whole or not at all, in bytes.
const Sector = 512

// Model is a way in which a power cut takes what is not durable.
type Model string

// Models. Whichever of a file's writes is the last one that has reached a sector, the sector then has all that was written to it before, too:
// the system writes what is in its memory. Sectors reach the disk in any order, and so do the file's size and the entries of directories.
const (
	CrashDrop    Model = "drop"    // nothing that is not durable is there
	CrashKeep    Model = "keep"    // everything is: a crash of the process
	CrashSubset  Model = "subset"  // those of Disk.Units are there whose bits are set in the seed, the oldest is bit 0
	CrashTorn    Model = "torn"    // one write, chosen by the seed, has reached some sectors only; others before it are there, later ones are not
	CrashZeros   Model = "zeros"   // files have their new sizes; a random part of the new sectors is zero
	CrashGarbage Model = "garbage" // files have their new sizes; a random part of the new sectors is garbage
	CrashStale   Model = "stale"   // files have their new sizes; a random part of the new sectors holds what a removed file, or another one, held
	CrashRandom  Model = "random"  // every sector, size and entry by itself: any of the states that it has gone through
)

// Crash names a state that a power cut leaves. The same run, crashed by the same Crash, gives the same state.
type Crash struct {
	After int // operations that were done
	Model Model
	Seed  uint64
}

// String returns what to write into a test to see the state again.
func (c Crash) String() string {
	return fmt.Sprintf("vfs.Crash{After: %d, Model: %q, Seed: %#x}", c.After, c.Model, c.Seed)
}

// Crash returns the disk after a power cut: a new Sim, where all there is is durable, and with no locks.
func (s *Sim) Crash(c Crash) *Sim {
	d := s.Disk()
	d.StepTo(c.After)
	return d.Crash(c.Model, c.Seed)
}

// Crash returns the disk after a power cut now.
func (d *Disk) Crash(m Model, seed uint64) *Sim {
	img := &image{disk: d, out: d.durable.clone(), rng: rand.New(rand.NewPCG(seed, uint64(d.k)))}
	img.out.nextIno += d.k
	switch m {
	case CrashDrop:
	case CrashKeep:
		img.keep(func(int) bool { return true })
	case CrashSubset:
		img.subset(seed)
	case CrashTorn:
		img.torn()
	case CrashZeros:
		img.unwritten(func([]byte, int) {})
	case CrashGarbage:
		img.unwritten(func(b []byte, _ int) { img.garbage(b) })
	case CrashStale:
		img.unwritten(img.stale)
	case CrashRandom:
		img.random()
	default:
		panic(fmt.Sprintf("vfs: Crash: model %q is unknown", m))
	}
	return newSim(img.out)
}

// Crashes returns crashes after the operations done so far that together show most of what can be: all subsets of the Units
// when there are at most exhaustive of them, some when there are more; and of each other model as many as seeds says.
func (d *Disk) Crashes(exhaustive, seeds int) []Crash {
	n := len(d.Units())
	if len(d.open) == 0 {
		return []Crash{{d.k, CrashDrop, 0}}
	}
	list := []Crash{{d.k, CrashDrop, 0}, {d.k, CrashKeep, 0}}
	rng := rand.New(rand.NewPCG(uint64(d.k), uint64(n)))
	if n <= exhaustive {
		for mask := uint64(1); mask < 1<<n-1; mask++ {
			list = append(list, Crash{d.k, CrashSubset, mask})
		}
	} else {
		for i := range 4 * seeds {
			mask := rng.Uint64()
			if i%2 == 0 && n < 64 {
				mask = 1<<n - 1 ^ 1<<rng.IntN(n) // one of them is missing
			}
			list = append(list, Crash{d.k, CrashSubset, mask})
		}
	}
	for range seeds {
		for _, m := range [...]Model{CrashTorn, CrashZeros, CrashGarbage, CrashStale, CrashRandom} {
			list = append(list, Crash{d.k, m, rng.Uint64()})
		}
	}
	return list
}

// Units returns which of the un-synced operations a subset chooses from: all but writes to a place that a later one has written to again,
// byte for byte. Those are there by CrashRandom only.
func (d *Disk) Units() []int {
	type place struct {
		ino      int
		off, end int64
	}
	var units []int
	again := make(map[place]bool)
	for i := len(d.open) - 1; i >= 0; i-- {
		if op := &d.open[i]; op.kind == OpWrite {
			p := place{op.ino, op.off, op.off + int64(len(op.data))}
			if again[p] {
				continue
			}
			again[p] = true
		}
		units = append(units, i)
	}
	slices.Reverse(units)
	return units
}

// image is a crash image being made.
type image struct {
	disk *Disk
	out  *simState
	rng  *rand.Rand
}

// link carries out those changes of directories that keep says true of.
func (m *image) link(keep func(i int) bool) {
	for i, op := range m.disk.open {
		if !op.ofFile() && keep(i) {
			m.out.link(op)
		}
	}
}

// write makes the contents of all files with un-synced writes. has says whether a write or truncation has reached a sector; size returns the
// size that one has given to the file, −1 for none: see end; fill makes the content of sectors below the size that nothing has reached and that did
// not exist before, nil leaves zeros.
func (m *image) write(has func(i, sector int) bool, size func(i int) int64, fill func(b []byte, sector int)) {
	for _, ino := range m.disk.changed() {
		m.out.files[ino] = m.file(ino, has, size, fill)
	}
}

// end returns the size that operation i has given to its file, if keep says so.
func (m *image) end(keep func(i int) bool) func(i int) int64 {
	return func(i int) int64 {
		if !keep(i) {
			return -1
		}
		return m.disk.open[i].off + int64(len(m.disk.open[i].data))
	}
}

// changed returns the inodes with un-synced writes, in the order of the first one.
func (d *Disk) changed() []int {
	var list []int
	seen := make(map[int]bool)
	for _, op := range d.open {
		if op.ofFile() && !seen[op.ino] {
			seen[op.ino] = true
			list = append(list, op.ino)
		}
	}
	return list
}

func (m *image) file(ino int, has func(i, sector int) bool, size func(i int) int64, fill func(b []byte, sector int)) []byte {
	durable := m.disk.durable.files[ino]
	now, out := cloneBytes(durable), cloneBytes(durable)
	old := (len(durable) + Sector - 1) / Sector // sectors that existed
	reached := make(map[int]bool)
	length := int64(len(durable))
	for i := range m.disk.open {
		op := &m.disk.open[i]
		if op.ino != ino || !op.ofFile() {
			continue
		}
		from, to := op.touches(len(now))
		now = op.apply(now)
		if end := size(i); end > length || end >= 0 && op.kind == OpTruncate {
			length = end
		}
		for s := from; s < to; s++ {
			if has(i, s) {
				out = putSector(out, now, s)
				reached[s] = true
			}
		}
	}
	for s := old; fill != nil && s*Sector < int(length); s++ {
		if !reached[s] {
			out = putSector(out, nil, s)
			fill(out[s*Sector:(s+1)*Sector], s)
		}
	}
	if n := length - int64(len(out)); n > 0 {
		out = append(out, make([]byte, n)...)
	}
	return out[:length:length]
}

// putSector copies sector s of src, zeros where it has none, to dst.
func putSector(dst, src []byte, s int) []byte {
	if n := (s+1)*Sector - len(dst); n > 0 {
		dst = append(dst, make([]byte, n)...)
	}
	to := dst[s*Sector : (s+1)*Sector]
	clear(to)
	if s*Sector < len(src) {
		copy(to, src[s*Sector:])
	}
	return dst
}

// subset keeps those units whose bits are set, and all others after the 64th.
func (m *image) subset(mask uint64) {
	kept := make(map[int]bool)
	for bit, i := range m.disk.Units() {
		kept[i] = bit >= 64 || mask>>bit&1 != 0
	}
	m.keep(func(i int) bool { return kept[i] })
}

// keep lets whole operations reach the disk.
func (m *image) keep(keep func(i int) bool) {
	m.link(keep)
	m.write(func(i, _ int) bool { return keep(i) }, m.end(keep), nil)
}

// torn lets one write reach the first of its sectors only, or the last, or every second one. The size goes with the sectors, or further.
func (m *image) torn() {
	open := m.disk.open
	victim, n := len(open), 0
	for i, op := range open {
		if op.kind == OpWrite {
			if n++; m.rng.IntN(n) == 0 {
				victim = i
			}
		}
	}
	before := func(i int) bool { return i < victim }
	m.link(before)
	if victim == len(open) {
		m.write(func(i, _ int) bool { return true }, m.end(before), nil)
		return
	}
	end := open[victim].off + int64(len(open[victim].data))
	cut := int(open[victim].off/Sector) + m.rng.IntN(len(open[victim].data)/Sector+1)
	how, exact := m.rng.IntN(3), m.rng.IntN(2) == 0
	has := func(i, s int) bool {
		return i < victim || i == victim && (how == 0 && s <= cut || how == 1 && s > cut || how == 2 && s%2 == 0)
	}
	m.write(has, func(i int) int64 {
		switch {
		case i == victim && how == 0 && exact:
			return min(end, int64(cut+1)*Sector)
		case i == victim:
			return end
		}
		return m.end(before)(i)
	}, nil)
}

// unwritten gives files their new sizes and names, and leaves out a part of what was written to them, which fill stands in for.
func (m *image) unwritten(fill func(b []byte, sector int)) {
	m.link(func(int) bool { return true })
	odds := m.rng.IntN(4) // none is there, or one in two, ...
	m.write(func(int, int) bool { return odds > 0 && m.rng.IntN(4) < odds }, m.end(func(int) bool { return true }), fill)
}

func (m *image) garbage(b []byte) {
	for i := range b {
		b[i] = byte(m.rng.Uint32())
	}
}

// stale fills a sector with one of a removed file, or of another one: the same sector of it, as a block of the disk keeps its alignment, or any.
func (m *image) stale(b []byte, sector int) {
	from := m.disk.stale
	if len(from) == 0 {
		for _, path := range pathsOf(m.out.entries) {
			if c := m.out.files[m.out.entries[path]]; len(c) > 0 {
				from = append(from, c)
			}
		}
	}
	if len(from) == 0 {
		m.garbage(b)
		return
	}
	src := from[m.rng.IntN(len(from))]
	s := sector
	if n := (len(src) + Sector - 1) / Sector; s >= n || m.rng.IntN(4) == 0 {
		s = m.rng.IntN(n)
	}
	copy(b, src[s*Sector:])
}

// random decides for every sector, size and entry. What is in sectors that nothing has reached is zero, garbage or stale.
func (m *image) random() {
	odds := 1 + m.rng.IntN(7)
	coin := func() bool { return m.rng.IntN(8) < odds }
	m.link(func(int) bool { return coin() })
	fills := []func([]byte, int){nil, func(b []byte, _ int) { m.garbage(b) }, m.stale}
	m.write(func(int, int) bool { return coin() }, m.end(func(int) bool { return coin() }), fills[m.rng.IntN(len(fills))])
}

// Files returns the contents of the files in a directory by base name, as they can be read now: for comparing images.
func (s *Sim) Files(dir string) map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make(map[string]string)
	for path := range s.inodes {
		if f := s.live.lookup(path); filepath.Dir(path) == filepath.Clean(dir) && f != nil && !f.isDir {
			list[filepath.Base(path)] = string(f.get())
		}
	}
	return list
}
