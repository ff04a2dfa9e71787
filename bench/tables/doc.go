// Command tables answers, with one table each, how fast logbuf and its peers do
// the same job. All rows of a table are from one run and take turns, the payload
// is written and read word by word on both sides, allocations are counted.
//
//	go run ./tables -list
//	go run ./tables -run 'one-' -rounds 11
//	go run ./tables -run '^one-heels$' -rows 'SPSC, Write' -cols '^64 B$'
//	go run ./tables -svg ../docs/bench
//
// Two regimes decide what a ring is worth, and neither says anything about the
// other. Saturated, the consumer has work enough: whenever it finds nothing, it
// waits until half a ring has come. At the heels, it polls for each record, and
// every record costs what it takes to bring a cache line over from the producer.
package main
