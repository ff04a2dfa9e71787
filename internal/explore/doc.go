// Package explore runs a few threads one shared access at a time, in every
// order up to a bound, and checks each outcome. The threads run the shipped
// source of packages queue, park and channel; the build tag logbuf_explore
// puts the scheduler behind package step, and the tests of those packages with
// that tag use it.
//
// A run is decided by a list of choices: which thread makes the next access.
// Run follows a list, goes on with the thread that runs, and afterwards comes
// back to the last place where it could have chosen otherwise, until all lists
// are done (depth first, without stored states). The bound is on preemptions:
// switches away from a thread that could go on. Switches from a thread that
// waits, or has ended, are free. Few preemptions find most defects (Musuvathi
// and Qadeer, "Iterative context bounding", PLDI 2007), and without them the
// number of orders of two producers and a consumer is out of reach.
//
// With Options.TSO each thread has a first-in-first-out store buffer, as x86
// has: plain stores, and with Options.Weak the atomic ones too, reach memory
// later, when a read-modify-write or an atomic store drains the buffer, or at
// any earlier moment, which is one more choice.
package explore
