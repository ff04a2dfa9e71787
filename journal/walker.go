package journal

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// readAhead is how much a walker reads at once, so that small blocks do not cost a system call each. It begins with minAhead, and doubles that
// with each read that goes on where the last one ended: who hops from header to header, or wants one record, does not read what is between.
const (
	readAhead = 256 << 10
	minAhead  = 4 << 10
)

// walker goes through the blocks of one segment in order, and checks each: magic, header checksum, limits, chain, sequence, payload
// checksum, frames. It holds at most readAhead or one block of the segment's limit, whichever is more: 64 MiB + 64 at the very most, and
// never more than the file has. In a rewritten segment it also holds the decompressed block, at most 64 MiB.
type walker struct {
	file vfs.File
	hdr  segmentHeader
	seed uint32 // of hdr.salt

	off      int64    // where the next block begins
	prevHcrc uint32   // header checksum of the block before off
	chained  bool     // prevHcrc is known: false at a place that a search has found
	nextSeq  uint64   // sequence that the next block should begin with
	maxTime  int64    // running maximum before off
	lastFlag uint16   // flags of the block before off
	free     bool     // blocks may stand at other offsets than they were written at
	recent   []uint32 // header checksums of the blocks since the last one with a data record, the last 64
	lossy    bool     // at the end: what was between it and the end that the successor states is lost, and that is known

	buf    []byte // bytes of the file from bufOff on
	bufOff int64
	ahead  int    // how much was read at once, at least; 0 = nothing yet
	scan   []byte // scratch of searchBlocks
	raw    []byte // the frames of a compressed block

	abort    func() error // asked before each read: its error ends the work; nil when nobody wants to end it
	prefetch *prefetch    // reads ahead of it on another goroutine; nil when nothing does
}

// block is a whole, checked block. frames lives until the next call to the walker.
type block struct {
	blockHeader
	off    int64
	frames []byte
	info   frameInfo
}

// reset puts the walker at the first block of a segment, keeping its memory.
func (w *walker) reset(f vfs.File, hdr segmentHeader) {
	*w = walker{
		file: f, hdr: hdr, seed: crcSeed(hdr.salt),
		off: segmentHeaderLen, prevHcrc: hdr.crc, chained: true, nextSeq: hdr.baseSeq, maxTime: noMaxTime,
		buf: w.buf[:0], bufOff: segmentHeaderLen, scan: w.scan, raw: w.raw, recent: w.recent[:0], abort: w.abort, prefetch: w.prefetch,
	}
}

// pos returns the log position of off; in a rewritten segment that of its end.
func (w *walker) pos() uint64 { return w.hdr.endPos(w.off) }

// endHcrc returns, at the end of a segment, the header checksum that its successor repeats.
func (w *walker) endHcrc() uint32 { return w.hdr.endHcrc(w.prevHcrc) }

// forget drops what was read ahead: the file may have changed since.
func (w *walker) forget() {
	w.buf = w.buf[:0]
	w.prefetch.drop()
}

// aborted is the error of abort.
func (w *walker) aborted() error {
	if w.abort == nil {
		return nil
	}
	return w.abort()
}

// peek returns n bytes of the file from off on, or fewer when end comes before. It reads nothing at or after end.
func (w *walker) peek(off int64, n int, end int64) ([]byte, error) {
	n = int(min(int64(n), max(0, end-off)))
	if !w.holds(off, n) {
		if err := w.aborted(); err != nil {
			return nil, err
		}
		if err := w.fill(off, n, end); err != nil {
			return nil, err
		}
	}
	i := int(off - w.bufOff)
	n = min(n, len(w.buf)-i)
	return w.buf[i : i+n : i+n], nil
}

// holds reports whether n bytes from off on are in memory.
func (w *walker) holds(off int64, n int) bool {
	return off >= w.bufOff && off+int64(n) <= w.bufOff+int64(len(w.buf))
}

// fill gets at least n bytes from off on into memory, or all before end.
func (w *walker) fill(off int64, n int, end int64) error {
	if w.prefetch.give(w, off, n) {
		return nil
	}
	have := 0
	if w.holds(off, 0) {
		have = int(w.bufOff + int64(len(w.buf)) - off)
	}
	rest := w.buf[len(w.buf)-have:]
	if off > w.bufOff+int64(len(w.buf)) {
		w.ahead = 0
	}
	w.ahead = min(max(2*w.ahead, minAhead), readAhead)
	want := int(min(int64(max(n, w.ahead)), end-off))
	if cap(w.buf) < want {
		w.buf = append(make([]byte, 0, max(want, min(2*cap(w.buf), readAhead))), rest...)
	} else {
		w.buf = w.buf[:copy(w.buf[:have], rest)]
	}
	w.bufOff = off
	got, err := w.file.ReadAt(w.buf[have:want], off+int64(have))
	if err != nil && !errors.Is(err, io.EOF) && want > n { // what cannot be read is perhaps not asked for yet
		got, err = w.file.ReadAt(w.buf[have:n], off+int64(have))
	}
	w.buf = w.buf[:have+got]
	if err != nil && !errors.Is(err, io.EOF) {
		w.forget()
		return fmt.Errorf("journal: %w", err)
	}
	w.prefetch.begin(w, n, end)
	return nil
}

// next reads the block at off into b and moves on. Nothing at or after end is looked at. bad says why there is no whole block, "" when there
// is one; atEnd is the special case that nothing at all is left before end.
func (w *walker) next(end int64, b *block) (bad string, err error) {
	bad, err = w.header(end, b)
	if bad != "" || err != nil {
		return bad, err
	}
	if end-w.off < b.size() {
		return "block is cut", nil
	}
	whole, err := w.peek(w.off, int(b.size()), end)
	if err != nil {
		return "", err
	}
	if len(whole) < int(b.size()) {
		return "block is cut", nil
	}
	b.frames = whole[blockHeaderLen:]
	if crcOf(b.frames) != b.payloadCRC {
		return "block payload checksum is wrong", nil
	}
	if b.codec == codecZstd {
		if b.frames, bad = decompress(w.raw, b.frames, int(b.raw)); bad != "" {
			return bad, nil
		}
		w.raw = b.frames
	}
	if bad = b.checkFrames(); bad != "" {
		return bad, nil
	}
	w.pass(b)
	return "", nil
}

// atEnd is next's word for nothing being left. It is no damage.
const atEnd = "end"

// header reads and checks the header of the block at off without moving on.
func (w *walker) header(end int64, b *block) (bad string, err error) {
	if w.off >= end {
		return atEnd, nil
	}
	p, err := w.peek(w.off, blockHeaderLen, end)
	if err != nil {
		return "", err
	}
	if len(p) == 0 {
		return atEnd, nil
	}
	*b = block{off: w.off}
	if b.blockHeader, bad = decodeBlockHeader(p, w.seed, w.hdr.maxBlock); bad != "" {
		return bad, nil
	}
	return w.follows(b), nil
}

// follows checks that the block continues what is before it.
func (w *walker) follows(b *block) string {
	switch {
	case w.chained && b.prevHcrc != w.prevHcrc:
		return "block does not continue the one before it"
	case b.baseSeq != w.nextSeq:
		return fmt.Sprintf("block begins with sequence %d, should be %d", b.baseSeq, w.nextSeq)
	case b.maxTime < w.maxTime:
		return "block's running maximum of time goes back"
	case !w.free && b.durablePos > w.hdr.basePos+uint64(b.off):
		return "block says that bytes after it are durable"
	case b.codec != codecRaw && !w.hdr.rewritten():
		return fmt.Sprintf("block has codec %d in a segment that was not rewritten", b.codec)
	}
	return ""
}

// pass moves behind a block.
func (w *walker) pass(b *block) {
	w.off += b.size()
	w.prevHcrc, w.chained = b.hcrc, true
	w.nextSeq = b.nextSeq()
	w.maxTime = b.maxTime
	w.lastFlag = b.flags
	switch {
	case b.count > 0:
		w.recent = w.recent[:0]
	case len(w.recent) < maxRecent:
		w.recent = append(w.recent, b.hcrc)
	}
}

// maxRecent bounds recent.
const maxRecent = 64

// met reports whether a block without data records has been seen since the last one with some: then this is a copy of it. Of blocks with
// data records the sequence says as much.
func (w *walker) met(h *blockHeader) bool { return h.count == 0 && slices.Contains(w.recent, h.hcrc) }

// checkFrames checks the frames, whose checksum is right, against the header.
func (b *block) checkFrames() string {
	b.info = newFrameInfo()
	off, bad := walkFrames(b.frames, 0, len(b.frames), &b.info)
	switch {
	case bad != "":
		return fmt.Sprintf("%s, at byte %d of the block's frames", bad, off)
	case b.info.count != int(b.count):
		return fmt.Sprintf("block holds %d data records, its header says %d", b.info.count, b.count)
	case b.info.minTime != b.minTime || b.info.maxTime > b.maxTime:
		return "block's times are not those of its records"
	}
	return ""
}

// trailer reads the trailer of the segment, if it has one that is whole.
func (w *walker) trailer() (t trailer, bad string, err error) {
	size, err := w.file.Size()
	if err != nil {
		return t, "", fmt.Errorf("journal: %w", err)
	}
	if size < segmentHeaderLen+trailerLen || size > maxFileSize {
		return t, "no footer", nil
	}
	var b [trailerLen]byte
	n, err := w.file.ReadAt(b[:], size-trailerLen)
	if err != nil && !errors.Is(err, io.EOF) {
		return t, "", fmt.Errorf("journal: %w", err)
	}
	t, bad = decodeTrailer(b[:n], w.seed, size)
	return t, bad, nil
}

// index reads the index that t speaks of; nil when it is damaged or larger than maxIndexLen.
func (w *walker) index(t trailer) ([]indexEntry, error) {
	if t.indexLen > maxIndexLen {
		return nil, nil
	}
	b := make([]byte, t.indexLen)
	n, err := w.file.ReadAt(b, int64(t.dataEnd))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("journal: %w", err)
	}
	if n < len(b) || crcOf(b) != t.indexCRC {
		return nil, nil
	}
	entries := make([]indexEntry, 0, len(b)/indexEntryLen)
	for ; len(b) > 0; b = b[indexEntryLen:] {
		entries = append(entries, decodeIndexEntry(b))
	}
	return entries, nil
}
