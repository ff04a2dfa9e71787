package source

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/queue"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// minBuffer is the smallest read buffer of a byte stream, in bytes.
const minBuffer = 16

// cut records what r gives, framed, until r fails, and returns that error; io.EOF
// is the good end. direction is journal.FlagOutbound or 0.
func (s *Source) cut(ctx context.Context, r io.Reader, direction uint8) error {
	switch s.opts.Frame {
	case Line:
		return copyLines(ctx, r, s.p, direction)
	case Raw:
		return copyRaw(ctx, r, s.p, direction)
	case Len32:
		return copyPrefixed(ctx, r, s.p, direction, binary.BigEndian)
	case Len32LE:
		return copyPrefixed(ctx, r, s.p, direction, binary.LittleEndian)
	}
	panic(fmt.Sprintf("source: Options.Frame is %d", s.opts.Frame))
}

// copyLines records the lines of r until r fails and returns that error; io.EOF
// is the good end. The last line may lack a newline.
func copyLines(ctx context.Context, r io.Reader, p *recorder.Producer, direction uint8) error {
	br := bufio.NewReaderSize(r, max(p.MaxRecord(), minBuffer))
	inside := false // a line has begun in records without FlagFinal
	for {
		piece, err := br.ReadSlice('\n')
		var flags uint8
		switch {
		case err == nil || err == io.EOF:
			flags = journal.FlagFinal
		case errors.Is(err, bufio.ErrBufferFull):
			err = nil
		}
		// At the end of the input, a line that was cut into pieces and has no
		// newline gets its final piece, if need be an empty one.
		if len(piece) > 0 || inside && flags != 0 {
			if perr := put(ctx, p, flags|direction, piece); perr != nil {
				return perr
			}
		}
		inside = flags == 0
		if err != nil {
			return err
		}
	}
}

// copyRaw records what each read gives.
func copyRaw(ctx context.Context, r io.Reader, p *recorder.Producer, direction uint8) error {
	br := bufio.NewReaderSize(r, max(min(p.MaxRecord(), 64<<10), minBuffer))
	for {
		if _, err := br.Peek(1); err != nil {
			return err
		}
		piece, _ := br.Peek(min(br.Buffered(), p.MaxRecord()))
		if err := put(ctx, p, journal.FlagFinal|direction, piece); err != nil {
			return err
		}
		br.Discard(len(piece))
	}
}

const (
	prefixLen = 4

	// maxSkip is the longest message that is read and thrown away, bytes. A length
	// beyond it is taken for a stream that is out of step.
	maxSkip = 64 << 20
)

// copyPrefixed records messages that come behind their length. It holds one
// message at most.
func copyPrefixed(ctx context.Context, r io.Reader, p *recorder.Producer, direction uint8, order binary.ByteOrder) error {
	br := bufio.NewReaderSize(r, max(p.MaxRecord()+prefixLen, minBuffer))
	for {
		head, err := br.Peek(prefixLen)
		if err == io.EOF && len(head) > 0 {
			p.Lose(1, 0, journal.LossSource)
			return fmt.Errorf("the stream ended in a message's length, of which %d bytes had come: %w", len(head), io.ErrUnexpectedEOF)
		}
		if err != nil {
			return err
		}
		n := int64(order.Uint32(head))
		if n > int64(p.MaxRecord()) {
			if err := skipPrefixed(br, p, n); err != nil {
				return err
			}
			continue
		}
		b, err := br.Peek(prefixLen + int(n))
		if err != nil {
			return cutOff(p, n, int64(len(b)-prefixLen), err)
		}
		if err := put(ctx, p, journal.FlagFinal|direction, b[prefixLen:]); err != nil {
			return err
		}
		br.Discard(len(b))
	}
}

// skipPrefixed throws away a message of n bytes that no record can hold.
func skipPrefixed(br *bufio.Reader, p *recorder.Producer, n int64) error {
	if n > maxSkip {
		p.Lose(1, 0, journal.LossTooLarge) // the length may be a lie
		return fmt.Errorf("a length of %d bytes: the ring takes %d, and up to %d are skipped: not a stream of messages behind 4-byte lengths, or the other byte order (--frame len32, len32le)", n, p.MaxRecord(), maxSkip)
	}
	br.Discard(prefixLen)
	got, err := io.CopyN(io.Discard, br, n)
	if err != nil {
		return cutOff(p, n, got, err)
	}
	p.Lose(1, uint64(n), journal.LossTooLarge)
	return nil
}

// cutOff counts a message of n bytes of which only some came.
func cutOff(p *recorder.Producer, n, got int64, err error) error {
	p.Lose(1, uint64(got), journal.LossSource)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("the stream ended in a message of %d bytes, of which %d had come: %w", n, got, err)
}

// put copies one record into the lane. A record that the recorder has dropped,
// and counted, is no error.
func put(ctx context.Context, p *recorder.Producer, flags uint8, b []byte) error {
	claim, err := p.Claim(ctx, journal.KindData, flags, len(b))
	if err != nil {
		if errors.Is(err, queue.ErrFull) && p.Overload() == recorder.OverloadDrop {
			return nil
		}
		return &RecordError{err}
	}
	copy(claim.Bytes(), b)
	claim.Commit()
	return nil
}

// RecordError is an error of the recorder, as opposed to one of the source.
type RecordError struct{ Err error }

func (e *RecordError) Error() string { return e.Err.Error() }

// Unwrap gives the recorder's error.
func (e *RecordError) Unwrap() error { return e.Err }
