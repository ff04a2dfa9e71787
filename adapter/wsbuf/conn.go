package wsbuf

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// Conn is a WebSocket connection whose frames go to one producer. Its methods
// are for the goroutine that owns the producer; Close alone may be called from
// any goroutine.
type Conn struct {
	nc   net.Conn
	br   *bufio.Reader
	p    *recorder.Producer
	opts Options

	frames uint64 // frames whose header was read, from the peer
	offset int64  // bytes of the peer's that are behind us
	begin  int64  // offset of the frame in hand
	expect expected

	compressed bool      // the message in hand is
	unpack     *unpacker // of compressed messages; nil: they are recorded as they come
	frame      []byte    // a frame for it

	patience   context.Context // Record's, and CloseTimeout more
	stop       atomic.Bool     // Record's context is done
	closing    bool            // we have sent a close frame
	unrecorded []byte          // its payload, until it is recorded
	claimed    bool            // a claim is open: no other may be taken
	deadline   time.Time       // after stop: when to give up waiting for the peer's

	header [ws.MaxHeaderSize]byte
	out    []byte // the control frame being sent
}

// NewConn records from nc, a connection whose handshake is done. br holds what
// was read beyond the handshake and reads from nc; nil makes a new one. Each
// connection needs a producer with a lane of its own, one after another may use
// the same. It panics on options that make no sense.
func NewConn(nc net.Conn, br *bufio.Reader, p *recorder.Producer, opts *Options) *Conn {
	c := &Conn{nc: nc, br: br, p: p, opts: opts.withDefaults()}
	if br == nil {
		c.br = bufio.NewReaderSize(nc, c.opts.ReadBuffer)
	}
	c.out = make([]byte, 0, ws.MaxHeaderSize+ws.MaxControlFramePayloadSize)
	c.expect = expected{masked: c.opts.Server, deflate: c.opts.Deflate != DeflateOff}
	if c.opts.Deflate == DeflateInflate {
		c.unpack = &unpacker{limit: c.limit(), record: c.record, gap: func(error) { p.Lose(0, 0, journal.LossSource) }}
	}
	return c
}

// Frames is the number of frames that came from the peer so far.
func (c *Conn) Frames() uint64 { return c.frames }

// Close closes the network connection, without a close frame. A Record that is
// under way returns an error.
func (c *Conn) Close() error { return c.nc.Close() }

// Send sends a message in one frame, for example to subscribe. With
// Options.Outbound it is recorded too. It may be called before Record, not
// during. ctx bounds a wait for space in the ring.
func (c *Conn) Send(ctx context.Context, op ws.OpCode, payload []byte) error {
	c.patience = ctx
	return c.send(op, payload)
}

// Record reads frames into the producer until the connection ends, and says how
// it ended: *CloseError for a close frame, *ProtocolError for a breach,
// *RecordError for a producer that takes no more, an error that wraps
// io.ErrUnexpectedEOF for a connection that broke off, or the network's error.
//
// When ctx is done, Record sends a close frame and goes on recording until the
// peer's answer or Options.CloseTimeout; the error is then ctx's cause. A wait
// for space in the ring ends with it.
//
// Record does not close the network connection, and is called once.
func (c *Conn) Record(ctx context.Context) error {
	// Deadlines wake the reader from the socket; patience wakes it from a claim.
	patience, giveUp := context.WithCancelCause(context.WithoutCancel(ctx))
	defer giveUp(nil)
	unhook := context.AfterFunc(ctx, func() {
		c.stop.Store(true)
		c.nc.SetReadDeadline(longAgo)
		t := time.AfterFunc(c.opts.CloseTimeout, func() { giveUp(context.Cause(ctx)) })
		context.AfterFunc(patience, func() { t.Stop() })
	})
	defer unhook()
	c.patience = patience
	for {
		err := c.readFrame()
		c.recordClose()
		if err == nil {
			continue
		}
		if c.unpack != nil {
			_ = c.unpack.flush() // what stopped the loop says more
		}
		return c.ended(ctx, err)
	}
}

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// ended turns what stopped the loop into what Record returns, after the last
// words to the peer.
func (c *Conn) ended(ctx context.Context, err error) error {
	if perr, ok := err.(*ProtocolError); ok && !c.closing {
		c.sendClose(perr.Code, perr.What)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// readFrame takes one frame from the socket to the lane.
func (c *Conn) readFrame() error {
	h, err := c.readHeader()
	if err != nil {
		return err
	}
	if h.OpCode.IsControl() {
		return c.control(h)
	}
	return c.data(h)
}

// data takes the payload of a data frame.
func (c *Conn) data(h ws.Header) error {
	c.expect.open = !h.Fin
	if h.OpCode != ws.OpContinuation {
		c.compressed = h.Rsv&rsv1 != 0
	}
	if h.Length > int64(c.limit()) {
		return c.skipTooLarge(h)
	}
	if c.compressed && c.unpack != nil {
		return c.packed(h)
	}
	n := int(h.Length)
	flags := flagsOf(h.OpCode, h.Fin)
	if c.compressed {
		flags |= journal.FlagCompressed
	}
	claim, err := c.p.Claim(c.patience, journal.KindData, flags, n)
	if err != nil {
		if err := c.refused(err, n); err != nil {
			return err
		}
		_, err := c.skip(h, h.Length)
		return err
	}
	c.claimed = true
	got, err := c.readFull(claim.Bytes())
	c.claimed = false
	if err != nil {
		claim.Abort()
		return c.partial(h, int64(got), err)
	}
	if h.Masked {
		ws.Cipher(claim.Bytes(), h.Mask, 0)
	}
	claim.Commit() // false: the recorder is closed, has counted it, and says so at the next claim
	return nil
}

// packed takes the payload of a frame of a compressed message that is to be
// inflated.
func (c *Conn) packed(h ws.Header) error {
	c.frame = slices.Grow(c.frame[:0], int(h.Length))[:h.Length]
	if got, err := c.readFull(c.frame); err != nil {
		return c.partial(h, int64(got), err)
	}
	if h.Masked {
		ws.Cipher(c.frame, h.Mask, 0)
	}
	return c.unpack.frame(h.OpCode, h.Fin, c.frame)
}

// control takes a control frame, whole from the read buffer, and answers it.
func (c *Conn) control(h ws.Header) error {
	n := int(h.Length)
	payload, err := c.peek(n)
	if err != nil {
		return c.partial(h, int64(len(payload)), err)
	}
	if h.Masked {
		ws.Cipher(payload, h.Mask, 0) // in the read buffer: it is discarded below
	}
	if err := c.record(flagsOf(h.OpCode, true), payload); err != nil {
		return err
	}
	switch h.OpCode {
	case ws.OpPing:
		if !c.closing { // after a close frame there is nothing more to say
			err = c.send(ws.OpPong, payload)
		}
	case ws.OpClose:
		err = c.closed(payload)
	}
	c.discard(n)
	return err
}

// record copies a frame that is at hand into the lane.
func (c *Conn) record(flags uint8, payload []byte) error {
	return c.recordKind(journal.KindData, flags, payload)
}

func (c *Conn) recordKind(kind, flags uint8, payload []byte) error {
	claim, err := c.p.Claim(c.patience, kind, flags, len(payload))
	if err != nil {
		return c.refused(err, len(payload))
	}
	copy(claim.Bytes(), payload)
	claim.Commit()
	return nil
}

// closed answers the peer's close frame and makes it the end.
func (c *Conn) closed(payload []byte) error {
	end := &CloseError{Code: ws.StatusNoStatusRcvd}
	if len(payload) == 1 {
		return c.protocolError(ws.StatusProtocolError, "close frame with a payload of 1 byte; it must be empty or begin with a 2-byte code")
	}
	if len(payload) >= 2 {
		end.Code, end.Reason = ws.ParseCloseFrameData(payload)
		if what := checkClose(end); what != "" {
			return c.protocolError(ws.StatusProtocolError, what)
		}
	}
	if !c.closing {
		c.closing = true
		// The peer may be gone already; its close frame is what counts.
		_ = c.send(ws.OpClose, payload[:min(len(payload), 2)])
	}
	return end
}

// checkClose names what is wrong with a close frame's payload, or nothing. Codes
// that nobody has given a meaning to are taken: the connection is over either
// way, and the code says more about it than we could.
func checkClose(e *CloseError) string {
	switch c := e.Code; {
	case c < 1000 || c > 4999 || c == ws.StatusNoMeaningYet || c == ws.StatusNoStatusRcvd || c == ws.StatusAbnormalClosure || c == ws.StatusTLSHandshake:
		return fmt.Sprintf("close frame with code %d, which must not be sent", c)
	case !utf8.ValidString(e.Reason):
		return fmt.Sprintf("close frame with code %d and a reason that is not UTF-8: %q", c, e.Reason)
	}
	return ""
}

// sendClose says goodbye first. It may come in the middle of a frame, whose
// claim is open: then the record of it has to wait.
func (c *Conn) sendClose(code ws.StatusCode, reason string) {
	c.closing = true
	const room = ws.MaxControlFramePayloadSize - 2
	body := ws.NewCloseFrameBody(code, reason[:min(len(reason), room)])
	if c.write(ws.OpClose, body) == nil {
		c.unrecorded = body
	}
	if !c.claimed {
		c.recordClose()
	}
}

// recordClose records the close frame that sendClose has sent, if it has.
func (c *Conn) recordClose() {
	if c.unrecorded != nil {
		// Counted if it finds no room. What else can be wrong, the next claim says.
		_ = c.recordSent(ws.OpClose, c.unrecorded)
		c.unrecorded = nil
	}
}

// send writes one frame and records it if asked.
func (c *Conn) send(op ws.OpCode, payload []byte) error {
	if err := c.write(op, payload); err != nil {
		return err
	}
	return c.recordSent(op, payload)
}

func (c *Conn) recordSent(op ws.OpCode, payload []byte) error {
	if !c.opts.Outbound {
		return nil
	}
	return c.record(flagsOf(op, true)|journal.FlagOutbound, payload)
}

// write writes one frame to the socket, masked if we are the client.
func (c *Conn) write(op ws.OpCode, payload []byte) error {
	h := ws.Header{Fin: true, OpCode: op, Length: int64(len(payload)), Masked: !c.opts.Server}
	if h.Masked {
		rand.Read(c.header[:4])
		copy(h.Mask[:], c.header[:4])
	}
	c.out = c.out[:0]
	if err := ws.WriteHeaderBuffer((*appendWriter)(&c.out), h, c.header[:]); err != nil {
		return err
	}
	start := len(c.out)
	c.out = append(c.out, payload...)
	if h.Masked {
		ws.Cipher(c.out[start:], h.Mask, 0)
	}
	c.nc.SetWriteDeadline(time.Now().Add(c.opts.WriteTimeout))
	if _, err := c.nc.Write(c.out); err != nil {
		return fmt.Errorf("send %s frame: %w", OpName(op), err)
	}
	return nil
}

// appendWriter collects what gobwas/ws writes.
type appendWriter []byte

func (w *appendWriter) Write(p []byte) (int, error) {
	*w = append(*w, p...)
	return len(p), nil
}
