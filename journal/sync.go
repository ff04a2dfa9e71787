package journal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// syncState is what the write path, the syncer, the preparer and those who wait tell each other.
type syncState struct {
	blocks atomic.Uint64 // blocks written

	kick chan struct{} // capacity 1: there may be something to sync

	mu sync.Mutex // all below; never held during I/O

	cur        *segment // being written; the syncer uses only its file and its name
	curSynced  bool     // its directory entry and header are durable
	sealing    *segment // left behind by rotation, the syncer's own
	next       *nextSegment
	nextErr    error  // why there is no next segment
	number     uint64 // of cur
	writtenPos uint64
	writtenSeq uint64
	writtenOff int64
	lastTime   int64
	syncedPos  uint64 // durable, and HEAD says so or is about to
	durablePos uint64
	durableSeq uint64

	pendingSince  time.Time // of the first write that no sync was begun for; zero when there is none
	inflightSince time.Time // of the first write that the sync under way is for
	snapPos       uint64    // log position that the last sync begun is for
	force         bool      // sync now
	wantSeq       uint64    // those who wait want all below to be durable

	changed chan struct{} // closed at the next change that someone may wait for; nil when nobody does
	fault   *WriteError   // what failed; its range of sequences is filled in when it is returned
	broken  bool          // no file may be synced any more
	closed  bool

	segments, syncs, syncErrors uint64
	startPos, startSeq          uint64
	lastSync, maxSync           time.Duration
}

// wake tells all who wait to look again. The caller holds mu.
func (s *syncState) wake() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// wakeup returns the channel that the next wake closes. The caller holds mu.
func (s *syncState) wakeup() chan struct{} {
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.changed
}

// nudge makes the syncer look.
func (s *syncState) nudge() {
	select {
	case s.kick <- struct{}{}:
	default: // it is going to look already
	}
}

// failure returns what stopped the writer, nil when nothing did.
func (w *Writer) failure() error {
	w.sync.mu.Lock()
	defer w.sync.mu.Unlock()
	return w.sync.failure()
}

// failure returns the fault with the sequences that are in doubt now. The caller holds mu.
func (s *syncState) failure() error {
	if s.fault == nil {
		return nil
	}
	e := *s.fault
	e.FirstSeq, e.LastSeq = s.durableSeq, s.writtenSeq-1
	return &e
}

// fail keeps the first fault for ever. broken says that no file may be synced after it: a sync that failed may have dropped the data and
// marked it clean, and the next one would say that all is well.
func (w *Writer) fail(op, file string, off int64, err error, broken bool) error {
	s := &w.sync
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault == nil {
		s.fault = &WriteError{Op: op, File: w.a.path(file), Offset: off, Err: bare(err)}
	}
	s.broken = s.broken || broken
	s.wake()
	return s.failure()
}

// bare takes the file name off a system's error: a segment still has the name there that it was created with.
func bare(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) && error(p) == err { //nolint:errorlint // only when it is the outermost
		return p.Err
	}
	return err
}

// failWrite handles a block that was not written, or only in part. The part is cut off again. If that works, and the disk was only full,
// what was written before can still be made durable.
func (w *Writer) failWrite(seg *segment, wrote int64, err error) error {
	full := errors.Is(err, syscall.ENOSPC) || isQuota(err)
	cutErr := seg.file.Truncate(seg.off)
	if cutErr != nil {
		err = fmt.Errorf("%w; %d bytes of it could not be cut off again: %w", bare(err), wrote, bare(cutErr))
	}
	return w.fail("write", seg.name, seg.off, err, !full || cutErr != nil)
}

// publish tells the syncer and the readers what has been written. It returns the writer's fault.
func (w *Writer) publish() error {
	s := &w.sync
	s.mu.Lock()
	seg := w.seg
	s.writtenPos, s.writtenSeq, s.writtenOff, s.lastTime = seg.pos(), seg.nextSeq, seg.off, w.lastTime
	if s.pendingSince.IsZero() && s.writtenPos > s.snapPos {
		s.pendingSince = time.Now()
		s.nudge()
	} else if w.opts.Sync == SyncInterval && s.writtenPos-s.snapPos >= uint64(w.opts.SyncBytes) {
		s.nudge()
	}
	err := s.failure()
	s.mu.Unlock()
	if e := w.writeHead(); err == nil {
		err = e
	}
	return err
}

// writeHead writes HEAD. It is never mapped: a full disk must be an error, not a signal.
func (w *Writer) writeHead() error {
	w.headMu.Lock()
	defer w.headMu.Unlock()
	s := &w.sync
	s.mu.Lock()
	h := head{
		epoch: w.epoch, segment: s.number, writtenPos: s.writtenPos, durablePos: s.syncedPos,
		nextSeq: s.writtenSeq, lastTime: s.lastTime, heartbeat: time.Now().UnixNano(),
	}
	s.mu.Unlock()
	h.encode(w.headBuf[:], crcOf(w.uuid[:]))
	if _, err := w.headFile.WriteAt(w.headBuf[:], 0); err != nil {
		return w.fail("write", headName, 0, err, false)
	}
	return nil
}

// syncLoop is the syncer.
func (w *Writer) syncLoop() {
	defer w.done.Done()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		due, wait := w.syncDue()
		if due {
			w.syncOnce()
			continue
		}
		timer.Reset(wait)
		select {
		case <-w.sync.kick:
		case <-timer.C:
		case <-w.quit:
			w.closeErr = w.finish()
			return
		}
	}
}

// syncDue says whether to sync now, and if not, how long there is to wait at most.
func (w *Writer) syncDue() (due bool, wait time.Duration) {
	s := &w.sync
	s.mu.Lock()
	defer s.mu.Unlock()
	const idle = time.Hour
	pending := s.writtenPos > s.durablePos
	switch {
	case s.broken:
		return false, idle
	case s.sealing != nil || s.force:
		return true, 0
	case !pending:
		return false, idle
	case w.opts.Sync == SyncBatch:
		return true, 0
	case w.opts.Sync == SyncNone:
		return s.wantSeq > s.durableSeq && s.writtenSeq > s.durableSeq, idle
	case s.writtenPos-s.snapPos >= uint64(w.opts.SyncBytes):
		return true, 0
	}
	wait = w.opts.SyncEvery - time.Since(s.pendingSince)
	return wait <= 0, max(wait, 0)
}

// syncOnce makes durable what is written now. What rotation has left behind comes first: the watermark never passes over a hole.
func (w *Writer) syncOnce() {
	s := &w.sync
	s.mu.Lock()
	old, cur, fresh := s.sealing, s.cur, !s.curSynced
	pos, seq := s.writtenPos, s.writtenSeq
	s.snapPos, s.force = pos, false
	s.inflightSince, s.pendingSince = s.pendingSince, time.Time{}
	s.mu.Unlock()
	if old != nil && !w.sealOld(old) {
		return
	}
	if fresh {
		if !w.timedSync(cur, cur.file.Sync) {
			return
		}
		if err := w.a.fs.SyncDir(w.a.dir); err != nil {
			_ = w.fail("sync directory", ".", -1, err, true) // kept for every caller
			return
		}
	} else if !w.timedSync(cur, cur.file.SyncData) {
		return
	}
	w.advance(pos, seq, func() {
		if fresh && s.cur == cur { // rotation may have begun another one meanwhile
			s.curSynced = true
		}
		s.inflightSince = time.Time{}
	})
	if fresh {
		w.askForNext()
		w.askKeeper()
	}
}

// timedSync syncs a segment. A failure is final.
func (w *Writer) timedSync(seg *segment, sync func() error) bool {
	start := time.Now()
	err := sync()
	took := time.Since(start)
	s := &w.sync
	s.mu.Lock()
	if err != nil {
		s.syncErrors++
	} else {
		s.syncs++
		s.lastSync, s.maxSync = took, max(s.maxSync, took)
	}
	s.mu.Unlock()
	if err != nil {
		_ = w.fail("sync", seg.name, -1, err, true) // kept for every caller
	}
	return err == nil
}

// advance moves the durable watermark and tells everybody: readers, by HEAD, before those who wait, so that what is acknowledged can be
// read as durable. also runs under the lock.
func (w *Writer) advance(pos, seq uint64, also func()) {
	s := &w.sync
	s.mu.Lock()
	s.syncedPos = max(s.syncedPos, pos)
	s.mu.Unlock()
	_ = w.writeHead() // a failure is kept for every caller
	s.mu.Lock()
	s.durablePos, s.durableSeq = max(s.durablePos, pos), max(s.durableSeq, seq)
	w.durablePos.Store(s.durablePos)
	also()
	s.wake()
	s.mu.Unlock()
}

// sealOld syncs the segment that rotation has left behind, seals and closes it. Two syncs: the data must be durable before a footer can be.
func (w *Writer) sealOld(old *segment) bool {
	if !w.timedSync(old, old.file.SyncData) {
		return false
	}
	w.advance(old.pos(), old.nextSeq, func() {})
	if op, err := old.writeFooter(sealRotate); err != nil {
		_ = w.fail(op, old.name, old.off, err, true) // kept for every caller
		return false
	}
	if err := old.file.Close(); err != nil {
		_ = w.fail("close", old.name, -1, err, true) // kept for every caller
		return false
	}
	w.sync.mu.Lock()
	w.sync.sealing = nil
	w.sync.wake()
	w.sync.mu.Unlock()
	return true
}

// finish is the syncer's last work: everything durable, the segment sealed, HEAD durable.
func (w *Writer) finish() error {
	s := &w.sync
	if s.usable() {
		w.syncOnce()
	}
	err := w.failure()
	if err == nil {
		if op, e := w.seg.writeFooter(sealClose); e != nil {
			err = w.fail(op, w.seg.name, w.seg.off, e, true)
		}
	}
	for _, seg := range []*segment{s.sealing, w.seg} { // the write path has ended, nobody else uses them
		if seg == nil {
			continue
		}
		if e := seg.file.Close(); err == nil && e != nil {
			err = w.fail("close", seg.name, -1, e, true)
		}
	}
	if err == nil {
		err = w.writeHead()
	}
	if err == nil {
		if e := w.headFile.Sync(); e != nil {
			err = w.fail("sync", headName, -1, e, true)
		}
	}
	return err
}

// usable reports whether files may still be synced.
func (s *syncState) usable() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.broken
}

// endSync marks the writer closed for those who wait.
func (w *Writer) endSync() {
	w.sync.mu.Lock()
	w.sync.closed = true
	w.sync.wake()
	w.sync.mu.Unlock()
}

// wait waits until state reports that what it wants is durable. written says that it has been written: then a full disk is no reason to
// give up.
func (w *Writer) wait(ctx context.Context, state func(*syncState) (durable, written bool)) error {
	s := &w.sync
	s.mu.Lock()
	for {
		durable, written := state(s)
		var err error
		switch {
		case durable:
			s.mu.Unlock()
			return nil
		case s.fault != nil && (s.broken || !written):
			err = s.failure()
		case s.closed:
			err = errClosed
		}
		if err != nil {
			s.mu.Unlock()
			return err
		}
		s.nudge()
		if !w.pause(ctx.Done()) {
			s.mu.Unlock()
			return ctx.Err()
		}
	}
}

// Stats returns counters since Open, and where the writer stands now. After Close it returns the last ones.
func (w *Writer) Stats() Stats {
	s := &w.sync
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Stats{
		Epoch: w.epoch, Segment: s.number, SegmentFile: s.cur.name, SegmentSize: s.writtenOff,
		NextSeq: s.writtenSeq, DurableSeq: s.durableSeq, NextPos: s.writtenPos, DurablePos: s.durablePos,
		Segments: s.segments, Blocks: s.blocks.Load(), Records: s.writtenSeq - s.startSeq, Bytes: s.writtenPos - s.startPos,
		Syncs: s.syncs, SyncErrors: s.syncErrors, LastSync: s.lastSync, MaxSync: s.maxSync,
		LagRecords: s.writtenSeq - s.durableSeq, LagBytes: s.writtenPos - s.durablePos,
		Err: s.failure(),
	}
	since := s.inflightSince
	if since.IsZero() {
		since = s.pendingSince
	}
	if !since.IsZero() && st.LagBytes > 0 {
		st.Lag = time.Since(since)
	}
	w.keepStats(&st)
	return st
}
