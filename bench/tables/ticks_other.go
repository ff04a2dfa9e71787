//go:build !amd64

package main

// ticks is nanoseconds, where the processor's counter cannot be read.
func ticks() int64 { return now() }

const tickName = "ns"
