package journal

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// VerifyOptions are the options of Verify. Nil is the default.
type VerifyOptions struct {
	Workers  int                     // segments read at once; default GOMAXPROCS
	FS       vfs.FS                  // default: the operating system's; used by all workers
	Progress func(done, total int64) // called about every MiB with bytes read and bytes there are, on the caller's goroutine; default none
	Stop     <-chan struct{}         // when it is closed, Verify ends soon with context.Canceled
}

// verifier puts the reports on the segments, which workers make in any order, together in the archive's order.
type verifier struct {
	*survey
	rep      *Report
	prev     *walker  // at the end of the segment before; nil when that is not known
	prevI    int      // which one that is
	ordinals ordinals // of all streams, after prev; nil when they are not known
	expect   uint64   // sequence after the last one seen or known to be lost
	begun    bool     // a segment has been taken in

	read     atomic.Int64  // bytes
	tick     chan struct{} // capacity 1: read has grown
	stop     atomic.Bool   // workers need not go on
	shown    int64         // bytes at the last call of progress
	progress func(done, total int64)
	quit     <-chan struct{} // when it is closed, the work ends
	workers  int
}

// part is what a worker found in one segment.
type part struct {
	i          int
	hdr        segmentHeader
	w          *walker          // at the end, without its buffer; nil when the header could not be read
	bad        *CorruptionError // of the header
	rep        *Report
	table, end ordinals // in its stream table, and behind its last block; nil when they are not known
	err        error
	damaged    bool // not all blocks were read
	unborn     bool // begun after Verify
}

// Verify reads the whole archive in dir and checks every byte of it: headers, blocks, frames, footers, and that nothing is missing between
// them. It changes nothing, takes no lock, and works on a directory that cannot be written to. It works while a writer is active: then it
// checks what was written when it began.
//
// Damage is in the Report, not in the error. The error wraps ErrNotArchive or ErrVersion, or is one of the system's. Segments are read by
// several goroutines at once; the Report does not depend on how many. Each holds one block at a time, at most 64 MiB, a segment's index, at
// most 96 MiB, and the totals of the streams; what they have found waits for its turn for at most two segments each.
func Verify(dir string, opts *VerifyOptions) (*Report, error) {
	v, err := newVerifier(dir, opts)
	if err != nil {
		return nil, err
	}
	return v.verify()
}

func newVerifier(dir string, opts *VerifyOptions) (*verifier, error) {
	var o VerifyOptions
	if opts != nil {
		o = *opts
	}
	switch {
	case o.Workers < 0:
		return nil, fmt.Errorf("journal: VerifyOptions.Workers is %d: must not be negative", o.Workers)
	case o.Workers == 0:
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Progress == nil {
		o.Progress = func(int64, int64) {}
	}
	return &verifier{
		survey: newSurvey(o.FS, dir), rep: newReport(), workers: o.Workers, tick: make(chan struct{}, 1), progress: o.Progress,
		quit: o.Stop,
	}, nil
}

func (v *verifier) verify() (*Report, error) {
	if err := v.begin(); err != nil {
		return nil, err
	}
	r := v.rep
	r.Foreign, r.Segments, r.Active, r.FileSize = v.foreign, len(v.segs), v.live, v.size
	r.FirstSeq = v.segs[0].baseSeq
	v.expect = r.FirstSeq
	if err := v.run(min(v.workers, len(v.segs))); err != nil {
		return nil, err
	}
	return v.finish(), nil
}

// run has the segments read by workers and takes in what they find, in order. No worker is left when it returns.
func (v *verifier) run(workers int) error {
	window := 2 * workers
	jobs, parts := make(chan int, window), make(chan *part, window)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			wk := &verifyWorker{v: v}
			for i := range jobs {
				parts <- wk.segment(i)
			}
		})
	}
	defer wg.Wait()
	defer close(jobs)
	defer v.stop.Store(true)
	waiting := make(map[int]*part, window)
	for issued, next := 0, 0; next < len(v.segs); {
		for ; issued < len(v.segs) && issued-next < window; issued++ {
			jobs <- issued
		}
		select {
		case <-v.quit:
			return context.Canceled
		default:
		}
		select {
		case <-v.quit:
			return context.Canceled
		case p := <-parts:
			waiting[p.i] = p
		case <-v.tick:
			v.show()
			continue
		}
		for p := waiting[next]; p != nil; p = waiting[next] {
			delete(waiting, next)
			next++
			if err := v.merge(p); errors.Is(err, errStopped) {
				return context.Canceled
			} else if err != nil {
				return err
			}
			if v.rep.Torn != nil {
				return nil // what comes after hangs in the air
			}
		}
		v.show()
	}
	return nil
}

// verifyWorker reads segments, one at a time. Its buffers go from one to the next.
type verifyWorker struct {
	v        *verifier
	buf, raw []byte
	totals   []StreamTotal
}

// errStopped ends a worker's segment when the outcome is known already. Nobody sees it.
var errStopped = errors.New("stopped")

// segment verifies segment i for itself.
func (wk *verifyWorker) segment(i int) *part {
	v := wk.v
	if v.stop.Load() {
		return &part{i: i, err: errStopped}
	}
	f, hdr, err := v.a.openSegment(v.segs[i])
	p := &part{i: i, hdr: hdr, rep: newReport()}
	if errors.As(err, &p.bad) {
		return p
	}
	if p.err = err; err != nil {
		return p
	}
	defer f.Close() // opened for reading: nothing to lose
	if v.live && hdr.number > v.head.segment {
		p.unborn = true
		return p
	}
	w := &walker{buf: wk.buf, raw: wk.raw, abort: v.halted}
	w.reset(f, hdr)
	clear(wk.totals)
	ps := &pass{s: v.survey, i: i, w: w, seg: newSegment(f, v.segs[i].name, hdr), rep: p.rep, totals: wk.totals, onRead: v.note}
	p.err = ps.run()
	wk.buf, wk.raw, wk.totals = w.buf, w.raw, ps.totals
	w.buf, w.raw, w.scan, w.file, w.abort = nil, nil, nil, nil, nil
	p.w, p.table, p.damaged = w, ps.table, ps.damaged || ps.unsure || w.lossy
	if !ps.unsure {
		p.end = ps.seg.ordinals
	}
	return p
}

// note counts bytes that were read. Workers call it.
func (v *verifier) note(n int64) error {
	v.read.Add(n)
	select {
	case v.tick <- struct{}{}:
	default: // the caller is going to look already
	}
	return v.halted()
}

// halted is errStopped when workers need not go on. Workers call it.
func (v *verifier) halted() error {
	if v.stop.Load() {
		return errStopped
	}
	select {
	case <-v.quit:
		return errStopped
	default:
		return nil
	}
}

// show calls progress when there is something new to say.
func (v *verifier) show() {
	if now := min(v.read.Load(), v.size); now > v.shown {
		v.shown = now
		v.progress(now, v.size)
	}
}

// merge takes in what was found in the next segment.
func (v *verifier) merge(p *part) error {
	switch {
	case p.unborn:
		v.rep.Segments--
		return nil
	case p.err != nil && v.a.trimmedAway(v.segs[p.i], p.err):
		v.trimmed(p.i)
		return nil
	case p.err != nil:
		return p.err
	}
	first := !v.begun
	v.begun = true
	if p.bad != nil {
		return v.badHeader(p.i, p.bad)
	}
	v.checkStart(p, first)
	v.checkTable(p)
	v.rep.add(p.rep)
	v.prev, v.prevI, v.expect = p.w, p.i, p.w.nextSeq
	return nil
}

// trimmed leaves out segment i, which was removed while Verify was under way.
func (v *verifier) trimmed(i int) {
	v.rep.Segments--
	v.prev, v.ordinals = nil, nil // nobody can say what HEAD promises behind it: it has been removed
	if i+1 == len(v.segs) {
		return
	}
	next := v.segs[i+1].baseSeq
	if !v.begun {
		v.rep.FirstSeq = next
	}
	v.expect = next
}

// badHeader handles a segment whose header cannot be read.
func (v *verifier) badHeader(i int, c *CorruptionError) error {
	g, torn, unborn, err := v.lostSegment(i, c, v.prev, v.expect)
	switch {
	case err != nil:
		return err
	case unborn:
		v.rep.Segments--
		return nil
	case torn != nil:
		v.rep.Torn = torn
		return nil
	}
	if i+1 < len(v.segs) {
		v.expect = g.LastSeq + 1
	}
	v.rep.problem(g)
	v.rep.Sealed = false
	v.prev, v.ordinals = nil, nil
	return nil
}

// checkStart checks that a segment continues the one before, and notes the sequences that it declares missing.
func (v *verifier) checkStart(p *part, first bool) {
	hdr, name := p.hdr, v.segs[p.i].name
	if hdr.predFlags&predGap != 0 {
		v.ordinals = nil
	}
	if hdr.predSeq < hdr.baseSeq {
		v.rep.gap(Gap{File: name, FirstSeq: hdr.predSeq, LastSeq: hdr.baseSeq - 1, Reason: declaredMissing, Declared: true})
	}
	if first {
		if gap, missing := v.a.beforeFirst(hdr); missing && gap.Trimmed {
			v.rep.gap(gap)
		} else if missing {
			v.rep.lose(gap)
		}
	}
	if v.prev == nil {
		if first && hdr.predFlags&predFirst != 0 && (hdr.predSeq != 0 || hdr.number != 1) {
			v.rep.problem(Gap{File: name, FirstSeq: 0, LastSeq: hdr.baseSeq - 1, Reason: "segment says that it is the first, but is not number 1"})
		}
		return
	}
	var c *CorruptionError
	if errors.As(checkSuccessor(v.prev, hdr, name), &c) {
		v.rep.problem(Gap{File: c.File, FirstSeq: c.FirstSeq, LastSeq: c.LastSeq, Reason: c.Reason})
		v.ordinals = nil
	} else if m := max(v.prev.hdr.maxBefore, v.prev.maxTime); hdr.maxBefore < m {
		v.rep.problem(Gap{
			File: name, FirstSeq: hdr.baseSeq, LastSeq: hdr.baseSeq - 1,
			Reason: fmt.Sprintf("segment header says that the latest record before it has time %d, there is one with %d", hdr.maxBefore, m),
		})
	}
}

// checkTable checks a segment's stream table against the records of the segments before it, as far as all of them were seen.
func (v *verifier) checkTable(p *part) {
	for i, next := range p.table {
		if bad := v.ordinals.define(uint16(i+1), next); next != unknownOrdinal && bad != "" {
			v.rep.problem(Gap{File: v.segs[p.i].name, Offset: segmentHeaderLen, FirstSeq: p.hdr.baseSeq, LastSeq: p.hdr.baseSeq - 1, Reason: bad})
			break
		}
	}
	switch {
	case p.table == nil && !p.damaged: // cut, so no records follow it
		v.ordinals.join(p.end)
	default:
		v.ordinals = p.end
	}
}

// finish makes the verdict.
func (v *verifier) finish() *Report {
	r := v.rep
	r.NextSeq = v.expect
	if g, missing := v.missingAtEnd(v.prev, v.prevI, v.expect); missing && r.Torn == nil {
		r.problem(g)
	}
	if r.Records == 0 {
		r.MinTime, r.MaxTime = 0, 0
	}
	for i := range r.Losses {
		r.Losses[i].Name = r.Streams[r.Losses[i].Stream]
	}
	switch {
	case r.ProblemCount > 0:
		r.Verdict = Corrupt
	case r.lost > 0:
		r.Verdict = Lossy
	case r.Torn != nil:
		r.Verdict = Torn
	default:
		r.Verdict = Clean
	}
	return r
}
