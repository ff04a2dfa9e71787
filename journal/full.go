package journal

import (
	"errors"
	"syscall"
	"time"
)

// A full disk breaks nothing. What did not fit is cut off again, the call that wrote it returns an error, and the next call tries again. So
// it is a condition, kept in fullDisk, and not a fault.

// isFull reports whether an error says that there is no room: the disk is full, a quota is used up, or the file may not grow any more.
func isFull(err error) bool {
	return err != nil && (errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EFBIG) || isFullHere(err))
}

// What a full disk is in the way of.
const (
	fullData = 1 << iota // appends and rotation
	fullSeal             // the footer of what rotation has left behind: nothing behind it can be made durable
	fullHead             // HEAD
)

// fullDisk is the part of syncState that says whether the disk is full.
type fullDisk struct {
	in    uint8       // fullData and so on
	last  *WriteError // of the last attempt
	since time.Time   // of the first failed attempt since all was well; zero when all is
	tried time.Time   // of the last one
	times uint64
}

// sealing reports whether the syncer waits for room.
func (f *fullDisk) sealing() bool { return f.in&fullSeal != 0 }

// stops reports whether a full disk is a reason not to wait for records: those not written while appends fail, all while the syncer cannot
// go on.
func (f *fullDisk) stops(written bool) bool { return f.sealing() || f.in&fullData != 0 && !written }

// isFull notes that a write found the disk full, and returns the error for its caller.
func (w *Writer) isFull(in uint8, op, file string, off int64, err error) error {
	s := &w.sync
	s.mu.Lock()
	defer s.mu.Unlock()
	f := &s.full
	f.tried = time.Now()
	if f.in == 0 {
		f.since = f.tried
	}
	f.in |= in
	f.times++
	f.last = &WriteError{Op: op, File: w.a.path(file), Offset: off, Err: bare(err), Full: true}
	s.wake()
	return s.inDoubt(f.last)
}

// hasRoom notes that a write succeeded.
func (w *Writer) hasRoom(in uint8) {
	s := &w.sync
	s.mu.Lock()
	defer s.mu.Unlock()
	s.full.clear(in)
}

func (f *fullDisk) clear(in uint8) {
	if f.in == 0 {
		return
	}
	if f.in &^= in; f.in == 0 {
		f.last, f.since = nil, time.Time{}
	}
}

// makeRoom frees what may be freed on a full disk, and reports whether there was something: the reserve first, then the oldest segment if
// retention may drop it. all is for the last writes of all, which may have the whole reserve.
func (w *Writer) makeRoom(all bool) bool {
	if w.giveBack(all) {
		return true
	}
	freed, err := w.trimForSpace()
	return freed && err == nil
}
