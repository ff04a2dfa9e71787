package recorder

import (
	"fmt"
	"os"
	"strings"
)

// ErrClosed says that the recorder or the producer is closed. It wraps
// os.ErrClosed. A claim for which there is no room is refused with
// queue.ErrFull, one that can never fit with queue.ErrTooLarge.
var ErrClosed error = closedError{}

type closedError struct{}

func (closedError) Error() string { return "recorder: closed" }
func (closedError) Unwrap() error { return os.ErrClosed }

// NotWrittenError says which committed records did not reach the archive, and
// why. Recorder.Close and Producer.WaitDurable return it.
type NotWrittenError struct {
	Streams []StreamLoss // streams with records that were not written, by name
	Err     error        // why: the journal's error, the context's error, or ErrClosed
}

// StreamLoss is how many records of a stream were committed and not written.
type StreamLoss struct {
	Name    string
	Records uint64
	Bytes   uint64 // their payload; 0 when only the number of records is known
}

// Error names each stream with its records and bytes, and the reason.
func (e *NotWrittenError) Error() string {
	var b strings.Builder
	b.WriteString("recorder: ")
	if len(e.Streams) == 0 {
		b.WriteString("not everything was written")
	}
	for i, s := range e.Streams {
		if i > 0 {
			b.WriteString(", ")
		}
		plural := "s"
		if s.Records == 1 {
			plural = ""
		}
		fmt.Fprintf(&b, "stream %q: %d record%s", s.Name, s.Records, plural)
		if s.Bytes > 0 {
			fmt.Fprintf(&b, " (%d bytes)", s.Bytes)
		}
		b.WriteString(" not written")
	}
	fmt.Fprintf(&b, ": %v", e.Err)
	return b.String()
}

// Unwrap returns the reason.
func (e *NotWrittenError) Unwrap() error { return e.Err }
