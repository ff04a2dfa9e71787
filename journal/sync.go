package journal

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"
)

// mark is a place between two blocks of the log.
type mark struct {
	seg     *segment // that holds what is before it
	pos     uint64   // log position
	seq     uint64   // sequence of the next record
	hcrc    uint32   // header checksum of the block before it
	maxTime int64    // of the archive's data records before it
	n       uint64   // number of this mark, ever higher: a takeover begins again at an earlier position
}

// mark returns the place that a segment ends at.
func (s *segment) mark(n uint64) mark {
	return mark{seg: s, pos: s.pos(), seq: s.nextSeq, hcrc: s.lastHcrc, maxTime: s.maxSoFar(), n: n}
}

// syncState is what the write path, the syncer, the preparer and those who wait tell each other.
type syncState struct {
	blocks atomic.Uint64 // blocks written

	kick chan struct{} // capacity 1: there may be something to sync

	mu sync.Mutex // all below; never held during I/O

	epoch     uint64   // of cur
	home      string   // directory of cur, of its successor and of HEAD: the archive's, or Options.Failover
	cur       *segment // being written; the syncer uses only its file and its name
	curSynced bool     // its directory entry and header are durable
	sealing   *segment // left behind by rotation, the syncer's own
	sealingAt mark     // its end
	next      *nextSegment
	nextErr   error // why there is no next segment
	rotating  bool  // a rotation has taken next, and its file may still be named next.tmp
	number    uint64
	lastTime  int64
	written   mark   // all before it is written
	durable   mark   // all before it is durable
	syncedPos uint64 // durable, and HEAD says so or is about to

	pendingSince  time.Time // of the first write that no sync was begun for; zero when there is none
	inflightSince time.Time // of the first write that the sync under way is for
	snapPos       uint64    // log position that the last sync begun is for
	syncing       bool      // a sync is under way
	force         bool      // sync now
	wantSeq       uint64    // those who wait want all below to be durable

	changed  chan struct{} // closed at the next change that someone may wait for; nil when nobody does
	fault    *WriteError   // what stopped the writer; its range of sequences is filled in when it is returned
	broken   bool          // no file may be synced any more
	poisoned *WriteError   // a takeover is due: no file may be used before it, see takeover.go
	full     fullDisk
	closed   bool

	segments, syncs, syncErrors uint64
	takeovers, inARow           uint64 // inARow: since the last sync that succeeded
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
	return s.inDoubt(s.fault)
}

// inDoubt returns e with the sequences that are written and not durable. The caller holds mu.
func (s *syncState) inDoubt(e *WriteError) *WriteError {
	c := *e
	c.FirstSeq, c.LastSeq = s.durable.seq, s.written.seq-1
	return &c
}

// fail handles the failure of a write, a sync or a change of the directory, which is not that the disk is full. With Options.Retain it is a
// takeover that is due; without, the first fault is kept for ever. broken says that no file may be synced after it: a sync that failed may
// have dropped the data and marked it clean, and the next one would say that all is well.
func (w *Writer) fail(op, file string, off int64, err error, broken bool) error {
	s := &w.sync
	s.mu.Lock()
	defer s.mu.Unlock()
	e := &WriteError{Op: op, File: w.a.path(file), Offset: off, Err: bare(err)}
	if w.opts.Retain > 0 && s.fault == nil {
		if s.poisoned == nil {
			s.poisoned = e
		}
		s.wake()
		s.nudge()
		return s.inDoubt(s.poisoned)
	}
	return s.stop(e, broken)
}

// stop ends the writer: the first fault stays. The caller holds mu.
func (s *syncState) stop(e *WriteError, broken bool) error {
	if s.fault == nil {
		s.fault = e
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

// publish tells the syncer and the readers what has been written. It returns what stopped the writer. The caller holds w.mu.
func (w *Writer) publish() error {
	s := &w.sync
	s.mu.Lock()
	w.publishLocked()
	err := s.failure()
	s.mu.Unlock()
	if e := w.writeHead(); err == nil {
		err = e
	}
	return w.orTakeOver(err)
}

// publishLocked is publish without HEAD. The caller holds w.mu and sync.mu.
func (w *Writer) publishLocked() {
	s := &w.sync
	s.written, s.lastTime = w.seg.mark(s.written.n+1), w.lastTime
	if s.pendingSince.IsZero() && s.written.pos > s.snapPos {
		s.pendingSince = time.Now()
		s.nudge()
	} else if w.opts.Sync == SyncInterval && s.written.pos-s.snapPos >= uint64(w.opts.SyncBytes) {
		s.nudge()
	}
}

// writeHead writes HEAD. It is never mapped: a full disk must be an error, not a signal. A disk that is too full for HEAD, which can be where
// nothing is overwritten in place, is no error: readers then learn later how far the writer is.
func (w *Writer) writeHead() error {
	w.headMu.Lock()
	defer w.headMu.Unlock()
	s := &w.sync
	s.mu.Lock()
	h := head{
		epoch: s.epoch, segment: s.number, writtenPos: s.written.pos, durablePos: s.syncedPos,
		nextSeq: s.written.seq, lastTime: s.lastTime, heartbeat: time.Now().UnixNano(),
	}
	s.mu.Unlock()
	h.encode(w.headBuf[:], crcOf(w.uuid[:]))
	_, err := w.headFile.WriteAt(w.headBuf[:], 0)
	switch {
	case err == nil && w.headFull:
		w.headFull = false
		w.hasRoom(fullHead)
	case err == nil:
	case isFull(err):
		w.headFull = true
		_ = w.isFull(fullHead, "write", headName, 0, err) // noted
	default:
		return w.fail("write", w.headName(), 0, err, false)
	}
	return nil
}

// headName returns HEAD's name as archive.path knows it.
func (w *Writer) headName() string {
	w.sync.mu.Lock()
	defer w.sync.mu.Unlock()
	return w.a.nameIn(w.sync.home, headName)
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
	pending := s.written.pos > s.durable.pos
	switch {
	case s.poisoned != nil:
		return true, 0
	case s.broken:
		return false, idle
	case s.full.sealing() && !s.force && time.Since(s.full.tried) < sealRetry:
		return false, sealRetry
	case s.sealing != nil || s.force:
		return true, 0
	case !pending:
		return false, idle
	case w.opts.Sync == SyncBatch:
		return true, 0
	case w.opts.Sync == SyncNone:
		return s.wantSeq > s.durable.seq && s.written.seq > s.durable.seq, idle
	case s.written.pos-s.snapPos >= uint64(w.opts.SyncBytes):
		return true, 0
	}
	wait = w.opts.SyncEvery - time.Since(s.pendingSince)
	return wait <= 0, max(wait, 0)
}

// syncOnce makes durable what is written now. What rotation has left behind comes first: the watermark never passes over a hole.
func (w *Writer) syncOnce() {
	s := &w.sync
	s.mu.Lock()
	if s.broken || s.poisoned != nil {
		s.force = false
		s.mu.Unlock()
		w.takeOverFromSync()
		return
	}
	old, oldAt, at, fresh, home := s.sealing, s.sealingAt, s.written, !s.curSynced, s.home
	s.snapPos, s.force, s.syncing = at.pos, false, true
	s.inflightSince, s.pendingSince = s.pendingSince, time.Time{}
	s.mu.Unlock()
	ok := (old == nil || w.sealOld(old, oldAt)) && w.syncTo(at, fresh, home)
	s.mu.Lock()
	s.syncing = false
	s.wake()
	s.mu.Unlock()
	if ok && fresh {
		w.askForNext()
		w.askKeeper()
	}
	w.takeOverFromSync()
}

// syncTo makes durable what is before at, and in a fresh segment its directory entry.
func (w *Writer) syncTo(at mark, fresh bool, home string) bool {
	sync := at.seg.file.SyncData
	if fresh {
		sync = at.seg.file.Sync
	}
	if !w.timedSync(at.seg, sync) {
		return false
	}
	if fresh {
		if err := w.a.fs.SyncDir(home); err != nil {
			_ = w.fail("sync directory", w.a.nameIn(home, "."), -1, err, true) // kept for every caller
			return false
		}
	}
	w.advance(at, func() {
		s := &w.sync
		if fresh && s.cur == at.seg { // rotation may have begun another one meanwhile
			s.curSynced = true
		}
		s.inflightSince = time.Time{}
	})
	return true
}

// errGone says that a file has lost its name while it was being written: what is written to it cannot be found again.
var errGone = errors.New("the file is not in its directory any more: it was removed or renamed")

// timedSync syncs a segment. A failure is final for the file. A file that nobody can find any more is a failure, too: a sync of it succeeds,
// and keeps nothing.
func (w *Writer) timedSync(seg *segment, sync func() error) bool {
	start := time.Now()
	err := sync()
	took := time.Since(start)
	if err == nil {
		if _, e := w.a.fs.Stat(w.a.path(seg.name)); errors.Is(e, fs.ErrNotExist) {
			err = errGone
		}
	}
	s := &w.sync
	s.mu.Lock()
	if err != nil {
		s.syncErrors++
	} else {
		s.syncs++
		s.inARow = 0
		s.lastSync, s.maxSync = took, max(s.maxSync, took)
		w.syncLatency.Add(uint64(took))
	}
	s.mu.Unlock()
	if err != nil {
		_ = w.fail("sync", seg.name, -1, err, true) // kept for every caller
	}
	return err == nil
}

// advance moves the durable watermark and tells everybody: readers, by HEAD, before those who wait, so that what is acknowledged can be
// read as durable. also runs under the lock.
func (w *Writer) advance(at mark, also func()) {
	s := &w.sync
	s.mu.Lock()
	s.syncedPos = max(s.syncedPos, at.pos)
	s.mu.Unlock()
	_ = w.writeHead() // a failure is kept for every caller
	s.mu.Lock()
	if at.n > s.durable.n {
		s.durable = at
	}
	w.durablePos.Store(s.durable.pos)
	also()
	s.wake()
	s.mu.Unlock()
}

// sealRetry is how long the syncer waits, on a full disk, before it tries again to seal what rotation has left behind.
const sealRetry = 100 * time.Millisecond

// sealOld syncs the segment that rotation has left behind, seals and closes it. Two syncs: the data must be durable before a footer can be.
// Rotation has made room for the footer, so the disk is seldom too full for it; if it is, the syncer comes back.
func (w *Writer) sealOld(old *segment, at mark) bool {
	if !w.timedSync(old, old.file.SyncData) {
		return false
	}
	w.advance(at, func() {})
	op, err := w.writeFooter(old, sealRotate)
	switch {
	case err != nil && op == "write" && isFull(err):
		_ = w.isFull(fullSeal, op, old.name, old.off, err)
		return false
	case err != nil:
		_ = w.fail(op, old.name, old.off, err, true) // kept for every caller
		return false
	}
	w.hasRoom(fullSeal)
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

// finish is the syncer's last work: everything durable, the segment sealed, HEAD durable. Failures are final: nothing is in doubt any more
// that a takeover could save.
func (w *Writer) finish() error {
	s := &w.sync
	if s.usable() {
		w.syncOnce()
	}
	err := w.unfinished()
	if err == nil && w.seg.closed {
		if op, e := w.writeFooter(w.seg, sealClose); e != nil {
			err = w.lastFailure(op, w.seg.name, w.seg.off, e)
		}
	}
	for _, seg := range []*segment{s.sealing, w.seg} { // the write path has ended, nobody else uses them
		if seg == nil {
			continue
		}
		if e := seg.file.Close(); err == nil && e != nil {
			err = w.lastFailure("close", seg.name, -1, e)
		}
	}
	if err == nil {
		err = w.writeHead()
	}
	if err == nil {
		if e := w.headFile.Sync(); e != nil {
			err = w.lastFailure("sync", w.headName(), -1, e)
		}
	}
	return err
}

// unfinished returns why not all that is written is durable at the end, nil when it is.
func (w *Writer) unfinished() error {
	s := &w.sync
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault == nil && s.full.sealing() {
		return s.inDoubt(s.full.last)
	}
	return s.failure()
}

// writeFooter seals a segment; on a full disk after making room for that.
func (w *Writer) writeFooter(seg *segment, flags uint16) (op string, err error) {
	op, err = seg.writeFooter(flags)
	for op == "write" && isFull(err) && w.makeRoom(true) {
		op, err = seg.writeFooter(flags)
	}
	return op, err
}

// lastFailure keeps a failure in Close for ever.
func (w *Writer) lastFailure(op, file string, off int64, err error) error {
	s := &w.sync
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stop(&WriteError{Op: op, File: w.a.path(file), Offset: off, Err: bare(err), Full: isFull(err)}, true)
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
// give up, unless it keeps the syncer from its work.
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
		case s.full.stops(written):
			err = s.inDoubt(s.full.last)
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
