package journal

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// keeper is the part of a Writer that looks after its sealed segments: it removes the oldest ones when there are too many, and compresses
// those that are left. It has a goroutine of its own, off the write path and off the syncer's. What goes wrong here never stops recording.
type keeper struct {
	ask chan struct{} // capacity 1: there may be something to do

	mu sync.Mutex // one at a time changes which segment files there are; held during I/O, never while a segment is compressed

	trimmed    atomic.Uint64 // segments removed
	compressed atomic.Uint64 // segments compressed
	errMu      sync.Mutex
	err        error // of the last run

	compactor compactor   // the keeper's own
	tried     segmentFile // the newest one that was compressed, or found not to be for it
}

// While something keeps the keeper from its work it tries again after so long, and looks at the clock at least so often.
const (
	keepRetry   = 10 * time.Second
	keepMinPoll = 100 * time.Millisecond
	keepMaxPoll = time.Minute
)

// startKeeper begins the keeper's work, if the options have any for it.
func (w *Writer) startKeeper() {
	if !w.keeps() {
		return
	}
	w.done.Add(1)
	go w.keepLoop()
}

// keeps reports whether the options have work for the keeper.
func (w *Writer) keeps() bool { return !w.opts.Retention.none() || w.opts.Compress }

// askKeeper makes the keeper look.
func (w *Writer) askKeeper() {
	select {
	case w.keep.ask <- struct{}{}:
	default: // it is going to look already
	}
}

// keepLoop is the keeper.
func (w *Writer) keepLoop() {
	defer w.done.Done()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(w.keepPause(w.keepOnce()))
		select {
		case <-w.keep.ask:
		case <-timer.C:
		case <-w.quit:
			return
		}
	}
}

// keepPause says when to look again without being asked.
func (w *Writer) keepPause(err error) time.Duration {
	pause := time.Hour
	if age := w.opts.Retention.MaxAge; age > 0 {
		pause = min(max(age/16, keepMinPoll), keepMaxPoll)
	}
	if err != nil {
		pause = min(pause, keepRetry)
	}
	return pause
}

// keepOnce does all there is to do now. Its error is kept for Stats.
func (w *Writer) keepOnce() error {
	err := w.trimNow()
	if e := w.compressSealed(); err == nil {
		err = e
	}
	w.keep.errMu.Lock()
	defer w.keep.errMu.Unlock()
	w.keep.err = err
	return err
}

// keepStats adds the keeper's counters.
func (w *Writer) keepStats(st *Stats) {
	st.Trimmed, st.Compressed = w.keep.trimmed.Load(), w.keep.compressed.Load()
	w.keep.errMu.Lock()
	defer w.keep.errMu.Unlock()
	st.KeepErr = w.keep.err
}

// keepFrom returns the oldest segment that the keeper must leave alone, because it or the one after it is not durable and sealed; ok is false
// when it must leave all alone for now. The segment itself is durable: header, name, and that it is there. So whatever is before it may go.
func (w *Writer) keepFrom() (name string, nextSeq uint64, ok bool) {
	s := &w.sync
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.sealing != nil: // it was durable before its successor could be begun
		return s.sealing.name, s.written.seq, true
	case s.curSynced:
		return s.cur.name, s.written.seq, true
	}
	return "", 0, false // the syncer is about to sync it, and asks again then
}

// keepPlan begins a plan over the segments that the keeper may touch; nil when there is none.
func (w *Writer) keepPlan() (*trimPlan, error) {
	name, next, ok := w.keepFrom()
	if !ok {
		return nil, nil
	}
	segs, _, err := w.a.list()
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	for i, s := range segs {
		if s.name == name {
			return &trimPlan{a: w.a, segs: segs, limit: i, next: next, now: time.Now().UnixNano()}, nil
		}
	}
	return nil, fmt.Errorf("journal: %s: the segment being written is not in the directory any more", w.a.path(name))
}

// trimNow removes what is over the limits.
func (w *Writer) trimNow() error {
	if w.opts.Retention.none() {
		return nil
	}
	w.keep.mu.Lock()
	defer w.keep.mu.Unlock()
	if err := w.a.removeLeftovers(); err != nil {
		return err
	}
	p, err := w.keepPlan()
	if p == nil || err != nil {
		return err
	}
	if w.opts.Retention.OnFull {
		if err := p.makeRoom(); err != nil {
			return err
		}
	}
	if err := p.make(w.opts.Retention, 0, 0); err != nil {
		return err
	}
	if p.n > 0 {
		n, err := p.carryOut()
		w.keep.trimmed.Add(uint64(n))
		if err != nil {
			return err
		}
	}
	return p.tooMuch()
}

// makeRoom makes a note when there is none, so that one can be written when the disk is full.
func (p *trimPlan) makeRoom() error {
	f, hdr, err := p.a.openSegment(p.segs[0])
	if err != nil {
		return err
	}
	_ = f.Close() // opened for reading
	if _, ok := p.a.trimNote(hdr.uuid); ok {
		return nil
	}
	note := trimNote{firstSeq: hdr.baseSeq, segment: hdr.number, epoch: hdr.epoch, firstPos: hdr.basePos, when: p.now, why: trimNothing}
	if _, missing := p.a.beforeFirst(hdr); missing {
		return nil // it would say that what is lost was trimmed
	}
	return p.a.writeTrim(note, hdr.uuid)
}

// trimForSpace removes the oldest segment because the disk is full, if Retention.OnFull says so and nothing holds it. It may be called from the
// write path and from the syncer; it waits while the keeper removes something itself.
func (w *Writer) trimForSpace() (freed bool, err error) {
	if !w.opts.Retention.OnFull {
		return false, nil
	}
	w.keep.mu.Lock()
	defer w.keep.mu.Unlock()
	p, err := w.keepPlan()
	if p == nil || err != nil {
		return false, err
	}
	p.want(1, trimFull)
	if err := p.heed(); err != nil {
		return false, err
	}
	if p.n == 0 {
		return false, p.tooMuch()
	}
	n, err := p.carryOut()
	w.keep.trimmed.Add(uint64(n))
	return n > 0, err
}
