package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// TrimOptions are the options of Trim. At least one limit must be given.
type TrimOptions struct {
	Retention  Retention // keep at most so much; OnFull has no meaning here
	BeforeSeq  uint64    // remove the segments whose records are all below this sequence
	BeforeTime int64     // remove the segments whose records are all earlier, nanoseconds since the Unix epoch
	DryRun     bool      // only say what would be removed
	FS         vfs.FS    // default: the operating system's
}

// Trim removes the oldest segments of the archive in dir, as many as the options ask for, and returns them. Where several limits are given,
// each is kept. Only whole segments go, oldest first; never the last one, and never one that holds a record that a cursor or a hold still
// wants. What was removed is noted in the file TRIM before the first segment goes, so that readers can tell it from a loss, and a crash in
// between leaves a valid archive. Sequences do not change.
//
// It takes the writer's lock: when a writer has the archive open, the error wraps ErrLocked, and that writer's Options.Retention is the way.
// When a cursor is damaged nothing is removed and the error says which. When an error is returned with segments, those have been removed.
func Trim(dir string, opts *TrimOptions) (infos []SegmentInfo, err error) {
	var o TrimOptions
	if opts != nil {
		o = *opts
	}
	if o.FS == nil {
		o.FS = vfs.OS
	}
	if err := o.Retention.check("TrimOptions.Retention"); err != nil {
		return nil, err
	}
	o.Retention.OnFull = false
	if o.Retention.none() && o.BeforeSeq == 0 && o.BeforeTime == 0 {
		return nil, errors.New("journal: Trim: no limit is given, so there is nothing to do")
	}
	a := archive{fs: o.FS, dir: dir}
	err = a.atRest(func() error {
		infos, err = a.trimOffline(&o)
		return err
	})
	return infos, err
}

// atRest does work on an archive that is there, under the writer's lock.
func (a archive) atRest(work func() error) error {
	if _, _, err := a.listForReading(); err != nil {
		return err
	}
	unlock, err := a.lockForWork()
	if err != nil {
		return err
	}
	return errors.Join(work(), unlock())
}

// lockForWork takes the writer's lock for work on an archive at rest.
func (a archive) lockForWork() (unlock func() error, err error) {
	lock, err := a.fs.Lock(a.path(lockName))
	switch {
	case errors.Is(err, ErrLocked):
		return nil, fmt.Errorf("journal: %s: a writer has this archive open: %w", a.dir, ErrLocked)
	case err != nil:
		return nil, fmt.Errorf("journal: cannot lock the archive: %w", err)
	}
	return func() error {
		if err := lock.Close(); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		return nil
	}, nil
}

func (a archive) trimOffline(o *TrimOptions) ([]SegmentInfo, error) {
	p, err := a.planOffline()
	if err != nil {
		return nil, err
	}
	if err := p.make(o.Retention, o.BeforeSeq, o.BeforeTime); err != nil {
		return nil, err
	}
	if p.n == 0 {
		if o.DryRun {
			return nil, p.tooMuch()
		}
		return nil, errors.Join(a.removeLeftovers(), p.tooMuch())
	}
	var infos []SegmentInfo
	for i := range p.n {
		info, err := a.segmentInfo(p.segs, i)
		if err != nil {
			return nil, err
		}
		infos = append(infos, info)
	}
	if o.DryRun {
		return infos, p.tooMuch()
	}
	removed, err := p.carryOut()
	return infos[:min(removed, len(infos))], errors.Join(err, p.tooMuch())
}

// planOffline looks at the end of an archive at rest, as Open does, so that nothing goes on which the repair of that end depends. What it
// finds is synced: nothing may go while its successor is only in memory.
func (a archive) planOffline() (*trimPlan, error) {
	r := &recovery{a: a}
	err := r.plan()
	r.abandon()
	if err != nil {
		return nil, err
	}
	p := &trimPlan{a: a, segs: r.segs, next: r.found.NextSeq, now: time.Now().UnixNano()}
	first := r.last
	if r.sealPrev {
		first = r.prev
	}
	for p.limit < len(r.segs)-1 && (first == nil || r.segs[p.limit].name != first.name) {
		p.limit++
	}
	return p, nil
}

// trimNote reads TRIM. ok is false when it is not there, not whole or not this archive's.
func (a archive) trimNote(uuid [16]byte) (n trimNote, ok bool) {
	f, err := a.fs.OpenFile(a.path(trimName), os.O_RDONLY, 0)
	if err != nil {
		return trimNote{}, false
	}
	defer f.Close() // opened for reading: nothing to lose
	var b [trimLen + 1]byte
	got, err := f.ReadAt(b[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return trimNote{}, false
	}
	return decodeTrim(b[:got], crcOf(uuid[:]))
}

// uuidOf returns the archive's UUID from the newest segment whose header can be read.
func (a archive) uuidOf(segs []segmentFile) (uuid [16]byte, ok bool) {
	for i := len(segs) - 1; i >= 0; i-- {
		if f, hdr, err := a.openSegment(segs[i]); err == nil {
			return hdr.uuid, closing(f, nil) == nil
		}
	}
	return uuid, false
}

// withoutTrimmed leaves out the segments that TRIM says are no part of the archive any more: a crash, or a file system that does not remove
// open files, has left them there. When it would leave out all, the note cannot be right, and none is.
func (a archive) withoutTrimmed(segs []segmentFile) []segmentFile {
	uuid, ok := a.uuidOf(segs)
	if !ok {
		return segs
	}
	note, ok := a.trimNote(uuid)
	if !ok {
		return segs
	}
	kept := make([]segmentFile, 0, len(segs))
	for _, s := range segs {
		if !note.removed(s) {
			kept = append(kept, s)
		}
	}
	if len(kept) == 0 {
		return segs
	}
	return kept
}

// beforeFirst says what is missing before the first segment: records that were trimmed, or records that are lost. missing is false when
// the archive begins with the first segment it ever had.
func (a archive) beforeFirst(first segmentHeader) (gap Gap, missing bool) {
	if first.number <= 1 {
		return Gap{}, false
	}
	gap = Gap{File: segmentName(first.baseSeq, first.epoch), LastSeq: first.predSeq - 1}
	note, ok := a.trimNote(first.uuid)
	switch {
	case !ok:
		gap.Reason = fmt.Sprintf("segments before number %d are missing, and no file %s says that they were removed on purpose", first.number, trimName)
	case note.segment < first.number:
		gap.FirstSeq = min(note.firstSeq, first.predSeq) // a note that would leave no segment is not believed
		gap.Reason = fmt.Sprintf("segments %d to %d are missing: %s says that the archive begins with number %d", note.segment, first.number-1, trimName, note.segment)
	default:
		gap.Trimmed = true
		gap.Reason = fmt.Sprintf("segments before number %d were removed at %s: %v", first.number, time.Unix(0, note.when).UTC().Format(time.RFC3339), note.why)
	}
	return gap, true
}

// trimmedAway reports whether err is that of opening a segment which has been trimmed since it was listed.
func (a archive) trimmedAway(s segmentFile, err error) bool {
	if !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	segs, _, err := a.list()
	if err != nil || len(segs) == 0 {
		return false
	}
	uuid, ok := a.uuidOf(segs)
	if !ok {
		return false
	}
	note, ok := a.trimNote(uuid)
	return ok && note.removed(s)
}

// writeTrim makes the note durable. When the disk is full and there is a note already, that one is overwritten: its 64 bytes lie in one
// sector, so that after a power cut either the old one or the new one is there.
func (a archive) writeTrim(n trimNote, uuid [16]byte) error {
	b := make([]byte, trimLen)
	n.encode(b, crcOf(uuid[:]))
	err := a.replaceFile(trimName, b)
	if err == nil || !isFull(err) {
		return err
	}
	if _, ok := a.trimNote(uuid); !ok {
		return err
	}
	f, e := a.fs.OpenFile(a.path(trimName), os.O_RDWR, 0)
	if e != nil {
		return err
	}
	if _, e = f.WriteAt(b, 0); e == nil {
		e = f.Sync()
	}
	if e = errors.Join(e, f.Close()); e != nil {
		return err
	}
	return nil
}

// tmpExt ends the names of files that are being made. They count for nothing.
const tmpExt = ".tmp"

// replaceFile puts a small file in the place of what has its name, durably: made under another name, synced, renamed, its directory synced.
func (a archive) replaceFile(name string, content []byte) error {
	path := a.path(name)
	f, err := a.fs.OpenFile(path+tmpExt, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if _, err = f.WriteAt(content, 0); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = a.fs.Rename(path+tmpExt, path)
	}
	if err != nil {
		_ = a.fs.Remove(path + tmpExt) // it counts for nothing; the error is the one that matters
		return fmt.Errorf("journal: %w", err)
	}
	if err := a.fs.SyncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// removeLeftovers removes the segments that TRIM says are no part of the archive any more, and their torn tails. It removes nothing unless the
// segment that the note says comes first is there.
func (a archive) removeLeftovers() error {
	segs, _, err := a.list()
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if len(segs) == 0 {
		return nil
	}
	f, hdr, err := a.openSegment(segs[0])
	if err != nil {
		return err
	}
	_ = f.Close() // opened for reading
	note, ok := a.trimNote(hdr.uuid)
	if !ok || note.segment != hdr.number || note.firstSeq != hdr.baseSeq || note.epoch != hdr.epoch {
		return nil
	}
	left, err := a.leftovers(note)
	if !left || err != nil {
		return err
	}
	// Its writer may have failed, or died, before it was durable.
	if err := a.writeTrim(note, hdr.uuid); err != nil {
		return err
	}
	return a.removeBelow(note)
}

// leftovers reports whether there is something that the note says is no part of the archive any more.
func (a archive) leftovers(note trimNote) (bool, error) {
	dirs, err := a.dirs()
	for _, dir := range dirs {
		entries, e := a.fs.ReadDir(dir)
		if err = errors.Join(err, e); err != nil {
			return false, fmt.Errorf("journal: %w", err)
		}
		for _, e := range entries {
			baseSeq, epoch, ok := parseSegmentName(strings.TrimSuffix(e.Name(), tornExt))
			if ok && !e.IsDir() && note.removed(segmentFile{baseSeq: baseSeq, epoch: epoch}) {
				return true, nil
			}
		}
	}
	return false, nil
}

// removeBelow removes what the note says is no part of the archive any more, oldest first in each directory.
func (a archive) removeBelow(note trimNote) error {
	dirs, err := a.dirs()
	for _, dir := range dirs {
		if err == nil {
			err = a.removeIn(dir, note)
		}
	}
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// removeIn is removeBelow for one directory.
func (a archive) removeIn(dir string, note trimNote) error {
	entries, err := a.fs.ReadDir(dir)
	if err != nil {
		return err
	}
	removed := false
	for _, e := range entries { // sorted by name, which is the segments' order
		baseSeq, epoch, ok := parseSegmentName(strings.TrimSuffix(e.Name(), tornExt))
		if !ok || e.IsDir() || !note.removed(segmentFile{baseSeq: baseSeq, epoch: epoch}) {
			continue
		}
		if err := a.fs.Remove(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		removed = true
	}
	if !removed {
		return nil
	}
	return a.fs.SyncDir(dir)
}
