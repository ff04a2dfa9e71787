package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"time"
)

// Retention says how much of an archive to keep. The zero value keeps everything. A limit is kept by removing whole segments, oldest first:
// never the segment being written, and never one that holds a record which a cursor or a hold still wants. So an archive can be larger than a
// limit says, by that much.
type Retention struct {
	MaxBytes    int64         // most bytes of segment files; default 0 = no limit
	MaxAge      time.Duration // a segment goes when it was finished longer ago, by this machine's clock; default 0 = no limit
	MaxSegments int           // most segments, the one being written included; default 0 = no limit
	MaxRecords  uint64        // most data records; default 0 = no limit
	OnFull      bool          // when the disk is full, remove the oldest segment, whatever the limits say; default: it stays, and Append fails
}

// none reports whether the limits keep everything.
func (r Retention) none() bool { return r == Retention{} }

// check refuses limits that make no sense. name is what the caller calls them.
func (r Retention) check(name string) error {
	switch {
	case r.MaxBytes < 0:
		return fmt.Errorf("journal: %s.MaxBytes is %d: must not be negative", name, r.MaxBytes)
	case r.MaxAge < 0:
		return fmt.Errorf("journal: %s.MaxAge is %v: must not be negative", name, r.MaxAge)
	case r.MaxSegments < 0:
		return fmt.Errorf("journal: %s.MaxSegments is %d: must not be negative", name, r.MaxSegments)
	}
	return nil
}

// trimPlan is what retention finds to remove.
type trimPlan struct {
	a     archive
	segs  []segmentFile
	limit int    // at most so many segments may go
	next  uint64 // sequence after the last record
	now   int64  // nanoseconds since the Unix epoch

	n    int        // so many segments go
	why  trimReason // the limit that asked for most
	held *heldError // what keeps more from going, nil when nothing does
}

// heldError says that a cursor keeps retention from keeping a limit. Its text is the same for as long as that cursor does.
type heldError struct{ cursor string }

// Is reports whether target is ErrHeld.
func (e *heldError) Is(target error) bool { return target == ErrHeld }

func (e *heldError) Error() string {
	return fmt.Sprintf("journal: more is kept than the limits allow, because cursor %q still wants it", e.cursor)
}

// make counts the segments that go.
func (p *trimPlan) make(r Retention, beforeSeq uint64, beforeTime int64) error {
	if r.MaxSegments > 0 {
		p.want(len(p.segs)-r.MaxSegments, trimSegments)
	}
	var errs [5]error
	if r.MaxRecords > 0 {
		errs[0] = p.wantWhile(trimRecords, func(i int) (bool, error) { return p.next-p.segs[i].baseSeq > r.MaxRecords, nil })
	}
	if r.MaxBytes > 0 {
		errs[1] = p.wantBytes(r.MaxBytes)
	}
	if r.MaxAge > 0 {
		errs[2] = p.wantWhile(trimAge, func(i int) (bool, error) {
			created, err := p.created(i + 1) // that is when segment i was finished
			return created < p.now-int64(r.MaxAge), err
		})
	}
	if beforeSeq > 0 {
		errs[3] = p.wantWhile(trimByHand, func(i int) (bool, error) { return p.segs[i+1].baseSeq <= beforeSeq, nil })
	}
	if beforeTime != 0 {
		errs[4] = p.wantWhile(trimByHand, func(i int) (bool, error) { return p.earlier(i, beforeTime) })
	}
	if err := errors.Join(errs[:]...); err != nil {
		p.n = 0
		return err
	}
	return p.heed()
}

// tooMuch returns the error that says what keeps retention from its limits, nil when nothing does.
func (p *trimPlan) tooMuch() error {
	if p.held == nil {
		return nil
	}
	return p.held
}

// want asks for n segments to go.
func (p *trimPlan) want(n int, why trimReason) {
	if n = min(n, p.limit); n > p.n {
		p.n, p.why = n, why
	}
}

// wantWhile asks for the segments to go before the first one that due is false for.
func (p *trimPlan) wantWhile(why trimReason, due func(i int) (bool, error)) error {
	n := 0
	for ; n < p.limit; n++ {
		ok, err := due(n)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
	}
	p.want(n, why)
	return nil
}

func (p *trimPlan) wantBytes(most int64) error {
	sizes := make([]int64, len(p.segs))
	var total int64
	for i, s := range p.segs {
		fi, err := p.a.fs.Stat(p.a.path(s.name))
		if err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		sizes[i] = fi.Size()
		total += sizes[i]
	}
	return p.wantWhile(trimBytes, func(i int) (bool, error) {
		over := total > most
		total -= sizes[i]
		return over, nil
	})
}

// created returns when segment i was begun. One whose header is damaged counts as just begun.
func (p *trimPlan) created(i int) (int64, error) {
	f, hdr, err := p.a.openSegment(p.segs[i])
	var c *CorruptionError
	if errors.As(err, &c) {
		return math.MaxInt64, nil
	}
	if err != nil {
		return 0, err
	}
	return hdr.created, closing(f, nil)
}

// earlier reports whether all records of segment i are earlier than t. What is not known is not.
func (p *trimPlan) earlier(i int, t int64) (bool, error) {
	info, err := p.a.segmentInfo(p.segs, i)
	return err == nil && info.Sealed && (info.Records == 0 || info.MaxTime < t), err
}

// heed takes back what cursors and holds still want.
func (p *trimPlan) heed() error {
	if p.n == 0 {
		return nil
	}
	floor, name, err := p.a.cursorFloor()
	if err != nil {
		p.n = 0
		return err
	}
	wanted := p.n
	for p.n > 0 && p.segs[p.n].baseSeq > floor {
		p.n--
	}
	if p.n < wanted {
		p.held = &heldError{cursor: name}
	}
	return nil
}

// carryOut removes the first p.n segments, and returns how many. The note about it is durable before the first one goes; so is the segment that
// the archive then begins with, as the caller has made sure.
func (p *trimPlan) carryOut() (removed int, err error) {
	f, hdr, err := p.a.openSegment(p.segs[p.n])
	if err != nil {
		return 0, err
	}
	_ = f.Close() // opened for reading
	before, had := p.a.trimNote(hdr.uuid)
	note := trimNote{firstSeq: hdr.baseSeq, segment: hdr.number, epoch: hdr.epoch, firstPos: hdr.basePos, when: p.now, why: p.why}
	if err := p.a.writeTrim(note, hdr.uuid); err != nil {
		return 0, err
	}
	// A cursor may have been made since heed looked. Its maker looks at the note after that: one of the two sees the other.
	if floor, name, err := p.a.cursorFloor(); err != nil || floor < hdr.baseSeq {
		if err == nil {
			err = &heldError{cursor: name}
		}
		return 0, errors.Join(err, p.takeBack(before, had, hdr.uuid))
	}
	err = p.a.removeBelow(note)
	for removed < p.n {
		if _, e := p.a.fs.Stat(p.a.path(p.segs[removed].name)); !errors.Is(e, fs.ErrNotExist) {
			break
		}
		removed++
	}
	return removed, err
}

// takeBack puts the note back that was there before.
func (p *trimPlan) takeBack(before trimNote, had bool, uuid [16]byte) error {
	if had {
		return p.a.writeTrim(before, uuid)
	}
	if err := p.a.fs.Remove(p.a.path(trimName)); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if err := p.a.fs.SyncDir(p.a.dir); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}
