package journal

import (
	"errors"
	"fmt"
	"io/fs"
)

const (
	openVersion = 1
	openLen     = 16
)

// appendOpen appends the payload of an open record (KindOpen). It is made by readers and is never on disk.
//
//	0         1          8        16
//	┌─────────┬──────────┬────────┐
//	│ version │ reserved │ epoch  │
//	│ 1       │ 0        │ uint64 │
//	└─────────┴──────────┴────────┘
func appendOpen(dst []byte, epoch uint64) []byte {
	dst = append(dst, openVersion, 0, 0, 0, 0, 0, 0, 0)
	return le.AppendUint64(dst, epoch)
}

// ParseOpen reads the payload of an open record (KindOpen): the epoch that begins.
func ParseOpen(payload []byte) (epoch uint64, err error) {
	if len(payload) < openLen || payload[0] != openVersion {
		return 0, fmt.Errorf("journal: open record of %d bytes is not one of version %d", len(payload), openVersion)
	}
	return le.Uint64(payload[8:]), nil
}

// ReissueError is what Reader.Next returns once where an epoch begins with a lower sequence than the reader has given: records it gave were
// not durable when their writer died or its disk failed, and are gone or were written again. The next call returns the record Seq of the new
// epoch. Whoever has acted on records from Seq on takes that back. With Durable it cannot happen.
type ReissueError struct {
	Epoch uint64 // the epoch that begins
	Seq   uint64 // sequence of its first record, or the one that reading began with
	Had   uint64 // sequence after the last one given before
}

// Error names the epoch and the range of sequences that are given again.
func (e *ReissueError) Error() string {
	return fmt.Sprintf("journal: epoch %d begins at sequence %d again: records %d to %d had been read from the epoch before", e.Epoch, e.Seq, e.Seq, e.Had-1)
}

// Epoch returns the epoch of the last record that Next returned: the number of the open for writing that it was written in, from 1.
func (r *Reader) Epoch() uint64 { return r.epoch }

// announce makes the event that an epoch begins the next record, when control records are wanted.
func (r *Reader) announce(hdr *segmentHeader) {
	if !r.opts.Control {
		return
	}
	var payload [openLen]byte
	r.b = block{frames: AppendFrame(nil, Record{Time: hdr.created, Kind: KindOpen, Payload: appendOpen(payload[:0], hdr.epoch)})}
	r.at, r.seq = 0, hdr.baseSeq
}

// takenOver reports whether a segment takes the place of what was read behind its beginning, or of the whole current segment: one of a later
// epoch, whose writer found the end of the archive to be there.
func (r *Reader) takenOver(hdr *segmentHeader) bool {
	cur := &r.w.hdr
	return hdr.uuid == cur.uuid && hdr.epoch > cur.epoch && hdr.basePos <= r.w.pos() && hdr.baseSeq <= r.w.nextSeq &&
		(hdr.number <= cur.number || hdr.number == cur.number+1 && hdr.basePos < r.w.pos())
}

// reissue goes to the segment that takes over from the current one, with sequences that were given already.
func (r *Reader) reissue() error {
	had := r.w.nextSeq
	f, hdr, err := r.a.openSegment(r.segs[r.i+1])
	if err != nil {
		return err
	}
	if err := r.use(r.i+1, f, hdr); err != nil {
		return err
	}
	if seq := max(hdr.baseSeq, r.opts.FromSeq); seq < had {
		return &ReissueError{Epoch: hdr.epoch, Seq: seq, Had: had}
	}
	return nil
}

// seeSuccessor looks at the header of the segment after the current one and keeps it when it is one: then it says where the current one ends.
// again says that the listing is to be made again.
func (r *Reader) seeSuccessor() (again bool, err error) {
	f, hdr, err := r.a.openSegment(r.segs[r.i+1])
	var c *CorruptionError
	switch {
	case errors.As(err, &c):
		return false, nil // met when it is opened, after what is before it has been delivered
	case errors.Is(err, fs.ErrNotExist):
		return true, nil
	case err != nil:
		return false, err
	}
	cur := &r.w.hdr
	follows := hdr.uuid == cur.uuid && hdr.number == cur.number+1 && hdr.predPos >= cur.basePos+segmentHeaderLen
	if follows || r.takenOver(&hdr) {
		r.view.succ = &hdr
	}
	return r.view.succ == nil, closing(f, nil)
}
