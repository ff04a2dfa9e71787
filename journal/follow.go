package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// Readers that follow look for news after so long, and then ever less often.
const (
	minPoll = time.Millisecond
	maxPoll = 50 * time.Millisecond
)

// view is what a reader knows about the end of the segment it reads.
type view struct {
	succ    *segmentHeader // of the segment after it, nil when there is none yet
	trailer trailer
	sealed  bool  // trailer is there
	size    int64 // of the file
	end     int64 // reading may go up to here

	head   head
	headOK bool
	alive  bool // a writer has the archive open; looked at only when it matters
}

// finish returns the offset where the segment's data ends for good, if that is known.
func (v *view) finish(hdr *segmentHeader) (end int64, known bool) {
	switch {
	case v.sealed && v.trailer.flags&sealLoss != 0: // before what the successor says
		return int64(v.trailer.dataEnd), true
	case v.succ != nil && !hdr.rewritten():
		return int64(v.succ.predPos - hdr.basePos), true
	case v.sealed:
		return int64(v.trailer.dataEnd), true
	}
	return 0, false
}

// open makes segment i the current one. It must continue the segment before it, if that was read.
func (r *Reader) open(i int) error {
	f, hdr, err := r.a.openSegment(r.segs[i])
	if err != nil {
		return err
	}
	if r.file != nil {
		if err := checkSuccessor(&r.w, hdr, r.segs[i].name); err != nil {
			return closing(f, err)
		}
	}
	crossed := r.file != nil
	if err := r.use(i, f, hdr); err != nil || !crossed || hdr.predSeq == hdr.baseSeq {
		return err
	}
	return &GapError{Gap: r.declaredGap()}
}

// declaredGap is the gap that the current segment says is before it.
func (r *Reader) declaredGap() Gap {
	hdr := &r.w.hdr
	return Gap{File: r.segs[r.i].name, FirstSeq: hdr.predSeq, LastSeq: hdr.baseSeq - 1, Reason: declaredMissing, Declared: true}
}

// use makes segment i, which has been opened, the current one.
func (r *Reader) use(i int, f vfs.File, hdr segmentHeader) error {
	begins := r.file != nil && hdr.epoch != r.w.hdr.epoch
	r.w.prefetch.drop() // it reads the file that is closed now
	if r.file != nil {
		if err := r.file.Close(); err != nil {
			return closing(f, fmt.Errorf("journal: %w", err))
		}
	}
	r.file, r.i, r.unscanned, r.view, r.judgement = f, i, 0, view{}, nil
	run := r.w.ahead // reading goes on from segment to segment
	r.w.reset(f, hdr)
	r.w.ahead = run
	r.b, r.at, r.judged, r.tries, r.probed = block{}, 0, -1, 0, false
	if begins {
		r.announce(&hdr)
	}
	if err := r.look(); err != nil {
		return err
	}
	if v := &r.view; r.opts.ToTime != 0 && v.sealed && v.trailer.records > 0 && v.trailer.minTime > r.opts.ToTime && v.end >= int64(v.trailer.dataEnd) {
		r.w.place(int64(v.trailer.dataEnd), v.trailer.nextSeq) // nothing of it is wanted
		r.unscanned = r.w.off
	}
	return nil
}

// checkSuccessor checks that hdr continues what w has walked to its end.
func checkSuccessor(w *walker, hdr segmentHeader, name string) error {
	reason := ""
	switch {
	case hdr.uuid != w.hdr.uuid:
		reason = fmt.Sprintf("segment belongs to another archive (%x, not %x)", hdr.uuid, w.hdr.uuid)
	case hdr.number == w.hdr.number+2:
		reason = fmt.Sprintf("segment number %d is missing", w.hdr.number+1)
	case hdr.number > w.hdr.number+2:
		reason = fmt.Sprintf("segments number %d to %d are missing", w.hdr.number+1, hdr.number-1)
	case hdr.number != w.hdr.number+1:
		reason = fmt.Sprintf("segment has number %d after %d", hdr.number, w.hdr.number)
	case hdr.epoch < w.hdr.epoch:
		reason = fmt.Sprintf("segment has epoch %d after %d", hdr.epoch, w.hdr.epoch)
	case w.lossy && hdr.predFlags&predNotSynced != 0 && hdr.predPos >= w.pos() && hdr.predSeq >= w.nextSeq:
		return nil
	case hdr.predPos != w.pos() || hdr.predSeq != w.nextSeq:
		reason = fmt.Sprintf("segment says that the one before it ends at position %d with sequence %d, it ends at %d with %d",
			hdr.predPos, hdr.predSeq, w.pos(), w.nextSeq)
	case hdr.predHcrc != w.endHcrc() && w.chained:
		reason = "segment does not continue the last block of the one before it"
	default:
		return nil
	}
	return &CorruptionError{File: name, FirstSeq: w.nextSeq, LastSeq: max(hdr.baseSeq, w.nextSeq) - 1, Reason: reason}
}

// look brings the view up to date. The order matters: what it reads later is at least as new as what it read before. HEAD names the
// segment being written, so a directory read after it has that segment; a successor says exactly where this segment ends.
func (r *Reader) look() error {
	v := &r.view
	v.head, v.headOK = r.a.readHead(r.w.hdr.uuid)
	if r.opts.Follow && v.headOK && v.head.epoch > r.listed { // a new writer may have taken segments away that were listed
		if _, err := r.relist(); err != nil {
			return err
		}
		r.listed, v.succ = v.head.epoch, nil
	}
	if v.succ == nil {
		if err := r.findSuccessor(); err != nil {
			return err
		}
	}
	if !v.sealed {
		t, bad, err := r.w.trailer()
		if err != nil {
			return err
		}
		if bad == "" {
			v.trailer, v.sealed = t, true
		}
	}
	size, err := r.file.Size()
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	v.size = size
	v.end = r.bound()
	return nil
}

// findSuccessor looks for a segment after the current one.
func (r *Reader) findSuccessor() error {
	v := &r.view
	current := v.headOK && v.head.segment == r.w.hdr.number && v.head.epoch == r.w.hdr.epoch
	if r.i+1 >= len(r.segs) && (!current || !r.opts.Follow) {
		segs, _, err := r.a.list()
		if err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		r.adopt(segs)
	}
	if r.i+1 >= len(r.segs) {
		return nil
	}
	again, err := r.seeSuccessor()
	if err != nil || !again {
		return err
	}
	if changed, err := r.relist(); err != nil || !changed {
		return err
	}
	_, err = r.seeSuccessor()
	return err
}

// adopt takes a new list of segments in, keeping the current one current. Segments of a later epoch that begin before it took its place.
func (r *Reader) adopt(segs []segmentFile) {
	cur := r.segs[r.i]
	for j, s := range segs {
		if s.epoch > cur.epoch && s.baseSeq < cur.baseSeq {
			later := slices.DeleteFunc(slices.Clone(segs[j:]), func(x segmentFile) bool { return x == cur || x.epoch < s.epoch })
			r.segs, r.i = append([]segmentFile{cur}, later...), 0
			return
		}
	}
	for j, s := range segs {
		if s == cur {
			r.segs, r.i = segs, j
			return
		}
	}
	// The current one has been removed, but it is open: keep what comes after it.
	kept := []segmentFile{cur}
	for _, s := range segs {
		if s.baseSeq > cur.baseSeq || s.baseSeq == cur.baseSeq && s.epoch > cur.epoch {
			kept = append(kept, s)
		}
	}
	r.segs, r.i = kept, 0
}

// bound returns the offset that reading may go up to now.
func (r *Reader) bound() int64 {
	v := &r.view
	base := r.w.hdr.basePos
	end, finished := v.finish(&r.w.hdr)
	if !finished {
		end = min(v.size, r.writtenBound())
	}
	if r.opts.Durable && !v.sealed {
		switch {
		case v.headOK:
			end = min(end, offsetOf(v.head.durablePos, base))
		case v.succ == nil || v.succ.predFlags&predNotSynced != 0:
			end = segmentHeaderLen // nobody says that anything is durable
		}
	}
	if r.stop > 0 && !r.w.hdr.rewritten() { // a segment rewritten since the open is delivered to its end: all of it is durable
		end = min(end, offsetOf(r.stop, base))
	}
	return max(end, segmentHeaderLen)
}

// writtenBound returns where the data of the segment being written ends for a reader that follows: never past what HEAD covers, as long as
// a writer lives. Behind a dead one, whole blocks are whole blocks.
func (r *Reader) writtenBound() int64 {
	v := &r.view
	if !r.opts.Follow || !v.headOK {
		return maxFileSize
	}
	covered := offsetOf(v.head.writtenPos, r.w.hdr.basePos)
	if covered >= v.size {
		return covered
	}
	if v.alive = r.a.writing(); v.alive {
		return covered
	}
	return maxFileSize
}

// offsetOf turns a log position into an offset in a segment, 0 when it is before it.
func offsetOf(pos, basePos uint64) int64 {
	if pos <= basePos {
		return 0
	}
	return int64(min(pos-basePos, maxFileSize))
}

// load makes the next block the one being delivered, waiting for it when following.
func (r *Reader) load(ctx context.Context) error {
	if err := r.gap; err != nil {
		r.gap = nil
		return err
	}
	pause := minPoll
	for {
		if r.err == nil && r.over {
			r.err = io.EOF
		}
		if r.err != nil {
			return r.err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		bad, err := r.w.next(r.view.end, &r.b)
		if err == nil && bad == "" {
			r.deliver()
			return nil
		}
		r.b, r.at = block{}, 0
		again := false
		if err == nil {
			r.ctx = ctx
			again, err = r.atGap(bad)
			r.ctx = nil
		}
		switch {
		case ctx.Err() != nil && errors.Is(err, ctx.Err()):
			return ctx.Err() // in a search
		case err == nil && len(r.b.frames) > 0:
			return nil // an event, see announce
		case passing(err):
			return err
		case err != nil:
			r.err = err
		case !again:
			wait := pause
			if r.order != nil {
				if wait = r.order.wait(pause); wait <= 0 {
					return errHeld
				}
			}
			r.w.prefetch.release(&r.w)
			if err := sleep(ctx, wait); err != nil {
				return err
			}
			pause = min(2*pause, maxPoll)
			r.err = r.look()
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// deliver starts to deliver the block that was just read.
func (r *Reader) deliver() {
	r.at, r.seq = 0, r.b.baseSeq
	if r.b.flags&blockControlOnly != 0 {
		eachStream(r.b.frames, func(id uint16, name string) { r.streams[id] = name })
	}
}

// atGap decides what to do where no whole block is before the bound. again says to try once more at once; otherwise the reader waits,
// which only happens when following. io.EOF and damage are errors.
func (r *Reader) atGap(bad string) (again bool, err error) {
	before := r.view.end
	r.w.forget()
	if err := r.look(); err != nil {
		return false, err
	}
	v := &r.view
	if v.end != before { // more, or the end is known now, or a torn tail has been cut
		r.tries = 0
		return true, nil
	}
	if end, finished := v.finish(&r.w.hdr); finished && bad == atEnd && v.end >= end {
		if v.sealed || r.w.off >= end {
			return r.leave(end)
		}
		return r.doubt("blocks are missing at the end")
	}
	if bad == atEnd && v.end < v.size {
		return false, r.rest() // bounded: by HEAD, by durability, by where the archive ended at open
	}
	return r.doubt(bad)
}

// rest is the error where there is nothing more for now.
func (r *Reader) rest() error {
	if r.opts.Follow {
		return nil
	}
	return io.EOF
}

// leave goes from the end of a finished segment to the next one.
func (r *Reader) leave(end int64) (again bool, err error) {
	v := &r.view
	w := &r.w
	if v.succ != nil && r.takenOver(v.succ) {
		return true, r.reissue()
	}
	if r.probed && !r.confirmed(atEnd) {
		return true, r.rewalk()
	}
	t := &v.trailer
	if v.sealed && t.flags&sealLoss != 0 && w.off > end && r.i+1 < len(r.segs) {
		return r.passLoss() // a follower that has read what a power cut then took
	}
	if w.off != end || v.sealed && (r.sealedSeq() > w.nextSeq || w.chained && (t.nextSeq != w.nextSeq || t.lastHcrc != w.prevHcrc)) {
		return false, r.misfit(end)
	}
	if r.stop > 0 && w.pos() >= r.stop {
		return false, io.EOF
	}
	if r.i+1 < len(r.segs) && v.sealed && t.flags&sealLoss != 0 {
		return r.passLoss()
	}
	if v.succ == nil && r.i+2 == len(r.segs) {
		torn, err := r.a.tornCreate(r.segs, r.i+1, w.hdr.uuid, w.pos())
		if err != nil {
			return false, err
		}
		if torn != nil {
			return false, r.endTorn(torn)
		}
	}
	if r.i+1 < len(r.segs) {
		return true, r.enter(r.i + 1)
	}
	if v.headOK && v.head.durablePos > w.pos() {
		gap := Gap{
			File: r.segs[r.i].name, Offset: w.off, FirstSeq: w.nextSeq, LastSeq: max(v.head.nextSeq, w.nextSeq) - 1,
			Reason: fmt.Sprintf("HEAD says that segment %d was being written; the segments after %d are missing", v.head.segment, w.hdr.number),
		}
		if !r.opts.Salvage {
			return false, gap.corruption()
		}
		r.over = true
		return false, &GapError{Gap: gap}
	}
	return false, r.rest()
}

// passLoss goes to the next segment over what a power cut took between it and the current one. It says so once, if records are missing.
func (r *Reader) passLoss() (again bool, err error) {
	w := &r.w
	w.lossy = true
	gap := lossGap(r.segs[r.i].name, w, r.segs[r.i+1].baseSeq)
	if !r.view.sealed {
		gap.Bytes = max(0, r.view.size-w.off)
	}
	if err := r.enter(r.i + 1); err != nil {
		return false, err
	}
	if n, _ := gap.Lost(); n == 0 {
		return true, nil
	}
	return false, &GapError{Gap: gap}
}

// misfit is the error for a segment whose blocks are whole and do not end where its footer or its successor says.
func (r *Reader) misfit(end int64) error {
	v, w := &r.view, &r.w
	gap := Gap{
		File: r.segs[r.i].name, Offset: w.off, FirstSeq: w.nextSeq, LastSeq: w.nextSeq - 1,
		Reason: fmt.Sprintf("blocks end at %d with sequence %d, the segment's end is at %d", w.off, w.nextSeq, end),
	}
	if v.sealed {
		gap.LastSeq = max(r.sealedSeq(), w.nextSeq) - 1
	}
	if !r.opts.Salvage {
		return gap.corruption()
	}
	w.off, w.nextSeq, w.chained = end, gap.LastSeq+1, false
	return &GapError{Gap: gap}
}

// sealedSeq returns the sequence after the current segment, which is sealed: its footer's, but none that a later segment has.
func (r *Reader) sealedSeq() uint64 {
	next := r.view.trailer.nextSeq
	if r.i+1 < len(r.segs) {
		next = min(next, r.segs[r.i+1].baseSeq)
	}
	return next
}

// doubt handles a place where a whole block should be and is not. It is read again before anything is said about it, and once more after
// evidence against it was found: the writer may have written it meanwhile.
func (r *Reader) doubt(bad string) (again bool, err error) {
	if r.triesAt != r.w.off || r.tries == 0 {
		r.triesAt, r.tries, r.suspect = r.w.off, 1, false
		return true, nil
	}
	if r.probed && !r.confirmed(bad) {
		return true, r.rewalk()
	}
	v := &r.view
	if r.opts.Follow && r.judged == v.size {
		return false, nil
	}
	t, err := r.judge(bad)
	if err != nil {
		return false, err
	}
	if t.verdict == Corrupt {
		if !r.suspect {
			r.suspect = true
			_, err := r.relist()
			return true, err
		}
		return false, r.damage(t)
	}
	r.judged = v.size
	switch {
	case r.opts.Follow || r.a.writing():
		return false, r.rest()
	case t.verdict == Lossy:
		return r.passLoss()
	case t.something() || r.lastOfSegment():
		return false, r.endTorn(t.torn(r.segs[r.i].name))
	}
	return false, io.EOF
}

// endTorn ends reading in a torn tail. One who follows waits for the next writer to cut it.
func (r *Reader) endTorn(t *TornError) error {
	if r.opts.Follow || r.a.writing() {
		return r.rest()
	}
	r.torn = t
	return io.EOF
}

// judge decides what the place where no whole block is means. With Salvage there may be many of them in a segment: as the first judgement has
// read to the end of the file, it serves the others as long as they come out damaged.
func (r *Reader) judge(bad string) (tail, error) {
	if r.judgement != nil && r.judgement.size == r.view.size {
		if t := r.judgement.at(&r.w, bad); t.verdict == Corrupt {
			return t, nil
		}
	}
	t, err := r.a.judge(&r.w, bad, r.segs[r.i+1:])
	if err == nil {
		r.judgement = &t
	}
	return t, err
}

// lastOfSegment reports whether the block before was marked as the last one, so that a footer should follow.
func (r *Reader) lastOfSegment() bool { return r.w.lastFlag&blockLast != 0 }
