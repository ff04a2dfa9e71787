package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"runtime"
	"time"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// ReaderOptions are the options of OpenReader. Nil or a zero value reads all records there are now, from the first.
type ReaderOptions struct {
	FromSeq  uint64 // first sequence to read; default 0 = the first there is
	FromTime int64  // start at the first data record with this time or later, nanoseconds since the Unix epoch; default 0 = none
	ToTime   int64  // deliver no data record that is later; segments that hold only such are passed over; default 0 = all
	End      bool   // start at the end, for following
	Follow   bool   // wait for more at the end instead of io.EOF
	Durable  bool   // deliver only what is known to be durable
	Control  bool   // deliver control records too
	Salvage  bool   // go on behind damage: Next returns a *GapError once for each damaged place
	FS       vfs.FS // default: the operating system's

	// Window orders by time: a record is held back until one that is later by Window was read, and records of one time come by sequence. Default
	// 0 is the order of sequences, without holding. At most 2²⁰ records or 64 MiB of payloads are held, and with Follow none longer than Window
	// by the clock on the wall. A record that comes too late for its place is delivered all the same, see Late. Held records come before a
	// *GapError, a *ReissueError and the end.
	Window time.Duration
}

// Reader reads an archive. It is for one goroutine at a time. Any number of readers may read an archive, in any process, while it is
// written: they disturb neither the writer nor each other.
//
// A Reader delivers only bytes whose checksums it has found right. It holds one block at a time, at least 256 KiB and never more than
// 64 MiB + 64 B, whatever the files say. While it reads on and on, another goroutine reads up to 4 MiB ahead of it, if GOMAXPROCS was above 1
// when the Reader was opened. That takes up to 8 MiB more, which a follower gives up when it has to wait. The goroutine ends by itself, so a
// Reader that is not closed leaves none behind; Close waits for its last read.
type Reader struct {
	a    archive
	opts ReaderOptions

	segs   []segmentFile // the archive's, as far as known
	i      int           // the one being read
	listed uint64        // epoch that HEAD had before the last listing
	file   vfs.File      // it
	w      walker        // over it
	view   view          // what is known about its end

	b       block  // being delivered
	at      int    // index of the next frame in b.frames
	seq     uint64 // of the next data record in b
	fits    bool   // FromTime was reached
	reached bool   // FromTime was reached before the first segment there is
	probed  bool   // the walker was placed by a search that payloads can deceive

	epoch uint64 // of the last record that was given

	order *ordered // with Window

	streams   map[uint16]string
	unscanned int64 // definitions before this offset of the current segment have not been read, because a seek went past them

	stop    uint64 // log position where a reader that does not follow stops
	tries   int    // at the place where no whole block is: 0 or 1
	triesAt int64  // that place
	suspect bool   // something says that a whole block was there
	judged  int64  // size of the file at the last judgement of a torn tail
	over    bool   // Salvage: behind a gap, nothing is left
	gap     error  // Salvage: met by OpenReader, for the first Next
	err     error  // final

	ctx context.Context // of the Next that looks for what is behind the whole blocks; nil otherwise

	judgement *tail // on the first damage of this segment
	torn      *TornError
}

// OpenReader opens the archive in dir for reading. The error wraps ErrNotArchive when there is none, ErrVersion when a later version wrote
// it, and is a *CorruptionError when the segment to start in cannot be read.
//
// A sequence before the first one there is starts at the first. One after the last starts at the end: io.EOF, or waiting when following.
// Without Follow the reader stops where the archive ended when it was opened.
//
// Sequences are the only order. Where the clock was stepped back, records behind the one that FromTime finds may be earlier: who wants none of
// them looks at Record.Time. When the first record of that time was removed with its segment, reading begins with the first there is.
func OpenReader(dir string, opts *ReaderOptions) (*Reader, error) {
	r := &Reader{streams: make(map[uint16]string)}
	if opts != nil {
		r.opts = *opts
	}
	if r.opts.FS == nil {
		r.opts.FS = vfs.OS
	}
	r.a = archive{fs: r.opts.FS, dir: dir}
	r.w.abort = func() error {
		if r.ctx == nil {
			return nil
		}
		return r.ctx.Err()
	}
	r.fits = r.opts.FromTime == 0
	if r.opts.Window < 0 {
		return nil, fmt.Errorf("journal: ReaderOptions.Window is %v: must not be negative", r.opts.Window)
	}
	if r.opts.Window > 0 {
		r.order = newOrdered(&r.opts)
	}
	for try := 1; ; try++ {
		err := r.begin()
		switch {
		case err == nil:
			if runtime.GOMAXPROCS(0) > 1 {
				r.w.prefetch = newPrefetch()
			}
			return r, nil
		case errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrNotArchive) && try < listTries:
			continue // a segment was trimmed or set aside since it was listed
		}
		return nil, err
	}
}

// begin lists the archive and goes to where reading begins.
func (r *Reader) begin() (err error) {
	if r.segs, _, err = r.a.listForReading(); err != nil {
		return err
	}
	if err = r.seek(); err != nil && r.file != nil {
		err = errors.Join(err, r.file.Close())
		r.file = nil
	}
	return err
}

// Next returns the next record; its payload is valid until the next call of Next or Close. The error is io.EOF at the end unless
// following, and stays; then Torn tells whether the end is torn. In damage it is a *CorruptionError, and stays. When ctx ends it is
// ctx.Err(); the next call goes on. In steady state Next allocates nothing.
//
// A *CorruptionError names exactly the records that are lost: a reader opened with FromSeq LastSeq+1 goes on with the next one that is there.
// With Salvage, Next returns a *GapError in its place, once, and goes on with the next call. A *ReissueError is such an error, too. With
// Control, a record of KindOpen is made where an epoch begins.
func (r *Reader) Next(ctx context.Context) (rec Record, err error) {
	if r.order != nil {
		return r.nextOrdered(ctx)
	}
	err = r.next(ctx, &rec)
	return rec, err
}

// next is Next in the order of sequences. It sets rec, whose fields go from there to Next's caller in registers: a Record that is copied in
// memory on its way costs more than all the rest.
func (r *Reader) next(ctx context.Context, rec *Record) error {
	for {
		if frame, seq, ok := r.step(); ok {
			typ := le.Uint32(frame[4:])
			rec.Seq, rec.Time = seq, int64(le.Uint64(frame[FrameHeaderLen:]))
			rec.Kind, rec.Flags, rec.Stream = uint8(typ), uint8(typ>>8), uint16(typ>>16)
			rec.Payload = frame[frameOverhead:]
			return nil
		}
		if err := r.load(ctx); err != nil {
			return err
		}
	}
}

// step returns the frame, without what fills it up, and the sequence of the next record of the current block that is to be delivered; ok is
// false when there is none any more.
func (r *Reader) step() (frame []byte, seq uint64, ok bool) {
	for r.at < len(r.b.frames) {
		frame = r.b.frames[r.at:]
		word := le.Uint64(frame)
		length, typ := int(uint32(word)), int32(uint32(word>>32))
		r.at += (length + 7) &^ 7
		if typ == skipType {
			continue
		}
		seq = r.seq
		if r.wanted(uint8(typ), int64(le.Uint64(frame[FrameHeaderLen:]))) {
			r.epoch = r.w.hdr.epoch
			return frame[:length:length], seq, true
		}
	}
	return nil, 0, false
}

// wanted counts a record and reports whether it is to be delivered.
func (r *Reader) wanted(kind uint8, t int64) bool {
	seq := r.seq
	if kind >= firstControl {
		return r.opts.Control && r.fits && seq >= r.opts.FromSeq
	}
	r.seq++
	if !r.fits && t >= r.opts.FromTime {
		r.fits = true
	}
	return r.fits && seq >= r.opts.FromSeq && (r.opts.ToTime == 0 || t <= r.opts.ToTime)
}

// All returns the records from here on. The sequence ends at the end of the archive, or after an error, which comes with a zero Record.
// When following it does not end by itself. Payloads are valid until the next step.
func (r *Reader) All() iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for {
			for r.order == nil {
				frame, seq, ok := r.step()
				if !ok {
					break
				}
				t, typ := int64(le.Uint64(frame[FrameHeaderLen:])), le.Uint32(frame[4:])
				if !yield(Record{
					Seq: seq, Time: t, Kind: uint8(typ), Flags: uint8(typ >> 8), Stream: uint16(typ >> 16), Payload: frame[frameOverhead:],
				}, nil) { // built here for the same reason
					return
				}
			}
			rec, err := r.Next(context.Background())
			if errors.Is(err, io.EOF) || !yield(rec, err) || err != nil {
				return
			}
		}
	}
}

// StreamName returns the name of a stream, empty when it is not defined up to here.
func (r *Reader) StreamName(id uint16) string {
	name, ok := r.streams[id]
	if !ok && r.unscanned > 0 {
		r.scanStreams()
		name = r.streams[id]
	}
	return name
}

// Streams returns a copy of the streams defined up to here, names by id.
func (r *Reader) Streams() map[uint16]string {
	r.scanStreams()
	return maps.Clone(r.streams)
}

// scanStreams reads the definitions that a seek went past. Damage there is met by whoever reads that part.
func (r *Reader) scanStreams() {
	if r.unscanned == 0 || r.file == nil {
		return
	}
	w := &walker{}
	w.reset(r.file, r.w.hdr)
	whole := false
	_ = walkStreams(w, r.unscanned, func(id uint16, name string) { // an error leaves names unknown, and Next meets it
		if _, ok := r.streams[id]; !ok {
			r.streams[id] = name
		}
	}, &whole)
	r.unscanned = 0
}

// FirstSeq returns the first sequence that the archive has: above 0 when old segments were removed.
func (r *Reader) FirstSeq() uint64 { return r.segs[0].baseSeq }

// NextSeq returns the sequence of the next data record that is not yet delivered or skipped. After OpenReader with End it is the sequence
// after the last. With Window it is the lowest sequence that is held: a reader that begins there misses nothing.
func (r *Reader) NextSeq() uint64 {
	if r.order != nil && len(r.order.heap) > 0 {
		return r.order.oldest().rec.Seq
	}
	if r.at < len(r.b.frames) {
		return r.seq
	}
	return r.w.nextSeq
}

// Torn returns, after io.EOF, the torn tail that the archive ends in; nil when it ends cleanly or is being written.
func (r *Reader) Torn() *TornError { return r.torn }

// Close closes the reader. Next then returns an error that wraps os.ErrClosed.
func (r *Reader) Close() error {
	if errors.Is(r.err, errClosed) {
		return errClosed
	}
	r.err = errClosed
	r.b, r.at = block{}, 0
	r.w.prefetch.drop()
	r.w.prefetch, r.w.buf = nil, nil
	if r.file == nil {
		return nil
	}
	err := r.file.Close()
	r.file = nil
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}
