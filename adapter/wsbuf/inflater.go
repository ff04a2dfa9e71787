package wsbuf

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/flate"
)

// windowSize is how far back a compressed message can refer, bytes.
const windowSize = 32 << 10

// flushTail is what the sender took off the end of a message (RFC 7692,
// section 7.2.1: an empty stored block), and an empty last block, which ends the
// stream for the decoder.
const flushTail = "\x00\x00\xff\xff\x01\x00\x00\xff\xff"

var errLongInflated = errors.New("inflates to more than that")

// inflater undoes permessage-deflate for one direction of one connection. It
// gives what the sender compressed or an error, and nothing in between: what a
// message refers to lies at a distance back from its beginning, so when the
// window is emptied because something is missing, a reference to what is
// missing is one to before the window's beginning, which the decoder refuses.
// Therefore one need not know whether the sender takes its context from message
// to message (context takeover).
type inflater struct {
	decoder io.ReadCloser
	src     bytes.Reader
	window  []byte // the end of what was inflated, at most windowSize
	out     []byte
}

// inflate decodes the message in z, and overwrites len(flushTail) bytes behind
// it if z has the capacity, which saves an allocation. A result of more than
// limit bytes is an error. The result is valid until the next call. After an
// error the window is empty.
func (f *inflater) inflate(z []byte, limit int) ([]byte, error) {
	f.src.Reset(append(z, flushTail...))
	if f.decoder == nil {
		f.decoder = flate.NewReaderDict(&f.src, f.window)
	} else if err := f.decoder.(flate.Resetter).Reset(&f.src, f.window); err != nil {
		return nil, err
	}
	f.out = f.out[:0]
	for {
		if len(f.out) > limit {
			f.forget()
			return nil, fmt.Errorf("compressed message of %d bytes: %w: %d", len(z), errLongInflated, limit)
		}
		if len(f.out) == cap(f.out) {
			f.out = append(make([]byte, 0, min(max(2*cap(f.out), 4<<10), limit+1)), f.out...)
		}
		n, err := f.decoder.Read(f.out[len(f.out):min(cap(f.out), limit+1)])
		f.out = f.out[:len(f.out)+n]
		if err == io.EOF {
			break
		}
		if err != nil {
			f.forget()
			return nil, fmt.Errorf("compressed message of %d bytes: %w", len(z), err)
		}
	}
	if len(f.out) > limit {
		f.forget()
		return nil, fmt.Errorf("compressed message of %d bytes: %w: %d", len(z), errLongInflated, limit)
	}
	// A sender that ends a message with a last block of its own puts one byte
	// behind it (section 7.2.3.4).
	if rest := f.src.Len() - len(flushTail); rest > 1 {
		f.forget()
		return nil, fmt.Errorf("compressed message of %d bytes: %d bytes behind its last block", len(z), rest)
	}
	f.remember(f.out)
	return f.out, nil
}

// remember adds the end of b to the window.
func (f *inflater) remember(b []byte) {
	if f.window == nil {
		f.window = make([]byte, 0, windowSize)
	}
	if len(b) >= windowSize {
		f.window = append(f.window[:0], b[len(b)-windowSize:]...)
		return
	}
	if over := len(f.window) + len(b) - windowSize; over > 0 {
		f.window = f.window[:copy(f.window, f.window[over:])]
	}
	f.window = append(f.window, b...)
}

// forget empties the window: messages are missing, or another connection begins.
func (f *inflater) forget() { f.window = f.window[:0] }
