package journal

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// nextSegment is a prepared file, still named next.tmp or takeover.tmp.
type nextSegment struct {
	file vfs.File
	home string // directory
	tmp  string // its path
	salt uint64
}

// start recovers the archive and begins the first segment of this open. Everything it does is durable when it returns.
func (w *Writer) start() error {
	if err := w.joinFailover(); err != nil {
		return err
	}
	r := &recovery{a: w.a}
	err := r.plan()
	if err == nil {
		err = r.repair()
	}
	if err != nil {
		r.abandon()
		return err
	}
	w.found, w.epoch, w.uuid = r.found, r.epoch+1, r.uuid
	for i, name := range r.streams {
		if name == "" { // its definition was never durable, so nothing refers to it
			name = fmt.Sprintf("stream %d", i+1)
		}
		w.streams = append(w.streams, name)
		w.ids[name] = uint16(i + 1)
		w.ordinals.define(uint16(i+1), r.ordinals.of(uint16(i+1)))
	}
	info := fmt.Sprintf("pid %d\nstarted %s\nepoch %d\n", os.Getpid(), time.Now().UTC().Format(time.RFC3339), w.epoch)
	_ = w.locks[0].SetContent([]byte(info)) // for people only: not having it is no reason not to record
	return w.firstSegment(r)
}

// firstSegment begins the first segment of this open: written, synced, renamed, and its directory synced, before anything is put into it.
func (w *Writer) firstSegment(r *recovery) error {
	hdr := segmentHeader{number: 1, predFlags: predFirst, maxBefore: noMaxTime}
	if last := r.last; last != nil {
		hdr = segmentHeader{number: last.hdr.number + 1, basePos: last.pos(), baseSeq: last.nextSeq, predHcrc: last.endHcrc(), predFlags: predSealed, maxBefore: last.maxSoFar()}
		if r.tail != nil || r.aside != nil {
			hdr.predFlags |= predTorn
		}
	} else if _, err := rand.Read(w.uuid[:]); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	next, err := w.makeNext(w.a.dir, nextName)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if err := w.begin(next, hdr); err != nil {
		return errors.Join(fmt.Errorf("journal: %w", err), next.file.Close())
	}
	if err := w.openHead(); err != nil {
		return errors.Join(fmt.Errorf("journal: %w", err), next.file.Close())
	}
	w.retained.begin(w.opts.Retain, w.ordinals)
	if w.opts.Reserve > 0 {
		if err := w.fillReserve(); err != nil {
			return errors.Join(fmt.Errorf("journal: Options.Reserve: %w", err), next.file.Close(), w.headFile.Close())
		}
	}
	return nil
}

// begin turns the prepared file into the segment being written.
func (w *Writer) begin(next *nextSegment, hdr segmentHeader) error {
	seg, err := w.fillNext(next, hdr, w.ordinals)
	if err != nil {
		return err
	}
	if err := next.file.Sync(); err != nil {
		return err
	}
	if err := w.a.fs.Rename(next.tmp, w.a.path(seg.name)); err != nil {
		return err
	}
	if err := w.a.fs.SyncDir(w.a.dir); err != nil {
		return err
	}
	s := &w.sync
	s.kick = make(chan struct{}, 1)
	s.epoch, s.home, s.cur, s.curSynced, s.number, s.segments = w.epoch, w.a.dir, seg, true, seg.hdr.number, 1
	s.written = seg.mark(1)
	s.durable, s.syncedPos, s.snapPos = s.written, seg.pos(), seg.pos()
	s.startPos, s.startSeq = seg.pos(), seg.nextSeq
	w.durablePos.Store(seg.pos())
	w.seg, w.begun = seg, time.Now()
	return nil
}

// openHead opens HEAD and writes it for the first time.
func (w *Writer) openHead() error {
	f, err := w.a.fs.OpenFile(w.a.path(headName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	w.headFile = f
	err = f.Truncate(headLen)
	if err == nil {
		err = w.writeHead()
	}
	if err == nil {
		err = errors.Join(f.Sync(), w.a.fs.SyncDir(w.a.dir))
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	return nil
}

// makeNext creates the next segment's file in a directory and makes its first page durable, so that the rest of the work at rotation is
// short.
func (w *Writer) makeNext(home, name string) (*nextSegment, error) {
	n := &nextSegment{home: home, tmp: filepath.Join(home, name)}
	f, err := w.a.fs.OpenFile(n.tmp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	var salt [8]byte
	_, err = rand.Read(salt[:])
	if err == nil {
		_, err = f.WriteAt(make([]byte, segmentHeaderLen), 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		_ = f.Close() // an empty file
		return nil, err
	}
	n.file, n.salt = f, le.Uint64(salt[:])
	return n, nil
}

// drop removes a prepared file that is not going to be used.
func (n *nextSegment) drop(fs vfs.FS) {
	_ = n.file.Close() // an empty file
	_ = fs.Remove(n.tmp)
}

// fillNext writes the header and the stream table into a prepared file. hdr says where the predecessor ends, ordinals where the streams are
// there; a stream that it does not know is defined later.
func (w *Writer) fillNext(next *nextSegment, hdr segmentHeader, at ordinals) (*segment, error) {
	now := time.Now()
	hdr.uuid, hdr.epoch, hdr.salt = w.uuid, w.epoch, next.salt
	hdr.predPos, hdr.predSeq = hdr.basePos, hdr.baseSeq
	hdr.created, hdr.maxBlock = now.UnixNano(), uint32(w.opts.MaxBlock)
	w.opening = append(w.opening[:0], make([]byte, segmentHeaderLen)...)
	hdr.encode(w.opening)
	seg := newSegment(next.file, w.a.nameIn(next.home, segmentName(hdr.baseSeq, hdr.epoch)), hdr)
	w.appendTable(seg, at, now.UnixNano())
	if _, err := next.file.WriteAt(w.opening, 0); err != nil {
		return nil, err
	}
	return seg, nil
}

// appendTable appends the blocks of the stream table to w.opening, which holds the segment's header.
func (w *Writer) appendTable(seg *segment, at ordinals, now int64) {
	names := w.streams[:min(len(at), len(w.streams))]
	w.opening = seg.appendTable(w.opening, names, at, now, w.durablePos.Load())
}

// askForNext asks the preparer for a next segment.
func (w *Writer) askForNext() {
	select {
	case w.prepare <- struct{}{}:
	default: // asked already
	}
}

// prepareLoop is the preparer: it creates the next segment's file off the write path.
func (w *Writer) prepareLoop() {
	defer w.done.Done()
	for {
		select {
		case <-w.prepare:
			w.prepareOnce()
		case <-w.quit:
			return
		}
	}
}

// prepareOnce makes the next segment's file, if there is none.
func (w *Writer) prepareOnce() {
	s := &w.sync
	s.mu.Lock()
	have := s.next != nil || s.rotating || s.fault != nil || s.poisoned != nil // after a rotation the syncer asks again
	home := s.home
	s.mu.Unlock()
	if have {
		return
	}
	next, err := w.makeNext(home, nextName)
	s.mu.Lock()
	if home == s.home {
		s.next, s.nextErr, next = next, err, nil
	} else {
		w.askForNext() // a takeover has gone elsewhere
	}
	s.wake()
	s.mu.Unlock()
	if next != nil {
		next.drop(w.a.fs)
	}
	if err == nil {
		w.refill()
	}
}

// dropNext removes the prepared segment at Close.
func (w *Writer) dropNext() {
	if next := w.sync.next; next != nil {
		next.drop(w.a.fs)
		return
	}
	_ = w.a.fs.Remove(filepath.Join(w.sync.home, nextName)) // the next open would replace it
}

// rotateIfDue begins a new segment when the current one would grow over its size with n more bytes, or is over its age. When the next
// segment is not ready, or the one before is not sealed yet, the current one grows up to twice its size before anybody has to wait.
func (w *Writer) rotateIfDue(n int64) error {
	seg := w.seg
	if seg.records() == 0 {
		return nil // the next segment would have the same name
	}
	size := seg.off + n
	if size <= w.opts.SegmentSize && (w.opts.SegmentAge == 0 || time.Since(w.begun) < w.opts.SegmentAge) {
		return nil
	}
	next, err := w.takeNext(size > 2*w.opts.SegmentSize)
	if next == nil || err != nil {
		return err
	}
	return w.rotate(next)
}

// takeNext returns the next segment if it may be begun; nil when not. If must is set it waits until it may.
func (w *Writer) takeNext(must bool) (*nextSegment, error) {
	s := &w.sync
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.fault != nil:
			return nil, s.failure()
		case s.poisoned != nil:
			return nil, s.inDoubt(s.poisoned)
		case s.next != nil && s.sealing == nil && s.curSynced:
			next := s.next
			s.next, s.rotating = nil, true
			return next, nil
		case s.full.sealing() && must:
			return nil, s.inDoubt(s.full.last)
		case s.nextErr != nil && must:
			err := s.nextErr
			s.nextErr = nil
			w.askForNext()
			s.mu.Unlock()
			again, err := w.failCreate(err)
			s.mu.Lock()
			if !again {
				return nil, err
			}
			continue // much may have changed meanwhile
		case s.nextErr != nil:
			s.nextErr = nil
			w.askForNext() // once more
		}
		if !must {
			return nil, nil
		}
		w.pause(nil)
	}
}

// failCreate handles that the next segment's file, which cannot be waited for any longer, could not be made. again says that room was made.
func (w *Writer) failCreate(err error) (again bool, _ error) {
	name := w.a.nameIn(w.sync.home, nextName) // only changed with w.mu held
	switch {
	case !isFull(err):
		return false, w.fail("create", name, -1, err, false)
	case w.makeRoom(w.closing):
		return true, nil
	}
	w.wasFull = true
	return false, w.isFull(fullData, "create", name, -1, err)
}

// errRoomMade says that a rotation found the disk full, that all is as it was before, and that there is more room now.
var errRoomMade = errors.New("there was no room, and some has been made")

// rotate ends the current segment and begins the next. Nothing is synced here: the header says so, and the syncer does it, the old segment
// first. On a full disk room is made; where there is none to be had all is undone, and the next append tries again.
func (w *Writer) rotate(next *nextSegment) error {
	for {
		err := w.rotateOnce(next)
		if err == errRoomMade { //nolint:errorlint // never wrapped
			continue
		}
		if err != nil {
			w.sync.mu.Lock()
			w.sync.rotating = false
			w.sync.mu.Unlock()
		}
		return err
	}
}

// rotateOnce is rotate; it returns errRoomMade as it is.
func (w *Writer) rotateOnce(next *nextSegment) error {
	old := w.seg
	info := newFrameInfo()
	last := old.blockFor(nil, &info, blockSyncMark|blockControlOnly|blockLast, w.durablePos.Load())
	last.encode(w.header[:], old.seed)
	hdr := segmentHeader{
		number: old.hdr.number + 1, basePos: old.pos() + blockHeaderLen, baseSeq: old.nextSeq, predHcrc: last.hcrc, predFlags: predNotSynced,
		maxBefore: old.maxSoFar(),
	}
	seg, err := w.fillNext(next, hdr, w.ordinals)
	if err != nil {
		return w.failRotate(next, "write", w.a.nameIn(next.home, nextName), err)
	}
	if err := w.putBlock(old, nil, nil, last.flags); err != nil {
		w.putBack(next)
		return err
	}
	if err := w.a.fs.Rename(next.tmp, w.a.path(seg.name)); err != nil {
		if e := old.file.Truncate(old.off); e != nil {
			return errors.Join(w.fail("truncate", old.name, old.off, e, true), next.file.Close())
		}
		return w.failRotate(next, "rename", seg.name, err)
	}
	old.note(&last, &info)
	w.sync.blocks.Add(1)
	w.seg, w.begun = seg, time.Now()
	s := &w.sync
	s.mu.Lock()
	s.rotating = false // before the syncer may ask for the next one
	s.sealing, s.sealingAt, s.cur, s.curSynced, s.number = old, old.mark(s.written.n+1), seg, false, hdr.number
	s.written = seg.mark(s.written.n + 2)
	s.segments++
	s.mu.Unlock()
	s.nudge()
	return nil
}

// failRotate handles a failure at rotation that has left the current segment as it was. A full disk leaves the prepared one, too.
func (w *Writer) failRotate(next *nextSegment, op, file string, err error) error {
	switch {
	case !isFull(err):
		return errors.Join(w.fail(op, file, -1, err, false), next.file.Close())
	case w.makeRoom(w.closing):
		return errRoomMade
	}
	w.putBack(next)
	w.wasFull = true
	return w.isFull(fullData, op, file, -1, err)
}

// putBack undoes takeNext.
func (w *Writer) putBack(next *nextSegment) {
	w.sync.mu.Lock()
	defer w.sync.mu.Unlock()
	w.sync.next = next
}
