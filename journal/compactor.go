package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

const (
	compactBlock = 256 << 10 // blocks are put together up to so many bytes of frames
	compactSync  = 4 << 20   // so many bytes are written before they are synced, so that no sync of the writer waits long for them
)

// compactor compresses segments, one after another. The zero value with a set is ready.
type compactor struct {
	a        archive
	stop     <-chan struct{}
	mu       *sync.Mutex       // held while a new file takes the old one's place; nil when nobody else is there
	progress func(bytes int64) // called after each block with the offset in the old file; may be nil

	enc    *zstd.Encoder
	in     walker // over the original
	back   walker // over the new one, and its original once more
	again  walker
	buf    []byte // one block as it is written
	frames []byte // frames put together
}

// close gives the memory back.
func (c *compactor) close() {
	if c.enc != nil {
		_ = c.enc.Close() // it writes nowhere
	}
	*c = compactor{a: c.a, stop: c.stop, mu: c.mu, progress: c.progress}
}

// compact replaces a sealed segment by its compressed form. succ is the segment after it, nil when there is none. after is 0 when it is compressed already. The error is a *skipError when the
// segment is left alone for what it is, and context.Canceled when stop was closed.
func (c *compactor) compact(s segmentFile, succ *segmentFile) (before, after int64, err error) {
	f, hdr, err := c.a.openSegment(s)
	if err != nil {
		var bad *CorruptionError
		if errors.As(err, &bad) {
			err = &skipError{reason: bad.Reason}
		}
		return 0, 0, err
	}
	defer f.Close() // opened for reading: nothing to lose
	if hdr.rewritten() {
		return 0, 0, nil
	}
	if before, err = f.Size(); err != nil {
		return 0, 0, fmt.Errorf("journal: %w", err)
	}
	if err := c.endsBefore(f, hdr, succ); err != nil {
		return 0, 0, err
	}
	path := c.a.path(s.name)
	tmp := filepath.Join(filepath.Dir(path), compactName)
	if after, err = c.rewrite(f, hdr, tmp); err == nil {
		err = c.compare(f, hdr, tmp)
	}
	if err == nil && after >= before {
		err = &skipError{reason: fmt.Sprintf("%d bytes compressed, %d as it is: no smaller", after, before), harmless: true}
	}
	if err != nil {
		_ = c.a.fs.Remove(tmp) // it counts for nothing; the error is the one that matters
		return 0, 0, err
	}
	return before, after, c.replace(tmp, path)
}

// endsBefore refuses a segment that is not sealed, and one whose successor says that it ends elsewhere: after a failed sync, what is behind that
// place is no part of the archive.
func (c *compactor) endsBefore(f vfs.File, hdr segmentHeader, succ *segmentFile) error {
	c.in.reset(f, hdr)
	t, bad, err := c.in.trailer()
	switch {
	case err != nil:
		return err
	case bad != "":
		return &skipError{reason: "the segment is not sealed: " + bad}
	case succ == nil:
		return nil
	}
	next, ok := c.a.headerOf(*succ)
	if !ok || next.predPos != hdr.basePos+t.dataEnd || next.predHcrc != t.lastHcrc {
		return &skipError{off: int64(t.dataEnd), reason: "the segment after this one cannot be read, or does not continue its footer"}
	}
	return nil
}

// replace puts the new file in the old one's place.
func (c *compactor) replace(tmp, path string) error {
	if c.mu != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
	}
	_, err := c.a.fs.Stat(path) // it may have been trimmed meanwhile
	if err == nil {
		err = c.a.fs.Rename(tmp, path)
	}
	if err != nil {
		_ = c.a.fs.Remove(tmp) // it counts for nothing; the error is the one that matters
		return fmt.Errorf("journal: %w", err)
	}
	if err := c.a.fs.SyncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// rewrite writes the compressed form of a segment to tmp and syncs it.
func (c *compactor) rewrite(f vfs.File, hdr segmentHeader, tmp string) (size int64, err error) {
	c.in.reset(f, hdr)
	t, bad, err := c.in.trailer()
	if err != nil {
		return 0, err
	}
	if bad != "" {
		return 0, fmt.Errorf("journal: %s: the footer has gone: %s", f.Name(), bad)
	}
	out, err := c.a.fs.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, fmt.Errorf("journal: %w", err)
	}
	seg, err := c.begin(out, hdr, t)
	if err == nil {
		err = c.blocks(seg, t)
	}
	if err == nil {
		foot := seg.footer(t.flags)
		size = seg.off + int64(len(foot))
		if _, err = out.WriteAt(foot, seg.off); err == nil {
			err = out.Sync()
		}
	}
	if e := out.Close(); err == nil && e != nil {
		err = e
	}
	return size, err
}

// begin writes the header of the new file: the old one's, but for what says that it is rewritten.
func (c *compactor) begin(out vfs.File, hdr segmentHeader, t trailer) (*segment, error) {
	salt, err := newSalt()
	if err != nil {
		return nil, err
	}
	hdr.features |= featRewritten
	hdr.origLen, hdr.origHcrc, hdr.salt = t.dataEnd, t.lastHcrc, salt
	hdr.maxBlock = max(hdr.maxBlock, compactBlock)
	page := make([]byte, segmentHeaderLen)
	hdr.encode(page)
	if _, err := out.WriteAt(page, 0); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	return newSegment(out, compactName, hdr), nil
}

// blocks writes the blocks of the original, put together and compressed.
func (c *compactor) blocks(out *segment, t trailer) error {
	in := newSegment(nil, "", c.in.hdr)
	var group block // blocks put together, their frames in c.frames
	synced := out.off
	for {
		var b block
		bad, err := c.in.next(int64(t.dataEnd), &b)
		if err != nil {
			return err
		}
		if bad == atEnd {
			break
		}
		if bad != "" {
			return &skipError{off: c.in.off, reason: "the segment is damaged: " + bad}
		}
		in.note(&b.blockHeader, &b.info)
		if group.raw > 0 && !joins(&group, &b) {
			if err := c.put(out, &group); err != nil {
				return err
			}
		}
		if err := c.add(out, &group, &b); err != nil {
			return err
		}
		if out.off-synced >= compactSync {
			if err := out.file.SyncData(); err != nil {
				return fmt.Errorf("journal: %w", err)
			}
			synced = out.off
		}
		if err := c.pause(); err != nil {
			return err
		}
	}
	if group.raw > 0 {
		if err := c.put(out, &group); err != nil {
			return err
		}
	}
	if bad := in.matches(t); bad != "" {
		return &skipError{off: in.off, reason: "the segment is damaged: " + bad}
	}
	return nil
}

// pause shows progress, and ends the work when it is to stop.
func (c *compactor) pause() error {
	if c.progress != nil {
		c.progress(c.in.off)
	}
	select {
	case <-c.stop:
		return context.Canceled
	default:
		return nil
	}
}

// alone are the flags of blocks that are not put together with others: they say something about the place where they stand.
const alone = blockLast | blockTable | blockTableEnd

// joins reports whether b can be put behind the blocks in group. Control records that define streams are looked for in blocks that hold no data,
// so the two kinds stay apart.
func joins(group, b *block) bool {
	return (group.flags|b.flags)&alone == 0 && (group.flags^b.flags)&blockControlOnly == 0 && group.raw+b.raw <= compactBlock
}

// add puts b behind the blocks in group, or writes it if nothing can follow it.
func (c *compactor) add(out *segment, group, b *block) error {
	if len(b.frames) == 0 { // there for its header: a sync mark, whose promise the footer makes, or the end, or an empty table
		if b.flags&alone == 0 {
			return nil
		}
		c.frames = c.frames[:0]
		return c.put(out, b)
	}
	if group.raw == 0 {
		*group = *b
		group.frames = nil
		c.frames = append(c.frames[:0], b.frames...)
	} else {
		c.frames = append(c.frames, b.frames...)
		group.raw += b.raw
		group.count += b.count
		group.flags |= b.flags
		group.minTime = min(group.minTime, b.minTime)
		group.maxTime = b.maxTime
		group.info.lost += b.info.lost
	}
	if group.flags&alone != 0 {
		return c.put(out, group)
	}
	return nil
}

// put writes the blocks in group, whose frames are in c.frames, as one.
func (c *compactor) put(out *segment, group *block) error {
	h := group.blockHeader
	if c.enc == nil {
		c.enc = newZstdEncoder()
	}
	c.buf = append(c.buf[:0], make([]byte, blockHeaderLen)...)
	h.codec = codecZstd
	if c.buf = compressBlock(c.enc, c.buf, c.frames); len(c.buf)-blockHeaderLen >= len(c.frames) {
		h.codec = codecRaw
		c.buf = append(c.buf[:blockHeaderLen], c.frames...)
	}
	h.stored = uint32(len(c.buf) - blockHeaderLen)
	h.payloadCRC = crcOf(c.buf[blockHeaderLen:])
	h.prevHcrc = out.lastHcrc
	h.durablePos = out.hdr.basePos // positions inside mean nothing any more, and what is durable the footer says
	h.encode(c.buf, out.seed)
	if _, err := out.file.WriteAt(c.buf, out.off); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	out.note(&h, &group.info)
	*group = block{}
	return nil
}

// compare reads the new file back and compares it with the original: all frames, sequences and times, and what the footers say.
func (c *compactor) compare(f vfs.File, hdr segmentHeader, tmp string) error {
	g, err := c.a.fs.OpenFile(tmp, os.O_RDONLY, 0)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	defer g.Close() // opened for reading: nothing to lose
	ghdr, err := readHeader(g)
	if err != nil {
		return fmt.Errorf("journal: %s, read back: %w", tmp, err)
	}
	c.again.reset(f, hdr)
	c.back.reset(g, ghdr)
	old, bad1, err1 := c.again.trailer()
	t, bad2, err2 := c.back.trailer()
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if bad1 != "" || bad2 != "" {
		return fmt.Errorf("journal: %s, read back: footers: %q, %q", tmp, bad1, bad2)
	}
	if bad, err := c.compareFrames(int64(old.dataEnd), int64(t.dataEnd)); bad != "" || err != nil {
		return errors.Join(fmt.Errorf("journal: %s, read back: not what was written: %s", tmp, bad), err)
	}
	if old.nextSeq != t.nextSeq || old.firstSeq != t.firstSeq || old.records != t.records || old.rawBytes != t.rawBytes || old.lost != t.lost ||
		old.minTime != t.minTime || old.maxTime != t.maxTime || ghdr.endPos(0) != hdr.basePos+old.dataEnd || ghdr.origHcrc != old.lastHcrc {
		return fmt.Errorf("journal: %s, read back: its totals are not those of the original", tmp)
	}
	return nil
}

// compareFrames walks both files and says how their frames differ, empty when they do not.
func (c *compactor) compareFrames(end, backEnd int64) (bad string, err error) {
	var a, b block
	var x, y []byte // what is left of their frames
	seg := newSegment(nil, "", c.back.hdr)
	for {
		if len(x) == 0 {
			bad, err := c.again.next(end, &a)
			if err != nil || bad != "" && bad != atEnd {
				return bad, err
			}
			if x = a.frames; bad == atEnd {
				break
			}
			continue
		}
		if len(y) == 0 {
			bad, err := c.back.next(backEnd, &b)
			if err != nil || bad != "" {
				return bad, err
			}
			seg.note(&b.blockHeader, &b.info)
			y = b.frames
			continue
		}
		n := min(len(x), len(y))
		if !bytes.Equal(x[:n], y[:n]) {
			return fmt.Sprintf("frames differ in the blocks at %d and %d", a.off, b.off), nil
		}
		x, y = x[n:], y[n:]
		if err := c.pause(); err != nil {
			return "", err
		}
	}
	for len(y) == 0 {
		bad, err := c.back.next(backEnd, &b)
		if bad == atEnd {
			return c.checkFooter(seg)
		}
		if err != nil || bad != "" {
			return bad, err
		}
		seg.note(&b.blockHeader, &b.info)
		y = b.frames
	}
	return "there are more frames than in the original", nil
}

// checkFooter compares the new file's footer with its blocks, which seg has seen.
func (c *compactor) checkFooter(seg *segment) (bad string, err error) {
	t, bad, err := c.back.trailer()
	if bad != "" || err != nil {
		return bad, err
	}
	index, err := c.back.index(t)
	if err == nil && !slices.Equal(index, seg.index) {
		return "footer's index is not that of the blocks", nil
	}
	return seg.matches(t), err
}
