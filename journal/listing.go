package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// A listing of a directory is not atomic: one made while files are renamed in it may lack a file that was there before another one that it
// has. Systems promise only that a file which is there all the time is listed.

// listTries bounds how often a directory that changes is listed again.
const listTries = 10

// readDir lists a directory. While a writer has the archive open it does so until two listings in a row have the same names, or listTries is
// reached.
func (a archive) readDir(dir string) ([]fs.DirEntry, error) {
	entries, err := a.fs.ReadDir(dir)
	for try := 1; try < listTries && err == nil && a.writing(); try++ {
		var again []fs.DirEntry
		if again, err = a.fs.ReadDir(dir); err != nil {
			break
		}
		same := slices.EqualFunc(entries, again, func(x, y fs.DirEntry) bool { return x.Name() == y.Name() })
		if entries = again; same {
			break
		}
	}
	return entries, err
}

// relist lists the directory again, because what comes behind the current segment is not there, or is not what should come. It reports whether
// something else comes now. A segment that is listed at all was begun after the one before it had its name: a listing made after that has both.
func (r *Reader) relist() (changed bool, err error) {
	if r.file == nil {
		return false, nil
	}
	var before segmentFile
	if r.i+1 < len(r.segs) {
		before = r.segs[r.i+1]
	}
	segs, _, err := r.a.list()
	if err != nil {
		return false, fmt.Errorf("journal: %w", err)
	}
	r.adopt(segs)
	return r.i+1 < len(r.segs) && r.segs[r.i+1] != before, nil
}

// openNext opens segment j, which follows the current one if there is one. It does not believe a listing that lacks something.
func (r *Reader) openNext(j int) error {
	err := r.open(j)
	var c *CorruptionError
	for try := 1; try < listTries && (errors.As(err, &c) || errors.Is(err, fs.ErrNotExist)); try++ {
		changed, listErr := r.relist()
		if listErr != nil {
			return listErr
		}
		if !changed {
			break
		}
		r.view.succ = nil
		if err := r.look(); err != nil {
			return err
		}
		if r.view.succ != nil && r.takenOver(r.view.succ) {
			return r.reissue()
		}
		err = r.open(r.i + 1)
	}
	return err
}
