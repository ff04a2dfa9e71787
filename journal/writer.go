package journal

import (
	"context"
	"errors"
)

var errTODO = errors.New("journal: not built yet")

// Writer writes an archive. Its methods may be called from any goroutine.
type Writer struct{}

// Open opens or makes the archive in dir for writing, recovering its end first. There is one writer at a time: ErrLocked otherwise.
func Open(dir string, opts *Options) (*Writer, error) { return nil, errTODO }

// DefineStream returns the id of the stream with that name, defining it if need be. Ids are the same in every open of the archive.
func (w *Writer) DefineStream(name string) (uint16, error) { return 0, errTODO }

// Append writes one record and returns its sequence. rec.Seq is ignored; Kind 0 is KindData; a zero Time is the time now.
func (w *Writer) Append(rec Record) (seq uint64, err error) { return 0, errTODO }

// AppendFrames writes whole frames as a ring holds them. records is the number of frames that are not skips.
// It returns the sequence of the first data record. frames is not kept.
func (w *Writer) AppendFrames(frames []byte, records int) (firstSeq uint64, err error) {
	return 0, errTODO
}

// AppendLoss writes a loss record.
func (w *Writer) AppendLoss(l Loss) error { return errTODO }

// NextSeq returns the sequence that the next data record will have.
func (w *Writer) NextSeq() uint64 { return 0 }

// DurableSeq returns the first sequence that is not known to be durable: all below are.
func (w *Writer) DurableSeq() uint64 { return 0 }

// WaitDurable returns nil when the record seq and all before it are durable.
func (w *Writer) WaitDurable(ctx context.Context, seq uint64) error { return errTODO }

// Sync makes durable all that was written before the call.
func (w *Writer) Sync(ctx context.Context) error { return errTODO }

// Close syncs, seals the segment and gives up the lock.
func (w *Writer) Close() error { return errTODO }

// Stats returns counters.
func (w *Writer) Stats() Stats { return Stats{} }

// Recovered returns what Open found.
func (w *Writer) Recovered() Recovery { return Recovery{} }
