// Package vfs is the small file interface that the journal does all its I/O through.
//
// It exists for three reasons. The journal needs calls that package os does not have: a gathering write at an explicit offset, a sync of
// data without metadata, a sync of a directory, a lock that does not block. The way they are made differs between systems, and that
// difference belongs in one place. And a disk that is slow, full or broken must be a test input: [Fault] wraps any [FS] and makes it so.
//
// Paths are those of package os. Errors are those of package os too: a *fs.PathError naming operation and file, so that errors.Is with
// fs.ErrNotExist, syscall.ENOSPC and the like works through them.
package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"time"
)

// ErrLocked says that another process, or another open in this process, holds the lock.
var ErrLocked = errors.New("locked by another process")

// FS is a file system. Implementations are safe for concurrent use.
type FS interface {
	// MkdirAll makes a directory and its parents, as os.MkdirAll does.
	MkdirAll(path string, perm fs.FileMode) error
	// OpenFile opens a file with the flags of package os.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	// Rename moves a file, replacing what is there. It is durable only after SyncDir of the directory.
	Rename(oldName, newName string) error
	// Remove deletes a file. It is durable only after SyncDir of the directory.
	Remove(name string) error
	// ReadDir returns the entries of a directory sorted by name.
	ReadDir(name string) ([]fs.DirEntry, error)
	// Stat describes a file.
	Stat(name string) (fs.FileInfo, error)
	// SyncDir makes the entries of a directory durable. On Windows it is best effort.
	SyncDir(name string) error
	// Space returns how many bytes of the file system that a directory is on are free for this user, and how many it has. The error wraps
	// errors.ErrUnsupported where nobody can tell.
	Space(dir string) (free, size int64, err error)
	// Lock takes an exclusive lock on the named file, creating it if needed, without waiting. The error wraps ErrLocked when another
	// holds it. Closing the result gives the lock up; so does the end of the process. The file stays.
	Lock(name string) (Lock, error)
	// Locked reports whether someone holds the lock on the named file. It does not disturb the holder, and a Lock that meets it by
	// chance tries again. False when the file is not there or the system cannot tell.
	Locked(name string) bool
}

// Lock is a held lock. Close gives it up.
type Lock interface {
	io.Closer
	// SetContent replaces what is in the lock file: information for people, never read back.
	SetContent(b []byte) error
}

// File is an open file. Methods at different offsets may be called at once from different goroutines; Close may not be called while
// another call is under way.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Name returns the name the file was opened with.
	Name() string
	// WritevAt writes the buffers one after another at off, with one system call where the system has one for it. It goes on after a
	// short write and after EINTR. n is the number of bytes that were written; err is non-nil when n is less than the buffers hold.
	// It does not keep the buffers and allocates nothing for up to 8 of them.
	WritevAt(bufs [][]byte, off int64) (n int64, err error)
	// Allocate gives the file n bytes of disk from off on, which may be behind its end, and leaves its size and content as they are: what is
	// written there costs less then. It is a hint: after an error, which wraps errors.ErrUnsupported where it is not known to help, all is as
	// it was, and no error does not mean that there will be room. Truncate gives back what is behind the end.
	Allocate(off, n int64) error
	// Truncate sets the size. Space behind the end is given back, also if the size is the same.
	Truncate(size int64) error
	// Sync makes data and metadata durable.
	Sync() error
	// SyncData makes the data, and the size if it changed, durable.
	SyncData() error
	// Size returns the size now.
	Size() (int64, error)
}

// OS is the file system of the operating system.
var OS FS = osFS{}

type osFS struct{}

func (osFS) MkdirAll(path string, perm fs.FileMode) error { return os.MkdirAll(path, perm) }
func (osFS) Rename(oldName, newName string) error         { return os.Rename(oldName, newName) }
func (osFS) Remove(name string) error                     { return os.Remove(name) }
func (osFS) ReadDir(name string) ([]fs.DirEntry, error)   { return os.ReadDir(name) }
func (osFS) Stat(name string) (fs.FileInfo, error)        { return os.Stat(name) }
func (osFS) SyncDir(name string) error                    { return syncDir(name) }

// noSpace is the answer of an FS that does not know its size.
func noSpace(dir string) (free, size int64, err error) {
	return 0, 0, &fs.PathError{Op: "statfs", Path: dir, Err: errors.ErrUnsupported}
}

func (osFS) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	f, err := openFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return newFile(f), nil
}

func (osFS) Lock(name string) (Lock, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = lockFile(f, true)
	for range lockRetries {
		if !errors.Is(err, ErrLocked) {
			break
		}
		time.Sleep(lockRetryPause) // a Locked call may hold it for a moment
		err = lockFile(f, true)
	}
	if err != nil {
		_ = f.Close() // nothing was written; the lock error is the one that matters
		return nil, &fs.PathError{Op: "lock", Path: name, Err: err}
	}
	return &osLock{f: f}, nil
}

// Lock rides over Locked calls of other processes for lockRetries × lockRetryPause.
const (
	lockRetries    = 10
	lockRetryPause = 2 * time.Millisecond
)

func (osFS) Locked(name string) bool {
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	err = lockFile(f, false)
	if err == nil {
		err = unlockFile(f)
	}
	_ = f.Close() // nothing was written
	return errors.Is(err, ErrLocked)
}

type osLock struct{ f *os.File }

func (l *osLock) SetContent(b []byte) error {
	if err := l.f.Truncate(0); err != nil {
		return err
	}
	_, err := l.f.WriteAt(b, 0)
	return err
}

func (l *osLock) Close() error {
	if l.f == nil {
		return nil
	}
	err := errors.Join(unlockFile(l.f), l.f.Close())
	l.f = nil
	return err
}
