package source

import (
	"bufio"
	"context"
	"errors"
	"io"

	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/queue"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// minBuffer is the smallest read buffer of a byte stream, in bytes.
const minBuffer = 16

// copyLines records the lines of r until r fails and returns that error; io.EOF
// is the good end. The last line may lack a newline.
func copyLines(ctx context.Context, r io.Reader, p *recorder.Producer) error {
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
			if perr := put(ctx, p, flags, piece); perr != nil {
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
func copyRaw(ctx context.Context, r io.Reader, p *recorder.Producer) error {
	br := bufio.NewReaderSize(r, max(min(p.MaxRecord(), 64<<10), minBuffer))
	for {
		if _, err := br.Peek(1); err != nil {
			return err
		}
		piece, _ := br.Peek(min(br.Buffered(), p.MaxRecord()))
		if err := put(ctx, p, journal.FlagFinal, piece); err != nil {
			return err
		}
		br.Discard(len(piece))
	}
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
