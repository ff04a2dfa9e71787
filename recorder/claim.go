package recorder

import (
	"encoding/binary"
	"fmt"

	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/queue"
)

// timeLen is the timestamp at the head of each record's ring payload.
const timeLen = journal.TimeLen

// Claim is room for one record in its producer's lane, to be filled and then
// published with Commit or CommitN, or given back with Abort. It is a value;
// the first call that settles it counts, on whichever copy. A claim has one
// owner at a time.
//
// The zero Claim, which failing calls return, holds nothing; Abort of it does
// nothing.
type Claim struct {
	c queue.Claim
	p *Producer
}

// size is how many bytes of payload were claimed. It is not kept: a Claim of more
// than four words would not stay in registers.
func (c Claim) size() int { return max(0, c.c.Len()-timeLen) }

// Bytes is the payload to fill: as long as was claimed, not zeroed, valid
// until the claim is settled. A claim that is no longer open has none.
// Writing to it after Commit damages the archive, see Options.Stage.
func (c Claim) Bytes() []byte {
	b := c.c.Bytes()
	if len(b) < timeLen {
		return nil
	}
	return b[timeLen:]
}

// SetTime replaces the record's timestamp, which is the time of the claim
// otherwise, with nanoseconds since the Unix epoch. It panics if the claim is
// known not to be open any more.
func (c Claim) SetTime(unixNano int64) {
	b := c.c.Bytes()
	if len(b) < timeLen {
		panic("recorder: SetTime of a claim that is not open")
	}
	binary.LittleEndian.PutUint64(b, uint64(unixNano))
}

// Commit publishes the record to the archiver and never waits for it. It
// returns false if the recorder or the producer was closed meanwhile, or has
// failed, or if the claim, of a shared producer, has held up others for longer
// than Options.StallLimit: then the record is not in the archive, and is
// counted as lost.
//
// Commit panics if the claim is not open: committed or aborted before, or, of
// an unshared producer, replaced by a later claim or write.
func (c Claim) Commit() bool {
	if !c.c.Commit() {
		return c.p.abandoned(c.size())
	}
	return c.p.committed(c.size())
}

// CommitN publishes the first n bytes of the claim as the record and gives the
// rest back. n must be between 0 and len(Bytes()), or CommitN panics. It is
// Commit otherwise.
func (c Claim) CommitN(n int) bool {
	if n < 0 || n > c.size() {
		panic(fmt.Sprintf("recorder: CommitN(%d) of a claim of %d bytes", n, c.size()))
	}
	if !c.c.CommitN(n + timeLen) {
		return c.p.abandoned(n)
	}
	return c.p.committed(n)
}

// Abort gives the claim back; no record appears and nothing counts as lost.
// After Commit, CommitN or another Abort, and on the zero Claim, it does
// nothing, so that
//
//	defer c.Abort()
//
// behind a successful claim is right on every path.
func (c Claim) Abort() {
	c.c.Abort()
	if c.p != nil && c.p.lane.shared != nil {
		c.p.nudge(0) // it may have held up records that were committed behind it
	}
}
