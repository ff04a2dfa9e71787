package channel

import "github.com/nexus-logbuf/logbuf/queue"

// Claim is space for one record: queue.Claim, and a receiver to wake. The
// rules of queue.Claim hold for it.
type Claim struct {
	claim queue.Claim
	waker *waker
}

// Bytes is the payload to fill, valid until the claim is settled.
func (c Claim) Bytes() []byte { return c.claim.Bytes() }

// Commit publishes the record and wakes the receiver if it sleeps. It returns
// false, and nothing is published, only if the last sender was closed before,
// or the receiver had gone on without the claim; see Options.StallLimit. It
// panics if the claim is not open any more; see queue.Claim.
func (c Claim) Commit() bool {
	ok := c.claim.Commit()
	c.waker.wake()
	return ok
}

// CommitN publishes the first n bytes as the record. See Commit.
func (c Claim) CommitN(n int) bool {
	ok := c.claim.CommitN(n)
	c.waker.wake()
	return ok
}

// CommitQuiet publishes the record and leaves the wake-up to one Notify for a
// batch of them. A sleeping receiver does not see the record before that.
func (c Claim) CommitQuiet() bool { return c.claim.Commit() }

// Abort gives the claim back. After Commit or another Abort, and on the zero
// Claim, it does nothing.
func (c Claim) Abort() {
	if c.waker == nil {
		return
	}
	c.claim.Abort()
	c.waker.wake() // records behind a shared claim become visible with it
}
