package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// recovery is what Open finds in a directory and means to do about it. It is made in full before anything is changed, and every step of
// carrying it out leaves a state from which making it again leads to the same end.
type recovery struct {
	a        archive
	dry      bool // nothing is to be written or synced
	segs     []segmentFile
	epoch    uint64 // highest in any name
	uuid     [16]byte
	streams  []string // by id − 1; "" where an id is not known
	ordinals ordinals // at the end of the archive

	aside *segmentFile // a last segment that never became whole, to be set aside
	prev  *segment     // the segment before the last one, when the last one was begun before it was sealed
	lost  *tail        // of prev: what was lost between it and last, nil when nothing was
	last  *segment     // the segment that the archive ends with, nil when there is none
	tail  *tail        // the torn tail of last, nil when it ends cleanly

	sealPrev, seal bool // prev, last have no footer yet

	found Recovery
}

// plan looks at the end of the archive. It changes nothing. The error is a *CorruptionError when something that was promised is missing.
func (r *recovery) plan() error {
	if err := r.listAll(); err != nil {
		return err
	}
	r.found = Recovery{Verdict: Clean, Segments: len(r.segs)}
	if len(r.segs) == 0 {
		return r.a.allMissing()
	}
	// What recovery is going to believe must be on the disk first: a page that is only in memory may be gone after the next power cut.
	if !r.dry {
		if err := r.a.syncDirs(); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
	}
	n := len(r.segs)
	err := r.planLast(n-1, nil)
	if err != nil {
		return err
	}
	if r.last != nil {
		r.ordinals.join(r.last.ordinals)
		r.uuid = r.last.hdr.uuid
		r.found.NextSeq = r.last.nextSeq
		r.found.Unclean = r.seal || r.tail != nil
	}
	return r.loadStreams()
}

// listAll lists the segments and finds the highest epoch in any name, those of set-aside files included.
func (r *recovery) listAll() error {
	segs, _, err := r.a.list()
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	r.segs = segs
	dirs, err := r.a.dirs()
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	for _, dir := range dirs {
		entries, err := r.a.fs.ReadDir(dir)
		if err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		for _, e := range entries {
			if _, epoch, ok := parseSegmentName(strings.TrimSuffix(e.Name(), tornExt)); ok {
				r.epoch = max(r.epoch, epoch)
			}
		}
	}
	return nil
}

// planLast walks segment i, the last one that counts. aside is the segment after it that has been found never to have been whole.
func (r *recovery) planLast(i int, aside *segmentFile) error {
	r.aside = aside
	f, hdr, err := r.openSynced(i)
	var c *CorruptionError
	if errors.As(err, &c) && aside == nil {
		return r.planTornCreate(i, c)
	}
	if err != nil {
		return err
	}
	seg, w, reason, err := walkSegment(f, r.segs[i].name, hdr, maxFileSize)
	if err != nil {
		return closing(f, err)
	}
	sealed, reason, err := sealedWell(seg, w, reason)
	if err != nil {
		return closing(f, err)
	}
	if hdr.predFlags&predNotSynced != 0 && i > 0 {
		torn, err := r.planPrev(i, hdr)
		if err != nil {
			return closing(f, err)
		}
		if torn {
			_ = closing(f, nil) // it is going to be renamed
			return r.planLast(i-1, &r.segs[i])
		}
	}
	r.last, r.seal = seg, !sealed
	if sealed {
		return r.a.missingAfter(seg)
	}
	var later []segmentFile
	if aside != nil {
		later = []segmentFile{*aside}
	}
	t, err := r.a.judge(w, reason, later)
	switch {
	case err != nil:
		return err
	case t.verdict == Corrupt:
		return r.corrupt(w, &t, i)
	case t.size > t.off || t.endSeq > t.nextSeq || seg.closed:
		r.tail = &t
	}
	return nil
}

func closing(f vfs.File, err error) error {
	_ = f.Close() // nothing was written to it
	return err
}

// openSynced opens segment i for repair and syncs it.
func (r *recovery) openSynced(i int) (vfs.File, segmentHeader, error) {
	s := r.segs[i]
	if r.dry {
		return r.a.openSegment(s)
	}
	f, err := r.a.fs.OpenFile(r.a.path(s.name), os.O_RDWR, 0)
	if err != nil {
		return nil, segmentHeader{}, fmt.Errorf("journal: %w", err)
	}
	if err := f.Sync(); err != nil {
		return nil, segmentHeader{}, closing(f, fmt.Errorf("journal: %w", err))
	}
	h, err := readHeader(f)
	if err == nil && (h.baseSeq != s.baseSeq || h.epoch != s.epoch) {
		err = fmt.Errorf("segment header says base sequence %d and epoch %d: the file has been renamed", h.baseSeq, h.epoch)
	}
	if err != nil {
		return nil, h, closing(f, headerError(r.a, s, err))
	}
	return f, h, nil
}

// planTornCreate handles a last segment whose header is not whole. That is what a crash leaves only of a segment begun by rotation, whose
// header is written before the one before it is sealed: then both have the same epoch. At an open, the header is synced before the file
// gets its name.
func (r *recovery) planTornCreate(i int, c *CorruptionError) error {
	if i == 0 || r.segs[i-1].epoch != r.segs[i].epoch {
		return c
	}
	if err := r.planLast(i-1, &r.segs[i]); err != nil {
		return err
	}
	promised, err := r.a.headlessPromise(r.segs[i], r.last.pos())
	if err == nil && promised {
		err = c
	}
	return err
}

// planPrev looks at the segment before one that was begun before its predecessor was synced. torn reports that the predecessor is torn and
// the last segment, which nobody was promised, has no record: it hangs in the air.
func (r *recovery) planPrev(i int, succ segmentHeader) (torn bool, err error) {
	f, hdr, err := r.openSynced(i - 1)
	if err != nil {
		var c *CorruptionError
		if errors.As(err, &c) {
			c.LastSeq = max(succ.baseSeq, c.FirstSeq) - 1
		}
		return false, err
	}
	end := int64(maxFileSize)
	if succ.number == hdr.number+1 && succ.uuid == hdr.uuid && !hdr.rewritten() { // what is behind the end that the successor states is no part of the archive
		end = max(offsetOf(succ.predPos, hdr.basePos), segmentHeaderLen)
	}
	seg, w, reason, err := walkSegment(f, r.segs[i-1].name, hdr, end)
	if err != nil {
		return false, closing(f, err)
	}
	sealed, reason, err := sealedWell(seg, w, reason)
	if err != nil {
		return false, closing(f, err)
	}
	w.lossy = sealed && seg.sealed&sealLoss != 0 // by a recovery that did not come to its end
	misfit := checkSuccessor(w, succ, r.segs[i].name)
	if misfit == nil && !seg.wrongFooter {
		r.takePrev(seg, sealed, succ)
		return false, nil
	}
	if sealed {
		return false, closing(f, misfit)
	}
	t, err := r.a.judge(w, reason, r.segs[i:])
	switch {
	case err != nil:
		return false, closing(f, err)
	case t.verdict == Corrupt && reason == atEnd && misfit != nil:
		return false, closing(f, misfit)
	case t.verdict == Corrupt:
		return false, closing(f, r.corrupt(w, &t, i-1))
	case t.verdict == Lossy:
		r.prev, r.sealPrev, r.lost = seg, true, &t
		r.loss(t.nextSeq, t.endSeq)
		return false, nil
	}
	return true, closing(f, nil) // planLast opens it again
}

// takePrev takes note of a segment before the last one that the last one continues.
func (r *recovery) takePrev(seg *segment, sealed bool, succ segmentHeader) {
	r.prev, r.sealPrev = seg, !sealed
	if seg.pos() == succ.predPos {
		r.ordinals = seg.ordinals // where the last one's stream table is cut short
	}
	if succ.baseSeq > seg.nextSeq {
		r.loss(seg.nextSeq, succ.baseSeq)
	}
}

// corrupt returns the error for damage in segment i, where w stands, with exactly the sequences that it has cost.
func (r *recovery) corrupt(w *walker, t *tail, i int) error {
	c := t.corruption(r.segs[i].name)
	found, err := w.resync(t.size)
	switch {
	case err != nil:
		return err
	case found:
		c.LastSeq = w.nextSeq - 1
	case i+1 < len(r.segs):
		c.LastSeq = max(r.segs[i+1].baseSeq, t.nextSeq) - 1
	}
	return c
}

// loss takes note of the records that were lost between the last two segments.
func (r *recovery) loss(first, next uint64) {
	r.found.Verdict, r.found.LossFirst, r.found.LossLast = Lossy, first, next-1
}

// walkSegment goes through all blocks of a segment before end. reason says why it ended.
func walkSegment(f vfs.File, name string, hdr segmentHeader, end int64) (*segment, *walker, string, error) {
	w := &walker{}
	w.reset(f, hdr)
	seg := newSegment(f, name, hdr)
	size, err := f.Size()
	if err != nil {
		return nil, nil, "", fmt.Errorf("journal: %w", err)
	}
	for {
		var b block
		reason, err := w.next(min(size, end), &b)
		if err != nil || reason != "" {
			return seg, w, reason, err
		}
		seg.note(&b.blockHeader, &b.info)
		seg.promised = max(seg.promised, b.durablePos)
		seg.ordinals.take(b.frames, &b.info)
	}
}

// sealedWell reports whether a walked segment has a footer that is its own. If not, reason says what is wrong at the end of its blocks.
func sealedWell(seg *segment, w *walker, reason string) (bool, string, error) {
	t, bad, err := w.trailer()
	if err != nil {
		return false, "", err
	}
	if bad == "" {
		if m := seg.matches(t); m != "" {
			seg.wrongFooter = true
			if reason == atEnd || int64(t.dataEnd) == seg.off {
				reason = m
			}
			return false, reason, nil
		}
		if torn, err := w.tornFooter(t); torn || err != nil {
			return false, "footer's index is damaged", err
		}
		seg.sealed = t.flags
		return true, "", nil
	}
	if seg.closed {
		return false, "last block says that a footer follows: " + bad, nil
	}
	return false, reason, nil
}

// loadStreams collects the stream definitions, newest segment first, until one has its table whole.
func (r *recovery) loadStreams() error {
	end := len(r.segs)
	if r.aside != nil {
		end--
	}
	for i := end - 1; i >= 0; i-- {
		f, hdr, err := r.a.openSegment(r.segs[i])
		if err != nil {
			return err
		}
		whole, err := r.collectStreams(f, hdr)
		if err == nil && i < end-1 { // the segments behind this one do not say how far the streams are
			err = r.countBefore(f, r.segs[i].name, hdr)
		}
		if err = errors.Join(err, f.Close()); err != nil || whole {
			return err
		}
	}
	return nil
}

// countBefore counts a segment's records by stream, for the segments behind it whose stream tables are cut, so that they have no records.
func (r *recovery) countBefore(f vfs.File, name string, hdr segmentHeader) error {
	seg, _, _, err := walkSegment(f, name, hdr, maxFileSize)
	if err != nil {
		return err
	}
	seg.ordinals.join(r.ordinals)
	r.ordinals = seg.ordinals
	return nil
}

func (r *recovery) collectStreams(f vfs.File, hdr segmentHeader) (whole bool, err error) {
	w := &walker{}
	w.reset(f, hdr)
	size, err := f.Size()
	if err != nil {
		return false, fmt.Errorf("journal: %w", err)
	}
	err = walkStreams(w, size, func(id uint16, name string) {
		for len(r.streams) < int(id) {
			r.streams = append(r.streams, "")
		}
		if r.streams[id-1] == "" { // newer segments were first
			r.streams[id-1] = name
		}
	}, &whole)
	return whole, err
}

// walkStreams calls define for every stream definition before end, reading no payloads but those of control blocks. whole is set when the
// table at the start of the segment was seen to its end.
func walkStreams(w *walker, end int64, define func(id uint16, name string), whole *bool) error {
	for {
		var b block
		bad, err := w.header(end, &b)
		if bad != "" || err != nil || end-w.off < b.size() {
			return err
		}
		if b.flags&blockControlOnly == 0 {
			w.pass(&b)
			continue
		}
		if bad, err = w.next(end, &b); bad != "" || err != nil {
			return err
		}
		if b.flags&blockTableEnd != 0 {
			*whole = true
		}
		eachStream(b.frames, define)
	}
}

// eachStream calls define for every stream definition in checked frames.
func eachStream(frames []byte, define func(id uint16, name string)) {
	for off := 0; off < len(frames); {
		size, typ, bad := frameAt(frames, off)
		if bad != "" {
			return
		}
		if kind, _, id := SplitType(typ); typ != skipType && kind == KindStream && id > 0 {
			if name, _, err := ParseStream(framePayload(frames[off : off+size])); err == nil {
				define(id, name)
			}
		}
		off += size
	}
}

// repair carries the plan out. The order: bytes are copied and synced before they are cut, cut before the footer says where the end is, and
// the footer is there before the next segment is.
func (r *recovery) repair() error {
	for _, name := range [...]string{reserveName, takeoverName, compactName} { // left by a crash: the repair may need the room
		_ = r.a.fs.Remove(r.a.path(name)) // mostly not there; if it stays, it is in nobody's way
	}
	if r.aside != nil {
		if err := r.setAside(); err != nil {
			return err
		}
	}
	if r.prev != nil {
		flags := uint16(sealRecover)
		if r.lost != nil {
			flags |= sealTorn | sealLoss
		}
		if err := r.finish(r.prev, r.lost, r.sealPrev, flags); err != nil {
			return err
		}
	}
	if r.last == nil {
		return nil
	}
	flags := uint16(sealRecover)
	if r.tail != nil {
		flags |= sealTorn
		r.torn()
		r.found.TornFirst, r.found.TornLast = r.tail.nextSeq, r.tail.endSeq-1
	}
	return r.finish(r.last, r.tail, r.seal, flags)
}

// finish saves and cuts the torn tail of a segment, gives it its footer and closes it.
func (r *recovery) finish(s *segment, t *tail, seal bool, flags uint16) error {
	var err error
	if t != nil {
		err = r.copyTail(s, t)
	}
	switch {
	case err != nil:
		return err
	case seal:
		if err = r.rewriteData(s); err == nil {
			err = r.sealFile(s, flags)
		}
	default:
		err = r.rewriteFooter(s)
	}
	if err != nil {
		return err
	}
	f := s.file
	s.file = nil
	if err := f.Close(); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// torn sets the verdict, unless it is worse.
func (r *recovery) torn() {
	if r.found.Verdict == Clean {
		r.found.Verdict = Torn
	}
}

// setAside renames a last segment that hangs in the air.
func (r *recovery) setAside() error {
	old := r.a.path(r.aside.name)
	fi, err := r.a.fs.Stat(old)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if err := errors.Join(r.a.fs.Rename(old, old+tornExt), r.a.syncDirOf(r.aside.name)); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	r.torn()
	r.found.TornFile = r.aside.name + tornExt
	r.found.TornBytes += fi.Size()
	return nil
}

// copyTail copies the torn tail of a segment into a file of its own and syncs that.
func (r *recovery) copyTail(s *segment, t *tail) (err error) {
	n := t.size - t.off
	if n <= 0 {
		return nil
	}
	name := s.name + tornExt
	f, err := r.a.fs.OpenFile(r.a.path(name), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	buf := make([]byte, min(n, readAhead))
	for done := int64(0); done < n; {
		m, err := s.file.ReadAt(buf[:min(int64(len(buf)), n-done)], t.off+done)
		if m == 0 {
			return fmt.Errorf("journal: %w", errors.Join(err, io.ErrUnexpectedEOF))
		}
		if _, err := f.WriteAt(buf[:m], done); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		done += int64(m)
	}
	if err := errors.Join(f.Sync(), r.a.syncDirOf(name)); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	r.found.TornFile = name
	r.found.TornBytes += n
	return nil
}

// sealFile cuts what is behind the data and writes the footer. The file was synced when it was opened.
func (r *recovery) sealFile(s *segment, flags uint16) error {
	size, err := s.file.Size()
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if size > s.off {
		if err := errors.Join(s.file.Truncate(s.off), s.file.Sync()); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
	}
	s.spare = true // for all that is known
	if _, err := s.writeFooter(flags); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// abandon closes what plan has left open.
func (r *recovery) abandon() {
	for _, s := range []*segment{r.prev, r.last} {
		if s != nil && s.file != nil {
			_ = s.file.Close() // an error has been reported already
		}
	}
}
