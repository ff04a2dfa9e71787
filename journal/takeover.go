package journal

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// A takeover replaces a file that has failed. A system that has failed to write pages may call them clean, so that the next sync of the file
// says that all is well: nothing that the file got since its last good sync can be believed, now or later. Therefore the file is never
// written or synced again, and all blocks since that sync, which Options.Retain has kept, are written once more, into a new segment with the
// next epoch and the same sequences. It is synced before it gets its name, and its header says where its predecessor's data ends: that is
// the last good sync. What is behind that in the predecessor is no part of the archive any more.
//
//	predecessor   ┌────────┬───────┬───────┬ ─ ─ ─ ┬ ─ ─ ─ ┐
//	              │ header │ block │ block │ block   block   not known to be there, ignored
//	              └────────┴───────┴───────┴ ─ ─ ─ ┴ ─ ─ ─ ┘
//	                                       ▲ durable: predecessor's end
//	successor                      ┌───────┬───────┬───────┬───────┬─
//	                               │ header│ table │ block │ block │ what is appended from now on
//	                               └───────┴───────┴───────┴───────┴─
//
// Whoever holds mu does it: the syncer after its sync has failed, or an append that meets the failure first.

// maxTakeovers bounds the takeovers without a sync between them that succeeds.
const maxTakeovers = 4

// orTakeOver carries out a takeover if one is due, and returns nil when the caller may go on; otherwise it returns err, which may be nil. The
// caller holds mu.
func (w *Writer) orTakeOver(err error) error {
	if err == nil || !w.sync.takeOverDue() {
		return err
	}
	return w.takeOver()
}

func (s *syncState) takeOverDue() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.poisoned != nil
}

// takeOverFromSync carries out a takeover if one is due, for the syncer. It must not wait for mu: an append that holds it may take over itself,
// go on, and then wait for a sync.
func (w *Writer) takeOverFromSync() {
	for w.sync.takeOverDue() {
		if w.mu.TryLock() {
			_ = w.takeOver() // kept for every caller
			w.mu.Unlock()
			return
		}
		if w.stepped {
			return // whoever steps from within an append takes over
		}
		time.Sleep(time.Millisecond) // an append is under way
	}
}

// takeOver carries out the takeover that is due. When it fails everywhere the error is final. The caller holds mu, so that nobody writes, and
// with a takeover due nobody begins a sync.
func (w *Writer) takeOver() error {
	s := &w.sync
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.syncing {
		w.pause(nil)
	}
	cause := s.poisoned
	if cause == nil {
		return s.failure() // somebody else was faster
	}
	failed := cause.Err
	if s.inARow++; s.inARow > maxTakeovers {
		return s.giveUp(cause, fmt.Errorf("%w; %d takeovers before had no effect", failed, maxTakeovers))
	}
	s.mu.Unlock()
	w.retained.release(w.durablePos.Load())
	done := false
	for _, home := range w.homes() {
		err := w.takeOverIn(home)
		if done = err == nil; done {
			break
		}
		failed = fmt.Errorf("%w; takeover in %s failed: %w", failed, home, bare(err))
	}
	s.mu.Lock()
	if !done {
		return s.giveUp(cause, failed)
	}
	s.poisoned = nil
	s.wake()
	s.nudge()
	w.askForNext()
	return nil
}

// giveUp ends the writer because there is no takeover from cause. The caller holds mu.
func (s *syncState) giveUp(cause *WriteError, err error) error {
	cause.Err = err
	s.poisoned = nil
	return s.stop(cause, true)
}

// homes returns the directories to try: the one that is in use first.
func (w *Writer) homes() []string {
	home := w.sync.home // only changed with mu held
	homes := []string{home}
	for _, dir := range []string{w.a.dir, w.opts.Failover} {
		if dir != "" && dir != home {
			homes = append(homes, dir)
		}
	}
	return homes
}

// takeOverIn makes the segment that takes over in a directory and begins to use it.
func (w *Writer) takeOverIn(home string) error {
	w.epoch++ // also after an attempt that failed: what it may have left must be told apart
	next, err := w.makeNext(home, takeoverName)
	for isFull(err) && w.makeRoom(w.closing) {
		next, err = w.makeNext(home, takeoverName)
	}
	if err != nil {
		return err
	}
	seg, err := w.writeRetained(next)
	for isFull(err) && w.makeRoom(w.closing) {
		seg, err = w.writeRetained(next)
	}
	if err == nil {
		err = next.file.Sync()
	}
	if err != nil {
		next.drop(w.a.fs)
		return err
	}
	if err := w.a.fs.Rename(next.tmp, w.a.path(seg.name)); err != nil {
		next.drop(w.a.fs)
		return err
	}
	var headFile vfs.File
	if err = w.a.fs.SyncDir(home); err == nil {
		headFile, err = w.a.fs.OpenFile(filepath.Join(home, headName), os.O_RDWR|os.O_CREATE, 0o600)
	}
	if err != nil {
		_ = seg.file.Close()
		_ = w.a.fs.Remove(w.a.path(seg.name)) // if it stays: the next attempt has a higher epoch
		return err
	}
	w.install(seg, home, headFile)
	return w.writeHead()
}

// writeRetained writes the segment that takes over: header, stream table, and all blocks that are not known to be durable.
func (w *Writer) writeRetained(next *nextSegment) (*segment, error) {
	d := w.sync.durable // does not change: nobody syncs
	hdr := segmentHeader{
		number: d.seg.hdr.number + 1, basePos: d.pos, baseSeq: d.seq, predHcrc: d.hcrc, predFlags: predPoisoned, maxBefore: d.maxTime,
	}
	seg, err := w.fillNext(next, hdr, w.retained.ordinals)
	if err != nil {
		return nil, err
	}
	blocks := w.retained.live()
	for i := range blocks {
		b := &blocks[i]
		if i+1 < len(blocks) || !w.closing {
			b.flags &^= blockLast
		}
		frames := w.retained.frames(b)
		h := seg.blockFor(frames, &b.info, b.flags, d.pos)
		h.encode(w.header[:], seg.seed)
		w.bufs[0], w.bufs[1] = w.header[:], frames
		_, err := seg.file.WritevAt(w.bufs[:2], seg.off)
		w.bufs[1] = nil
		if err != nil {
			return nil, err
		}
		seg.note(&h, &b.info)
	}
	return seg, nil
}

// install makes a segment that has taken over the one being written. All in it is durable. The files before it are closed and not looked at
// again, and those that were begun behind the end that it gives its predecessor are removed.
func (w *Writer) install(seg *segment, home string, headFile vfs.File) {
	s := &w.sync
	s.mu.Lock()
	dead := []*segment{s.sealing, s.cur}
	next, pred := s.next, s.durable.seg
	bytes := s.written.pos - s.startPos
	s.home, s.epoch, s.number = home, w.epoch, seg.hdr.number
	s.cur, s.curSynced, s.sealing, s.next, s.nextErr = seg, true, nil, nil, nil
	s.written = seg.mark(s.written.n + 1)
	s.durable, s.syncedPos, s.snapPos = s.written, seg.pos(), seg.pos()
	s.startPos = s.written.pos - bytes - uint64(seg.off)
	s.pendingSince, s.inflightSince = time.Time{}, time.Time{}
	s.segments++
	s.takeovers++
	w.durablePos.Store(seg.pos())
	s.mu.Unlock()
	w.seg, w.begun = seg, time.Now()
	w.retained.release(^uint64(0))

	w.headMu.Lock()
	_ = w.headFile.Close() // it may be what failed
	w.headFile = headFile
	w.headMu.Unlock()
	if next != nil {
		next.drop(w.a.fs)
	}
	for _, d := range dead {
		if d == nil {
			continue
		}
		_ = d.file.Close() // it has failed, or what is in it does not count
		if d != pred && d.hdr.number >= seg.hdr.number {
			_ = w.a.fs.Remove(w.a.path(d.name)) // if it stays, list knows it
			_ = w.a.syncDirOf(d.name)
		}
	}
}
