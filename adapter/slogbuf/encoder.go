package slogbuf

import (
	"context"
	"io"
	"log/slog"
	"time"
)

// encoder is a handler of package slog that writes to the lane, with the time
// and level of the line being encoded. One call at a time uses it, so that the
// lock that slog's handlers put around their writer is always free.
type encoder struct {
	slog  slog.Handler
	out   *output
	time  int64 // of the record under way, nanoseconds since the Unix epoch
	level slog.Level
	size  int // of the last line, bytes
}

// newEncoder makes the encoder of a handler that was derived by steps.
func newEncoder(out *output, steps []step) *encoder {
	e := &encoder{out: out}
	e.slog = newSlogHandler(e, out.opts.Text, &out.opts.HandlerOptions)
	for _, s := range steps {
		if s.attrs != nil {
			e.slog = e.slog.WithAttrs(s.attrs)
		} else {
			e.slog = e.slog.WithGroup(s.group)
		}
	}
	return e
}

func newSlogHandler(w io.Writer, text bool, opts *slog.HandlerOptions) slog.Handler {
	if text {
		return slog.NewTextHandler(w, opts)
	}
	return slog.NewJSONHandler(w, opts)
}

// encode encodes r and writes the line.
func (e *encoder) encode(ctx context.Context, r slog.Record) error {
	t := r.Time
	if t.IsZero() {
		t = time.Now()
	}
	e.time, e.level = t.UnixNano(), r.Level
	return e.slog.Handle(ctx, r)
}

// Write takes the finished line from slog's handler, in its one call. No code of
// users runs here: the claim that WriteAt makes is open for a copy.
func (e *encoder) Write(line []byte) (int, error) {
	e.size = len(line)
	if err := e.out.w.p.WriteAt(e.time, Kind, levelCode(e.level), line); err != nil {
		return 0, err
	}
	return len(line), nil
}
