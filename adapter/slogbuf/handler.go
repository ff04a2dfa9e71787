package slogbuf

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/nexus-logbuf/logbuf/queue"
)

// Options are the options of NewHandler. Nil or a zero value is the default.
type Options struct {
	slog.HandlerOptions // Level, AddSource and ReplaceAttr, as in package slog

	// Text has lines written as slog.TextHandler does; default JSON.
	Text bool

	// SyncLevel makes Handle wait, for lines of this level or above, until the
	// line and all before it are durable, for at most 5 s; when the line is
	// dropped or too long, those before it and the line in its place. Default
	// nil: no line is waited for. A wait takes as long as the disk's sync, and
	// those of many callers share one.
	SyncLevel slog.Leveler
}

// Handler is a slog.Handler that writes to a Writer. Any number of goroutines
// may use it at once. See the package documentation for what it promises.
type Handler struct {
	out    *output
	groups []string // of WithGroup
	steps  []step   // what WithAttrs and WithGroup were given, in this order

	// Encoders that nobody uses now. The first is enough for a handler of one
	// goroutine at a time; many is made when a second one was in use at once.
	one  atomic.Pointer[encoder]
	many atomic.Pointer[sync.Pool]
}

// step is one call of WithGroup, or of WithAttrs when attrs is not nil.
type step struct {
	group string
	attrs []slog.Attr // frozen: immutable, and encoding them runs no code of users
}

// NewHandler makes a handler that writes to w.
func NewHandler(w *Writer, opts *Options) *Handler {
	if w == nil {
		panic("slogbuf: NewHandler: the writer is nil")
	}
	return &Handler{out: newOutput(w, opts)}
}

// Enabled implements slog.Handler.
func (h *Handler) Enabled(_ context.Context, level slog.Level) bool {
	least := slog.LevelInfo
	if h.out.opts.Level != nil {
		least = h.out.opts.Level.Level()
	}
	return level >= least
}

// Handle implements slog.Handler: it writes one line and waits for nothing but
// Options.SyncLevel. The error, which slog.Logger ignores, wraps queue.ErrFull
// (the line was dropped), queue.ErrTooLarge, recorder.ErrClosed, or says what
// stopped the recorder.
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	// Not deferred: when a ReplaceAttr panics or ends the goroutine, the encoder
	// is left to the garbage collector.
	e := h.take()
	err := e.encode(ctx, r)
	size := e.size
	h.give(e)

	switch {
	case err == nil:
		h.out.reportDropped()
		return h.out.syncIfAsked(r.Level)
	case errors.Is(err, queue.ErrFull):
		h.out.dropped.Add(1)
		_ = h.out.syncIfAsked(r.Level) // what was before it
	case errors.Is(err, queue.ErrTooLarge):
		h.out.replace(r, size)
		_ = h.out.syncIfAsked(r.Level)
	}
	return err
}

// WithAttrs implements slog.Handler.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(attrs) == 0 {
		return h
	}
	s := step{attrs: h.out.freeze(attrs, h.groups)}
	return &Handler{out: h.out, groups: h.groups, steps: append(slices.Clip(h.steps), s)}
}

// WithGroup implements slog.Handler.
func (h *Handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return &Handler{
		out:    h.out,
		groups: append(slices.Clip(h.groups), name),
		steps:  append(slices.Clip(h.steps), step{group: name}),
	}
}

// take returns an encoder that is the caller's until give.
func (h *Handler) take() *encoder {
	if pool := h.many.Load(); pool != nil {
		if e, ok := pool.Get().(*encoder); ok {
			return e
		}
	}
	if e := h.one.Swap(nil); e != nil {
		return e
	}
	return newEncoder(h.out, h.steps)
}

func (h *Handler) give(e *encoder) {
	pool := h.many.Load()
	if pool == nil {
		if h.one.CompareAndSwap(nil, e) {
			return
		}
		pool = new(sync.Pool)
		if !h.many.CompareAndSwap(nil, pool) {
			pool = h.many.Load()
		}
	}
	pool.Put(e)
}
