package journal

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// partialExt ends the name of a directory that an archive is being made in.
const partialExt = ".partial"

// salvageOut writes the archive that Salvage makes.
type salvageOut struct {
	a    archive // the directory being filled
	uuid [16]byte
	rep  *SalvageReport

	all    []string // names of the streams that any segment's table has, by id − 1
	names  []string // of those defined up to here
	ord    ordinals // after what was written
	before ordinals // what they were before the stream table being read, nil when that is not known
	unsure bool     // definitions may have been lost since the last table

	src     segmentHeader // of the segment being read
	wanted  bool          // begin a segment with the next block
	tabled  bool          // its stream table has been met
	seg     *segment      // being written, nil before the first
	opening []byte        // header and stream table of a segment
	note    *trimNote     // the source was trimmed
	loss    *Loss         // to be written before the next block
	latest  int64         // time of the last data record written
	header  [blockHeaderLen]byte
}

// runInto does the work in out + ".partial", checks it and renames it. When it fails nothing is left there.
func (s *salvager) runInto(out string) (err error) {
	partial := archive{fs: s.a.fs, dir: filepath.Clean(out) + partialExt}
	if err := s.checkOut(out); err != nil {
		return err
	}
	if err := partial.makeDir(); err != nil {
		return fmt.Errorf("journal: cannot make the directory: %w", err)
	}
	unlock, err := partial.lockForWork()
	if err != nil {
		return err
	}
	defer func() {
		if err != nil { // what cannot be removed says by its name what it is
			_ = errors.Join(partial.empty(), unlock(), s.a.fs.Remove(partial.path(lockName)), s.a.fs.Remove(partial.dir))
		}
	}()
	if err := partial.empty(); err != nil {
		return err
	}
	if err := s.fill(partial); err != nil {
		return err
	}
	if runtime.GOOS == "windows" { // a directory with an open file in it cannot be renamed
		if err := unlock(); err != nil {
			return err
		}
		unlock = func() error { return nil }
	}
	return s.moveInto(partial, out, unlock)
}

// moveInto gives the finished archive its name.
func (s *salvager) moveInto(partial archive, out string, unlock func() error) error {
	if _, err := s.a.fs.Stat(out); err == nil { // an empty directory
		if err := s.a.fs.Remove(out); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
	}
	if err := s.a.fs.Rename(partial.dir, out); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	err := s.a.fs.SyncDir(filepath.Dir(filepath.Clean(out)))
	if err = errors.Join(err, unlock()); err != nil {
		return fmt.Errorf("journal: %s is whole, but: %w", out, err)
	}
	return nil
}

// checkOut refuses a target that is in use, or that lies in the archive itself.
func (s *salvager) checkOut(out string) error {
	from, err1 := filepath.Abs(s.a.dir)
	to, err2 := filepath.Abs(out)
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if to == from || strings.HasPrefix(to, from+string(filepath.Separator)) || to+partialExt == from {
		return fmt.Errorf("journal: %s lies in the archive that is read: nothing is changed there, so give another directory", out)
	}
	entries, err := s.a.fs.ReadDir(out)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("journal: %w", err)
	case len(entries) > 0:
		return fmt.Errorf("journal: %s is not empty (%s): salvage makes a new archive, so give a directory that is not there: %w", out, entries[0].Name(), fs.ErrExist)
	}
	return nil
}

// empty removes what an interrupted salvage has left. It refuses when something else is there.
func (a archive) empty() error {
	entries, err := a.fs.ReadDir(a.dir)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	for _, e := range entries {
		if _, _, ok := parseSegmentName(e.Name()); !ok && e.Name() != lockName && e.Name() != trimName && e.Name() != trimName+tmpExt || e.IsDir() {
			return fmt.Errorf("journal: %s holds %s, which no interrupted salvage leaves: move it away first: %w", a.dir, e.Name(), fs.ErrExist)
		}
	}
	for _, e := range entries {
		if e.Name() == lockName {
			continue // held
		}
		if err := a.fs.Remove(a.path(e.Name())); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
	}
	return nil
}

// fill writes the archive into partial and reads it back.
func (s *salvager) fill(partial archive) error {
	s.out = &salvageOut{a: partial, rep: s.rep}
	if _, err := rand.Read(s.out.uuid[:]); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if err := s.collectNames(); err != nil {
		return err
	}
	if err := s.run(); err != nil {
		return errors.Join(err, s.out.abandon())
	}
	if err := s.a.fs.SyncDir(partial.dir); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	before := s.done
	v, err := newVerifier(partial.dir, &VerifyOptions{FS: s.a.fs, Stop: s.stop, Progress: func(done, total int64) {
		share := float64(done) / float64(max(total, 1))
		s.show(before + int64(share*float64(s.total-before)))
	}})
	if err != nil {
		return err
	}
	rep, err := v.verify()
	if err != nil {
		return err
	}
	if rep.Verdict != Clean || rep.Records != s.rep.Records || rep.NextSeq != s.rep.NextSeq {
		return fmt.Errorf("journal: %s does not read back as it was written: verdict %v, %d of %d records, next sequence %d of %d, %v",
			partial.dir, rep.Verdict, rep.Records, s.rep.Records, rep.NextSeq, s.rep.NextSeq, rep.Problems)
	}
	s.show(s.total)
	return nil
}

// collectNames reads the stream tables at the start of all segments, so that a table that is damaged is made up for by the next.
func (s *salvager) collectNames() error {
	w := &walker{abort: s.stopped}
	for _, file := range s.segs {
		f, hdr, err := s.a.openSegment(file)
		var c *CorruptionError
		if errors.As(err, &c) {
			continue // its own table is met when it is read
		}
		if err != nil {
			return err
		}
		w.reset(f, hdr)
		if hdr.uuid == s.uuid {
			err = s.out.collectTable(w)
		}
		if err = closing(f, err); err != nil {
			return err
		}
	}
	return nil
}

func (o *salvageOut) collectTable(w *walker) error {
	for {
		var b block
		bad, err := w.next(maxFileSize, &b)
		if err != nil || bad != "" || b.flags&blockTable == 0 {
			return err
		}
		eachStream(b.frames, func(id uint16, name string) { o.all = named(o.all, id, name) })
		if b.flags&blockTableEnd != 0 {
			return nil
		}
	}
}

// named sets the name of a stream.
func named(names []string, id uint16, name string) []string {
	for len(names) < int(id) {
		names = append(names, "")
	}
	names[id-1] = name
	return names
}

// define takes in the stream definitions of a control block.
func (o *salvageOut) define(frames []byte) {
	eachStream(frames, func(id uint16, name string) { o.names, o.all = named(o.names, id, name), named(o.all, id, name) })
}

// plan says that a segment with that header begins in the archive that is read.
func (o *salvageOut) plan(src segmentHeader) {
	if src.created == 0 { // its header cannot be read
		src.created = o.src.created
	}
	o.src, o.wanted, o.tabled = src, true, false
}

// trimmedBefore says that the archive's oldest segments were removed on purpose, and that it begins with first.
func (o *salvageOut) trimmedBefore(src archive, uuid [16]byte, first uint64) {
	note, ok := src.trimNote(uuid)
	if !ok {
		note.why, note.when = trimByHand, time.Now().UnixNano()
	}
	note.firstSeq = first
	o.note = &note
}

// table takes in a block of the stream table of the segment that is read: it replaces what is known of streams.
func (o *salvageOut) table(frames []byte) {
	if o.wanted && !o.tabled {
		o.before = o.ord
		if o.unsure || o.loss != nil {
			o.before = nil
		}
		o.names, o.ord, o.unsure, o.tabled = nil, nil, false, true
	}
	o.define(frames)
	info := newFrameInfo()
	walkFrames(frames, 0, len(frames), &info)
	o.ord.take(frames, &info)
	if o.before.take(frames, &info) != "" { // something is missing that was not met as damage
		o.missing(o.next(), 0)
		o.before = nil
	}
}

// next returns the sequence after the last record written.
func (o *salvageOut) next() uint64 {
	if o.seg == nil {
		return 0
	}
	return o.seg.nextSeq
}

// missing says that records are missing before the next block; 0 when it is not known how many, or only control records.
func (o *salvageOut) missing(first, records uint64) {
	if o.loss == nil {
		o.loss = &Loss{First: first, Reason: LossDamage, From: o.latest}
	}
	o.loss.Records += records
}

// write writes the frames of a block that begins with sequence seq.
func (o *salvageOut) write(frames []byte, info *frameInfo, seq uint64) error {
	if o.seg == nil || o.wanted || seq > o.seg.nextSeq {
		if err := o.begin(seq); err != nil {
			return err
		}
	}
	if o.loss != nil {
		if info.count > 0 {
			o.loss.To = info.minTime
		}
		if err := o.writeLoss(); err != nil {
			return err
		}
	}
	limit := int(o.seg.hdr.maxBlock)
	if len(frames) <= limit {
		return o.block(frames, info, 0)
	}
	for from := 0; from < len(frames); {
		part := newFrameInfo()
		end, bad := walkFrames(frames, from, limit, &part)
		if bad != "" {
			return fmt.Errorf("journal: %s at byte %d of a checked block of %d bytes", bad, end, len(frames))
		}
		if err := o.block(frames[from:end], &part, 0); err != nil {
			return err
		}
		from = end
	}
	return nil
}

// block writes one block.
func (o *salvageOut) block(frames []byte, info *frameInfo, flags uint16) error {
	if info.count == 0 {
		flags |= blockControlOnly
	} else {
		o.latest = info.maxTime
	}
	if info.losses > 0 {
		flags |= blockLossInside
	}
	if info.own > 0 {
		o.define(frames)
	}
	if bad := o.ord.take(frames, info); bad != "" && !o.unsure { // as above
		o.missing(o.next(), 0)
		if err := o.writeLoss(); err != nil {
			return err
		}
	}
	s := o.seg
	h := s.blockFor(frames, info, flags, s.hdr.basePos) // the segment before is durable
	h.encode(o.header[:], s.seed)
	if _, err := s.file.WritevAt([][]byte{o.header[:], frames}, s.off); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	s.note(&h, info)
	return nil
}

// writeLoss writes the loss record of the gap before the next block.
func (o *salvageOut) writeLoss() error {
	l := *o.loss
	o.loss, o.unsure = nil, true
	l.To = max(l.From, l.To)
	frame := AppendFrame(nil, Record{Time: l.To, Kind: KindLoss, Payload: l.Append(nil)})
	info := newFrameInfo()
	walkFrames(frame, 0, len(frame), &info)
	return o.block(frame, &info, 0)
}

// begin begins a segment whose first sequence is seq, unless the one being written serves.
func (o *salvageOut) begin(seq uint64) error {
	epoch := o.src.epoch
	if old := o.seg; old != nil {
		epoch = max(epoch, old.hdr.epoch)
		if old.hdr.baseSeq == seq && old.hdr.epoch == epoch { // it has no data record yet, and would have the same name
			o.wanted = false
			return nil
		}
		if err := o.finish(); err != nil {
			return err
		}
	}
	hdr, err := o.nextHeader(seq)
	if err != nil {
		return err
	}
	hdr.epoch = epoch
	if o.unsure || o.loss != nil {
		o.fillNames()
	}
	o.opening = append(o.opening[:0], make([]byte, segmentHeaderLen)...)
	hdr.encode(o.opening)
	name := segmentName(hdr.baseSeq, hdr.epoch)
	f, err := o.a.fs.OpenFile(o.a.path(name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	o.seg, o.wanted = newSegment(f, name, hdr), false
	o.opening = o.seg.appendTable(o.opening, o.names, o.ord, hdr.created, hdr.basePos)
	if _, err := f.WriteAt(o.opening, 0); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// fillNames adds the streams whose definitions may have been lost.
func (o *salvageOut) fillNames() {
	for i, name := range o.all {
		if id := uint16(i + 1); name != "" && (i >= len(o.names) || o.names[i] == "") {
			o.names = named(o.names, id, name)
			o.ord.define(id, 0)
		}
	}
}

// nextHeader makes the header of the segment that begins with seq, without its epoch.
func (o *salvageOut) nextHeader(seq uint64) (segmentHeader, error) {
	var salt [8]byte
	if _, err := rand.Read(salt[:]); err != nil {
		return segmentHeader{}, fmt.Errorf("journal: %w", err)
	}
	hdr := segmentHeader{uuid: o.uuid, baseSeq: seq, created: o.src.created, salt: le.Uint64(salt[:]), maxBlock: o.src.maxBlock}
	switch last := o.seg; {
	case last != nil:
		hdr.number, hdr.basePos, hdr.predSeq, hdr.predHcrc = last.hdr.number+1, last.pos(), last.nextSeq, last.lastHcrc
		hdr.predFlags, hdr.maxBefore = predSealed, last.maxSoFar()
	case o.note != nil:
		hdr.number, hdr.predSeq, hdr.predFlags, hdr.maxBefore = max(2, o.note.segment), o.note.firstSeq, predSealed, noMaxTime
	default:
		hdr.number, hdr.predFlags, hdr.maxBefore = 1, predFirst, noMaxTime
	}
	hdr.predPos = hdr.basePos
	if hdr.predSeq < seq || o.loss != nil {
		hdr.predFlags |= predGap
	}
	return hdr, nil
}

// finish ends the segment being written: its blocks are durable before its footer is.
func (o *salvageOut) finish() error {
	s := o.seg
	info := newFrameInfo()
	err := o.block(nil, &info, blockSyncMark|blockLast)
	if err == nil {
		err = s.file.Sync()
	}
	if err == nil {
		_, err = s.writeFooter(sealRecover)
	}
	if err == nil {
		size, sizeErr := s.file.Size()
		o.rep.OutSegments, o.rep.OutSize, err = o.rep.OutSegments+1, o.rep.OutSize+size, sizeErr
	}
	err = errors.Join(err, s.file.Close())
	s.file = nil
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// end ends the archive. next is the sequence after the last one that is known of: it is not given to another record.
func (o *salvageOut) end(next uint64) error {
	if o.src.epoch == 0 {
		return fmt.Errorf("journal: no block of any segment can be read: there is nothing to make an archive of")
	}
	if o.seg == nil || o.wanted && o.src.epoch > o.seg.hdr.epoch || next > o.seg.nextSeq {
		if err := o.begin(next); err != nil {
			return err
		}
	}
	if o.loss != nil {
		if err := o.writeLoss(); err != nil {
			return err
		}
	}
	if err := o.finish(); err != nil {
		return err
	}
	if o.note == nil {
		return nil
	}
	note := *o.note
	first, _, err := o.a.list()
	if err == nil && len(first) > 0 {
		note.segment, note.epoch, note.firstPos = max(2, note.segment), first[0].epoch, 0
		err = o.a.writeTrim(note, o.uuid)
	}
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// abandon closes the file being written.
func (o *salvageOut) abandon() error {
	if o.seg != nil && o.seg.file != nil {
		return o.seg.file.Close()
	}
	return nil
}
