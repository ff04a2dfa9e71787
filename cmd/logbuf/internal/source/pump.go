package source

import (
	"context"
	"io"
)

const (
	pumpBuffers = 2
	pumpBuffer  = 64 << 10 // bytes
)

// pump reads from something whose Read cannot be interrupted, such as standard
// input, so that the reader of the pump can be. A Read that is under way when
// the context is done is left behind, with its buffer.
type pump struct {
	ctx  context.Context
	full chan chunk
	free chan []byte
	cur  []byte // what is left of the chunk in hand
	buf  []byte // its buffer
	err  error
}

type chunk struct {
	buf []byte
	n   int
	err error
}

func newPump(ctx context.Context, r io.Reader) *pump {
	p := &pump{ctx: ctx, full: make(chan chunk, pumpBuffers), free: make(chan []byte, pumpBuffers)}
	for range pumpBuffers {
		p.free <- make([]byte, pumpBuffer)
	}
	go p.run(r)
	return p
}

func (p *pump) run(r io.Reader) {
	for {
		var buf []byte
		select {
		case buf = <-p.free:
		case <-p.ctx.Done():
			return
		}
		n, err := r.Read(buf)
		p.full <- chunk{buf, n, err} // there is room: one place for each buffer
		if err != nil {
			return
		}
	}
}

// Read gives what has been read before the context was done, and then the
// context's cause.
func (p *pump) Read(b []byte) (int, error) {
	for len(p.cur) == 0 {
		if p.buf != nil {
			p.free <- p.buf
			p.buf = nil
		}
		if p.err != nil {
			return 0, p.err
		}
		c, ok := p.next()
		if !ok {
			return 0, context.Cause(p.ctx)
		}
		p.cur, p.buf, p.err = c.buf[:c.n], c.buf, c.err
	}
	n := copy(b, p.cur)
	p.cur = p.cur[n:]
	return n, nil
}

func (p *pump) next() (chunk, bool) {
	select {
	case c := <-p.full:
		return c, true
	default:
	}
	select {
	case c := <-p.full:
		return c, true
	case <-p.ctx.Done():
	}
	select { // what came at the same time
	case c := <-p.full:
		return c, true
	default:
		return chunk{}, false
	}
}
