package wsbuf

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/gobwas/ws"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/queue"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// errStopped ends the loop when the peer does not answer our close frame in
// time. Record returns its context's cause instead.
var errStopped = errors.New("wsbuf: stopped")

// readHeader waits for the next frame, reads its header and checks it. The
// header is peeked at whole before it is parsed, so that a peer that stalls
// inside it, and a deadline that wakes us there, leave the stream in place.
func (c *Conn) readHeader() (ws.Header, error) {
	c.begin = c.offset
	b, err := c.peek(ws.MinHeaderSize)
	if err != nil {
		if len(b) == 0 && errors.Is(err, io.ErrUnexpectedEOF) {
			return ws.Header{}, fmt.Errorf("the connection ended after %d frames without a close frame: %w", c.frames, err)
		}
		return ws.Header{}, c.cutHeader(len(b), err)
	}
	size, _ := headerSize(b[1])
	if b, err = c.peek(size); err != nil {
		return ws.Header{}, c.cutHeader(len(b), err)
	}
	h, _ := parseHeader(b)
	c.discard(size)
	c.frames++
	if what := c.expect.check(h, size); what != "" {
		return h, c.protocolError(ws.StatusProtocolError, what)
	}
	return h, nil
}

// limit is the largest payload that is recorded.
func (c *Conn) limit() int { return min(c.opts.MaxFrame, c.p.MaxRecord()) }

// refused tells what to do about a claim of n bytes that was not given: nil if
// the recorder has counted the frame as lost, so that the next one can come.
func (c *Conn) refused(err error, n int) error {
	full := errors.Is(err, queue.ErrFull)
	if full && c.p.Overload() == recorder.OverloadDrop || errors.Is(err, queue.ErrTooLarge) {
		return nil
	}
	if full || c.patience.Err() != nil {
		// A full ring under OverloadFail, or a wait that was cut short: the frame
		// was taken from the socket and is in nobody's hands but ours.
		c.p.Lose(1, uint64(n), journal.LossOverload)
	}
	return &RecordError{Frame: c.frames, Size: n, Err: err}
}

// skipTooLarge reads a frame that is too large to record and throws it away, or
// gives up the connection if that could take for ever.
func (c *Conn) skipTooLarge(h ws.Header) error {
	if c.compressed && c.unpack != nil {
		if err := c.unpack.giveUp(errLongCompressed); err != nil {
			return err
		}
	}
	if h.Length > c.opts.MaxSkip {
		c.p.Lose(1, 0, journal.LossTooLarge) // the length may be a lie
		return c.protocolError(ws.StatusMessageTooBig,
			fmt.Sprintf("%s frame of %d bytes; %d can be recorded, and %d skipped", OpName(h.OpCode), h.Length, c.limit(), c.opts.MaxSkip))
	}
	n, err := c.skip(h, h.Length)
	c.p.Lose(1, uint64(n), journal.LossTooLarge)
	return err
}

// skip throws away the next n bytes, which are payload of a frame that is
// counted as lost, in constant memory.
func (c *Conn) skip(h ws.Header, n int64) (skipped int64, err error) {
	for skipped < n {
		m, err := c.br.Discard(int(min(n-skipped, 1<<20)))
		skipped += int64(m)
		c.offset += int64(m)
		if err != nil {
			if err = c.wake(err); err != nil {
				return skipped, c.brokeOff(h, skipped, err)
			}
		}
	}
	return skipped, nil
}

// readFull fills b from the connection. It fails with io.ErrUnexpectedEOF if
// the connection ends first; got is what has come by then.
func (c *Conn) readFull(b []byte) (got int, err error) {
	for got < len(b) {
		if err := c.armIdle(); err != nil {
			return got, err
		}
		m, err := c.br.Read(b[got:])
		got += m
		c.offset += int64(m)
		if err != nil {
			if err = c.wake(err); err != nil {
				return got, err
			}
		}
	}
	return got, nil
}

// peek returns the next n bytes without taking them, or what has come of them
// and an error. n is at most the read buffer's size. The bytes are valid until
// the next read.
func (c *Conn) peek(n int) ([]byte, error) {
	for {
		if c.br.Buffered() < n {
			if err := c.armIdle(); err != nil {
				return nil, err
			}
		}
		b, err := c.br.Peek(n)
		if err == nil {
			return b, nil
		}
		if err = c.wake(err); err != nil {
			return b, err
		}
	}
}

// discard takes n bytes that were peeked at.
func (c *Conn) discard(n int) {
	c.br.Discard(n)
	c.offset += int64(n)
}

// armIdle starts the idle timeout anew, if there is one and the buffer is empty.
func (c *Conn) armIdle() error {
	if c.opts.IdleTimeout == 0 || c.stop.Load() {
		return nil
	}
	c.nc.SetReadDeadline(time.Now().Add(c.opts.IdleTimeout))
	if c.stop.Load() { // its deadline may have come before ours
		return c.wake(os.ErrDeadlineExceeded)
	}
	return nil
}

// wake looks at an error of the connection: nil to go on reading.
func (c *Conn) wake(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	if !c.stop.Load() {
		return fmt.Errorf("no byte came for %v", c.opts.IdleTimeout)
	}
	if c.deadline.IsZero() {
		c.deadline = time.Now().Add(c.opts.CloseTimeout)
		if !c.closing {
			c.sendClose(ws.StatusNormalClosure, "the recording ends")
		}
	}
	if !time.Now().Before(c.deadline) {
		return errStopped
	}
	c.nc.SetReadDeadline(c.deadline)
	return nil
}

// partial counts a frame of which got payload bytes came before err.
func (c *Conn) partial(h ws.Header, got int64, err error) error {
	c.p.Lose(1, uint64(got), journal.LossSource)
	return c.brokeOff(h, got, err)
}

func (c *Conn) brokeOff(h ws.Header, got int64, err error) error {
	return fmt.Errorf("the connection broke off in frame %d (%s, %d bytes), of which %d had come: %w", c.frames, OpName(h.OpCode), h.Length, got, err)
}

func (c *Conn) cutHeader(got int, err error) error {
	if got == 0 {
		return fmt.Errorf("after %d frames: %w", c.frames, err)
	}
	return fmt.Errorf("the connection broke off in the header of frame %d, of which %d bytes had come: %w", c.frames+1, got, err)
}

func (c *Conn) protocolError(code ws.StatusCode, what string) error {
	return &ProtocolError{Frame: c.frames, Offset: c.begin, Code: code, What: what}
}
