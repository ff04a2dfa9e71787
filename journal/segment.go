package journal

import (
	"errors"
	"fmt"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// segment is what is known of a segment that is written, or that recovery walks in order to seal it: enough to write its footer.
type segment struct {
	file vfs.File
	name string
	hdr  segmentHeader
	seed uint32

	off         int64  // end of the data
	lastHcrc    uint32 // header checksum of the last block, or of the segment header
	nextSeq     uint64
	blocks      uint32
	rawBytes    uint64
	lost        uint64
	minTime     int64
	maxTime     int64    // running maximum
	closed      bool     // the last block says that no more follow
	sealed      uint16   // flags of its footer, once recovery has found that whole
	wrongFooter bool     // there is a whole one that is not that of the blocks
	promised    uint64   // largest log position that a block calls durable, as far as it was walked
	ordinals    ordinals // at the end of the data, as far as it was walked

	fit       int64 // where Fit wants the next block to end; 0: anywhere
	allocated int64 // the file was to have disk space up to here, see allocate
	spare     bool  // it may have some behind its end

	index      []indexEntry
	indexedOff int64  // offset of the block of the last entry
	indexedN   uint32 // its number
}

func newSegment(f vfs.File, name string, hdr segmentHeader) *segment {
	return &segment{
		file: f, name: name, hdr: hdr, seed: crcSeed(hdr.salt),
		off: segmentHeaderLen, lastHcrc: hdr.crc, nextSeq: hdr.baseSeq, minTime: noMinTime, maxTime: noMaxTime,
	}
}

// pos returns the log position of the end of the data.
func (s *segment) pos() uint64 { return s.hdr.endPos(s.off) }

// endHcrc returns the header checksum at the end of the data as a successor repeats it.
func (s *segment) endHcrc() uint32 { return s.hdr.endHcrc(s.lastHcrc) }

// maxSoFar returns the time of the latest data record of the archive up to the end of the data; noMaxTime when there is none.
func (s *segment) maxSoFar() int64 { return max(s.hdr.maxBefore, s.maxTime) }

// records returns the number of data records.
func (s *segment) records() uint64 { return s.nextSeq - s.hdr.baseSeq }

// note takes in a block that was written, or found whole, at s.off.
func (s *segment) note(h *blockHeader, info *frameInfo) {
	if s.indexes() {
		s.index = append(s.index, indexEntry{firstSeq: h.baseSeq, maxTime: h.maxTime, offset: uint64(s.off), hcrc: h.hcrc, count: h.count})
		s.indexedOff, s.indexedN = s.off, s.blocks
	}
	s.off += h.size()
	s.lastHcrc = h.hcrc
	s.nextSeq = h.nextSeq()
	s.blocks++
	s.rawBytes += uint64(h.raw)
	s.lost += info.lost
	s.minTime = min(s.minTime, h.minTime)
	s.maxTime = h.maxTime
	s.closed = h.flags&blockLast != 0
}

// appendTable appends the blocks of the stream table to dst, which holds the segment's header: every stream there is, so that each file can
// be understood alone. names are by id − 1; an empty one is no stream. There is at least one block, and the last one is marked, so that a
// table cut short is known for one.
func (s *segment) appendTable(dst []byte, names []string, ord ordinals, now int64, durablePos uint64) []byte {
	id := 0
	for end := false; !end; {
		start := len(dst)
		dst = append(dst, make([]byte, blockHeaderLen)...)
		info := newFrameInfo()
		for ; id < len(names); id++ {
			name := names[id]
			if name == "" {
				continue
			}
			if len(dst)-start-blockHeaderLen+FrameLen(streamNameAt+len(name)) > int(s.hdr.maxBlock) {
				break
			}
			def := appendStream(nil, ord.of(uint16(id+1)), name)
			dst = AppendFrame(dst, Record{Time: now, Kind: KindStream, Stream: uint16(id + 1), Payload: def})
		}
		flags := uint16(blockControlOnly | blockTable)
		if end = id == len(names); end {
			flags |= blockTableEnd
		}
		frames := dst[start+blockHeaderLen:]
		if len(frames) == 0 {
			flags |= blockSyncMark
		}
		h := s.blockFor(frames, &info, flags, durablePos)
		h.encode(dst[start:], s.seed)
		s.note(&h, &info)
	}
	return dst
}

// indexes reports whether the next block gets an entry in the index.
func (s *segment) indexes() bool {
	return s.blocks == 0 || s.off-s.indexedOff >= indexEveryBytes || s.blocks-s.indexedN >= indexEveryBlocks
}

// footerLen returns how long the footer will be behind one more block.
func (s *segment) footerLen() int {
	n := len(s.index)
	if s.indexes() {
		n++
	}
	return n*indexEntryLen + trailerLen
}

// footer returns index and trailer.
func (s *segment) footer(flags uint16) []byte {
	b := make([]byte, 0, len(s.index)*indexEntryLen+trailerLen)
	for _, e := range s.index {
		b = appendIndexEntry(b, e)
	}
	t := trailer{
		flags: flags, firstSeq: s.hdr.baseSeq, nextSeq: s.nextSeq, minTime: s.minTime, maxTime: s.maxTime, dataEnd: uint64(s.off),
		records: s.records(), rawBytes: s.rawBytes, lost: s.lost,
		indexLen: uint32(len(b)), indexCRC: crcOf(b), lastHcrc: s.lastHcrc, blocks: s.blocks,
	}
	return t.append(b, s.seed)
}

// matches says how a valid trailer differs from what the blocks say, empty when it does not.
func (s *segment) matches(t trailer) string {
	switch {
	case int64(t.dataEnd) != s.off:
		return fmt.Sprintf("footer says that the data ends at %d, the blocks end at %d", t.dataEnd, s.off)
	case t.lastHcrc != s.lastHcrc || t.nextSeq != s.nextSeq || t.firstSeq != s.hdr.baseSeq || t.blocks != s.blocks:
		return "footer is not that of the blocks before it"
	case t.records != s.records() || t.rawBytes != s.rawBytes || t.lost != s.lost || t.minTime != s.minTime || t.maxTime != s.maxTime:
		return "footer's totals are not those of the blocks before it"
	}
	return ""
}

// How much disk space a segment has ahead of its data: as much as it has data, but not more than allocateAhead, and none below allocateFrom:
// most archives are small, or grow slowly.
const (
	allocateFrom  = 1 << 20
	allocateAhead = 4 << 20
)

// allocate gives the file disk space for a block that ends at end, and for what will follow, up to limit, the size that a segment is meant to
// have and seldom grows over. It is a hint that makes writing cheaper, see vfs.File. After an error, with a full disk perhaps, the write finds out by itself.
func (s *segment) allocate(end, limit int64) {
	if end <= s.allocated || end < allocateFrom {
		return
	}
	from := max(s.allocated, s.off)
	s.allocated = end + min(end, allocateAhead)
	if end <= limit {
		s.allocated = min(s.allocated, limit)
	}
	err := s.file.Allocate(from, s.allocated-from)
	s.spare = s.spare || !errors.Is(err, errors.ErrUnsupported) // a full disk may have given a part
}

// writeFooter writes the footer behind the data and syncs it. The data has been synced before: a footer that outlives its data would
// promise what is not there. What the file has been given of the disk behind that is given back.
func (s *segment) writeFooter(flags uint16) (op string, err error) {
	footer := s.footer(flags)
	if _, err := s.file.WriteAt(footer, s.off); err != nil {
		return "write", err
	}
	if s.spare {
		_ = s.file.Truncate(s.off + int64(len(footer))) // if it fails, some disk space is not used: nothing to stop for
	}
	return "sync", s.file.SyncData()
}
