package vfs

import (
	"bytes"
	"maps"
	"path/filepath"
	"slices"
)

// simState is what is durable on a simulated disk.
type simState struct {
	files   map[int][]byte // contents by inode
	entries map[string]int // inodes by clean path; simDir is a directory
	nextIno int            // above all inodes
}

func newSimState() *simState {
	return &simState{files: make(map[int][]byte), entries: make(map[string]int)}
}

// clone returns a copy that shares the contents, which nobody changes in place.
func (s *simState) clone() *simState {
	return &simState{files: maps.Clone(s.files), entries: maps.Clone(s.entries), nextIno: s.nextIno}
}

// Disk goes through the operations of a Sim one by one, and knows after each what is durable and what is not. It is for one goroutine. The
// Sim may go on meanwhile, with more operations.
type Disk struct {
	sim     *Sim
	k       int            // operations done
	durable *simState      // by them, for certain
	open    []simOp        // those of them that a power cut may take, oldest first: each whole, in part, or not
	log     []int          // their numbers
	links   map[string]int // entries as they can be read now, by path
	trusted map[string]bool
	stale   [][]byte // contents of files removed and cut-off tails: what unused sectors may hold
}

// Disk returns a Disk before the first operation.
func (s *Sim) Disk() *Disk {
	return &Disk{sim: s, durable: s.base.clone(), links: maps.Clone(s.base.entries), trusted: make(map[string]bool)}
}

// Trust makes every write to files with this base name, and every change of such a name, durable at once: for files that nobody reads, so that
// they do not double the number of states.
func (d *Disk) Trust(name string) { d.trusted[name] = true }

// After returns how many operations the Disk has gone through.
func (d *Disk) After() int { return d.k }

// Unsynced returns how many of them are not durable: writes, truncations, and changes of directories.
func (d *Disk) Unsynced() int { return len(d.open) }

// Step goes through one more operation; false when there is none.
func (d *Disk) Step() bool {
	d.sim.mu.Lock()
	more := d.k < len(d.sim.log)
	var op simOp
	if more {
		op = d.sim.log[d.k]
	}
	d.sim.mu.Unlock()
	if !more {
		return false
	}
	switch op.kind {
	case OpSync:
		d.syncFile(op)
	case OpSyncDir:
		d.syncDir(op)
	default:
		d.change(op)
	}
	d.k++
	return true
}

// StepTo goes through operations until k are done.
func (d *Disk) StepTo(k int) {
	for d.k < k && d.Step() {
	}
}

// change takes in an operation that is not durable yet.
func (d *Disk) change(op simOp) {
	switch op.kind {
	case OpCreate, OpMkdir:
		d.links[op.path] = op.ino
	case OpRename:
		d.discard(op.path)
		op.ino = d.links[op.old]
		delete(d.links, op.old)
		d.links[op.path] = op.ino
		if op.ino == simDir {
			moveDir(d.links, op.old, op.path)
		}
	case OpRemove:
		op.ino = d.links[op.path]
		d.discard(op.path)
		delete(d.links, op.path)
	case OpTruncate:
		if b := d.content(op.ino); int64(len(b)) > op.off {
			d.stale = append(d.stale, b)
		}
	}
	if d.trusted[filepath.Base(op.path)] {
		d.durable.files[op.ino] = op.apply(cloneBytes(d.durable.files[op.ino]))
		d.durable.link(op)
		return
	}
	d.open = append(d.open, op)
	d.log = append(d.log, d.k)
}

// discard keeps the content of what a name stands for: its sectors are going to be used again.
func (d *Disk) discard(path string) {
	if ino, ok := d.links[path]; ok && ino != simDir {
		if b := d.content(ino); len(b) > 0 {
			d.stale = append(d.stale, b)
		}
	}
}

// content returns what can be read in a file now.
func (d *Disk) content(ino int) []byte {
	b := cloneBytes(d.durable.files[ino])
	for _, op := range d.open {
		if op.ino == ino {
			b = op.apply(b)
		}
	}
	return b
}

// opGrow is what a sync that failed leaves of a write: the file is as long as it has made it. The data is lost.
const opGrow OpKind = "grow"

// ofFile reports whether the operation changes what is in a file.
func (o *simOp) ofFile() bool { return o.kind == OpWrite || o.kind == OpTruncate || o.kind == opGrow }

// syncFile makes a file's data and size durable, as they were when the sync began. A sync that failed has lost the data.
func (d *Disk) syncFile(op simOp) {
	if op.fail {
		for i := range d.open {
			if p := &d.open[i]; d.log[i] < op.n && p.ino == op.ino && p.kind == OpWrite {
				*p = simOp{kind: opGrow, path: p.path, ino: p.ino, off: p.off + int64(len(p.data))}
			}
		}
		return
	}
	b := cloneBytes(d.durable.files[op.ino])
	d.settle(op.n, func(p simOp) bool {
		mine := p.ino == op.ino && p.ofFile()
		if mine {
			b = p.apply(b)
		}
		return mine
	})
	d.durable.files[op.ino] = b
}

// syncDir makes the entries of a directory durable.
func (d *Disk) syncDir(op simOp) {
	d.settle(op.n, func(p simOp) bool {
		if p.ofFile() || filepath.Dir(p.path) != op.path {
			return false
		}
		d.durable.link(p)
		return true
	})
}

// settle takes those operations before number n off the list that done says true of.
func (d *Disk) settle(n int, done func(op simOp) bool) {
	kept := 0
	for i, op := range d.open {
		if d.log[i] < n && done(op) {
			continue
		}
		d.open[kept], d.log[kept] = op, d.log[i]
		kept++
	}
	d.open, d.log = d.open[:kept], d.log[:kept]
}

// link carries out a change of a directory.
func (s *simState) link(op simOp) {
	switch op.kind {
	case OpCreate, OpMkdir:
		s.entries[op.path] = op.ino
	case OpRename:
		if s.entries[op.old] == op.ino {
			delete(s.entries, op.old)
		}
		s.entries[op.path] = op.ino
		if op.ino == simDir {
			moveDir(s.entries, op.old, op.path)
		}
	case OpRemove:
		if s.entries[op.path] == op.ino {
			delete(s.entries, op.path)
		}
	}
}

// apply carries out a write or truncation on b, which it may change.
func (o *simOp) apply(b []byte) []byte {
	end := o.off
	if o.kind == OpWrite {
		end += int64(len(o.data))
	}
	if n := end - int64(len(b)); n > 0 {
		b = append(b, make([]byte, n)...)
	}
	switch o.kind {
	case OpWrite:
		copy(b[o.off:], o.data)
	case OpTruncate:
		b = b[:o.off]
	}
	return b
}

// touches returns the sectors that a write or truncation of a file of size bytes changes: from, up to and without to.
func (o *simOp) touches(size int) (from, to int) {
	end := o.off + int64(len(o.data))
	if o.kind == OpTruncate {
		end = max(o.off, int64(size))
	}
	if o.kind == opGrow {
		return 0, 0
	}
	return int(o.off / Sector), int((end + Sector - 1) / Sector)
}

func cloneBytes(b []byte) []byte { return bytes.Clone(b) }

// pathsOf returns the paths of entries, sorted: what is random must not depend on the order of a map.
func pathsOf(entries map[string]int) []string { return slices.Sorted(maps.Keys(entries)) }
