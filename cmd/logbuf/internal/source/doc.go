// Package source reads what `logbuf record` records: WebSocket connections, TCP
// streams and standard input, each into a producer of its own.
//
// Parse turns a SOURCE argument into a Spec. A Source runs one Spec until it
// ends: it connects, records, and connects again with growing pauses when the
// connection breaks, noting each gap in the archive. Sources of one run share a
// Gate, which decides what the first failures to connect mean.
package source
