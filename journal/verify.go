package journal

import (
	"errors"
	"fmt"
	"time"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// VerifyOptions are the options of Verify. Nil is the default.
type VerifyOptions struct {
	FS       vfs.FS                  // default: the operating system's
	Progress func(done, total int64) // called about every MiB with bytes read and bytes there are, on the caller's goroutine; default none
}

// verifier goes through an archive segment by segment.
type verifier struct {
	a    archive
	segs []segmentFile
	head head
	live bool // a writer has the archive open, and head says how far it is
	ok   bool // head is valid

	rep      *Report
	prev     *walker // at the end of the segment before; nil when that is not known
	expect   uint64  // sequence after the last one seen or known to be lost
	spare    []byte  // a walker's buffer, for the next one
	done     int64   // bytes of finished segments
	shown    int64   // bytes at the last call of progress
	progress func(done, total int64)
}

// Verify reads the whole archive in dir and checks every byte of it: headers, blocks, frames, footers, and that nothing is missing between
// them. It changes nothing. It works while a writer is active: then it checks what was written when it began.
//
// Damage is in the Report, not in the error. The error wraps ErrNotArchive or ErrVersion, or is one of the system's. Verify holds one
// block at a time, at most 64 MiB, and a segment's index, at most 96 MiB.
func Verify(dir string, opts *VerifyOptions) (*Report, error) {
	var o VerifyOptions
	if opts != nil {
		o = *opts
	}
	if o.FS == nil {
		o.FS = vfs.OS
	}
	if o.Progress == nil {
		o.Progress = func(int64, int64) {}
	}
	v := &verifier{
		a:        archive{fs: o.FS, dir: dir},
		rep:      &Report{Streams: make(map[uint16]string), MinTime: noMinTime, MaxTime: noMaxTime},
		progress: o.Progress,
	}
	if err := v.begin(); err != nil {
		return nil, err
	}
	for i := range v.segs {
		if err := v.segment(i); err != nil {
			return nil, err
		}
		if v.rep.Torn != nil {
			break // what comes after hangs in the air
		}
	}
	return v.finish()
}

// begin lists the segments. With a live writer, HEAD is read first: then the list has the segment that it names.
func (v *verifier) begin() error {
	segs, foreign, err := v.a.listForReading()
	if err != nil {
		return err
	}
	v.segs, v.rep.Foreign = segs, foreign
	uuid, known := v.a.anyUUID(v.segs)
	if known {
		if err := v.readHead(uuid); err != nil {
			return err
		}
	}
	v.rep.Segments, v.rep.Active = len(v.segs), v.live
	v.rep.FirstSeq = v.segs[0].baseSeq
	v.expect = v.rep.FirstSeq
	for _, s := range v.segs {
		fi, err := v.a.fs.Stat(v.a.path(s.name))
		if err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		v.rep.FileSize += fi.Size()
	}
	return nil
}

// anyUUID returns the archive's UUID from the first segment whose header can be read.
func (a archive) anyUUID(segs []segmentFile) ([16]byte, bool) {
	for _, s := range segs {
		if f, hdr, err := a.openSegment(s); err == nil {
			return hdr.uuid, closing(f, nil) == nil
		}
	}
	return [16]byte{}, false
}

// readHead reads HEAD and then the list of segments again. A writer that has just begun may not have written its HEAD yet: that is waited
// for, a little.
func (v *verifier) readHead(uuid [16]byte) error {
	for range 20 {
		v.head, v.ok = v.a.readHead(uuid)
		v.live = v.a.writing() && v.ok
		segs, _, err := v.a.listForReading()
		if err != nil {
			return err
		}
		v.segs = segs
		if !v.live || segs[len(segs)-1].epoch <= v.head.epoch {
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	v.live = false
	return nil
}

// segment verifies segment i.
func (v *verifier) segment(i int) error {
	s := v.segs[i]
	f, hdr, err := v.a.openSegment(s)
	var c *CorruptionError
	switch {
	case errors.As(err, &c):
		return v.badHeader(i, c)
	case err != nil:
		return err
	}
	defer f.Close() // opened for reading: nothing to lose
	if v.live && hdr.number > v.head.segment {
		v.rep.Segments-- // begun after Verify
		return nil
	}
	v.checkStart(i, hdr)
	w := &walker{buf: v.spare}
	w.reset(f, hdr)
	p := &pass{v: v, i: i, w: w, seg: newSegment(f, s.name, hdr)}
	if err := p.run(); err != nil {
		return err
	}
	v.done += p.size
	v.show(0)
	v.spare, w.buf = w.buf, nil
	v.prev, v.expect = w, w.nextSeq
	return nil
}

// badHeader handles a segment whose header cannot be read. The last one may be what a crash during rotation leaves.
func (v *verifier) badHeader(i int, c *CorruptionError) error {
	s := v.segs[i]
	last := i == len(v.segs)-1
	if last && v.live && v.prev != nil && v.prev.hdr.number == v.head.segment {
		v.rep.Segments--
		return nil // being made
	}
	if last && i > 0 && v.prev != nil && v.segs[i-1].epoch == s.epoch && !(v.ok && v.head.durablePos > v.prev.pos()) {
		promised, err := v.a.headlessPromise(s, v.prev.pos())
		if err != nil {
			return err
		}
		if !promised {
			fi, err := v.a.fs.Stat(v.a.path(s.name))
			if err != nil {
				return fmt.Errorf("journal: %w", err)
			}
			v.rep.Torn = &TornError{File: s.name, Bytes: fi.Size(), NextSeq: v.expect, Reason: c.Reason}
			return nil
		}
	}
	end := ^uint64(0)
	if !last {
		end = v.segs[i+1].baseSeq - 1
		v.expect = v.segs[i+1].baseSeq
	} else if v.ok && v.head.nextSeq > v.expect {
		end = v.head.nextSeq - 1
	}
	first := v.expect
	if !last {
		first = min(s.baseSeq, v.expect)
	}
	v.rep.problem(Problem{File: s.name, FirstSeq: first, LastSeq: end, What: c.Reason})
	v.prev = nil
	return nil
}

// checkStart checks that segment i continues the one before.
func (v *verifier) checkStart(i int, hdr segmentHeader) {
	if v.prev == nil {
		if i == 0 && hdr.predFlags&predFirst != 0 && (hdr.baseSeq != 0 || hdr.number != 1) {
			v.rep.problem(Problem{File: v.segs[i].name, FirstSeq: 0, LastSeq: hdr.baseSeq - 1, What: "segment says that it is the first, but is not number 1"})
		}
		return
	}
	var c *CorruptionError
	if errors.As(checkSuccessor(v.prev, hdr, v.segs[i].name), &c) {
		v.rep.problem(Problem{File: c.File, FirstSeq: c.FirstSeq, LastSeq: c.LastSeq, What: c.Reason})
	}
}

// show calls progress when there is something new to say.
func (v *verifier) show(inSegment int64) {
	if now := min(v.done+inSegment, v.rep.FileSize); now >= v.shown+1<<20 || inSegment == 0 {
		v.shown = now
		v.progress(now, v.rep.FileSize)
	}
}

// finish makes the verdict.
func (v *verifier) finish() (*Report, error) {
	r := v.rep
	r.NextSeq = v.expect
	if v.prev != nil && v.ok && r.Torn == nil && v.head.durablePos > v.prev.pos() {
		r.problem(Problem{
			File: v.segs[len(v.segs)-1].name, Offset: v.prev.off, FirstSeq: v.expect, LastSeq: max(v.head.nextSeq, v.expect) - 1,
			What: fmt.Sprintf("HEAD says that data behind this was durable, in segment %d: it is missing", v.head.segment),
		})
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
	case r.Torn != nil:
		r.Verdict = Torn
	default:
		r.Verdict = Clean
	}
	return r, nil
}
