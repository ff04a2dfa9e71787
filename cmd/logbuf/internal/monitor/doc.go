// Package monitor shows a recording under way to people and machines over HTTP:
// its counters at /metrics and /debug/vars, and whether it is keeping up at
// /healthz.
//
// Whoever reaches the address sees the names of streams and archive, and
// counters. There is no authentication and no TLS: it is for a loopback address,
// or for a network where all may see that. It never shows a record, the command
// line, or an address that is recorded from, which may have a key in it.
//
// Nothing in it can hold up the recording: requests read counters, connections
// are few and have deadlines.
package monitor
