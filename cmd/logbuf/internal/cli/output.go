package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// ErrOutputClosed is what Output returns when the reader of a pipe is gone (`logbuf cat DIR | head`). It is no failure:
// main ends with exit code 0 and says nothing.
var ErrOutputClosed = errors.New("standard output: closed by its reader")

// outputBuffer is large enough that writing costs one system call for hundreds of records.
const outputBuffer = 64 << 10

// Output is buffered standard output. The first error sticks. Safe for concurrent use.
type Output struct {
	mu  sync.Mutex
	buf *bufio.Writer
	err error
}

// NewOutput makes an Output on w.
func NewOutput(w io.Writer) *Output { return &Output{buf: bufio.NewWriterSize(w, outputBuffer)} }

// Write implements io.Writer.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return 0, o.err
	}
	n, err := o.buf.Write(p)
	return n, o.keep(err)
}

// Flush writes out what is buffered.
func (o *Output) Flush() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return o.err
	}
	if o.buf.Buffered() == 0 {
		return nil
	}
	return o.keep(o.buf.Flush())
}

// FlushEvery flushes every d in the background, for commands that follow and do not know when the next record comes. The
// returned function stops that and waits for it. onError is called once, from the background, when a flush fails.
func (o *Output) FlushEvery(d time.Duration, onError func(error)) (stop func()) {
	ticker := time.NewTicker(d)
	done, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
			}
			if err := o.Flush(); err != nil {
				onError(err)
				return
			}
		}
	}()
	return func() {
		ticker.Stop()
		close(done)
		<-gone
	}
}

func (o *Output) keep(err error) error {
	switch {
	case err == nil:
		return nil
	case isClosedPipe(err):
		o.err = ErrOutputClosed
	default:
		o.err = fmt.Errorf("standard output: %w", err)
	}
	return o.err
}
