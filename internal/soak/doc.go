// Package soak runs rings and channels for as long as one likes, with
// everything going wrong that user code can do: goroutines that stop, panic or
// end between claim and commit, claims that leak or are committed much later,
// closes at any time, and readers that pass what stalls. In the end everything
// must add up: what producers were told, what arrived, and what each handle and
// each ring has counted. `make soak` runs it;
// its tests do nothing unless LOGBUF_SOAK is set to a duration.
//
// Each round draws a configuration and each goroutine's behaviour from a seed,
// which a failure names; LOGBUF_SOAK_SEED begins with that round. The seed
// decides what is done, not how the goroutines interleave.
package soak
