package vfs

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// Sim is a simulated disk: a file system in memory that knows what a power cut may take. It keeps a log of all operations that change
// something; Disk goes through that log and makes crash images, the states that a power cut after any of the operations may leave.
//
// What is durable: a file's data and size after Sync or SyncData of the file, a directory's entries after SyncDir of the directory, as
// they were when that call began. A sync of a file says nothing of its name. Safe for concurrent use; one goroutine, and so one order of
// operations, makes a run that can be repeated.
type Sim struct {
	base *simState // durable when the run began; never changed

	mu      sync.Mutex
	live    *Mem
	inodes  map[string]int // by clean path
	log     []simOp
	inSync  func(name string)
	hooked  bool // inSync is being called
	syncErr func(name string) error
}

var _ FS = (*Sim)(nil)

// NewSim returns an empty Sim.
func NewSim() *Sim { return newSim(newSimState()) }

// newSim returns a Sim on which base is durable. It takes base over.
func newSim(base *simState) *Sim {
	s := &Sim{base: base, live: NewMem(), inodes: make(map[string]int)}
	for path, ino := range base.entries {
		s.inodes[path] = ino
		s.live.files[path] = &memData{b: cloneBytes(base.files[ino]), isDir: ino == simDir}
	}
	return s
}

// simDir is the inode of every directory.
const simDir = -1

// simOp is one operation in a Sim's log.
type simOp struct {
	kind OpKind
	path string // clean; the new one of a rename
	old  string // OpRename
	ino  int    // of the file
	off  int64  // OpWrite: offset; OpTruncate: size
	data []byte // OpWrite
	n    int    // OpSync, OpSyncDir: it covers the operations before this one
	fail bool   // OpSync: it failed
}

// String says what the operation does, for messages.
func (o simOp) String() string {
	name := filepath.Base(o.path)
	switch o.kind {
	case OpWrite:
		return fmt.Sprintf("write %s at %d, %d bytes", name, o.off, len(o.data))
	case OpTruncate:
		return fmt.Sprintf("truncate %s to %d", name, o.off)
	case OpRename:
		return fmt.Sprintf("rename %s to %s", filepath.Base(o.old), name)
	}
	if o.fail {
		return fmt.Sprintf("%s %s fails", o.kind, name)
	}
	return fmt.Sprintf("%s %s", o.kind, name)
}

// Total returns how many operations there were.
func (s *Sim) Total() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.log)
}

// OpString says what operation k did, counted from 0.
func (s *Sim) OpString(k int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log[k].String()
}

// InSync sets a function that is called in the middle of every sync of a file or directory, with its base name: what it writes, the sync
// does not cover. It is not called from within itself.
func (s *Sim) InSync(f func(name string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inSync = f
}

// FailSync sets a function that is asked before every sync of a file, with its base name. When it returns an error the sync fails with it,
// and the data that it should have made durable counts as written from then on, as on a real system: it can be read until the power cut, and
// no later sync makes it durable. (A sync that a Fault over the Sim fails leaves all as it was.)
func (s *Sim) FailSync(f func(name string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.syncErr = f
}

// ReadFile returns a copy of a file's content.
func (s *Sim) ReadFile(name string) ([]byte, error) { return s.live.ReadFile(name) }

// Mem returns a copy of all files as they can be read now: what a crash of the process leaves.
func (s *Sim) Mem() *Mem { return s.live.Clone() }

// do carries an operation out on what can be read and logs it.
func (s *Sim) do(op simOp, do func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := do(); err != nil {
		return err
	}
	s.log = append(s.log, op)
	return nil
}

// MkdirAll is FS.MkdirAll.
func (s *Sim) MkdirAll(path string, perm fs.FileMode) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var missing []string
	for d := filepath.Clean(path); s.live.lookup(d) == nil; d = filepath.Dir(d) {
		missing = append(missing, d)
	}
	if err := s.live.MkdirAll(path, perm); err != nil {
		return err
	}
	for i := len(missing) - 1; i >= 0; i-- {
		s.inodes[missing[i]] = simDir
		s.log = append(s.log, simOp{kind: OpMkdir, path: missing[i], ino: simDir})
	}
	return nil
}

// OpenFile is FS.OpenFile, for O_CREATE, O_EXCL and O_TRUNC.
func (s *Sim) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path := filepath.Clean(name)
	_, existed := s.inodes[path]
	f, err := s.live.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	if !existed {
		s.inodes[path] = s.base.nextIno + len(s.log)
		s.log = append(s.log, simOp{kind: OpCreate, path: path, ino: s.inodes[path]})
	}
	file := &simFile{memFile: f.(*memFile), sim: s, ino: s.inodes[path], write: flag&(os.O_RDWR|os.O_WRONLY) != 0}
	if existed && flag&os.O_TRUNC != 0 {
		s.log = append(s.log, simOp{kind: OpTruncate, path: path, ino: file.ino})
	}
	return file, nil
}

// Rename is FS.Rename. Of a directory, everything in it must be durable: a crash image has it all under the old name or all under the new one.
func (s *Sim) Rename(oldName, newName string) error {
	from, to := filepath.Clean(oldName), filepath.Clean(newName)
	return s.do(simOp{kind: OpRename, path: to, old: from}, func() error {
		if err := s.live.Rename(oldName, newName); err != nil {
			return err
		}
		s.inodes[to] = s.inodes[from]
		delete(s.inodes, from)
		if s.inodes[to] == simDir {
			moveDir(s.inodes, from, to)
		}
		return nil
	})
}

// Remove is FS.Remove.
func (s *Sim) Remove(name string) error {
	path := filepath.Clean(name)
	return s.do(simOp{kind: OpRemove, path: path}, func() error {
		if err := s.live.Remove(name); err != nil {
			return err
		}
		delete(s.inodes, path)
		return nil
	})
}

// ReadDir is FS.ReadDir.
func (s *Sim) ReadDir(name string) ([]fs.DirEntry, error) { return s.live.ReadDir(name) }

// Stat is FS.Stat.
func (s *Sim) Stat(name string) (fs.FileInfo, error) { return s.live.Stat(name) }

// Space is FS.Space; a Sim has no size.
func (s *Sim) Space(dir string) (free, size int64, err error) { return noSpace(dir) }

// SyncDir is FS.SyncDir.
func (s *Sim) SyncDir(name string) error {
	if _, err := s.live.Stat(name); err != nil {
		return err
	}
	s.mu.Lock()
	n := len(s.log)
	s.mu.Unlock()
	s.between(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, simOp{kind: OpSyncDir, path: filepath.Clean(name), n: n})
	return nil
}

// between calls the function that InSync has set.
func (s *Sim) between(name string) {
	s.mu.Lock()
	f, busy := s.inSync, s.hooked
	s.hooked = true
	s.mu.Unlock()
	if f != nil && !busy {
		f(filepath.Base(name))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hooked = busy
}

// Lock is FS.Lock. A crash image holds no locks.
func (s *Sim) Lock(name string) (Lock, error) {
	f, err := s.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	l, err := s.live.Lock(name)
	if err != nil {
		return nil, err
	}
	return &simLock{Lock: l, file: f}, nil
}

// Locked is FS.Locked.
func (s *Sim) Locked(name string) bool { return s.live.Locked(name) }

type simLock struct {
	Lock
	file File
}

func (l *simLock) SetContent(b []byte) error {
	if err := l.file.Truncate(0); err != nil {
		return err
	}
	_, err := l.file.WriteAt(b, 0)
	return err
}

// simFile is a File of a Sim. It stays with its inode when the file is renamed or removed.
type simFile struct {
	*memFile
	sim   *Sim
	ino   int
	write bool
}

// path returns the name that the file has now, as messages and hooks are to know it; the last one it had when it was removed.
func (f *simFile) path() string {
	f.sim.mu.Lock()
	defer f.sim.mu.Unlock()
	for path, ino := range f.sim.inodes {
		if ino == f.ino {
			return path
		}
	}
	return filepath.Clean(f.name)
}

// mayWrite returns the error of writing to a file that was opened for reading.
func (f *simFile) mayWrite(op string) error {
	if !f.write {
		return memError(op, f.name, syscall.EBADF)
	}
	return nil
}

func (f *simFile) WriteAt(b []byte, off int64) (int, error) {
	n, err := f.WritevAt([][]byte{b}, off)
	return int(n), err
}

// WritevAt logs one operation for all buffers, and then a copy of them.
func (f *simFile) WritevAt(bufs [][]byte, off int64) (int64, error) {
	if err := f.mayWrite("write"); err != nil {
		return 0, err
	}
	var data []byte
	for _, b := range bufs {
		data = append(data, b...)
	}
	err := f.sim.do(simOp{kind: OpWrite, path: f.path(), ino: f.ino, off: off, data: data}, func() error {
		_, err := f.memFile.WriteAt(data, off)
		return err
	})
	if err != nil {
		return 0, err
	}
	return int64(len(data)), nil
}

func (f *simFile) Truncate(size int64) error {
	if err := f.mayWrite("truncate"); err != nil {
		return err
	}
	return f.sim.do(simOp{kind: OpTruncate, path: f.path(), ino: f.ino, off: size}, func() error { return f.memFile.Truncate(size) })
}

func (f *simFile) Sync() error     { return f.sync() }
func (f *simFile) SyncData() error { return f.sync() }

func (f *simFile) sync() error {
	if err := f.memFile.Sync(); err != nil {
		return err
	}
	s, path := f.sim, f.path()
	s.mu.Lock()
	n, ask := len(s.log), s.syncErr
	s.mu.Unlock()
	var err error
	if ask != nil {
		err = ask(filepath.Base(path))
	}
	s.between(path)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, simOp{kind: OpSync, path: path, ino: f.ino, n: n, fail: err != nil})
	if err != nil {
		return memError("fsync", f.name, err)
	}
	return nil
}
