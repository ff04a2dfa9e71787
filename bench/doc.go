// Package bench holds the programs that measure logbuf; it has no code itself.
//
// Command tables answers how fast logbuf and its peers do the same job, with one
// table and one plot for each question; `make bench` runs it, BENCHMARKS.md in
// the root of the repository has its figures.
//
// Command guard counts the instructions of the hot calls and compares them with
// recorded counts, which no busy machine can change; `make bench-guard` runs it.
package bench
