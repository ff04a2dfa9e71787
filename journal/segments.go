package journal

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// SegmentInfo is what a segment says of itself: its header and, when it is sealed, its footer.
type SegmentInfo struct {
	File     string // name in the archive's directory
	Number   uint64 // from 1, one more each; 0 when the header cannot be read: then Epoch and FirstSeq are the file name's, and only Size is known besides
	Epoch    uint64 // number of the open for writing that it belongs to
	FirstSeq uint64 // sequence of its first data record
	NextSeq  uint64 // sequence after its last one
	Records  uint64 // data records
	Lost     uint64 // records that its loss records speak of
	Size     int64  // of the file, bytes
	RawBytes int64  // of its frames, before compression
	MinTime  int64  // earliest data record, nanoseconds since the Unix epoch; 0 when there is none
	MaxTime  int64  // latest data record; 0 when there is none
	Created  int64  // when it was begun, nanoseconds since the Unix epoch

	Sealed     bool // it has a footer: nothing is added to it any more
	Compressed bool // it was rewritten with compressed blocks

	Before *Gap // of the first segment: what was trimmed or is lost before it; nil when the archive began with it
}

// Segments lists the segments of the archive in dir, in order, from their headers and footers. Of a segment without a footer, which is the one
// being written or one that a crash left, the block headers are walked. No records are checked: that is what Verify does. A writer may be
// active: then a segment that is removed meanwhile is left out, and the last one goes as far as was written. Of opts only FS counts.
//
// The error wraps ErrNotArchive or ErrVersion, or is one of the system's. A header or a footer that is damaged is none: see
// SegmentInfo.Number and SegmentInfo.Sealed.
func Segments(dir string, opts *ReaderOptions) ([]SegmentInfo, error) {
	a := archive{fs: vfs.OS, dir: dir}
	if opts != nil && opts.FS != nil {
		a.fs = opts.FS
	}
	segs, _, err := a.listForReading()
	if err != nil {
		return nil, err
	}
	infos := make([]SegmentInfo, 0, len(segs))
	for i, s := range segs {
		info, err := a.segmentInfo(segs, i)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, err
		}
		if hdr, ok := a.headerOf(s); ok && i == 0 {
			if gap, missing := a.beforeFirst(hdr); missing {
				info.Before = &gap
			}
		}
		infos = append(infos, info)
	}
	return infos, nil
}

// segmentInfo looks at segment i of segs.
func (a archive) segmentInfo(segs []segmentFile, i int) (SegmentInfo, error) {
	s := segs[i]
	info := SegmentInfo{File: s.name, Epoch: s.epoch, FirstSeq: s.baseSeq, NextSeq: s.baseSeq}
	f, hdr, err := a.openSegment(s)
	var c *CorruptionError
	if errors.As(err, &c) {
		fi, err := a.fs.Stat(a.path(s.name))
		if err != nil {
			return info, fmt.Errorf("journal: %w", err)
		}
		info.Size = fi.Size()
		if i+1 < len(segs) {
			info.NextSeq = segs[i+1].baseSeq
		}
		return info, nil
	}
	if err != nil {
		return info, err
	}
	defer f.Close() // opened for reading: nothing to lose
	if info.Size, err = f.Size(); err != nil {
		return info, fmt.Errorf("journal: %w", err)
	}
	w := &walker{}
	w.reset(f, hdr)
	t, bad, err := w.trailer()
	if err != nil {
		return info, err
	}
	if info.Sealed = bad == ""; !info.Sealed {
		end := info.Size
		if i+1 < len(segs) { // the one after a segment that has failed says where its data ends
			if h, ok := a.headerOf(segs[i+1]); ok && h.number == hdr.number+1 && h.predFlags&predPoisoned != 0 {
				end = min(end, offsetOf(h.predPos, hdr.basePos))
			}
		}
		if t, err = a.walkHeaders(w, end); err != nil {
			return info, err
		}
	}
	info.Number, info.Created, info.Compressed = hdr.number, hdr.created, hdr.rewritten()
	info.NextSeq, info.Records, info.Lost, info.RawBytes = t.nextSeq, t.records, t.lost, int64(t.rawBytes)
	if t.minTime <= t.maxTime {
		info.MinTime, info.MaxTime = t.minTime, t.maxTime
	}
	return info, nil
}

// walkHeaders makes what the footer of a segment would say, from the headers of the blocks that are there. Of the payloads only those with
// loss records are read. A live writer's HEAD says where its own segment ends.
func (a archive) walkHeaders(w *walker, size int64) (trailer, error) {
	end := size
	if hd, ok := a.readHead(w.hdr.uuid); ok && hd.segment == w.hdr.number && hd.epoch == w.hdr.epoch && a.writing() {
		end = min(end, offsetOf(hd.writtenPos, w.hdr.basePos))
	}
	t := trailer{firstSeq: w.hdr.baseSeq, minTime: noMinTime, maxTime: noMaxTime}
	for {
		var b block
		bad, err := w.header(end, &b)
		if err != nil {
			return t, err
		}
		if bad != "" || end-w.off < b.size() {
			break
		}
		if b.flags&blockLossInside != 0 {
			if bad, err = w.next(end, &b); err != nil {
				return t, err
			} else if bad != "" {
				break
			}
			t.lost += b.info.lost
		} else {
			w.pass(&b)
		}
		t.rawBytes += uint64(b.raw)
		t.minTime, t.maxTime = min(t.minTime, b.minTime), b.maxTime
	}
	t.nextSeq, t.records = w.nextSeq, w.nextSeq-w.hdr.baseSeq
	return t, nil
}
