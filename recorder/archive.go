package recorder

import (
	"context"

	"github.com/nexus-logbuf/logbuf/journal"
)

// archive is what the recorder asks of a *journal.Writer.
type archive interface {
	DefineStream(name string) (uint16, error)
	StreamOrdinal(id uint16) uint64
	Fit(most int) int
	AppendFrames(frames []byte, records int) (firstSeq uint64, err error)
	NextSeq() uint64
	WaitDurable(ctx context.Context, seq uint64) error
	Stats() journal.Stats
	Recovered() journal.Recovery
	Close() error
}

var _ archive = (*journal.Writer)(nil)
