package feed

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/gobwas/ws"
	"github.com/nexus-logbuf/logbuf/adapter/wsbuf"
)

const (
	writeBuffer = 64 << 10
	maxReceive  = 1 << 20 // largest frame accepted from a consumer, bytes
	minSleep    = 100 * time.Microsecond
	pongReserve = 4 // answers to pings that may wait for the writer
)

// conn sends one generator's frames to one consumer. The goroutine of run
// writes; a second one reads what the consumer sends.
type conn struct {
	server  *Server
	nc      net.Conn
	bw      *bufio.Writer
	gen     *Generator
	ledger  *Ledger
	header  [ws.MaxHeaderSize]byte
	timer   *time.Timer
	pongs   chan []byte   // payloads of the consumer's pings
	closing chan []byte   // the payload of the consumer's close frame
	gone    chan struct{} // closed when the reading goroutine ends
	readErr error         // why, after gone
}

func newConn(s *Server, nc net.Conn, led *Ledger) *conn {
	return &conn{
		server:  s,
		nc:      nc,
		bw:      bufio.NewWriterSize(nc, writeBuffer),
		gen:     NewGenerator(s.opts.Seed, led.Symbol, s.opts.Rate),
		ledger:  led,
		timer:   time.NewTimer(time.Hour),
		pongs:   make(chan []byte, pongReserve),
		closing: make(chan []byte, 1),
		gone:    make(chan struct{}),
	}
}

// run sends until the consumer goes, the server stops, or the frames are done.
func (c *conn) run(ctx context.Context) error {
	defer c.timer.Stop()
	// A consumer that has stopped reading holds up a write; on the way out it
	// gets a little longer.
	stop := context.AfterFunc(ctx, func() { c.nc.SetWriteDeadline(time.Now().Add(closeTimeout)) })
	defer stop()
	go c.read()
	err := c.send(ctx)
	c.nc.SetReadDeadline(time.Now()) // releases the reader if the close handshake has not
	<-c.gone
	return err
}

func (c *conn) send(ctx context.Context) error {
	start := time.Now()
	for n := uint64(0); ; n++ {
		if c.server.opts.Frames > 0 && n >= c.server.opts.Frames {
			return c.close(ws.StatusNormalClosure, "the feed has ended")
		}
		f := c.gen.Next()
		if done, err := c.pause(ctx, f.Due-time.Since(start)); done || err != nil {
			return err
		}
		if err := c.write(f.Op, f.Final, f.Payload); err != nil {
			return err
		}
	}
}

// pause waits d, answering the consumer meanwhile. done reports that the
// connection is over.
func (c *conn) pause(ctx context.Context, d time.Duration) (done bool, err error) {
	var wait <-chan time.Time
	if d > minSleep {
		if err := c.bw.Flush(); err != nil {
			return true, c.writeError(err)
		}
		c.timer.Reset(d)
		wait = c.timer.C
	}
	for {
		var due chan struct{}
		if wait == nil {
			due = alwaysReady
		}
		// Whoever wants something is served before the next frame goes.
		select {
		case p := <-c.pongs:
			if err := c.write(ws.OpPong, true, p); err != nil {
				return true, err
			}
			if err := c.bw.Flush(); err != nil {
				return true, c.writeError(err)
			}
			continue
		case p := <-c.closing:
			return true, c.answerClose(p)
		case <-c.gone:
			select { // a close frame is the reader's last word too
			case p := <-c.closing:
				return true, c.answerClose(p)
			default:
				return true, c.lost()
			}
		case <-c.server.finish:
			return true, c.close(ws.StatusNormalClosure, "the feed has ended")
		case <-ctx.Done():
			return true, c.close(ws.StatusGoingAway, "the feed is stopping")
		case <-wait:
			return false, nil
		case <-due:
			return false, nil
		}
	}
}

// alwaysReady is a closed channel: the default of a select, as a case.
var alwaysReady = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

func (c *conn) write(op ws.OpCode, final bool, payload []byte) error {
	h := ws.Header{Fin: final, OpCode: op, Length: int64(len(payload))}
	err := ws.WriteHeaderBuffer(c.bw, h, c.header[:])
	if err == nil {
		_, err = c.bw.Write(payload)
	}
	if err != nil {
		return c.writeError(err)
	}
	if c.server.opts.Ledger {
		c.ledger.Sent = append(c.ledger.Sent, DigestOf(op, final, payload))
	}
	c.server.frames.Add(1)
	c.server.bytes.Add(uint64(len(payload)))
	return nil
}

func (c *conn) writeError(err error) error {
	return fmt.Errorf("send to %s: %w", c.nc.RemoteAddr(), err)
}

// lost is why a connection is over whose reading side ended.
func (c *conn) lost() error {
	if errors.Is(c.readErr, io.EOF) {
		return fmt.Errorf("%s went away without a close frame", c.nc.RemoteAddr())
	}
	return c.readErr
}

// close says goodbye first and waits for the answer.
func (c *conn) close(code ws.StatusCode, reason string) error {
	c.nc.SetWriteDeadline(time.Now().Add(closeTimeout))
	if err := c.write(ws.OpClose, true, ws.NewCloseFrameBody(code, reason)); err != nil {
		return err
	}
	if err := c.bw.Flush(); err != nil {
		return c.writeError(err)
	}
	c.timer.Reset(closeTimeout)
	for {
		select {
		case <-c.closing:
			c.ledger.Clean = true
			return nil
		case <-c.pongs: // too late to be answered
		case <-c.gone:
			select {
			case <-c.closing:
				c.ledger.Clean = true
				return nil
			default:
				return c.lost()
			}
		case <-c.timer.C:
			return fmt.Errorf("%s did not answer the close frame within %v", c.nc.RemoteAddr(), closeTimeout)
		}
	}
}

// answerClose echoes the consumer's close frame.
func (c *conn) answerClose(payload []byte) error {
	c.nc.SetWriteDeadline(time.Now().Add(closeTimeout))
	if len(payload) > 2 {
		payload = payload[:2] // the code, without the reason
	}
	if err := c.write(ws.OpClose, true, payload); err != nil {
		return err
	}
	if err := c.bw.Flush(); err != nil {
		return c.writeError(err)
	}
	c.ledger.Clean = true
	return nil
}

// read takes the consumer's frames until its close frame or an error.
func (c *conn) read() {
	defer close(c.gone)
	br := bufio.NewReader(c.nc)
	for {
		op, err := c.readFrame(br)
		if err != nil {
			c.readErr = err
			return
		}
		if op == ws.OpClose {
			return
		}
	}
}

func (c *conn) readFrame(br *bufio.Reader) (ws.OpCode, error) {
	h, err := ws.ReadHeader(br)
	if err != nil {
		return 0, err
	}
	if h.Length > maxReceive || h.OpCode.IsControl() && h.Length > ws.MaxControlFramePayloadSize {
		return 0, fmt.Errorf("%s sent a %s frame of %d bytes", c.nc.RemoteAddr(), wsbuf.OpName(h.OpCode), h.Length)
	}
	if !h.Masked {
		return 0, fmt.Errorf("%s sent a frame without a mask", c.nc.RemoteAddr())
	}
	payload := make([]byte, h.Length)
	if _, err := io.ReadFull(br, payload); err != nil {
		return 0, err
	}
	ws.Cipher(payload, h.Mask, 0)
	c.server.received.Add(1)
	if c.server.opts.Ledger {
		c.ledger.Received = append(c.ledger.Received, DigestOf(h.OpCode, h.Fin, payload))
	}
	switch h.OpCode {
	case ws.OpPing:
		// A consumer that pings and does not read waits here, as it should.
		select {
		case c.pongs <- payload:
		case <-time.After(closeTimeout):
			return 0, fmt.Errorf("%s sends pings and does not read the answers", c.nc.RemoteAddr())
		}
	case ws.OpClose:
		c.closing <- payload
	}
	return h.OpCode, nil
}
