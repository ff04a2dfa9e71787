package vfs

import (
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// OpKind is a kind of operation that Fault sees.
type OpKind string

// Kinds of operations. Only those that change something are seen; reads pass through.
const (
	OpMkdir    OpKind = "mkdir"
	OpCreate   OpKind = "create" // OpenFile with O_CREATE
	OpWrite    OpKind = "write"
	OpTruncate OpKind = "truncate"
	OpSync     OpKind = "sync"   // of data, or of data and metadata
	OpSynced   OpKind = "synced" // a sync has succeeded; not asked about, not counted in Total
	OpSyncDir  OpKind = "syncdir"
	OpDirSync  OpKind = "syncdir done" // a sync of a directory has succeeded; likewise
	OpRename   OpKind = "rename"
	OpRemove   OpKind = "remove"
)

// Op is one operation.
type Op struct {
	Kind OpKind
	Name string // base name of the file as it is now; of the new name for a rename
	Path string // the same with its directory
	Old  string // base name before a rename
	Off  int64  // OpWrite: offset; OpTruncate: size
	Len  int    // OpWrite: bytes
	Data string // OpWrite: the first 64 of them, while recording
}

// Verdict is what a Fault's hook says about an operation.
type Verdict struct {
	Err   error         // not nil: the operation fails with it, inside a *fs.PathError
	Short int           // OpWrite with Err: so many bytes are written before it fails
	Delay time.Duration // the operation takes so much longer
}

// Fault is a file system for tests: it passes everything on to another one, counts and records the operations that change something, and
// makes them slow or makes them fail as its hook says. Safe for concurrent use.
type Fault struct {
	base FS

	mu     sync.Mutex
	hook   func(n int, op Op) Verdict
	n      int
	counts map[OpKind]int
	ops    []Op
	record bool
	inSync func()
	open   map[*faultFile]bool
}

var _ FS = (*Fault)(nil)

// NewFault returns a Fault over base; nil means OS.
func NewFault(base FS) *Fault {
	if base == nil {
		base = OS
	}
	return &Fault{base: base, counts: make(map[OpKind]int), open: make(map[*faultFile]bool)}
}

// SetHook sets the function that is asked before every operation, with its number from 0. nil lets everything pass. The hook must not call
// the Fault.
func (f *Fault) SetHook(hook func(n int, op Op) Verdict) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hook = hook
}

// InSync sets a function that every sync of a file calls before it begins its work; it may take as long as it likes.
func (f *Fault) InSync(inSync func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.inSync = inSync
}

// Slow makes every operation of the given kinds take d longer.
func (f *Fault) Slow(d time.Duration, kinds ...OpKind) {
	f.SetHook(func(_ int, op Op) Verdict {
		for _, k := range kinds {
			if op.Kind == k {
				return Verdict{Delay: d}
			}
		}
		return Verdict{}
	})
}

// FailFrom makes operation k, counted from 0 over all kinds, and all after it fail with err.
func (f *Fault) FailFrom(k int, err error) {
	f.SetHook(func(n int, _ Op) Verdict {
		if n >= k {
			return Verdict{Err: err}
		}
		return Verdict{}
	})
}

// Count returns how many operations of a kind there were.
func (f *Fault) Count(kind OpKind) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts[kind]
}

// Total returns how many operations there were.
func (f *Fault) Total() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.n
}

// FailOp makes the operations that match fail with err, short bytes of a write written before; the first times of them, or all when times
// is negative.
func (f *Fault) FailOp(match func(Op) bool, err error, short, times int) {
	f.SetHook(func(_ int, op Op) Verdict {
		if times == 0 || !match(op) {
			return Verdict{}
		}
		times--
		return Verdict{Err: err, Short: short}
	})
}

// Record begins to keep the operations for Ops.
func (f *Fault) Record() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.record, f.ops = true, nil
}

// Ops returns the operations kept since Record, in the order in which they were begun.
func (f *Fault) Ops() []Op {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Op(nil), f.ops...)
}

// ask counts an operation and carries out the hook's delay.
func (f *Fault) ask(op Op) Verdict {
	f.mu.Lock()
	n := f.n
	f.n++
	f.counts[op.Kind]++
	if f.record {
		f.ops = append(f.ops, op)
	}
	var v Verdict
	if f.hook != nil {
		v = f.hook(n, op)
	}
	f.mu.Unlock()
	if v.Delay > 0 {
		time.Sleep(v.Delay)
	}
	return v
}

// note records that something has succeeded.
func (f *Fault) note(kind OpKind, name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.record {
		f.ops = append(f.ops, Op{Kind: kind, Name: filepath.Base(name), Path: name})
	}
}

// do asks, and then either fails or goes on.
func (f *Fault) do(op Op, name string, do func() error) error {
	op.Name, op.Path = filepath.Base(name), name
	if v := f.ask(op); v.Err != nil {
		return &fs.PathError{Op: string(op.Kind), Path: name, Err: v.Err}
	}
	return do()
}

// MkdirAll is FS.MkdirAll.
func (f *Fault) MkdirAll(path string, perm fs.FileMode) error {
	return f.do(Op{Kind: OpMkdir}, path, func() error { return f.base.MkdirAll(path, perm) })
}

// OpenFile is FS.OpenFile.
func (f *Fault) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	var file File
	open := func() (err error) {
		file, err = f.base.OpenFile(name, flag, perm)
		return err
	}
	var err error
	if flag&os.O_CREATE != 0 {
		err = f.do(Op{Kind: OpCreate}, name, open)
	} else {
		err = open()
	}
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	ff := &faultFile{File: file, fault: f, path: name}
	f.open[ff] = true
	return ff, nil
}

// Rename is FS.Rename. Files that are open take the new name.
func (f *Fault) Rename(oldName, newName string) error {
	return f.do(Op{Kind: OpRename, Old: filepath.Base(oldName)}, newName, func() error {
		if err := f.base.Rename(oldName, newName); err != nil {
			return err
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		for ff := range f.open {
			if ff.path == oldName {
				ff.path = newName
			}
		}
		return nil
	})
}

// Remove is FS.Remove.
func (f *Fault) Remove(name string) error {
	return f.do(Op{Kind: OpRemove}, name, func() error { return f.base.Remove(name) })
}

// SyncDir is FS.SyncDir.
func (f *Fault) SyncDir(name string) error {
	return f.do(Op{Kind: OpSyncDir}, name, func() error {
		err := f.base.SyncDir(name)
		if err == nil {
			f.note(OpDirSync, name)
		}
		return err
	})
}

// ReadDir is FS.ReadDir.
func (f *Fault) ReadDir(name string) ([]fs.DirEntry, error) { return f.base.ReadDir(name) }

// Stat is FS.Stat.
func (f *Fault) Stat(name string) (fs.FileInfo, error) { return f.base.Stat(name) }

// Space is FS.Space.
func (f *Fault) Space(dir string) (free, size int64, err error) { return f.base.Space(dir) }

// Lock is FS.Lock.
func (f *Fault) Lock(name string) (Lock, error) { return f.base.Lock(name) }

// Locked is FS.Locked.
func (f *Fault) Locked(name string) bool { return f.base.Locked(name) }

type faultFile struct {
	File
	fault *Fault
	path  string // as it is now; under fault.mu
}

func (f *faultFile) name() string {
	f.fault.mu.Lock()
	defer f.fault.mu.Unlock()
	return f.path
}

func (f *faultFile) Close() error {
	f.fault.mu.Lock()
	delete(f.fault.open, f)
	f.fault.mu.Unlock()
	return f.File.Close()
}

func (f *faultFile) WriteAt(b []byte, off int64) (int, error) {
	n, err := f.WritevAt([][]byte{b}, off)
	return int(n), err
}

func (f *faultFile) WritevAt(bufs [][]byte, off int64) (int64, error) {
	path := f.name()
	op := Op{Kind: OpWrite, Name: filepath.Base(path), Path: path, Off: off}
	for _, b := range bufs {
		op.Len += len(b)
		op.Data += string(b[:min(len(b), 64-len(op.Data))])
	}
	v := f.fault.ask(op)
	if v.Err == nil {
		return f.File.WritevAt(bufs, off)
	}
	var done int64
	for _, b := range bufs {
		n := min(len(b), v.Short-int(done))
		if n <= 0 {
			break
		}
		m, err := f.File.WriteAt(b[:n], off+done)
		done += int64(m)
		if err != nil {
			return done, err
		}
	}
	return done, &fs.PathError{Op: "write", Path: f.name(), Err: v.Err}
}

func (f *faultFile) Truncate(size int64) error {
	return f.fault.do(Op{Kind: OpTruncate, Off: size}, f.name(), func() error { return f.File.Truncate(size) })
}

func (f *faultFile) Sync() error     { return f.sync(f.File.Sync) }
func (f *faultFile) SyncData() error { return f.sync(f.File.SyncData) }

func (f *faultFile) sync(do func() error) error {
	return f.fault.do(Op{Kind: OpSync}, f.name(), func() error {
		f.fault.mu.Lock()
		inSync := f.fault.inSync
		f.fault.mu.Unlock()
		if inSync != nil {
			inSync()
		}
		err := do()
		if err == nil {
			f.fault.note(OpSynced, f.name())
		}
		return err
	})
}
