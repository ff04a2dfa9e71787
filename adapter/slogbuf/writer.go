package slogbuf

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/queue"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// syncTimeout is how long Sync and Close wait at most: a program that logs its
// last line must end, even when the disk hangs.
const syncTimeout = 5 * time.Second

// Writer writes lines to a stream of a recorder, each call one record. It is
// what a Handler writes to, and by itself the io.Writer, the zapcore.WriteSyncer
// and the io.Closer that other loggers ask for. Any number of goroutines may use
// it at once.
//
// Nothing needs to be closed but the recorder.
type Writer struct {
	p *recorder.Producer
}

// NewWriter makes a writer with a lane of its own to the archive. Of opts, nil
// for the defaults, Shared is always on. With recorder.OverloadDrop, the
// default, no call waits. recorder.OverloadFail is refused: loggers do not look
// at errors, so what is refused would be lost and recorded nowhere.
//
// A lane of LaneSize bytes lasts for LaneSize / (length of a line + 24) lines:
// the default of 256 KiB for a thousand, 20 ms at 50 000 lines a second. Give
// it 1 MiB or more where the disk may stand still for longer than that.
func NewWriter(rec *recorder.Recorder, stream string, opts *recorder.ProducerOptions) (*Writer, error) {
	var o recorder.ProducerOptions
	if opts != nil {
		o = *opts
	}
	if o.Overload == recorder.OverloadFail {
		return nil, fmt.Errorf("slogbuf: stream %q: recorder.OverloadFail leaves lines to loggers, which lose them and say nothing: use OverloadDrop or OverloadWait", stream)
	}
	o.Shared = true
	p, err := rec.Producer(stream, &o)
	if err != nil {
		return nil, err
	}
	return &Writer{p: p}, nil
}

// Write records a copy of line as it is, with the time of the call and kind
// journal.KindData. It returns len(line) and nil also when the line was dropped
// because the lane is full: that is counted and recorded, and loggers answer an
// error with a line on stderr, which may wait. It returns an error when line is
// longer than the lane can take, or when the recorder is closed or has failed.
func (w *Writer) Write(line []byte) (int, error) {
	return w.result(len(line), w.p.WriteAt(time.Now().UnixNano(), journal.KindData, 0, line))
}

// WriteLevel is Write for callers that know the level: it is recorded, see
// LevelOf, with the kind Kind.
func (w *Writer) WriteLevel(level slog.Level, line []byte) (int, error) {
	return w.result(len(line), w.p.WriteAt(time.Now().UnixNano(), Kind, levelCode(level), line))
}

func (w *Writer) result(n int, err error) (int, error) {
	if err == nil || errors.Is(err, queue.ErrFull) {
		return n, nil
	}
	return 0, err
}

// Flush waits until all lines whose call has returned are durable: they survive
// a crash of the process and a power cut. Its errors are those of
// recorder.Producer.WaitDurable.
func (w *Writer) Flush(ctx context.Context) error { return w.p.WaitDurable(ctx) }

// Sync is Flush for at most 5 s. zap calls it behind lines above its error level,
// before it panics or ends the program.
func (w *Writer) Sync() error {
	ctx, cancel := context.WithTimeout(context.Background(), syncTimeout)
	defer cancel()
	return w.Flush(ctx)
}

// Close is Sync, and then gives the lane back: later lines are refused with an
// error. zerolog calls it before Fatal ends the program. Close of the recorder
// does the same for all writers.
func (w *Writer) Close() error {
	return errors.Join(w.Sync(), w.p.Close())
}

// Stats is a snapshot of the writer's counters: lines written, waiting, lost.
func (w *Writer) Stats() recorder.ProducerStats { return w.p.Stats() }
