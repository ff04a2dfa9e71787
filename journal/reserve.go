package journal

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// reserve is the file that holds disk space for when the disk is full.
type reserve struct {
	mu    sync.Mutex    // held while the file is changed
	size  atomic.Int64  // bytes of it on the disk
	fills atomic.Uint64 // beginnings and ends of attempts to fill it
}

// sealReserve is the part of the reserve that is kept for sealing: it is given back by Close, and for the footer of a segment that rotation
// has left behind.
const sealReserve = 256 << 10

// fillReserve fills the reserve up. On a disk that has no room for it, which is no error, it is what it was.
func (w *Writer) fillReserve() error {
	r := &w.reserve
	r.mu.Lock()
	defer r.mu.Unlock()
	had := r.size.Load()
	if had >= w.opts.Reserve {
		return nil
	}
	r.fills.Add(1)
	defer r.fills.Add(1)
	flag := os.O_RDWR | os.O_CREATE
	if had == 0 {
		flag |= os.O_TRUNC // what a crash has left
	}
	f, err := w.a.fs.OpenFile(w.a.path(reserveName), flag, 0o600)
	if err != nil {
		return notFull(err)
	}
	if err = writeNoise(f, had, w.opts.Reserve); err == nil {
		err = f.Sync()
	}
	if err == nil {
		r.size.Store(w.opts.Reserve)
		return f.Close()
	}
	err = errors.Join(notFull(err), f.Truncate(had), f.Close())
	if had == 0 {
		err = errors.Join(err, w.a.fs.Remove(w.a.path(reserveName)))
	}
	return err
}

// writeNoise writes bytes that no file system makes smaller: xorshift.
func writeNoise(f vfs.File, from, to int64) error {
	noise := make([]byte, 256<<10)
	x := uint64(from)<<1 | 1
	for off := from; off < to; off += int64(len(noise)) {
		for i := 0; i < len(noise); i += 8 {
			x ^= x << 13
			x ^= x >> 7
			x ^= x << 17
			le.PutUint64(noise[i:], x)
		}
		if _, err := f.WriteAt(noise[:min(int64(len(noise)), to-off)], off); err != nil {
			return err
		}
	}
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

// giveBack gives disk space back, all of it or all but sealReserve, and reports whether there is more room now.
func (w *Writer) giveBack(all bool) bool {
	r := &w.reserve
	fills := r.fills.Load()
	r.mu.Lock()
	defer r.mu.Unlock()
	keep := int64(sealReserve)
	if all {
		keep = 0
	}
	if r.size.Load() <= keep {
		return r.fills.Load() != fills // a fill has taken the room meanwhile, and given it back
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
