// Package bench compares logbuf with other ways to do the same job, each pair
// in one run: the payload is read on both sides, the peer pays for the same
// copies, allocations are reported. BENCHMARKS.md in the root of the repository
// has figures and the commands that made them.
package bench
