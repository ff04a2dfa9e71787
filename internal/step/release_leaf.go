//go:build gc && amd64 && !race && !msan && !asan && !purego && !logbuf_explore

package step

import "unsafe"

// StoreRelease stores v in x: whoever loads v there sees all that this goroutine
// did before. Unlike x.Store it does not order the store before loads that
// follow it. Those who publish something and then look whether somebody sleeps
// need x.Store, or a sync/atomic store between the two.
//
// sync/atomic has no such store: on amd64 its Store is an XCHG, which waits until
// every earlier store has left the core, payload included. A plain store is all
// that the machine needs. To the letter of Go's memory model it races with the
// loads of the other side; why it is sound all the same:
//
//   - x86 keeps stores in order, and does not move them before earlier loads. It
//     moves later loads before stores, which is the order that is given up.
//     The runtime's copy and clear end with a fence where they use stores that
//     are outside of that order.
//   - The compiler merges plain stores, and removes those that a later one
//     covers. It does neither across a call whose body it does not look into. A
//     function of one store that is never inlined is such a call, and the cheapest
//     one; a stub in assembly takes its arguments through the stack. The runtime's own
//     publicationBarrier on amd64 is nothing but such a call.
//   - x is 8-byte aligned, and one MOV of 8 bytes is atomic.
//   - The other side loads with sync/atomic.
//
// Builds for the race detector and its likes, which see sync/atomic only, with
// the tag purego, of other compilers, and for other machines, where sync/atomic
// has the right instruction, use sync/atomic: see release_atomic.go. There the
// protocol is tested by the language's rules. This one is tested by the same
// tests without -race, by the explorer with x86's store buffers, and by
// release_test.go.
//
//go:noinline
func StoreRelease(x *Uint64, v uint64) { *(*uint64)(unsafe.Pointer(x)) = v }
