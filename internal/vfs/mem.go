package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Mem is a file system in memory, for tests that do thousands of runs. It forgets nothing: Sync does nothing, and there is no power cut. Safe
// for concurrent use.
type Mem struct {
	mu    sync.Mutex
	files map[string]*memData // by clean path; directories have isDir
	locks map[string]bool
	limit int64 // bytes of all files, 0 = none
}

var _ FS = (*Mem)(nil)

// NewMem returns an empty Mem with a root directory.
func NewMem() *Mem {
	return &Mem{files: make(map[string]*memData), locks: make(map[string]bool)}
}

type memData struct {
	mu    sync.RWMutex
	b     []byte
	isDir bool
}

func memError(op, name string, err error) error {
	return &fs.PathError{Op: op, Path: name, Err: err}
}

func (m *Mem) lookup(name string) *memData {
	name = filepath.Clean(name)
	if name == "." || name == filepath.Dir(name) {
		return &memData{isDir: true}
	}
	return m.files[name]
}

// MkdirAll is FS.MkdirAll.
func (m *Mem) MkdirAll(path string, _ fs.FileMode) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for d := filepath.Clean(path); ; d = filepath.Dir(d) {
		f := m.lookup(d)
		if f != nil && !f.isDir {
			return memError("mkdir", d, syscall.ENOTDIR)
		}
		if f != nil {
			return nil
		}
		m.files[d] = &memData{isDir: true}
	}
}

// OpenFile is FS.OpenFile, for O_CREATE, O_EXCL and O_TRUNC.
func (m *Mem) OpenFile(name string, flag int, _ fs.FileMode) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.lookup(name)
	switch {
	case f != nil && f.isDir:
		return nil, memError("open", name, syscall.EISDIR)
	case f != nil && flag&os.O_EXCL != 0:
		return nil, memError("open", name, fs.ErrExist)
	case f == nil && flag&os.O_CREATE == 0:
		return nil, memError("open", name, fs.ErrNotExist)
	case f == nil:
		if d := m.lookup(filepath.Dir(name)); d == nil || !d.isDir {
			return nil, memError("open", name, fs.ErrNotExist)
		}
		f = &memData{}
		m.files[filepath.Clean(name)] = f
	}
	if flag&os.O_TRUNC != 0 {
		f.set(nil)
	}
	return &memFile{m: m, data: f, name: name}, nil
}

// Rename is FS.Rename. A directory takes what is in it along; it replaces only an empty one.
func (m *Mem) Rename(oldName, newName string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.lookup(oldName)
	if f == nil {
		return memError("rename", oldName, fs.ErrNotExist)
	}
	oldName, newName = filepath.Clean(oldName), filepath.Clean(newName)
	if f.isDir && len(inDir(m.files, newName)) > 0 {
		return memError("rename", newName, syscall.ENOTEMPTY)
	}
	delete(m.files, oldName)
	m.files[newName] = f
	if f.isDir {
		moveDir(m.files, oldName, newName)
	}
	return nil
}

// inDir returns the paths below a directory.
func inDir[T any](files map[string]T, dir string) (paths []string) {
	for path := range files {
		if strings.HasPrefix(path, dir+string(filepath.Separator)) {
			paths = append(paths, path)
		}
	}
	return paths
}

// moveDir gives what is below a directory the directory's new path.
func moveDir[T any](files map[string]T, oldName, newName string) {
	for _, path := range inDir(files, oldName) {
		f := files[path]
		delete(files, path)
		files[newName+path[len(oldName):]] = f
	}
}

// Remove is FS.Remove.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.lookup(name) == nil {
		return memError("remove", name, fs.ErrNotExist)
	}
	if len(inDir(m.files, filepath.Clean(name))) > 0 {
		return memError("remove", name, syscall.ENOTEMPTY)
	}
	delete(m.files, filepath.Clean(name))
	return nil
}

// ReadDir is FS.ReadDir.
func (m *Mem) ReadDir(name string) ([]fs.DirEntry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.lookup(name)
	switch {
	case d == nil:
		return nil, memError("open", name, fs.ErrNotExist)
	case !d.isDir:
		return nil, memError("readdir", name, syscall.ENOTDIR)
	}
	var entries []fs.DirEntry
	for path, f := range m.files {
		if filepath.Dir(path) == filepath.Clean(name) {
			entries = append(entries, fs.FileInfoToDirEntry(f.info(path)))
		}
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, nil
}

// Stat is FS.Stat.
func (m *Mem) Stat(name string) (fs.FileInfo, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.lookup(name)
	if f == nil {
		return nil, memError("stat", name, fs.ErrNotExist)
	}
	return f.info(name), nil
}

// SyncDir is FS.SyncDir.
func (m *Mem) SyncDir(name string) error {
	_, err := m.Stat(name)
	return err
}

// Lock is FS.Lock.
func (m *Mem) Lock(name string) (Lock, error) {
	f, err := m.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	name = filepath.Clean(name)
	if m.locks[name] {
		return nil, memError("lock", name, ErrLocked)
	}
	m.locks[name] = true
	return &memLock{m: m, name: name, file: f}, nil
}

// Locked is FS.Locked.
func (m *Mem) Locked(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.locks[filepath.Clean(name)]
}

// ReadFile returns a copy of a file's content.
func (m *Mem) ReadFile(name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.lookup(name)
	if f == nil {
		return nil, memError("open", name, fs.ErrNotExist)
	}
	return f.get(), nil
}

// WriteFile sets a file's content, making the file if need be.
func (m *Mem) WriteFile(name string, b []byte) error {
	f, err := m.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	f.(*memFile).data.set(slices.Clone(b))
	return nil
}

// Clone returns a copy of all files as they are now, unlocked: what a crash of the process leaves behind.
func (m *Mem) Clone() *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := NewMem()
	for path, f := range m.files {
		c.files[path] = &memData{b: f.get(), isDir: f.isDir}
	}
	return c
}

type memLock struct {
	m    *Mem
	name string
	file File
}

func (l *memLock) SetContent(b []byte) error {
	l.file.(*memFile).data.set(slices.Clone(b))
	return nil
}

func (l *memLock) Close() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	delete(l.m.locks, l.name)
	return nil
}

func (d *memData) get() []byte {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return slices.Clone(d.b)
}

func (d *memData) set(b []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.b = b
}

func (d *memData) info(name string) memInfo {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return memInfo{name: filepath.Base(name), size: int64(len(d.b)), dir: d.isDir}
}

type memInfo struct {
	name string
	size int64
	dir  bool
}

func (i memInfo) Name() string       { return i.name }
func (i memInfo) Size() int64        { return i.size }
func (i memInfo) ModTime() time.Time { return time.Time{} }
func (i memInfo) IsDir() bool        { return i.dir }
func (i memInfo) Sys() any           { return nil }
func (i memInfo) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | 0o700
	}
	return 0o600
}

type memFile struct {
	m    *Mem
	data *memData
	name string
	mu   sync.Mutex
	shut bool
}

func (f *memFile) open(op string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.shut {
		return memError(op, f.name, fs.ErrClosed)
	}
	return nil
}

func (f *memFile) Name() string { return f.name }

func (f *memFile) ReadAt(b []byte, off int64) (int, error) {
	if err := f.open("read"); err != nil {
		return 0, err
	}
	f.data.mu.RLock()
	defer f.data.mu.RUnlock()
	if off >= int64(len(f.data.b)) {
		return 0, io.EOF
	}
	n := copy(b, f.data.b[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(b []byte, off int64) (int, error) {
	if err := f.open("write"); err != nil {
		return 0, err
	}
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	room := f.m.room()
	f.data.mu.Lock()
	defer f.data.mu.Unlock()
	end := min(off+int64(len(b)), max(int64(len(f.data.b)), off)+room)
	if end > off { // not only a hole
		f.data.grow(end)
	}
	n := copy(f.data.b[min(off, int64(len(f.data.b))):], b)
	if n < len(b) {
		return n, memError("write", f.name, syscall.ENOSPC)
	}
	return n, nil
}

// SetLimit makes the disk so small that all files together take at most limit bytes, 0 for no limit. A write that would grow a file beyond
// that writes what there is room for and fails with ENOSPC. Files that are there already stay.
func (m *Mem) SetLimit(limit int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.limit = limit
}

// Space is FS.Space: what SetLimit has left.
func (m *Mem) Space(dir string) (free, size int64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.limit == 0 {
		return noSpace(dir)
	}
	return m.room(), m.limit, nil
}

// Used returns the bytes of all files.
func (m *Mem) Used() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used()
}

func (m *Mem) used() (n int64) {
	for _, f := range m.files {
		f.mu.RLock()
		n += int64(len(f.b))
		f.mu.RUnlock()
	}
	return n
}

// room returns how many bytes files may still grow.
func (m *Mem) room() int64 {
	if m.limit == 0 {
		return 1 << 40
	}
	return max(0, m.limit-m.used())
}

// grow makes the content at least size bytes long. The caller holds mu.
func (d *memData) grow(size int64) {
	if n := size - int64(len(d.b)); n > 0 {
		d.b = append(d.b, make([]byte, n)...)
	}
}

func (f *memFile) WritevAt(bufs [][]byte, off int64) (int64, error) { return writeEach(f, bufs, off) }

// Allocate knows no disk.
func (f *memFile) Allocate(int64, int64) error {
	return memError("fallocate", f.name, errors.ErrUnsupported)
}

func (f *memFile) Truncate(size int64) error {
	if err := f.open("truncate"); err != nil {
		return err
	}
	if size < 0 {
		return memError("truncate", f.name, fmt.Errorf("negative size %d", size))
	}
	f.data.mu.Lock()
	defer f.data.mu.Unlock()
	f.data.grow(size)
	f.data.b = slices.Clone(f.data.b[:size])
	return nil
}

func (f *memFile) Sync() error     { return f.open("sync") }
func (f *memFile) SyncData() error { return f.open("sync") }

func (f *memFile) Size() (int64, error) {
	f.data.mu.RLock()
	defer f.data.mu.RUnlock()
	return int64(len(f.data.b)), f.open("stat")
}

func (f *memFile) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.shut {
		return memError("close", f.name, fs.ErrClosed)
	}
	f.shut = true
	return nil
}
