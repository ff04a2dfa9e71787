package journal

import (
	"slices"
	"sync/atomic"
)

// retained holds copies of the blocks that are written and not known to be durable, oldest first, in a ring of bytes. It is the write path's,
// under Writer.mu, but for held.
type retained struct {
	buf      []byte // nil: nothing is retained
	blocks   []retainedBlock
	first    int          // of blocks: those before it are durable
	ordinals ordinals     // of all streams, where the first block begins
	held     atomic.Int64 // bytes of buf in use, for Stats
}

// retainedBlock is a block's frames, in one piece, and what is known about them.
type retainedBlock struct {
	end   uint64 // log position behind it
	at, n int    // its frames in buf
	info  frameInfo
	flags uint16
}

// begin allocates size bytes, 0 for none. at is where the streams are.
func (r *retained) begin(size int64, at ordinals) {
	if size > 0 {
		r.buf, r.ordinals = make([]byte, size), slices.Clone(at)
	}
}

// live returns the blocks held.
func (r *retained) live() []retainedBlock { return r.blocks[r.first:] }

func (r *retained) frames(b *retainedBlock) []byte { return r.buf[b.at : b.at+b.n] }

// release forgets what is durable.
func (r *retained) release(durable uint64) {
	for r.first < len(r.blocks) && r.blocks[r.first].end <= durable {
		b := &r.blocks[r.first]
		r.ordinals.take(r.frames(b), &b.info)
		r.held.Add(-int64(b.n))
		r.first++
	}
	if r.first == len(r.blocks) {
		r.blocks, r.first = r.blocks[:0], 0
	} else if r.first >= 64 && 2*r.first >= len(r.blocks) {
		r.blocks, r.first = r.blocks[:copy(r.blocks, r.blocks[r.first:])], 0
	}
}

// place returns where n bytes in one piece fit; −1 when they do not.
func (r *retained) place(n int) int {
	live := r.live()
	if len(live) == 0 {
		return 0
	}
	head, last := live[0].at, live[len(live)-1]
	tail := last.at + last.n
	switch {
	case last.at >= head && len(r.buf)-tail >= n:
		return tail
	case last.at >= head && head >= n:
		return 0
	case last.at < head && head-tail >= n:
		return tail
	}
	return -1
}

// retainRoom waits until n bytes of frames can be retained. The caller holds mu.
func (w *Writer) retainRoom(n int) error {
	r, s := &w.retained, &w.sync
	if r.buf == nil || n == 0 {
		return nil
	}
	r.release(w.durablePos.Load())
	if r.place(n) >= 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w.publishLocked() // or nobody would sync the blocks of this call that are written
	for {
		switch {
		case s.fault != nil:
			return s.failure()
		case s.poisoned != nil:
			return s.inDoubt(s.poisoned)
		case s.full.sealing():
			return s.inDoubt(s.full.last)
		}
		if r.release(s.durable.pos); r.place(n) >= 0 {
			return nil
		}
		s.force = true
		s.nudge()
		w.pause(nil)
	}
}

// retain keeps a copy of a block that was just written. The caller holds mu and has called retainRoom.
func (w *Writer) retain(frames []byte, info *frameInfo, flags uint16) {
	r := &w.retained
	if r.buf == nil || len(frames) == 0 {
		return
	}
	at := r.place(len(frames))
	copy(r.buf[at:], frames)
	r.blocks = append(r.blocks, retainedBlock{end: w.seg.pos(), at: at, n: len(frames), info: *info, flags: flags})
	r.held.Add(int64(len(frames)))
}
