package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// An archive whose writer has Options.Failover can lie in several directories: its own, the primary, and those that the file FAILOVER in it
// names, one absolute path per line, oldest first. Segments of all of them make one archive. A segment in the primary is known by its file
// name, one elsewhere by its path: archive.path takes both.

// maxFailoverFile is the most bytes of FAILOVER that are read.
const maxFailoverFile = 64 << 10

// dirs returns the directories that hold the archive, the primary first.
func (a archive) dirs() (dirs []string, err error) {
	f, err := a.fs.OpenFile(a.path(failoverName), os.O_RDONLY, 0)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = nil // the usual case
		}
		return []string{a.dir}, err
	}
	b := make([]byte, maxFailoverFile+1)
	n, err := f.ReadAt(b, 0)
	if err = closing(f, ignoreEOF(err)); err != nil {
		return []string{a.dir}, err
	}
	others, err := parseFailover(b[:n])
	if err != nil {
		err = fmt.Errorf("journal: %s: %w", a.path(failoverName), err)
	}
	dirs = append(dirs, a.dir)
	here, absErr := filepath.Abs(a.dir)
	for _, dir := range others {
		if (absErr != nil || dir != here) && !slices.Contains(dirs, dir) { // the archive may have been copied to where its end was
			dirs = append(dirs, dir)
		}
	}
	return dirs, err
}

// parseFailover reads the content of FAILOVER.
func parseFailover(b []byte) (dirs []string, err error) {
	if len(b) > maxFailoverFile {
		return nil, fmt.Errorf("longer than %d bytes", maxFailoverFile)
	}
	for i, line := range strings.Split(strings.TrimSuffix(string(b), "\n"), "\n") {
		if !filepath.IsAbs(line) || strings.ContainsRune(line, 0) {
			return nil, fmt.Errorf("line %d is no absolute path: %.100q", i+1, line)
		}
		if dir := filepath.Clean(line); !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs, nil
}

// writeFailover makes FAILOVER name dir, after those that it names already, and makes that durable.
func (a archive) writeFailover(dir string) error {
	dirs, err := a.dirs()
	if err != nil {
		return err
	}
	others := dirs[1:]
	if slices.Contains(others, dir) {
		return nil
	}
	content := []byte(strings.Join(append(slices.Clone(others), dir), "\n") + "\n")
	tmp := a.path(failoverName + ".tmp")
	f, err := a.fs.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(content, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := a.fs.Rename(tmp, a.path(failoverName)); err != nil {
		return err
	}
	return a.fs.SyncDir(a.dir)
}

// nameIn returns what a file in one of the archive's directories is known by.
func (a archive) nameIn(dir, name string) string {
	if dir == a.dir {
		return name
	}
	return filepath.Join(dir, name)
}

// syncDirOf makes durable the directory entry of a file of the archive, a segment or its .torn file, in whichever directory it is.
func (a archive) syncDirOf(name string) error { return a.fs.SyncDir(filepath.Dir(a.path(name))) }

// joinFailover makes and locks Options.Failover and has the archive remember it. Segments that are there must be the archive's.
func (w *Writer) joinFailover() error {
	if w.opts.Failover == "" {
		return nil
	}
	dir, err := filepath.Abs(w.opts.Failover)
	if err != nil {
		return fmt.Errorf("journal: Options.Failover: %w", err)
	}
	if here, err := filepath.Abs(w.a.dir); err == nil && here == dir {
		return fmt.Errorf("journal: Options.Failover is %s, the archive's own directory: must be another one, on another disk", dir)
	}
	w.opts.Failover = dir
	dirs, err := w.a.dirs()
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if slices.Contains(dirs, dir) { // before it is made: it may be a disk that is not mounted
		if _, err := w.a.readOther(dir); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
	}
	other := archive{fs: w.a.fs, dir: dir}
	lock, err := other.makeAndLock()
	if err != nil {
		return fmt.Errorf("Options.Failover: %w", err)
	}
	w.locks = append(w.locks, lock)
	if theirs, any := other.uuid(); any {
		if ours, ok := w.a.uuid(); ok && ours != theirs || !ok && !slices.Contains(dirs, dir) {
			return fmt.Errorf("journal: Options.Failover is %s: it holds segments of another archive", dir)
		}
	}
	if err := w.a.fs.SyncDir(dir); err != nil { // it is known by its LOCK
		return fmt.Errorf("journal: Options.Failover: %w", err)
	}
	if err := w.a.writeFailover(dir); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// uuid returns the archive's UUID from the first segment in its own directory whose header can be read.
func (a archive) uuid() (uuid [16]byte, ok bool) {
	entries, _ := a.fs.ReadDir(a.dir) // what cannot be read is met by whoever opens it
	segs, _ := sortOut(entries, func(name string) string { return name })
	for _, s := range segs {
		if h, ok := a.headerOf(s); ok {
			return h.uuid, true
		}
	}
	return uuid, false
}

// syncDirs makes the entries of all directories durable.
func (a archive) syncDirs() error {
	dirs, err := a.dirs()
	for _, dir := range dirs {
		err = errors.Join(err, a.fs.SyncDir(dir))
	}
	return err
}

// readOther lists a fail-over directory. One that has nothing of an archive in it, not even a LOCK, is not the one that was written to.
func (a archive) readOther(dir string) ([]fs.DirEntry, error) {
	entries, err := a.readDir(dir)
	what := "which is empty"
	if err != nil {
		what = fmt.Sprintf("which cannot be read: %v", err) // not wrapped: to the caller it is not this archive that is not there
	} else if slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		_, _, ok := parseSegmentName(e.Name())
		return ok || e.Name() == lockName || e.Name() == headName
	}) {
		return entries, nil
	}
	return nil, fmt.Errorf("%s says that segments may be in %s, %s; bring it back, or remove its line if nothing was written there", a.path(failoverName), dir, what)
}

// listOthers adds the segments in the fail-over directories.
func (a archive) listOthers(segs []segmentFile, foreign []string) ([]segmentFile, []string, error) {
	dirs, err := a.dirs()
	if err != nil {
		return nil, nil, err
	}
	for _, dir := range dirs[1:] {
		entries, err := a.readOther(dir)
		if err != nil {
			return nil, nil, err
		}
		s, f := sortOut(entries, func(name string) string { return filepath.Join(dir, name) })
		if len(s) > 0 {
			theirs, ok1 := archive{fs: a.fs, dir: dir}.uuid()
			if ours, ok2 := a.uuid(); ok1 && ok2 && ours != theirs {
				return nil, nil, fmt.Errorf("%s says that segments may be in %s, which holds those of another archive; move them away, or remove the line", a.path(failoverName), dir)
			}
		}
		segs, foreign = append(segs, s...), append(foreign, f...)
	}
	return segs, foreign, nil
}

// dropDead takes segments out of a sorted list that a takeover has left behind: files begun by rotation before their predecessor was known
// to be durable, or takeovers that failed half-way. What they held is in the segment that took over. Such a segment has a lower epoch than
// one that takes over, and a number that is not below the other's.
//
// Names alone give the candidates away: a segment behind one of a higher epoch, and segments with one base sequence whose numbers are not
// as many as they are. So an archive without takeovers costs two headers for every run of segments with one base sequence, and no archive more
// than one for each segment.
func (a archive) dropDead(segs []segmentFile) []segmentFile {
	h := headers{a: a, segs: segs}
	dead := make(map[int]bool)
	best := 0 // has the highest epoch so far
	for i := 1; i < len(segs); i++ {
		if segs[i].epoch >= segs[best].epoch {
			best = i
		} else if h.superseded(i, best) {
			dead[i] = true
		}
	}
	for from := 0; from < len(segs); {
		to := from + 1
		for to < len(segs) && segs[to].baseSeq == segs[from].baseSeq {
			to++
		}
		if to-from > 1 && h.numbersClash(from, to-1) {
			for i := from; i < to; i++ {
				for j := i + 1; j < to && !dead[i]; j++ {
					if h.superseded(i, j) || h.replaced(from, i, j) {
						dead[i] = true
					}
				}
			}
		}
		from = to
	}
	if len(dead) == 0 {
		return segs
	}
	kept := make([]segmentFile, 0, len(segs))
	for i, s := range segs {
		if !dead[i] {
			kept = append(kept, s)
		}
	}
	return kept
}

// headers reads the headers of segments when they are asked for, each once.
type headers struct {
	a    archive
	segs []segmentFile
	read map[int]*segmentHeader // nil: cannot be read
}

// of returns the header of segment i, nil when it cannot be read.
func (h *headers) of(i int) *segmentHeader {
	hdr, ok := h.read[i]
	if !ok {
		if h.read == nil {
			h.read = make(map[int]*segmentHeader)
		}
		if one, whole := h.a.headerOf(h.segs[i]); whole {
			hdr = &one
		}
		h.read[i] = hdr
	}
	return hdr
}

// numbersClash reports whether the segments from first to last are not numbered one after another as far as that can be seen.
func (h *headers) numbersClash(first, last int) bool {
	h1, h2 := h.of(first), h.of(last)
	return h1 == nil || h2 == nil || h2.number-h1.number != uint64(last-first)
}

// tookOver returns the header of segment by when it took over from another one, after segment i was begun.
func (h *headers) tookOver(i, by int) *segmentHeader {
	if h.segs[i].epoch >= h.segs[by].epoch {
		return nil
	}
	if hdr := h.of(by); hdr != nil && hdr.predFlags&predPoisoned != 0 {
		return hdr
	}
	return nil
}

// replaced reports whether segment by, which took over, continues the one before from, although segment i, whose header cannot be read, stands
// between them: a crash has left it of a rotation that the takeover has undone.
func (h *headers) replaced(from, i, by int) bool {
	hdr := h.tookOver(i, by)
	if hdr == nil || from == 0 || h.of(i) != nil {
		return false
	}
	old := h.of(from - 1)
	return old != nil && old.uuid == hdr.uuid && old.number+1 == hdr.number
}

// superseded reports whether segment by, which has a higher epoch, took over from before where segment i is.
func (h *headers) superseded(i, by int) bool {
	hdr := h.tookOver(i, by)
	if hdr == nil {
		return false
	}
	old := h.of(i)
	return old == nil && h.segs[i].baseSeq > h.segs[by].baseSeq || old != nil && old.uuid == hdr.uuid && old.number >= hdr.number
}

// headerOf reads a segment's header.
func (a archive) headerOf(s segmentFile) (segmentHeader, bool) {
	f, h, err := a.openSegment(s)
	if err != nil {
		return h, false
	}
	return h, closing(f, nil) == nil
}
