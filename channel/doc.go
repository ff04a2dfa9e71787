// Package channel puts blocking and closing around the rings of package queue:
// the receiver may sleep until there is something, with a context or a
// deadline; senders never do.
//
//	tx, rx, err := channel.NewSPSC(1<<20, nil)
//
//	// a hot goroutine                       // one goroutine
//	c, err := tx.TryClaim(n)                 for rx.Wait(ctx) == nil {
//	copy(c.Bytes(), rec)                         rx.Drain(256, func(typ int32, rec []byte) {
//	c.Commit()                                       …
//	…                                            })
//	tx.Close()                               }
//
// NewSPSC is for one sender, NewMPSC for any number in one order, NewFanIn for
// a lane per sender, NewPriority for levels of urgency. The receiver is the
// same for all.
//
// # Senders
//
// TrySend and TryClaim answer at once. Send and Claim try again for a moment,
// a few microseconds of spinning and yielding at most, and then return
// queue.ErrFull. No sender parks or sleeps. The only system call that a sender
// can cause is the wake-up of a parked receiver, at most once each time the
// receiver parks; with the Backoff and Spin strategies there is none.
//
// Stats of a sender counts its own lane, or its own ring; of a clone of a
// SharedSender, what that clone has sent.
//
// # Closing
//
// When the last sender is closed, the receiver gets everything that was
// committed, and then io.EOF. A claim that is open at that moment is
// abandoned: its Commit returns false. When the receiver is closed, senders
// get ErrClosed; records that are still in the ring are gone. Every method of
// a closed handle returns ErrClosed.
//
// # No lost wake-up, no lost last record
//
// A sender commits with a sequentially consistent store and then loads the
// receiver's flag; the receiver sets the flag and then looks into the ring
// once more (package park has the argument). The end is decided by position,
// not by a count: the closing of the ring fixes the last position, and the
// receiver reports io.EOF only when it has read up to there.
package channel
