package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestOutputBuffersAndFlushes(t *testing.T) {
	var b bytes.Buffer
	o := NewOutput(&b)
	fmt.Fprint(o, "one")
	if b.Len() != 0 {
		t.Errorf("%q was written before the flush", b.String())
	}
	if err := o.Flush(); err != nil || b.String() != "one" {
		t.Errorf("wrote %q, error %v", b.String(), err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestOutputKeepsItsFirstError(t *testing.T) {
	full := errors.New("no space left")
	o := NewOutput(failing{full})
	if _, err := o.Write(make([]byte, outputBuffer+1)); !errors.Is(err, full) || errors.Is(err, ErrOutputClosed) {
		t.Errorf("error %v, want one that wraps %v", err, full)
	}
	if _, err := io.WriteString(o, "x"); !errors.Is(err, full) {
		t.Errorf("second write: error %v", err)
	}
	if err := o.Flush(); !errors.Is(err, full) {
		t.Errorf("flush: error %v", err)
	}
}

func TestOutputKnowsAClosedPipe(t *testing.T) {
	WritesToClosedPipeFail()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	r.Close()
	o := NewOutput(w)
	fmt.Fprint(o, "nobody reads this")
	if err := o.Flush(); !errors.Is(err, ErrOutputClosed) {
		t.Errorf("error %v, want ErrOutputClosed", err)
	}
}

// lockedBuffer may be read while a background flush writes.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestOutputFlushEvery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b lockedBuffer
		o := NewOutput(&b)
		stop := o.FlushEvery(20*time.Millisecond, func(err error) { t.Error(err) })
		fmt.Fprint(o, "one")
		time.Sleep(25 * time.Millisecond)
		if b.String() != "one" {
			t.Errorf("after a period %q was written", b.String())
		}
		stop()
		fmt.Fprint(o, "two")
		time.Sleep(time.Second)
		if b.String() != "one" {
			t.Errorf("after the stop %q was written", b.String())
		}
	})
}

func TestOutputFlushEveryTellsOfAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := errors.New("no space left")
		o := NewOutput(failing{full})
		told := make(chan error, 2)
		stop := o.FlushEvery(time.Millisecond, func(err error) { told <- err })
		fmt.Fprint(o, "x")
		time.Sleep(time.Second)
		stop()
		if len(told) != 1 || !errors.Is(<-told, full) {
			t.Errorf("told %d times, want once of %v", len(told), full)
		}
	})
}
