package journal

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nexus-logbuf/logbuf/internal/hist"
	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// errClosed is what every method of a closed Writer or Reader returns.
var errClosed = fmt.Errorf("journal: %w", os.ErrClosed)

// Writer writes an archive. Its methods may be called from any goroutine.
//
// Three goroutines share the work. The caller's writes blocks, under mu. The syncer makes them durable and seals what rotation has left
// behind. The preparer makes the next segment's file. What they tell each other is in sync, under its own mutex, which is never held
// during I/O. Order of locks: mu, headMu, sync.mu.
type Writer struct {
	a     archive
	opts  Options
	locks []vfs.Lock // of the archive's directory, and of Options.Failover
	uuid  [16]byte
	found Recovery

	mu       sync.Mutex        // the write path: all up to the blank line
	seg      *segment          // being written
	begun    time.Time         // when
	streams  []string          // names, by id − 1
	ids      map[string]uint16 // ids, by name
	ordinals ordinals          // of all streams
	header   [blockHeaderLen]byte
	bufs     [3][]byte               // header and frames of the block being written, and a skip or room for a footer, for WritevAt
	pad      [maxFit / padShare]byte // zeros, but for the header of a skip
	cuts     []cut                   // scratch of AppendFrames
	scratch  []byte                  // one frame, being appended
	opening  []byte                  // the beginning of a segment: header and stream table
	lastTime int64                   // latest data record of the archive since Open
	epoch    uint64                  // of seg
	retained retained                // copies of what is not durable, for a takeover
	wasFull  bool                    // the last write found the disk full
	closing  bool

	reserve reserve

	headMu   sync.Mutex // HEAD
	headFile vfs.File
	headBuf  [headLen]byte
	headFull bool // the last write of HEAD found the disk full

	durablePos atomic.Uint64 // log position known to be durable; written by the syncer only, after the sync
	sync       syncState

	writeLatency hist.Live // of blocks; added to under mu
	syncLatency  hist.Live // the syncer's
	space        space
	keep         keeper

	stepped  bool          // there is no syncer and no preparer: see step.go
	quit     chan struct{} // closed to end the preparer and the syncer
	prepare  chan struct{} // capacity 1: asks the preparer for a next segment
	done     sync.WaitGroup
	closeErr error // of the syncer's last work; read after done
}

// cut is a run of frames that goes into one block.
type cut struct {
	end  int // index in the span after the last frame
	info frameInfo
}

// Open opens the archive in dir for writing, making the directory (0700) and its files (0600) as needed. It first recovers the archive's
// end, see Recovered, and then begins a new segment. dir is locked until Close: when another writer has it, the error wraps ErrLocked.
// When something is missing that had been promised as durable, the error is a *CorruptionError and nothing has been changed. A later
// format version is ErrVersion. Open reads the last segment in full.
func Open(dir string, opts *Options) (*Writer, error) {
	w, err := open(dir, opts)
	if err != nil {
		return nil, err
	}
	w.done.Add(2)
	go w.syncLoop()
	go w.prepareLoop()
	w.startKeeper()
	go w.watchSpace()
	return w, nil
}

// open is Open without the goroutines.
func open(dir string, opts *Options) (*Writer, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	a := archive{fs: o.FS, dir: dir}
	lock, err := a.makeAndLock()
	if err != nil {
		return nil, err
	}
	w := &Writer{
		a: a, opts: o, locks: []vfs.Lock{lock}, ids: make(map[string]uint16),
		quit: make(chan struct{}), prepare: make(chan struct{}, 1),
		keep: keeper{ask: make(chan struct{}, 1)},
	}
	if err := w.start(); err != nil {
		return nil, errors.Join(err, w.unlock())
	}
	w.askForNext()
	return w, nil
}

// unlock gives up the locks.
func (w *Writer) unlock() (err error) {
	for _, l := range w.locks {
		err = errors.Join(err, l.Close())
	}
	return err
}

// makeDir makes the directory and those above it, and syncs each one that holds a new one.
func (a archive) makeDir() error {
	var missing []string
	for d := filepath.Clean(a.dir); ; d = filepath.Dir(d) {
		if fi, err := a.fs.Stat(d); err == nil && fi.IsDir() || d == filepath.Dir(d) {
			break
		}
		missing = append(missing, d)
	}
	if len(missing) == 0 {
		return nil
	}
	if err := a.fs.MkdirAll(a.dir, 0o700); err != nil {
		return err
	}
	for _, d := range missing {
		if err := a.fs.SyncDir(filepath.Dir(d)); err != nil {
			return err
		}
	}
	return nil
}

// makeAndLock makes the directory, durably, and takes its lock.
func (a archive) makeAndLock() (vfs.Lock, error) {
	if err := a.makeDir(); err != nil {
		return nil, fmt.Errorf("journal: cannot make the directory: %w", err)
	}
	lock, err := a.fs.Lock(a.path(lockName))
	switch {
	case errors.Is(err, ErrLocked):
		return nil, fmt.Errorf("journal: %s: another writer has this archive open: %w", a.dir, ErrLocked)
	case err != nil:
		return nil, fmt.Errorf("journal: cannot lock the archive: %w", err)
	}
	return lock, nil
}

// DefineStream returns the id of the stream with that name, 1 to MaxStream, and defines it if need be. A name keeps its id in every open
// of the archive. Names are 1 to MaxStreamName bytes of UTF-8.
func (w *Writer) DefineStream(name string) (uint16, error) {
	if err := checkStreamName(name); err != nil {
		return 0, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.ready(); err != nil {
		return 0, err
	}
	if id, ok := w.ids[name]; ok {
		return id, nil
	}
	if len(w.streams) >= MaxStream {
		return 0, fmt.Errorf("journal: stream %.40q: there are %d streams already, the most an archive can have", name, MaxStream)
	}
	id := uint16(len(w.streams) + 1)
	w.scratch = AppendFrame(w.scratch[:0], Record{Time: time.Now().UnixNano(), Kind: KindStream, Stream: id, Payload: appendStream(nil, 0, name)})
	info := newFrameInfo()
	walkFrames(w.scratch, 0, len(w.scratch), &info)
	if err := w.writeFrames(w.scratch, &info); err != nil {
		return 0, err
	}
	w.streams = append(w.streams, name)
	w.ids[name] = id
	return id, w.publish()
}

// StreamOrdinal returns the ordinal that the stream's next record will have: how many of its data records the archive has had, from the
// stream's definition on, and how many more its loss records speak of. It runs on from open to open and whatever retention removes. 0 for
// an id that is not defined.
func (w *Writer) StreamOrdinal(id uint16) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ordinals.of(id)
}

// Append writes one record and returns its sequence. It copies rec; rec.Seq is ignored, a zero Kind is KindData, a zero Time is now.
// KindStream and KindClose are the writer's own and refused, so are KindOpen and a loss, clock or mark record whose payload is not one (see
// Loss, ClockStep, AppendMark). A record that does not fit a block is ErrTooLarge. For a control record the sequence is that of the next
// data record.
func (w *Writer) Append(rec Record) (seq uint64, err error) {
	switch {
	case rec.Kind == KindStream || rec.Kind == KindClose || rec.Kind == KindOpen || rec.Kind > lastKind:
		return 0, fmt.Errorf("journal: Append: kind %#x is not for callers: 1 to 0x7f, but not %#x, %#x or %#x", rec.Kind, KindStream, KindClose, KindOpen)
	case rec.Stream > MaxStream:
		return 0, fmt.Errorf("journal: Append: stream %d is above %d", rec.Stream, MaxStream)
	case len(rec.Payload) > w.opts.MaxBlock-frameOverhead:
		return 0, fmt.Errorf("journal: Append: %w: payload of %d bytes, the most is %d", ErrTooLarge, len(rec.Payload), w.opts.MaxBlock-frameOverhead)
	}
	if err := checkControl(rec.Kind, rec.Payload); err != nil {
		return 0, err
	}
	if rec.Time == 0 {
		rec.Time = time.Now().UnixNano()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.ready(); err != nil {
		return 0, err
	}
	w.scratch = AppendFrame(w.scratch[:0], rec)
	info := newFrameInfo()
	walkFrames(w.scratch, 0, len(w.scratch), &info)
	if err := w.writeFrames(w.scratch, &info); err != nil {
		return 0, err
	}
	return w.seg.nextSeq - uint64(info.count), w.publish()
}

// AppendFrames writes whole frames as a ring holds them, AppendFrame's layout one after another. Skips (type −1) may be among them; they
// are written and not counted. records is the number of frames that are not skips, control records included. It returns the sequence of
// the first data record. The frames go to the system as they are, behind a block header, in one write per MaxBlock bytes: they must not
// change until the call returns, and are not kept. In steady state it allocates nothing.
//
// When the bytes are not whole frames, their number is not records, or a frame is larger than MaxBlock, nothing is written and the error
// wraps ErrFrames or ErrTooLarge. When a write fails, NextSeq tells how far it came.
func (w *Writer) AppendFrames(frames []byte, records int) (firstSeq uint64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.ready(); err != nil {
		return 0, err
	}
	if err := w.cutFrames(frames, records); err != nil {
		return 0, err
	}
	firstSeq = w.seg.nextSeq
	from := 0
	for i := range w.cuts {
		c := &w.cuts[i]
		if err := w.writeFrames(frames[from:c.end], &c.info); err != nil {
			_ = w.publish() // of the blocks before; the write's own error is the one to return
			return firstSeq, err
		}
		from = c.end
	}
	return firstSeq, w.publish()
}

// cutFrames checks a span of frames and cuts it into blocks.
func (w *Writer) cutFrames(frames []byte, records int) error {
	w.cuts = w.cuts[:0]
	total := 0
	for from := 0; from < len(frames); {
		c := cut{info: newFrameInfo()}
		var bad string
		c.end, bad = walkFrames(frames, from, w.opts.MaxBlock, &c.info)
		switch {
		case bad == frameTooLong:
			return fmt.Errorf("journal: %w: frame at byte %d of %d has %d bytes, the most is %d",
				ErrTooLarge, c.end, len(frames), le.Uint32(frames[c.end:]), w.opts.MaxBlock)
		case bad != "":
			return badFrame(c.end, len(frames), bad)
		case c.info.own > 0:
			return badFrame(from, len(frames), "stream definitions and close records are the writer's own, see DefineStream")
		}
		total += c.info.frames
		from = c.end
		w.cuts = append(w.cuts, c)
	}
	if total != records {
		return fmt.Errorf("journal: %w: %d records in %d bytes, the caller counted %d", ErrFrames, total, len(frames), records)
	}
	return nil
}

// AppendLoss writes a loss record: the archive then says itself what it does not have. Its time is l.To, or now if that is zero.
func (w *Writer) AppendLoss(l Loss) error {
	var b [lossLen]byte
	_, err := w.Append(Record{Time: l.To, Kind: KindLoss, Stream: l.Stream, Payload: l.Append(b[:0])})
	return err
}

// ready returns the error that stops the writer, if there is one.
func (w *Writer) ready() error {
	if w.closing {
		return errClosed
	}
	if w.sync.takeOverDue() {
		return w.takeOver()
	}
	return w.failure()
}

// writeFrames writes one block of checked frames, at most MaxBlock bytes, rotating first if it is time. What fails is tried again behind a
// takeover.
func (w *Writer) writeFrames(frames []byte, info *frameInfo) error {
	if info.frames == 0 {
		return nil // nothing but skips
	}
	for {
		err := w.tryFrames(frames, info)
		if err == nil {
			return nil
		}
		if err = w.orTakeOver(err); err != nil {
			return err
		}
	}
}

// tryFrames is writeFrames without a takeover.
func (w *Writer) tryFrames(frames []byte, info *frameInfo) error {
	if err := w.rotateIfDue(blockHeaderLen + int64(len(frames))); err != nil {
		return err
	}
	var flags uint16
	if info.count == 0 {
		flags |= blockControlOnly
	}
	if info.losses > 0 {
		flags |= blockLossInside
	}
	if info.count > 0 {
		w.lastTime = max(w.lastTime, info.maxTime)
	}
	return w.writeBlock(frames, info, flags)
}

// writeBlock writes one block at the end of the segment: header and frames in one gathering write.
func (w *Writer) writeBlock(frames []byte, info *frameInfo, flags uint16) error {
	if err := w.retainRoom(len(frames)); err != nil {
		return err
	}
	s := w.seg
	pad := w.padding(len(frames), flags)
	h := s.blockFor(frames, info, flags, w.durablePos.Load())
	h.append(pad)
	h.encode(w.header[:], s.seed)
	if err := w.putBlock(s, frames, pad, flags); err != nil {
		return err
	}
	s.note(&h, info)
	w.ordinals.take(frames, info)
	w.sync.blocks.Add(1)
	w.retain(frames, info, flags)
	if w.wasFull {
		w.wasFull = false
		w.hasRoom(fullData)
	}
	return nil
}

// putBlock writes the block whose header is in w.header: frames, and the skip behind them. Behind the last one it writes zeros where the footer will be: then a full disk cannot be
// in the way of sealing the segment, without which nothing in the next one could be made durable.
func (w *Writer) putBlock(s *segment, frames, pad []byte, flags uint16) error {
	bufs := w.bufs[:2]
	if flags&blockLast != 0 {
		pad = make([]byte, s.footerLen())
	}
	if len(pad) > 0 {
		bufs = w.bufs[:]
		bufs[2] = pad
	}
	if flags&blockLast == 0 {
		s.allocate(s.off+blockHeaderLen+int64(len(frames)+len(pad)), w.opts.SegmentSize)
	}
	for {
		bufs[0], bufs[1] = w.header[:], frames
		start := time.Now()
		n, err := s.file.WritevAt(bufs, s.off)
		w.writeLatency.Add(uint64(time.Since(start)))
		bufs[1] = nil
		if err == nil {
			return nil
		}
		if err = w.failWrite(s, n, err); err != nil {
			return err
		}
	}
}

// failWrite handles a block that was not written, or only in part. On a full disk the part is cut off again, and all is as it was before;
// nil says that room was made, and that the write is to be tried again.
func (w *Writer) failWrite(seg *segment, wrote int64, err error) error {
	if !isFull(err) {
		return w.fail("write", seg.name, seg.off, err, true)
	}
	if e := seg.file.Truncate(seg.off); e != nil {
		err = fmt.Errorf("%w; %d bytes of it could not be cut off again: %w", bare(err), wrote, bare(e))
		return w.fail("write", seg.name, seg.off, err, true)
	}
	seg.allocated = seg.off
	if w.makeRoom(w.closing) {
		return nil
	}
	w.wasFull = true
	return w.isFull(fullData, "write", seg.name, seg.off, err)
}

// blockFor makes the header of the next block of a segment.
func (s *segment) blockFor(frames []byte, info *frameInfo, flags uint16, durablePos uint64) blockHeader {
	return blockHeader{
		stored: uint32(len(frames)), raw: uint32(len(frames)), payloadCRC: crcOf(frames), count: uint32(info.count),
		baseSeq: s.nextSeq, durablePos: durablePos, minTime: info.minTime, maxTime: max(s.maxTime, info.maxTime),
		codec: codecRaw, flags: flags, prevHcrc: s.lastHcrc,
	}
}

// NextSeq returns the sequence that the next data record will have: all below are written.
func (w *Writer) NextSeq() uint64 {
	w.sync.mu.Lock()
	defer w.sync.mu.Unlock()
	return w.sync.written.seq
}

// DurableSeq returns the first sequence that is not known to be durable: all below survive a power cut.
func (w *Writer) DurableSeq() uint64 {
	w.sync.mu.Lock()
	defer w.sync.mu.Unlock()
	return w.sync.durable.seq
}

// Recovered returns what Open found and did.
func (w *Writer) Recovered() Recovery { return w.found }

// Close writes a close record, makes everything durable, seals the segment and gives up the lock. The error is that of the writer when it
// had failed before. A second Close returns an error that wraps os.ErrClosed, as every other method does.
func (w *Writer) Close() error {
	w.mu.Lock()
	if w.closing {
		w.mu.Unlock()
		return errClosed
	}
	w.closing = true
	err := w.failure()
	if err == nil {
		err = w.writeClose()
	}
	w.mu.Unlock()

	close(w.quit)
	if w.stepped {
		w.closeErr = w.finish()
	}
	w.done.Wait()
	w.dropNext()
	w.giveBack(true)
	if w.closeErr != nil {
		err = w.closeErr
	}
	err = w.inDoubtNow(err)
	if e := w.headFile.Close(); err == nil && e != nil {
		err = fmt.Errorf("journal: %w", e)
	}
	w.endSync()
	if e := w.unlock(); err == nil && e != nil {
		err = fmt.Errorf("journal: %w", e)
	}
	return err
}

// inDoubtNow brings the sequences in a full disk's error up to date: what could be made durable since then is not in doubt any more.
func (w *Writer) inDoubtNow(err error) error {
	var e *WriteError
	if !errors.As(err, &e) || !e.Full {
		return err
	}
	w.sync.mu.Lock()
	defer w.sync.mu.Unlock()
	return w.sync.inDoubt(e)
}

// writeClose writes the close record, in the segment's last block.
func (w *Writer) writeClose() error {
	w.scratch = AppendFrame(w.scratch[:0], Record{Time: time.Now().UnixNano(), Kind: KindClose, Payload: []byte{closeVersion}})
	info := newFrameInfo()
	for {
		err := w.writeBlock(w.scratch, &info, blockControlOnly|blockLast)
		if err == nil {
			return w.publish()
		}
		if err = w.orTakeOver(err); err != nil {
			return err
		}
	}
}

// WaitDurable returns nil once the record seq and all before it are durable. It waits for records that are not written yet, too. Under
// SyncInterval it waits for the next sync, under SyncBatch for the one that is due anyway, under SyncNone it asks for one.
// When a write or a sync fails before that and no takeover helps, or the disk is too full for the record, the error is a *WriteError; when
// ctx ends, it is ctx.Err(). After Close it is nil for what is durable, and wraps os.ErrClosed for what was never written.
func (w *Writer) WaitDurable(ctx context.Context, seq uint64) error {
	return w.wait(ctx, func(s *syncState) (bool, bool) {
		s.wantSeq = max(s.wantSeq, seq+1)
		return seq < s.durable.seq, seq < s.written.seq
	})
}

// Sync makes durable all that was written before the call, at once.
func (w *Writer) Sync(ctx context.Context) error {
	var target uint64
	first := true
	return w.wait(ctx, func(s *syncState) (bool, bool) {
		if first {
			first, target, s.force = false, s.written.n, true
			if s.closed {
				target = math.MaxUint64 // to no avail, though all is durable
			}
		}
		return target <= s.durable.n, true
	})
}
