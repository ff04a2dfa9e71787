package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// segmentFile is a segment's place in the archive, known from its name alone.
type segmentFile struct {
	name    string // the file's name in the archive's directory, its path when it is in another one, see failover.go
	baseSeq uint64
	epoch   uint64
}

// archive is a directory with segments.
type archive struct {
	fs  vfs.FS
	dir string
}

// path returns where a file of the archive is. It takes the path of one that is in a fail-over directory, too.
func (a archive) path(name string) string {
	if filepath.Base(name) != name {
		return name
	}
	return filepath.Join(a.dir, name)
}

// list returns the segments in order, and the names of files that are no part of an archive. Segments that TRIM says were removed are left
// out.
func (a archive) list() (segs []segmentFile, foreign []string, err error) {
	entries, err := a.readDir(a.dir)
	if err != nil {
		return nil, nil, err
	}
	segs, foreign = sortOut(entries, func(name string) string { return name })
	if segs, foreign, err = a.listOthers(segs, foreign); err != nil {
		return nil, nil, err
	}
	sortSegments(segs)
	if slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == trimName }) {
		segs = a.withoutTrimmed(segs)
	}
	return a.dropDead(segs), foreign, nil
}

// sortSegments sorts by base sequence, then by epoch.
func sortSegments(segs []segmentFile) {
	slices.SortFunc(segs, func(x, y segmentFile) int {
		if x.baseSeq != y.baseSeq {
			return compareUint(x.baseSeq, y.baseSeq)
		}
		return compareUint(x.epoch, y.epoch)
	})
}

// sortOut finds the segments, and the files that are no part of an archive, among a directory's entries. known makes the name that they
// are known by.
func sortOut(entries []fs.DirEntry, known func(name string) string) (segs []segmentFile, foreign []string) {
	for _, e := range entries {
		name := e.Name()
		baseSeq, epoch, ok := parseSegmentName(name)
		switch {
		case ok && !e.IsDir():
			segs = append(segs, segmentFile{name: known(name), baseSeq: baseSeq, epoch: epoch})
		case !ownName(name):
			foreign = append(foreign, known(name))
		}
	}
	return segs, foreign
}

func compareUint(x, y uint64) int {
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

// indexName is a directory for what readers derive from segments to find things in them. The journal leaves it alone, and does not copy it.
const indexName = "index"

// ownName reports whether a file that is no segment belongs to an archive all the same.
func ownName(name string) bool {
	switch name {
	case headName, lockName, nextName, takeoverName, reserveName, failoverName, failoverName + tmpExt, cursorsName, trimName, trimName + tmpExt, headName + tmpExt, compactName, backupName, indexName:
		return true
	}
	if stem := name[:max(0, len(name)-len(tornExt))]; stem+tornExt == name {
		_, _, ok := parseSegmentName(stem)
		return ok
	}
	return false
}

// isFile reports whether the archive's directory is a file.
func (a archive) isFile() bool {
	fi, err := a.fs.Stat(a.dir)
	return err == nil && !fi.IsDir()
}

// listForReading is list for those who cannot make an archive: its errors wrap ErrNotArchive where they should.
func (a archive) listForReading() ([]segmentFile, []string, error) {
	segs, foreign, err := a.list()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, fmt.Errorf("journal: %s: %w: no such directory", a.dir, ErrNotArchive)
	case err != nil && a.isFile():
		return nil, nil, fmt.Errorf("journal: %s: %w: it is a file; give the directory that holds the %s files", a.dir, ErrNotArchive, segmentExt)
	case err != nil:
		return nil, nil, fmt.Errorf("journal: %w", err)
	case len(segs) == 0:
		return nil, nil, fmt.Errorf("journal: %s: %w: no %s file in it", a.dir, ErrNotArchive, segmentExt)
	}
	return segs, foreign, nil
}

// readHeader reads the header page of an open segment.
func readHeader(f vfs.File) (segmentHeader, error) {
	page := make([]byte, segmentHeaderLen)
	n, err := f.ReadAt(page, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return segmentHeader{}, err
	}
	return decodeSegmentHeader(page[:n])
}

// openSegment opens a segment for reading and reads its header. On an error in the header the file is closed and the error is a
// *CorruptionError, or wraps ErrVersion.
func (a archive) openSegment(s segmentFile) (vfs.File, segmentHeader, error) {
	f, err := a.fs.OpenFile(a.path(s.name), os.O_RDONLY, 0)
	if err != nil {
		return nil, segmentHeader{}, fmt.Errorf("journal: %w", err)
	}
	h, err := readHeader(f)
	if err == nil && (h.baseSeq != s.baseSeq || h.epoch != s.epoch) {
		err = fmt.Errorf("segment header says base sequence %d and epoch %d: the file has been renamed", h.baseSeq, h.epoch)
	}
	if err == nil {
		return f, h, nil
	}
	_ = f.Close() // opened for reading: nothing to lose
	return nil, h, headerError(a, s, err)
}

// headerError dresses the error of readHeader.
func headerError(a archive, s segmentFile, err error) error {
	var pathErr *fs.PathError
	switch {
	case errors.Is(err, ErrVersion):
		return fmt.Errorf("journal: %s: %w", a.path(s.name), err)
	case errors.As(err, &pathErr):
		return fmt.Errorf("journal: %w", err)
	}
	return &CorruptionError{File: s.name, FirstSeq: s.baseSeq, LastSeq: ^uint64(0), Reason: err.Error()}
}

// readHead reads HEAD; where the archive lies in several directories, the one of the latest epoch. ok is false when it is not there, not
// whole or not this archive's.
func (a archive) readHead(uuid [16]byte) (h head, ok bool) {
	dirs, _ := a.dirs() // list says what is wrong with them
	seed := crcOf(uuid[:])
	for _, dir := range dirs {
		if one, found := a.readHeadIn(dir, seed); found && (!ok || one.epoch > h.epoch) {
			h, ok = one, true
		}
	}
	return h, ok
}

func (a archive) readHeadIn(dir string, seed uint32) (head, bool) {
	f, err := a.fs.OpenFile(filepath.Join(dir, headName), os.O_RDONLY, 0)
	if err != nil {
		return head{}, false
	}
	h, ok := readHeadFile(f, seed)
	_ = f.Close() // opened for reading: nothing to lose
	return h, ok
}

// readHeadFile reads an open HEAD. The write and the read of its 64 bytes need not be atomic to each other, so a bad checksum is read again.
func readHeadFile(f io.ReaderAt, seed uint32) (head, bool) {
	var b [headLen]byte
	for range 3 {
		n, err := f.ReadAt(b[:], 0)
		if err != nil && !errors.Is(err, io.EOF) {
			return head{}, false
		}
		if h, ok := decodeHead(b[:n], seed); ok {
			return h, true
		}
	}
	return head{}, false
}

// writing reports whether a writer has the archive open.
func (a archive) writing() bool { return a.fs.Locked(a.path(lockName)) }
