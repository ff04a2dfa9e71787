package slogbuf

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"
)

// reportEvery is the least time between two lines about dropped ones.
const reportEvery = time.Second

// maxBegins is how many bytes of its message stand for a line that is too long.
const maxBegins = 256

// output is what a handler and all that are derived from it have in common.
type output struct {
	w    *Writer
	opts Options // ReplaceAttr does not touch what is frozen

	// replaceAttr is the user's; nil if there is none.
	replaceAttr func(groups []string, a slog.Attr) slog.Attr

	dropped  atomic.Uint64 // lines that were dropped and not yet reported
	start    time.Time     // reported counts from here
	reported atomic.Int64  // when the last report was made, ns after start
}

func newOutput(w *Writer, opts *Options) *output {
	o := &output{w: w, start: time.Now()}
	if opts != nil {
		o.opts = *opts
	}
	o.reported.Store(-int64(reportEvery))
	if o.replaceAttr = o.opts.ReplaceAttr; o.replaceAttr != nil {
		o.opts.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if a, ok := thaw(a); ok {
				return a
			}
			return o.replaceAttr(groups, a)
		}
	}
	return o
}

// syncIfAsked waits for lines that Options.SyncLevel is for.
func (o *output) syncIfAsked(level slog.Level) error {
	if o.opts.SyncLevel == nil || level < o.opts.SyncLevel.Level() {
		return nil
	}
	return o.w.Sync()
}

// reportDropped writes a line about the lines that were dropped before, at most
// one every reportEvery. It is called when a line has found room.
func (o *output) reportDropped() {
	if o.dropped.Load() == 0 {
		return
	}
	last, now := o.reported.Load(), int64(time.Since(o.start))
	if now-last < int64(reportEvery) || !o.reported.CompareAndSwap(last, now) {
		return
	}
	n := o.dropped.Swap(0)
	if n == 0 {
		return
	}
	r := slog.NewRecord(time.Now(), slog.LevelWarn, "slogbuf: log lines were dropped", 0)
	r.AddAttrs(slog.Uint64("lines", n))
	if err := newEncoder(o, nil).encode(context.Background(), r); err != nil {
		o.dropped.Add(n)
	}
}

// replace writes a line in the place of one that was too long. When not even
// that finds room, the loss record is all there is.
func (o *output) replace(lost slog.Record, size int) {
	begins := lost.Message
	if len(begins) > maxBegins {
		begins = strings.ToValidUTF8(begins[:maxBegins], "")
	}
	r := slog.NewRecord(lost.Time, lost.Level, "slogbuf: a line was too long", lost.PC)
	r.AddAttrs(slog.Int("bytes", size), slog.Int("limit", o.w.p.MaxRecord()), slog.String("begins", begins))
	_ = newEncoder(o, nil).encode(context.Background(), r)
}
