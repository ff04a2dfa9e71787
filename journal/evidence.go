package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// tail is the judgement on a segment whose blocks end before its file does, or before its successor says they do.
type tail struct {
	verdict  Verdict // Torn, Lossy or Corrupt
	off      int64   // where the whole blocks end
	size     int64   // of the file
	reason   string  // what is wrong at off
	nextSeq  uint64  // sequence after the last whole block
	endSeq   uint64  // sequence after the last one that anything speaks of; nextSeq when nothing does
	promised uint64  // largest log position that anything says is durable
	settled  bool    // Corrupt whatever the positions say: a footer or a successor could not be there otherwise
	kept     bool    // the successor has records of its own: Lossy, not Torn
	succSeq  uint64  // base sequence of the successor, if there is one
	hangs    bool    // there is a segment behind, and the archive does not go on in it: part of the torn tail
}

// at returns the judgement on a later place of the same segment. Whatever promises bytes behind that place was seen by the first one.
func (t tail) at(w *walker, reason string) tail {
	t.off, t.nextSeq, t.reason = w.off, w.nextSeq, reason
	t.endSeq = max(t.endSeq, t.nextSeq)
	switch {
	case t.settled || t.promised > w.pos():
		t.verdict = Corrupt
	case t.kept:
		t.verdict, t.endSeq = Lossy, max(t.succSeq, t.nextSeq)
	default:
		t.verdict = Torn
	}
	return t
}

// corruption returns the error for a Corrupt tail.
func (t *tail) corruption(file string) *CorruptionError {
	return &CorruptionError{File: file, Offset: t.off, FirstSeq: t.nextSeq, LastSeq: t.endSeq - 1, Reason: t.reason}
}

// torn returns the error for a Torn tail.
func (t *tail) torn(file string) *TornError {
	return &TornError{File: file, Offset: t.off, Bytes: max(0, t.size-t.off), NextSeq: t.nextSeq, Reason: t.reason}
}

// saw takes in that something speaks of records up to next−1 and promises a position.
func (t *tail) saw(next, promise uint64) {
	t.endSeq = max(t.endSeq, next)
	t.promised = max(t.promised, promise)
}

// something reports whether there is anything in the tail.
func (t *tail) something() bool { return t.size > t.off || t.endSeq > t.nextSeq || t.hangs }

// lossReason is what is said of a loss.
const lossReason = "lost in a power cut before it was durable: nobody had been promised it"

// lossGap returns the gap between the place of w and the segment after it, which begins with next.
func lossGap(file string, w *walker, next uint64) Gap {
	return Gap{File: file, Offset: w.off, FirstSeq: w.nextSeq, LastSeq: max(next, w.nextSeq) - 1, Reason: lossReason}
}

// judge decides by evidence what a segment's end is. w stands at the first thing that is no whole block; reason says what is wrong with it;
// later are the segments after this one. The rule: if anything that was written after these bytes states that they were durable, their loss
// is corruption; if nothing does, they are a torn tail, which nobody was promised. When a power cut took that tail and left the successor,
// whole or in part, what is between them is a loss: it was not promised, but what is behind it is there.
func (a archive) judge(w *walker, reason string, later []segmentFile) (tail, error) {
	t := tail{verdict: Torn, off: w.off, reason: reason, nextSeq: w.nextSeq, endSeq: w.nextSeq}
	size, err := w.file.Size()
	if err != nil {
		return t, fmt.Errorf("journal: %w", err)
	}
	t.size = size
	err = searchBlocks(w, w.off, size, func(_ int64, h *blockHeader) bool {
		if h.baseSeq >= w.nextSeq { // older ones are copies in some record's payload
			t.saw(h.nextSeq(), h.durablePos)
		}
		return true
	})
	if err != nil {
		return t, err
	}
	if tr, bad, err := w.trailer(); err != nil {
		return t, err
	} else if bad == "" { // a footer is written only behind data that is durable
		t.saw(tr.nextSeq, w.hdr.basePos+tr.dataEnd)
		torn, err := w.tornFooter(tr)
		if err != nil {
			return t, err
		}
		t.settled = !torn
	}
	if w.hdr.rewritten() { // it was whole and durable, footer included, before it had its name
		t.settled = true
	}
	if hd, ok := a.readHead(w.hdr.uuid); ok && (hd.durablePos > w.pos() || hd.epoch == w.hdr.epoch && hd.writtenPos > w.pos() ||
		w.hdr.rewritten() && hd.segment == w.hdr.number) {
		t.saw(hd.nextSeq, hd.durablePos)
	}
	if len(later) > 0 {
		if err := a.judgeSuccessor(&t, w, later); err != nil {
			return t, err
		}
	}
	return t.at(w, reason), nil
}

// tornFooter reports whether a whole trailer is that of the blocks before w, but its index is not whole: one write, of which a crash has taken
// a part. All the data is there, and nobody was promised the footer.
func (w *walker) tornFooter(t trailer) (bool, error) {
	if int64(t.dataEnd) != w.off || t.nextSeq != w.nextSeq || t.lastHcrc != w.prevHcrc || t.indexLen > maxIndexLen {
		return false, nil
	}
	index, err := w.index(t)
	return index == nil, err
}

// judgeSuccessor takes in what later segments say of the end of the one before them. A successor is begun before its predecessor is synced, but
// no second one is begun before the predecessor is sealed and the first successor synced.
func (a archive) judgeSuccessor(t *tail, pred *walker, later []segmentFile) error {
	t.saw(later[0].baseSeq, 0)
	t.succSeq, t.hangs = later[0].baseSeq, true
	f, hdr, err := a.openSegment(later[0])
	if err != nil {
		var c *CorruptionError
		t.settled = t.settled || !errors.As(err, &c) || len(later) > 1
		return nil //nolint:nilerr // a successor that was never whole says nothing
	}
	defer f.Close() // opened for reading: nothing to lose
	w := &walker{abort: pred.abort}
	w.reset(f, hdr)
	if len(later) > 1 || !mayHang(hdr, pred) {
		t.settled = true
		return nil
	}
	if _, bad, err := w.trailer(); err != nil {
		return err
	} else if bad == "" { // it was sealed, so this one was before
		t.settled = true
		return nil
	}
	size, err := f.Size()
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if hdr.predPos == pred.pos() {
		t.hangs = false
	} else if t.kept, err = hasRecord(w, size); err != nil {
		return err
	}
	w.reset(f, hdr)
	return searchBlocks(w, w.off, size, func(_ int64, h *blockHeader) bool {
		t.saw(h.nextSeq(), h.durablePos)
		return true
	})
}

// mayHang reports whether a power cut can leave a segment with this header while it takes the end of the one that pred walks.
func mayHang(hdr segmentHeader, pred *walker) bool {
	switch {
	case hdr.predFlags&predNotSynced == 0 || hdr.number != pred.hdr.number+1 || hdr.uuid != pred.hdr.uuid:
		return false
	case hdr.predPos == pred.pos(): // all blocks are there, and only the footer is not
		return hdr.predSeq == pred.nextSeq && (!pred.chained || hdr.predHcrc == pred.prevHcrc)
	}
	return hdr.predPos > pred.pos() && hdr.predSeq >= pred.nextSeq
}

// hasRecord reports whether there is a data record in the whole blocks that a segment begins with.
func hasRecord(w *walker, size int64) (bool, error) {
	for {
		var b block
		bad, err := w.next(size, &b)
		if bad != "" || err != nil {
			return false, err
		}
		if b.count > 0 {
			return true, nil
		}
	}
}

// searchBlocks calls found for every place in [from, end) where a whole block header of the segment stands, until found returns false. It
// looks at every multiple of 8. A header of another file, or one that a payload made up, has the wrong salt.
func searchBlocks(w *walker, from, end int64, found func(off int64, h *blockHeader) bool) error {
	step := minSearch
	for off := from; off+blockHeaderLen <= end; {
		if err := w.aborted(); err != nil {
			return err
		}
		if cap(w.scan) < step+blockHeaderLen {
			w.scan = make([]byte, step+blockHeaderLen)
		}
		buf := w.scan[:min(int64(step+blockHeaderLen), end-off)]
		n, err := w.file.ReadAt(buf, off)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("journal: %w", err)
		}
		if n < blockHeaderLen {
			return nil
		}
		i := 0
		for ; i+blockHeaderLen <= n; i += blockAlign {
			if le.Uint32(buf[i:]) != blockMagic {
				continue
			}
			h, bad := decodeBlockHeader(buf[i:i+blockHeaderLen], w.seed, w.hdr.maxBlock)
			if h.codec != codecRaw && !w.hdr.rewritten() {
				continue // follows does not take it
			}
			if bad == "" && (w.free || h.durablePos <= w.hdr.basePos+uint64(off)+uint64(i)) && !found(off+int64(i), &h) {
				return nil
			}
		}
		off += int64(i)
		step = min(2*step, readAhead)
	}
	return nil
}

// minSearch is how much a search for blocks reads first. It reads ever more: damage is mostly small, and a file made to be searched often
// must not cost a large read each time.
const minSearch = 4 << 10

// missingAfter returns a *CorruptionError when HEAD says that data behind the end of the last, sealed segment was durable.
func (a archive) missingAfter(last *segment) error {
	hd, ok := a.readHead(last.hdr.uuid)
	if !ok || hd.durablePos <= last.pos() {
		return nil
	}
	return &CorruptionError{
		File: last.name, Offset: last.off, FirstSeq: last.nextSeq, LastSeq: max(hd.nextSeq, last.nextSeq) - 1,
		Reason: fmt.Sprintf("HEAD says that segment %d was being written; the segments after %d are missing", hd.segment, last.hdr.number),
	}
}

// tornCreate returns what is to be said of segment i if a rotation that was cut short has left it: the last one, with a header that is not
// whole and nothing promised in it, behind one of the same epoch that ends at pos. It returns nil when the header is whole, or damaged.
func (a archive) tornCreate(segs []segmentFile, i int, uuid [16]byte, pos uint64) (*TornError, error) {
	if i == 0 || i != len(segs)-1 || segs[i-1].epoch != segs[i].epoch {
		return nil, nil
	}
	f, _, err := a.openSegment(segs[i])
	var c *CorruptionError
	switch {
	case err == nil:
		return nil, f.Close()
	case !errors.As(err, &c):
		return nil, err
	}
	if hd, ok := a.readHead(uuid); ok && hd.durablePos > pos {
		return nil, nil
	}
	promised, err := a.headlessPromise(segs[i], pos)
	if promised || err != nil {
		return nil, err
	}
	fi, err := a.fs.Stat(a.path(segs[i].name))
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	return &TornError{File: segs[i].name, Bytes: fi.Size(), NextSeq: segs[i].baseSeq, Reason: c.Reason}, nil
}

// allMissing returns a *CorruptionError when there is a HEAD in a directory without segments: it is made after the first segment is durable.
func (a archive) allMissing() error {
	f, err := a.fs.OpenFile(a.path(headName), os.O_RDONLY, 0)
	if err != nil {
		return nil //nolint:nilerr // usually there is none
	}
	var b [headLen]byte
	n, err := f.ReadAt(b[:], 0)
	if err = closing(f, ignoreEOF(err)); err != nil || n < headLen || le.Uint32(b[:]) != headMagic {
		return err
	}
	return &CorruptionError{
		File: headName, FirstSeq: 0, LastSeq: le.Uint64(b[40:]) - 1, // as it says; without a segment nobody knows its checksum
		Reason: "there is a HEAD, and no segment: all of them are missing; remove HEAD to begin a new archive here",
	}
}

// headlessPromise reports whether a segment with a damaged header holds anything that says its own data was durable. basePos is where its
// predecessor ends. The salt is taken from the damaged header: if that is what is damaged, nothing is found.
func (a archive) headlessPromise(s segmentFile, basePos uint64) (bool, error) {
	f, err := a.fs.OpenFile(a.path(s.name), os.O_RDONLY, 0)
	if err != nil {
		return false, fmt.Errorf("journal: %w", err)
	}
	defer f.Close() // opened for reading: nothing to lose
	page := make([]byte, segmentHeaderLen)
	if n, err := f.ReadAt(page, 0); n < segmentHeaderLen {
		return false, ignoreEOF(err)
	}
	salt := le.Uint64(page[80:])
	w := &walker{file: f, seed: crcSeed(salt), hdr: segmentHeader{salt: salt, basePos: basePos, maxBlock: maxMaxBlock}}
	if _, bad, err := w.trailer(); bad == "" || err != nil {
		return err == nil, err
	}
	size, err := f.Size()
	if err != nil {
		return false, fmt.Errorf("journal: %w", err)
	}
	promised := false
	err = searchBlocks(w, segmentHeaderLen, size, func(_ int64, h *blockHeader) bool {
		promised = promised || h.durablePos > basePos
		return !promised
	})
	return promised, err
}

func ignoreEOF(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return nil
	}
	return fmt.Errorf("journal: %w", err)
}
