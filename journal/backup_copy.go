package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// copier copies the blocks of one segment after another, and checks each.
type copier struct {
	in, back walker
	buf      []byte
}

// copyBuffer is how much is written at once.
const copyBuffer = 1 << 20

// copy copies a segment to a new file in the destination, syncs it, reads it back, and gives it its name. old is the segment that it replaces, which
// must be its beginning; nil when it replaces none. The destination is an archive before and after, and never in between.
func (b *backup) copy(it backupItem, old *segmentFile) (*segment, error) {
	f, hdr, err := b.src.openSegment(it.seg)
	if err != nil {
		return nil, err
	}
	defer f.Close() // opened for reading: nothing to lose
	if old != nil {
		if err := b.checkPrefix(f, hdr, it, *old); err != nil {
			return nil, err
		}
	}
	tmp := b.dst.path(backupName)
	seg, err := b.write(f, hdr, it, tmp)
	if err == nil {
		err = b.readBack(seg, tmp)
	}
	if err != nil {
		_ = b.dst.fs.Remove(tmp) // it counts for nothing; the error is the one that matters
		return nil, err
	}
	if err := b.dst.fs.Rename(tmp, b.dst.path(filepath.Base(it.seg.name))); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	if err := b.dst.fs.SyncDir(b.dst.dir); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	b.rep.Bytes += seg.off
	return seg, nil
}

// checkPrefix refuses to replace a segment that the new one does not begin with.
func (b *backup) checkPrefix(f vfs.File, hdr segmentHeader, it backupItem, old segmentFile) error {
	g, ghdr, err := b.dst.openSegment(old)
	if err != nil {
		return err
	}
	defer g.Close() // opened for reading: nothing to lose
	b.copier.in.reset(f, hdr)
	b.copier.back.reset(g, ghdr)
	end, mineEnd := it.end, int64(0)
	t, bad, err := b.copier.in.trailer()
	if err == nil && it.end == toFooter && bad == "" {
		end = int64(t.dataEnd)
	}
	u, mineBad, err2 := b.copier.back.trailer()
	if mineEnd = int64(u.dataEnd); mineBad != "" {
		var err3 error
		if mineEnd, err3 = g.Size(); err3 != nil {
			err2 = errors.Join(err2, err3)
		}
	}
	if err := errors.Join(err, err2); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	ok, err := isPrefix(&b.copier.back, mineEnd, &b.copier.in, end)
	if err == nil && !ok {
		err = b.diverged(old, "it is not the beginning of the source's segment: the backup was opened for writing, or the source has lost records")
	}
	return err
}

// write writes the segment to tmp and syncs it.
func (b *backup) write(f vfs.File, hdr segmentHeader, it backupItem, tmp string) (seg *segment, err error) {
	out, err := b.dst.fs.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	seg, err = b.blocks(f, hdr, it, out)
	if err == nil {
		err = out.Sync()
	}
	if e := out.Close(); err == nil {
		err = e
	}
	if err != nil {
		var c *CorruptionError
		if errors.As(err, &c) {
			return nil, err
		}
		return nil, fmt.Errorf("journal: backup of %s: %w", b.src.path(it.seg.name), err)
	}
	return seg, nil
}

// blocks copies header, blocks and footer.
func (b *backup) blocks(f vfs.File, hdr segmentHeader, it backupItem, out vfs.File) (*segment, error) {
	c := &b.copier
	c.in.reset(f, hdr)
	seg := newSegment(out, it.seg.name, hdr)
	t, bad, err := c.in.trailer()
	if err != nil {
		return nil, err
	}
	end, flags, seal := it.end, it.flags, it.seal
	if end == toFooter || hdr.rewritten() { // compressed since the plan was made: it has grown to its end, too
		if bad != "" {
			return nil, b.damaged(it, "footer is missing or damaged")
		}
		end, flags, seal = int64(t.dataEnd), t.flags, true
	}
	c.buf = append(c.buf[:0], make([]byte, segmentHeaderLen)...)
	if _, err := f.ReadAt(c.buf, 0); err != nil { // with what this program does not know of
		return nil, err
	}
	var written int64
	flush := func(least int) error {
		if len(c.buf) <= least {
			return nil
		}
		n, err := out.WriteAt(c.buf, written)
		written, c.buf = written+int64(n), c.buf[:0]
		return err
	}
	var last block
	for {
		var blk block
		bad, err := c.in.next(end, &blk)
		if err != nil {
			return nil, err
		}
		if bad == atEnd {
			break
		}
		if bad != "" {
			return nil, b.damaged(it, bad)
		}
		last = blk
		whole, err := c.in.peek(blk.off, int(blk.size()), end) // in memory still
		if err != nil {
			return nil, err
		}
		c.buf = append(c.buf, whole...)
		seg.note(&blk.blockHeader, &blk.info)
		if err := errors.Join(flush(copyBuffer), b.stopped()); err != nil {
			return nil, err
		}
		b.opts.Progress(min(b.done+seg.off, b.total), b.total)
	}
	if seg.off != end {
		return nil, b.damaged(it, "blocks are missing at the end")
	}
	if seg.closed && !seal { // all of it is durable: the writer is about to write the footer
		flags, seal = sealRotate, true
		if last.info.frames > 0 { // a close record; a rotation has none
			flags = sealClose
		}
	}
	if seal {
		if bad == "" && it.end == toFooter {
			if m := seg.matches(t); m != "" {
				return nil, b.damaged(it, m)
			}
		}
		c.buf = append(c.buf, seg.footer(flags)...)
	}
	return seg, flush(0)
}

// damaged is the error about a source that cannot be copied further.
func (b *backup) damaged(it backupItem, reason string) error {
	c := &b.copier
	return &CorruptionError{File: it.seg.name, Offset: c.in.off, FirstSeq: c.in.nextSeq, LastSeq: ^uint64(0), Reason: reason}
}

// readBack reads a copy from the file that it was written to.
func (b *backup) readBack(seg *segment, tmp string) error {
	g, err := b.dst.fs.OpenFile(tmp, os.O_RDONLY, 0)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	defer g.Close() // opened for reading: nothing to lose
	hdr, err := readHeader(g)
	if err != nil {
		return fmt.Errorf("journal: %s, read back: %w", tmp, err)
	}
	w := &b.copier.back
	w.reset(g, hdr)
	for {
		var blk block
		bad, err := w.next(seg.off, &blk)
		if err != nil {
			return err
		}
		if bad == atEnd {
			break
		}
		if bad != "" {
			return fmt.Errorf("journal: %s, read back: %s at offset %d", tmp, bad, w.off)
		}
	}
	t, bad, err := w.trailer()
	if err != nil {
		return err
	}
	if w.off != seg.off || w.prevHcrc != seg.lastHcrc || w.nextSeq != seg.nextSeq || bad == "" && seg.matches(t) != "" {
		return fmt.Errorf("journal: %s, read back: not what was written", tmp)
	}
	return nil
}
