package journal

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// Of a prefetch. To wake a goroutine may take as long as to walk over a quarter of a chunk.
const (
	chunkSize  = 1 << 20
	chunkFront = DefaultMaxBlock + pageSize // room in front of a chunk for what the one before it ends in: a longer block is read by the walker
	chunks     = 4                          // one that the walker is in, one being read, and two between them
	enoughLeft = 2 * readAhead              // it is not begun for less
	pageSize   = 4 << 10                    // reads end at multiples of it
)

// prefetch reads the bytes that a walker will want next, on another goroutine, while the walker checks and its caller walks over what is there.
// It knows nothing of blocks and decides nothing: when it cannot read, it ends, and the walker reads by itself and meets the error, or the end,
// where it would without. A nil prefetch reads nothing.
//
// The walker begins with it when it has read so much on end that its steps have grown to readAhead. A chunk has one owner at a time, handed over
// under mu: the goroutine takes from free and puts into full; the walker takes from full what becomes its memory, and gives that back to free
// when it takes the next one. The goroutine ends when nothing is free: it never waits for the walker, so a Reader that nobody closes leaves none
// behind. The walker starts it again when it gives a chunk back.
type prefetch struct {
	fn   func() // run, so that starting it allocates nothing
	lent *chunk // what was given last: the walker's memory, unless it has taken other memory since

	stop atomic.Bool // the goroutine need not go on

	mu      sync.Mutex // all below
	changed sync.Cond  // full has grown, or the goroutine has ended
	running bool
	over    bool // nothing more is read
	long    bool // there was a block for which there is no room
	file    vfs.File
	pos     int64 // where the next chunk begins
	end     int64 // nothing at or after it is read
	step    int64 // at most so much is read at once
	free    []*chunk
	full    []*chunk
}

// chunk is some bytes of a file, with room in front of them.
type chunk struct {
	mem []byte // chunkFront, then what was read
	off int64  // where that is in the file
}

func newPrefetch() *prefetch {
	p := &prefetch{over: true}
	p.changed.L, p.fn = &p.mu, p.run
	return p
}

// begin has what is behind the walker's bytes read, up to end, if that is worth it: the walker has read a lot on end, the last time for n bytes,
// and there is a lot left.
func (p *prefetch) begin(w *walker, n int, end int64) {
	pos := w.bufOff + int64(len(w.buf))
	if p == nil || w.ahead < readAhead || end-pos < enoughLeft {
		return
	}
	p.drop()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.long = p.long || n > chunkFront; p.long {
		return
	}
	if p.free == nil {
		for range chunks {
			p.free = append(p.free, &chunk{})
		}
	}
	p.file, p.pos, p.end, p.step, p.over = w.file, pos, end, readAhead, false
	p.start()
}

// start starts the goroutine if there is something for it to do. The caller holds mu.
func (p *prefetch) start() {
	if !p.running && !p.over && len(p.free) > 0 {
		p.running = true
		go p.fn()
	}
}

// run reads as long as there is memory.
func (p *prefetch) run() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.free) > 0 && !p.over && !p.stop.Load() {
		c := p.free[len(p.free)-1]
		p.free = p.free[:len(p.free)-1]
		size := p.nextSize()
		file, off := p.file, p.pos
		p.mu.Unlock()
		n, err := c.read(file, off, size)
		p.mu.Lock()
		p.pos += int64(n)
		p.over = err != nil || int64(n) < size || p.pos == p.end
		if err != nil || n == 0 {
			p.free = append(p.free, c)
			break
		}
		p.full = append(p.full, c)
		p.changed.Signal()
	}
	p.running = false
	p.changed.Signal()
}

// nextSize returns how much to read: ever more at first, and less again before the end, so that neither side waits long for the other. The
// caller holds mu.
func (p *prefetch) nextSize() int64 {
	left := p.end - p.pos
	size := min(p.step, max(left/chunks, readAhead), left)
	if size < left {
		size -= (p.pos + size) % pageSize
	}
	p.step = min(2*p.step, chunkSize)
	return size
}

// read fills the chunk from off on.
func (c *chunk) read(file vfs.File, off, size int64) (n int, err error) {
	if c.mem == nil {
		c.mem = make([]byte, chunkFront+chunkSize)
	}
	c.mem, c.off = c.mem[:chunkFront+size], off
	n, err = file.ReadAt(c.mem[chunkFront:], off)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	c.mem = c.mem[:chunkFront+n]
	return n, err
}

// give makes the next chunk the walker's memory, behind what that has from off on. It waits while the chunk is being read. True: n bytes from off
// on are there.
func (p *prefetch) give(w *walker, off int64, n int) bool {
	for p != nil {
		c := p.take()
		if c == nil {
			return false
		}
		held := w.bufOff + int64(len(w.buf)) - off
		if !w.holds(off, 0) || held > chunkFront || c.off != off+held {
			p.giveBack(c)
			p.drop() // the walker was moved, or the block is long
			return false
		}
		front := chunkFront - int(held)
		copy(c.mem[front:], w.buf[off-w.bufOff:])
		w.buf, w.bufOff = c.mem[front:], off
		c, p.lent = p.lent, c
		p.giveBack(c)
		if w.holds(off, n) {
			return true
		}
	}
	return false
}

// take returns the next chunk, waiting while it is being read; nil when there is none.
func (p *prefetch) take() *chunk {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.full) == 0 && p.running {
		p.changed.Wait()
	}
	if len(p.full) == 0 {
		return nil
	}
	c := p.full[0]
	p.full = append(p.full[:0], p.full[1:]...)
	return c
}

// giveBack makes a chunk, if it is one, free.
func (p *prefetch) giveBack(c *chunk) {
	if c == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, c)
	p.start()
}

// drop forgets what was read and the walker has not, and waits for the goroutine to end: then the file may be closed.
func (p *prefetch) drop() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stop.Store(true)
	for p.running {
		p.changed.Wait()
	}
	p.stop.Store(false)
	p.free, p.full, p.over = append(p.free, p.full...), p.full[:0], true
}

// release gives the memory up, that of the walker too, if there is any. Nothing of what was read is kept.
func (p *prefetch) release(w *walker) {
	p.drop()
	if p != nil && p.free != nil {
		p.free, p.lent, w.buf = nil, nil, nil
	}
}
