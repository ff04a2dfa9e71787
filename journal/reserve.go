package journal

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
)

// reserve is the file that holds disk space for when the disk is full.
type reserve struct {
	mu   sync.Mutex   // held while the file is changed
	size atomic.Int64 // bytes of it on the disk
}

// sealReserve is the part of the reserve that is kept for sealing: it is given back by Close, and for the footer of a segment that rotation
// has left behind.
const sealReserve = 256 << 10

// fill writes the reserve. A disk that has no room for it is no error: then there is none.
func (w *Writer) fillReserve() error {
	r := &w.reserve
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.size.Load() >= w.opts.Reserve {
		return nil
	}
	f, err := w.a.fs.OpenFile(w.a.path(reserveName), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return notFull(err)
	}
	r.size.Store(0)
	noise := make([]byte, min(w.opts.Reserve, 256<<10))
	x := uint64(w.opts.Reserve) | 1
	for off := int64(0); off < w.opts.Reserve && err == nil; off += int64(len(noise)) {
		for i := 0; i+8 <= len(noise); i += 8 { // bytes that no file system makes smaller: xorshift
			x ^= x << 13
			x ^= x >> 7
			x ^= x << 17
			le.PutUint64(noise[i:], x)
		}
		_, err = f.WriteAt(noise[:min(int64(len(noise)), w.opts.Reserve-off)], off)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(notFull(err), w.a.fs.Remove(w.a.path(reserveName)))
	}
	r.size.Store(w.opts.Reserve)
	return nil
}

func notFull(err error) error {
	if isFull(err) {
		return nil
	}
	return err
}

// refill writes the reserve again after it was given back, if the disk is not full.
func (w *Writer) refill() {
	w.sync.mu.Lock()
	full := w.sync.full.in != 0
	w.sync.mu.Unlock()
	if !full && w.opts.Reserve > 0 {
		_ = w.fillReserve() // Stats.Reserve says that there is none; the next rotation tries again
	}
}

// giveBack gives disk space back, all of it or all but sealReserve, and reports whether there was any.
func (w *Writer) giveBack(all bool) bool {
	r := &w.reserve
	r.mu.Lock()
	defer r.mu.Unlock()
	keep := int64(sealReserve)
	if all {
		keep = 0
	}
	if r.size.Load() <= keep {
		return false
	}
	r.size.Store(keep)
	if all {
		return w.a.fs.Remove(w.a.path(reserveName)) == nil
	}
	f, err := w.a.fs.OpenFile(w.a.path(reserveName), os.O_RDWR, 0)
	if err != nil {
		return false
	}
	err = f.Truncate(keep)
	return closing(f, err) == nil
}
