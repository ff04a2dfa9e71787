package journal

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// nextSegment is a prepared file, still named next.tmp.
type nextSegment struct {
	file vfs.File
	salt uint64
}

// start recovers the archive and begins the first segment of this open. Everything it does is durable when it returns.
func (w *Writer) start() error {
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
	_ = w.lock.SetContent([]byte(info)) // for people only: not having it is no reason not to record
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
	next, err := w.makeNext()
	if err != nil {
		return err
	}
	if err := w.begin(next, hdr); err != nil {
		return errors.Join(fmt.Errorf("journal: %w", err), next.file.Close())
	}
	if err := w.openHead(); err != nil {
		return errors.Join(fmt.Errorf("journal: %w", err), next.file.Close())
	}
	return nil
}

// begin turns the prepared file into the segment being written.
func (w *Writer) begin(next *nextSegment, hdr segmentHeader) error {
	seg, err := w.fillNext(next, hdr)
	if err != nil {
		return err
	}
	if err := next.file.Sync(); err != nil {
		return err
	}
	if err := w.a.fs.Rename(w.a.path(nextName), w.a.path(seg.name)); err != nil {
		return err
	}
	if err := w.a.fs.SyncDir(w.a.dir); err != nil {
		return err
	}
	s := &w.sync
	s.kick = make(chan struct{}, 1)
	s.cur, s.curSynced, s.number, s.segments = seg, true, seg.hdr.number, 1
	s.writtenPos, s.writtenSeq, s.writtenOff = seg.pos(), seg.nextSeq, seg.off
	s.durablePos, s.durableSeq, s.syncedPos, s.snapPos = seg.pos(), seg.nextSeq, seg.pos(), seg.pos()
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

// makeNext creates next.tmp and makes its first page durable, so that the rest of the work at rotation is short.
func (w *Writer) makeNext() (*nextSegment, error) {
	f, err := w.a.fs.OpenFile(w.a.path(nextName), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
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
		return nil, errors.Join(fmt.Errorf("journal: %w", err), f.Close())
	}
	return &nextSegment{file: f, salt: le.Uint64(salt[:])}, nil
}

// fillNext writes the header and the stream table into a prepared file. hdr says where the predecessor ends.
func (w *Writer) fillNext(next *nextSegment, hdr segmentHeader) (*segment, error) {
	now := time.Now()
	hdr.uuid, hdr.epoch, hdr.salt = w.uuid, w.epoch, next.salt
	hdr.predPos, hdr.predSeq = hdr.basePos, hdr.baseSeq
	hdr.created, hdr.maxBlock = now.UnixNano(), uint32(w.opts.MaxBlock)
	w.opening = append(w.opening[:0], make([]byte, segmentHeaderLen)...)
	hdr.encode(w.opening)
	seg := newSegment(next.file, segmentName(hdr.baseSeq, hdr.epoch), hdr)
	w.appendTable(seg, now.UnixNano())
	if _, err := next.file.WriteAt(w.opening, 0); err != nil {
		return nil, err
	}
	return seg, nil
}

// appendTable appends the blocks of the stream table to w.opening, which holds the segment's header.
func (w *Writer) appendTable(seg *segment, now int64) {
	w.opening = seg.appendTable(w.opening, w.streams, w.ordinals, now, w.durablePos.Load())
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
	have := s.next != nil || s.fault != nil
	s.mu.Unlock()
	if have {
		return
	}
	next, err := w.makeNext()
	s.mu.Lock()
	s.next, s.nextErr = next, err
	s.wake()
	s.mu.Unlock()
}

// dropNext removes the prepared segment at Close.
func (w *Writer) dropNext() {
	if next := w.sync.next; next != nil {
		_ = next.file.Close() // an empty file
	}
	_ = w.a.fs.Remove(w.a.path(nextName)) // the next open would replace it
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
		case s.next != nil && s.sealing == nil && s.curSynced:
			next := s.next
			s.next = nil
			return next, nil
		case s.nextErr != nil && must:
			s.fault = &WriteError{Op: "create", File: w.a.path(nextName), Offset: -1, Err: s.nextErr}
			return nil, s.failure()
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

// rotate ends the current segment and begins the next. Nothing is synced here: the header says so, and the syncer does it, the old segment
// first.
func (w *Writer) rotate(next *nextSegment) error {
	old := w.seg
	info := newFrameInfo()
	if err := w.writeBlock(nil, &info, blockSyncMark|blockControlOnly|blockLast); err != nil {
		return errors.Join(err, next.file.Close())
	}
	hdr := segmentHeader{
		number: old.hdr.number + 1, basePos: old.pos(), baseSeq: old.nextSeq, predHcrc: old.lastHcrc, predFlags: predNotSynced, maxBefore: old.maxSoFar(),
	}
	seg, err := w.fillNext(next, hdr)
	if err != nil {
		return errors.Join(w.fail("write", nextName, 0, err, false), next.file.Close())
	}
	if err := w.a.fs.Rename(w.a.path(nextName), w.a.path(seg.name)); err != nil {
		return errors.Join(w.fail("rename", seg.name, -1, err, false), next.file.Close())
	}
	w.seg, w.begun = seg, time.Now()
	s := &w.sync
	s.mu.Lock()
	s.sealing, s.cur, s.curSynced, s.number = old, seg, false, hdr.number
	s.writtenPos, s.writtenSeq, s.writtenOff = seg.pos(), seg.nextSeq, seg.off
	s.segments++
	s.mu.Unlock()
	s.nudge()
	return nil
}
