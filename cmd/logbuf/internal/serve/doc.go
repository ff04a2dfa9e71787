// Package serve gives records that are being replayed to peers: a TCP connection, or a WebSocket client that gets recorded frames again as
// frames, with their opcodes and fragmentation.
//
// A Server accepts clients, each in a goroutine of its own, so that one that is slow or dead holds up no other. What it runs for a client is
// the caller's; TCP and WebSocket are what it writes to.
package serve
