package journal

import (
	"context"
	"iter"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// ReaderOptions are the options of OpenReader. Nil or a zero value reads all records there are now, from the first.
type ReaderOptions struct {
	FromSeq  uint64 // first sequence to read; default 0 = the first there is
	FromTime int64  // start at the first record with this time or later, nanoseconds since the Unix epoch; default 0 = none
	End      bool   // start at the end, for following
	Follow   bool   // wait for more at the end instead of io.EOF
	Durable  bool   // deliver only what is known to be durable
	Control  bool   // deliver control records too
	FS       vfs.FS // default: the operating system's
}

// Reader reads an archive. One goroutine at a time. Any number of readers may read an archive, in any process, while it is written.
type Reader struct{}

// OpenReader opens the archive in dir for reading.
func OpenReader(dir string, opts *ReaderOptions) (*Reader, error) { return nil, errTODO }

// Next returns the next record; its payload is valid until the next call. The error is io.EOF at the end unless following,
// a *CorruptionError in damage.
func (r *Reader) Next(ctx context.Context) (Record, error) { return Record{}, errTODO }

// All returns the records as a sequence that ends at the end of the archive or after an error.
func (r *Reader) All() iter.Seq2[Record, error] { return func(func(Record, error) bool) {} }

// StreamName returns the name of a stream, empty when no definition was seen up to here.
func (r *Reader) StreamName(id uint16) string { return "" }

// Streams returns the streams defined up to here, by id.
func (r *Reader) Streams() map[uint16]string { return nil }

// FirstSeq returns the first sequence that the archive has: above 0 when old segments were removed.
func (r *Reader) FirstSeq() uint64 { return 0 }

// NextSeq returns the sequence that the next data record will have at least; after OpenReader with End, the sequence after the last.
func (r *Reader) NextSeq() uint64 { return 0 }

// Torn returns, after io.EOF, the torn tail that the archive ends in; nil when it ends cleanly.
func (r *Reader) Torn() *TornError { return nil }

// Close closes the reader.
func (r *Reader) Close() error { return nil }
