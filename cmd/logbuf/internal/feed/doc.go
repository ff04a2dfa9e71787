// Package feed is a synthetic exchange that speaks WebSocket.
//
// It exists so that everything downstream can be run and checked without a
// network, an account or a real market: `logbuf feed` serves it, `logbuf demo`
// records it and compares what the archive gives back with what was sent.
//
// A Generator makes the frames of one symbol: trades, book updates, binary
// deltas, snapshots, heartbeats, empty frames, pings, unasked-for pongs and
// fragmented messages with pings between the fragments, from 0 bytes to 64 KiB,
// in bursts. The same seed and symbol give the same frames, byte for byte, in
// every process; the clock is simulated too.
//
// A Server sends one Generator's frames to each connection on an absolute
// schedule: a consumer that reads slowly is held up by TCP, and gets the frames
// that are due as fast as it can take them once it reads again. A Ledger notes a
// digest of each frame sent and received, in order, as it goes through the
// connection's buffer; that is the independent half of the demo's comparison.
package feed
