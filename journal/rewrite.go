package journal

import (
	"errors"
	"fmt"
	"io"
)

// A sync that failed may have left pages in memory that are not on the disk and that no later sync writes, because they count as written. The
// process that met the error knew; the next one only sees bytes that look well and a sync that succeeds. So before recovery believes what
// nobody promised, it writes it again, to the same place, and syncs that. Where the bytes are on the disk already, this changes nothing.

// rewriteData does that to the blocks of a segment behind the last position that anything calls durable. At most the segment is written again,
// and no more than the policy of the writer before left un-synced.
func (r *recovery) rewriteData(s *segment) error {
	durable := s.promised
	if hd, ok := r.a.readHead(s.hdr.uuid); ok {
		durable = max(durable, hd.durablePos)
	}
	return rewrite(s, min(offsetOf(durable, s.hdr.basePos), s.off), s.off)
}

// rewriteFooter does it to the footer of a segment that is sealed: its data was durable before.
func (r *recovery) rewriteFooter(s *segment) error {
	size, err := s.file.Size()
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return rewrite(s, s.off, size)
}

// rewrite writes the bytes [from, to) of a segment's file again and syncs them.
func rewrite(s *segment, from, to int64) error {
	if from >= to {
		return nil
	}
	buf := make([]byte, min(to-from, readAhead))
	for from < to {
		n, err := s.file.ReadAt(buf[:min(int64(len(buf)), to-from)], from)
		if n == 0 {
			return fmt.Errorf("journal: %w", errors.Join(err, io.ErrUnexpectedEOF))
		}
		if _, err := s.file.WriteAt(buf[:n], from); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		from += int64(n)
	}
	if err := s.file.Sync(); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}
